//! The table of a step's updates, put together: which block works on what, and by which numbers.

use super::driver::Address;
use crate::update::{GradientChange, GradientStep, MAX_UPDATE_STATE, NormalNoise, UpdateRule};

/// Values of a tensor that one block works on: `PIECE` of cu/update.cuh.
const PIECE: usize = 8192;

/// Numbers of a rule: as many as `UpdatedTensor` of cu/update.cuh has room for.
const NUMBERS: usize = 8;

/// Sections of the table begin at a multiple of so many words, and so of 16 bytes.
const ALIGNMENT: usize = 4;

/// What is written into the device's memory, and the launches that read it.
#[derive(Default)]
pub(super) struct Plan {
    /// `Piece`s of cu/update.cuh, stage after stage.
    pub(super) pieces: Vec<u32>,
    /// `UpdatedTensor`s, `Change`s, `Noise`s and `Norm`s.
    pub(super) numbers: Vec<u32>,
    /// The word of `numbers` at which the changes begin.
    pub(super) changes: usize,
    pub(super) stages: Vec<Stage>,
}

/// A launch, or two.
#[derive(PartialEq)]
pub(super) struct Stage {
    /// The word of the pieces at which this stage's begin, and how many blocks there are.
    pub(super) pieces: usize,
    pub(super) blocks: usize,
    /// The tensors that it works on.
    pub(super) tensors: Vec<usize>,
    pub(super) work: Work,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Work {
    /// Adds noise to gradients, all changes so far made. The noises begin at this word.
    Noise { noises: usize },
    /// Computes so many factors, from `first_factor` on, from norms that begin at this word; of values too, or of gradients alone.
    Norms { values: bool, norms: usize, count: usize, first_factor: usize },
    /// Moves all values.
    Update,
}

/// A run of a tensor's changes.
#[derive(Clone, Copy)]
struct Run {
    tensor: usize,
    first: usize,
    count: usize,
}

/// A stage whose places are not settled yet.
enum Draft {
    Noise { runs: Vec<Run>, noises: Vec<NormalNoise> },
    Norms { runs: Vec<Run>, formula: Formula, first_factor: usize },
}

#[derive(Clone, Copy)]
enum Formula {
    Clip { threshold: f64 },
    Lars { threshold: f64, decay: f64, eps: f64 },
}

/// What is done to gradients, sorted by tensors.
#[derive(Default)]
struct Drafts {
    /// Of each tensor, four words a change; those before `begun` are in its gradient by now.
    changes: Vec<Vec<[u32; 4]>>,
    begun: Vec<usize>,
    stages: Vec<Draft>,
    factors: usize,
}

impl Plan {
    /// The plan for tensors of these lengths at these addresses.
    pub(super) fn new(
        lens: &[usize],
        addresses: &[Vec<Address>],
        rules: &[UpdateRule],
        steps: &[GradientStep],
    ) -> Self {
        let mut drafts =
            Drafts { changes: vec![Vec::new(); lens.len()], begun: vec![0; lens.len()], ..Drafts::default() };
        for step in steps {
            drafts.take(step);
        }

        let mut plan = Self::default();
        for ((&len, addresses), rule) in lens.iter().zip(addresses).zip(rules) {
            plan.push_tensor(len, addresses, rule);
        }
        plan.align();
        plan.changes = plan.numbers.len();
        let mut bases = Vec::with_capacity(lens.len());
        for changes in &drafts.changes {
            bases.push((plan.numbers.len() - plan.changes) / 4);
            plan.numbers.extend(changes.as_flattened());
        }
        let last: Vec<Run> = (0..lens.len()).map(|tensor| drafts.run(tensor)).collect();
        for draft in &drafts.stages {
            plan.push_draft(draft, lens, &bases);
        }
        plan.push_stage(&last, lens, &bases, Work::Update);
        plan
    }

    /// The most sums of squares, gradients' and values', that a stage has.
    pub(super) fn part_count(&self) -> usize {
        let of_norms = self.stages.iter().filter(|stage| matches!(stage.work, Work::Norms { .. }));
        2 * of_norms.map(|stage| stage.blocks).max().unwrap_or(0)
    }

    pub(super) fn factor_count(&self) -> usize {
        let ends = self.stages.iter().map(|stage| match stage.work {
            Work::Norms { count, first_factor, .. } => first_factor + count,
            _ => 0,
        });
        ends.max().unwrap_or(0)
    }

    fn align(&mut self) {
        self.numbers.resize(self.numbers.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn push_tensor(&mut self, len: usize, addresses: &[Address], rule: &UpdateRule) {
        let absent = std::iter::repeat(&0);
        addresses
            .iter()
            .chain(absent)
            .take(2 + MAX_UPDATE_STATE)
            .for_each(|&address| self.push_wide(address));
        self.numbers.extend([len as u32, 0]);
        let numbers = numbers(rule);
        self.numbers.extend(numbers.map(f32::to_bits));
    }

    fn push_draft(&mut self, draft: &Draft, lens: &[usize], bases: &[usize]) {
        self.align();
        let at = self.numbers.len();
        match draft {
            Draft::Noise { runs, noises } => {
                for noise in noises {
                    self.numbers.extend(noise.key);
                    self.push_wide(noise.stream);
                    self.numbers.extend([noise.deviation.to_bits(), 0]);
                }
                self.push_stage(runs, lens, bases, Work::Noise { noises: at });
            }
            &Draft::Norms { ref runs, formula, first_factor } => {
                let blocks: Vec<usize> = runs.iter().map(|run| lens[run.tensor].div_ceil(PIECE)).collect();
                let (values, count) = match formula {
                    Formula::Clip { threshold } => {
                        self.push_norm(0, blocks.iter().sum(), [threshold, 0.0, 0.0], 0);
                        (false, 1)
                    }
                    Formula::Lars { threshold, decay, eps } => {
                        let mut first = 0;
                        for &blocks in &blocks {
                            self.push_norm(first, blocks, [threshold, decay, eps], 1);
                            first += blocks;
                        }
                        (true, runs.len())
                    }
                };
                self.push_stage(runs, lens, bases, Work::Norms { values, norms: at, count, first_factor });
            }
        }
    }

    fn push_norm(&mut self, first: usize, blocks: usize, terms: [f64; 3], kind: u32) {
        self.numbers.extend([first as u32, blocks as u32, kind, 0]);
        for term in terms {
            self.push_wide(term.to_bits());
        }
    }

    fn push_stage(&mut self, runs: &[Run], lens: &[usize], bases: &[usize], work: Work) {
        let at = self.pieces.len();
        let mut blocks = 0;
        for (place, run) in runs.iter().enumerate() {
            for start in (0..lens[run.tensor]).step_by(PIECE) {
                let first = bases[run.tensor] + run.first;
                self.pieces.extend([run.tensor, start, first, run.count, place].map(|number| number as u32));
                blocks += 1;
            }
        }
        let tensors = runs.iter().map(|run| run.tensor).collect();
        self.stages.push(Stage { pieces: at, blocks, tensors, work });
    }

    fn push_wide(&mut self, number: u64) {
        self.numbers.extend([number as u32, (number >> 32) as u32]);
    }
}

impl Drafts {
    fn take(&mut self, step: &GradientStep) {
        match step {
            &GradientStep::Change(tensor, GradientChange::AddNoise(noise)) => self.add_noise(tensor, noise),
            &GradientStep::Change(tensor, change) => self.changes[tensor].push(words(change)),
            GradientStep::Clip { tensors, threshold } => {
                let first_factor = self.norms(tensors, Formula::Clip { threshold: *threshold }, 1);
                for &tensor in tensors {
                    self.scale_by(tensor, first_factor);
                }
            }
            &GradientStep::Lars { ref tensors, threshold, decay, eps } => {
                let formula = Formula::Lars { threshold, decay, eps };
                let first_factor = self.norms(tensors, formula, tensors.len());
                for (&tensor, factor) in tensors.iter().zip(first_factor..) {
                    if decay != 0.0 {
                        self.changes[tensor].push(words(GradientChange::AddValue(decay as f32)));
                    }
                    self.scale_by(tensor, factor);
                }
            }
        }
    }

    /// The changes of a tensor's that are not in its gradient yet.
    fn run(&self, tensor: usize) -> Run {
        let first = self.begun[tensor];
        Run { tensor, first, count: self.changes[tensor].len() - first }
    }

    fn add_noise(&mut self, tensor: usize, noise: NormalNoise) {
        let run = self.run(tensor);
        match self.stages.last_mut() {
            Some(Draft::Noise { runs, noises }) if runs.iter().all(|other| other.tensor != tensor) => {
                runs.push(run);
                noises.push(noise);
            }
            _ => self.stages.push(Draft::Noise { runs: vec![run], noises: vec![noise] }),
        }
        self.begun[tensor] = self.changes[tensor].len();
    }

    /// The first of so many factors.
    fn norms(&mut self, tensors: &[usize], formula: Formula, count: usize) -> usize {
        let runs = tensors.iter().map(|&tensor| self.run(tensor)).collect();
        let first_factor = self.factors;
        self.stages.push(Draft::Norms { runs, formula, first_factor });
        self.factors += count;
        first_factor
    }

    fn scale_by(&mut self, tensor: usize, factor: usize) {
        self.changes[tensor].push([4, 0, 0, factor as u32]);
    }
}

/// `Change` of cu/update.cuh.
fn words(change: GradientChange) -> [u32; 4] {
    match change {
        GradientChange::Scale(factor) => [0, factor.to_bits(), 0, 0],
        GradientChange::AddValue(rate) => [1, rate.to_bits(), 0, 0],
        GradientChange::AddSign(rate) => [2, rate.to_bits(), 0, 0],
        GradientChange::Clamp(lower, upper) => [3, lower.to_bits(), upper.to_bits(), 0],
        // A stage of its own.
        GradientChange::AddNoise(_) => [0, 1.0_f32.to_bits(), 0, 0],
    }
}

/// The numbers of a rule in the order of its struct in cu/update.cu.
fn numbers(rule: &UpdateRule) -> [f32; NUMBERS] {
    let mut all = [0.0; NUMBERS];
    let mut put = |numbers: &[f32]| all[..numbers.len()].copy_from_slice(numbers);
    match *rule {
        UpdateRule::Sgd { rate } => put(&[rate]),
        UpdateRule::MomentumSgd { rate, momentum }
        | UpdateRule::CorrectedMomentumSgd { rate, momentum }
        | UpdateRule::Nesterov { rate, momentum } => put(&[rate, momentum]),
        UpdateRule::NesterovAhead { rate, momentum, square, ahead } => put(&[rate, momentum, square, ahead]),
        UpdateRule::AdaGrad { rate, eps } | UpdateRule::Smorms3 { rate, eps } => put(&[rate, eps]),
        UpdateRule::AdaDelta { rate, eps, old, new }
        | UpdateRule::RmsProp { rate, eps, old, new, eps_inside_sqrt: _ } => put(&[rate, eps, old, new]),
        UpdateRule::RmsPropGraves { rate, momentum, eps, old, new } => put(&[rate, momentum, eps, old, new]),
        UpdateRule::Adam { rate, first, second, eps, eta, kept, amsgrad: _, bounds } => {
            let (lower, upper) = bounds.unwrap_or_default();
            put(&[rate, first, second, eps, eta, kept, lower, upper]);
        }
        UpdateRule::Msvag { rate, new, seen, unbiased, rho, eta, decay } => {
            put(&[rate, new, seen, unbiased, rho, eta, decay]);
        }
    }
    all
}
