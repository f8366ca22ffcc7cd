//! `cargo xtask bench train`: steps of Adam on an AlexNet of ten classes beside other programs, interleaved in one run.
//!
//! Before a program is timed, its losses in the first steps, without dropout, are compared with real Caffe's: the first
//! loss checks its forward pass, the second the gradients and Adam.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::forward::inspect;
use super::turns::{self, Figures, Pass, Runner, Turns, find, verdict};
use super::worker::{self, Worker};
use crate::model::{Files, trained};
use crate::venv::Program;
use crate::{machine, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; in each, every program gives one sample
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Threads of every program
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Only these modes
    #[arg(long, value_enum)]
    mode: Vec<Mode>,
    /// Leave a program out; PyTorch takes 8 GB of disk
    #[arg(long, value_enum)]
    without: Vec<Peer>,
    /// Seconds to wait, before each sample, for other programs to become idle
    #[arg(long, default_value_t = 20)]
    wait: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Every layer is trained
    All,
    /// conv2 to fc6 are frozen, conv1 is trained
    Middle,
    /// conv1 to fc6 are frozen
    Top,
    /// As `top`, and ours computes from what fc6 came to, as it does when features are cached
    Cached,
}

impl Mode {
    const ALL: [Self; 4] = [Self::All, Self::Middle, Self::Top, Self::Cached];

    fn title(self) -> &'static str {
        match self {
            Self::All => "everything trained",
            Self::Middle => "conv2 to fc6 frozen, conv1 trained",
            Self::Top => "conv1 to fc6 frozen",
            Self::Cached => "conv1 to fc6 frozen, features cached",
        }
    }

    fn frozen(self) -> &'static [&'static str] {
        const LAYERS: &[&str] = &["conv1", "conv2", "conv3", "conv4", "conv5", "fc6"];
        match self {
            Self::All => &[],
            Self::Middle => &LAYERS[1..],
            Self::Top | Self::Cached => LAYERS,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    Caffe,
    Chainer,
    ChainerDisabled,
    #[value(name = "torch")]
    PyTorch,
    #[value(name = "torch-fused")]
    PyTorchFused,
}

impl Peer {
    /// Real Caffe first: the others' losses are compared with its own.
    const ALL: [Self; 5] =
        [Self::Caffe, Self::Chainer, Self::ChainerDisabled, Self::PyTorch, Self::PyTorchFused];

    fn name(self, mode: Mode) -> &'static str {
        match self {
            Self::Chainer if mode.frozen().is_empty() => "Chainer 7.8",
            Self::Caffe => "Caffe 1.0",
            Self::Chainer => "Chainer 7.8, gradients set to zero",
            Self::ChainerDisabled => "Chainer 7.8, updates disabled",
            Self::PyTorch => "PyTorch, eager",
            Self::PyTorchFused => "PyTorch, eager, fused Adam",
        }
    }

    /// The program to install, and its word in worker/train.py.
    fn program(self) -> (Program, &'static str) {
        match self {
            Self::Caffe => (Program::Caffe, "caffe"),
            Self::Chainer => (Program::Chainer, "chainer"),
            Self::ChainerDisabled => (Program::Chainer, "chainer-disabled"),
            Self::PyTorch => (Program::PyTorch, "pytorch"),
            Self::PyTorchFused => (Program::PyTorch, "pytorch-fused"),
        }
    }

    /// Whether it has a way of its own to freeze what the mode freezes.
    fn takes_part(self, mode: Mode) -> bool {
        match mode {
            Mode::All | Mode::Top => self != Self::ChainerDisabled,
            Mode::Middle => true,
            Mode::Cached => self == Self::Chainer,
        }
    }
}

const BATCH: u64 = 32;
const IMAGE: [u64; 3] = [3, 227, 227];
const DROPOUT: f32 = 0.5;
const SAMPLE: f64 = 0.5;
/// Largest difference of a loss from Caffe's, over it.
const TOLERANCE: f64 = 1e-4;
/// How many times faster than Chainer's hook a step on cached features has to be.
const CACHED: f64 = 100.0;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let rebrew = workspace::build_rebrew(false)?;
    let ours = workspace::build("benches", "--bin", "train_worker", false)?;
    let throughput = workspace::build("kernels", "--example", "throughput", false)?;
    let folder = workspace::cache()?.join("bench");
    let scratch = folder.join(format!("train-{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let outcome = Bench { arguments, rebrew, folder, scratch: &scratch }.run(&ours, &throughput);
    let _ = fs::remove_dir_all(&scratch);
    outcome?;
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    arguments: &'a Arguments,
    rebrew: PathBuf,
    folder: PathBuf,
    scratch: &'a Path,
}

/// The weights in both forms, the batch, and what a pass costs.
struct Subject {
    caffemodel: PathBuf,
    npz: PathBuf,
    images: PathBuf,
    features: PathBuf,
    labels: PathBuf,
    costs: Vec<Cost>,
}

/// Multiply-adds of one layer with parameters, for one image, forward.
struct Cost {
    layer: String,
    macs: f64,
}

impl Bench<'_> {
    fn run(&self, ours: &Path, throughput: &Path) -> Result<()> {
        let subject = self.prepare()?;
        let wait = Duration::from_secs(self.arguments.wait);
        println!(
            "{}; {} threads, batch {BATCH}, medians of {} interleaved samples of about {SAMPLE} s or one step.",
            machine::describe(&self.folder),
            self.arguments.threads,
            self.arguments.rounds
        );
        let limit = turns::print_limits(throughput, self.arguments.threads, wait)?;
        for mode in Mode::ALL {
            if !self.arguments.mode.is_empty() && !self.arguments.mode.contains(&mode) {
                continue;
            }
            let mut runners = self.runners(mode, ours)?;
            let losses = self.load(&subject, mode, &mut runners)?;
            compare(&losses, &mut runners)?;
            let turns =
                Turns { rounds: self.arguments.rounds, uncounted: 0, warm_up: 0.0, seconds: SAMPLE, wait };
            let figures =
                turns.measure(&mut runners.iter_mut().map(|(_, runner)| runner).collect::<Vec<_>>())?;
            print(mode, subject.operations(mode), &figures, limit);
        }
        Ok(())
    }

    fn prepare(&self) -> Result<Subject> {
        let files = trained::make_weights(&self.folder)?;
        let npz = self.scratch.join("weights.npz");
        let mut command = Command::new(&self.rebrew);
        command.arg("convert").arg(&files.weights).arg("--definition").arg(&files.definition);
        let output = command.arg("-o").arg(&npz).arg("-q").output().context("cannot run rebrew")?;
        if !output.status.success() {
            bail!("rebrew convert failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let [images, features, labels] = ["images", "features", "labels"].map(|name| self.scratch.join(name));
        let count = BATCH * IMAGE.iter().product::<u64>();
        fs::write(&images, turns::noise(count as usize))?;
        fs::write(&features, turns::noise((BATCH * trained::FEATURES) as usize))?;
        let classes = (0..BATCH).flat_map(|at| ((at % trained::CLASSES) as f32).to_ne_bytes());
        fs::write(&labels, classes.collect::<Vec<_>>())?;
        let costs = costs(&inspect(&self.rebrew, &Files { weights: files.weights.clone(), ..files })?);
        Ok(Subject { caffemodel: files.weights, npz, images, features, labels, costs })
    }

    /// Ours, which is no peer, and the others.
    fn runners(&self, mode: Mode, ours: &Path) -> Result<Vec<(Option<Peer>, Runner)>> {
        let threads = self.arguments.threads;
        let worker = Worker::start(Command::new(ours).arg(threads.to_string()))?;
        let mut runners = vec![(None, Runner { name: "rebrew", worker })];
        for peer in Peer::ALL.into_iter().filter(|peer| peer.takes_part(mode)) {
            if self.arguments.without.contains(&peer) {
                println!("{} is left out.", peer.name(mode));
                continue;
            }
            let (program, word) = peer.program();
            let worker = Worker::python(program, worker::TRAIN, word, threads)?;
            runners.push((Some(peer), Runner { name: peer.name(mode), worker }));
        }
        Ok(runners)
    }

    /// Loads the net in every program: without dropout, to return the losses of the first steps, and then with.
    fn load(
        &self,
        subject: &Subject,
        mode: Mode,
        runners: &mut [(Option<Peer>, Runner)],
    ) -> Result<Vec<Vec<f32>>> {
        let output = self.scratch.join("output");
        let frozen = mode.frozen();
        let mut losses = Vec::new();
        for (peer, runner) in runners {
            let weights = match peer {
                None | Some(Peer::Caffe) => &subject.caffemodel,
                Some(_) => &subject.npz,
            };
            let above = peer.is_none() && mode == Mode::Cached;
            let (images, shape) = if above {
                (&subject.features, vec![BATCH, trained::FEATURES])
            } else {
                (&subject.images, [&[BATCH], &IMAGE[..]].concat())
            };
            let shape = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
            let mut load = |dropout: f32| {
                let definition = self.scratch.join("train.prototxt");
                let text = if above {
                    trained::definition_above_fc6(BATCH, dropout)
                } else {
                    trained::definition(BATCH, dropout, frozen)
                };
                fs::write(&definition, text)?;
                let (held, ratio) =
                    (if above { String::new() } else { frozen.join(",") }, dropout.to_string());
                let words = [
                    definition.as_os_str(),
                    weights.as_os_str(),
                    OsStr::new(&shape),
                    images.as_os_str(),
                    subject.labels.as_os_str(),
                    OsStr::new(&held),
                    OsStr::new(&ratio),
                ];
                runner.worker.load(&words, &output).with_context(|| runner.name.to_owned())
            };
            losses.push(load(0.0)?);
            load(DROPOUT)?;
        }
        Ok(losses)
    }
}

impl Subject {
    /// The operations of a step: each layer's product forward; once more for its weights' gradient if it learns; and once
    /// more for its input's, if something below it learns.
    fn operations(&self, mode: Mode) -> f64 {
        let frozen = |cost: &Cost| mode.frozen().contains(&cost.layer.as_str());
        let mut below = false;
        let mut macs = 0.0;
        for cost in &self.costs {
            let forward = if mode == Mode::Cached && frozen(cost) { 0.0 } else { cost.macs };
            let filter = if frozen(cost) { 0.0 } else { cost.macs };
            macs += forward + filter + if below { cost.macs } else { 0.0 };
            below |= !frozen(cost);
        }
        2.0 * macs * BATCH as f64
    }
}

/// What `rebrew inspect --json` says of the layers that compute.
fn costs(picture: &Value) -> Vec<Cost> {
    let layers = picture["layers"].as_array().into_iter().flatten();
    let costs = layers.map(|layer| Cost {
        layer: layer["name"].as_str().unwrap_or_default().to_owned(),
        macs: layer["macs"].as_f64().unwrap_or(0.0),
    });
    costs.filter(|cost| cost.macs > 0.0).collect()
}

/// Compares the losses with Caffe's, and leaves out who computes something else.
fn compare(losses: &[Vec<f32>], runners: &mut Vec<(Option<Peer>, Runner)>) -> Result<()> {
    println!();
    let Some(reference) = runners.iter().position(|(peer, _)| *peer == Some(Peer::Caffe)) else {
        println!("Losses are not compared: Caffe has no part in this.\n");
        return Ok(());
    };
    let reference = &losses[reference];
    let mut largest = vec![0.0_f64; reference.len()];
    let mut losses = losses.iter();
    runners.retain(|(_, runner)| {
        let losses = losses.next().map_or(&[][..], Vec::as_slice);
        let differences = differences(losses, reference);
        let close = are_close(&differences);
        if close {
            largest.iter_mut().zip(differences).for_each(|(largest, other)| *largest = largest.max(other));
        } else {
            println!("{} computes something else: losses {losses:?}, Caffe {reference:?}\n", runner.name);
        }
        close
    });
    if runners.is_empty() {
        bail!("no program is left");
    }
    let largest = largest.iter().map(|largest| format!("{largest:.0e}")).collect::<Vec<_>>().join(" and ");
    println!("Losses of the first steps, without dropout: {largest} from Caffe's at most.\n");
    Ok(())
}

/// Of each loss, over the reference's.
fn differences(losses: &[f32], reference: &[f32]) -> Vec<f64> {
    if losses.len() != reference.len() {
        return vec![f64::INFINITY];
    }
    let pairs = losses.iter().zip(reference);
    pairs.map(|(loss, reference)| f64::from((loss - reference).abs() / reference.abs())).collect()
}

fn are_close(differences: &[f64]) -> bool {
    differences.iter().all(|&difference| difference <= TOLERANCE)
}

fn print(mode: Mode, operations: f64, figures: &[Figures], limit: Option<f64>) {
    println!("### AlexNet, batch {BATCH}, {}, {:.1} GFLOP\n", mode.title(), operations / 1e9);
    turns::print_table(&Pass { operations, images: BATCH as usize }, figures, limit);
    if let Some(limit) = limit {
        println!("* arithmetic at the machine's limit: {:.1} ms", 1e3 * operations / limit);
    }
    let Some(ours) = find(figures, "rebrew") else { return };
    if mode == Mode::Cached {
        let theirs = find(figures, Peer::Chainer.name(mode));
        let ratio = theirs.map_or_else(String::new, |theirs| format!(" ({:.0} times)", theirs / ours));
        let what =
            format!("required, {CACHED} times as fast as Chainer's hook that sets gradients to zero{ratio}");
        verdict(&what, ours, theirs, 1.0 / CACHED);
        println!("* ours is the step from fc6's values on, whole batches of which lie in memory");
        return;
    }
    let torch =
        [Peer::PyTorch, Peer::PyTorchFused].map(|peer| (peer.name(mode), find(figures, peer.name(mode))));
    let measured = torch.into_iter().filter_map(|(name, time)| Some((name, time?)));
    let best = measured.min_by(|a, b| a.1.total_cmp(&b.1));
    let (name, best) = best.map_or(("PyTorch", None), |(name, time)| (name, Some(time)));
    verdict(&format!("required, no slower than PyTorch's best, {name}"), ours, best, 1.0);
    verdict(&format!("goal, 1.5 times as fast as {name}"), ours, best, 1.0 / 1.5);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frozen_costs_its_forward_pass_and_what_passes_through_it() {
        let cost = |layer: &str, macs| Cost { layer: layer.to_owned(), macs };
        let costs = vec![cost("conv1", 1.0), cost("conv2", 10.0), cost("fc7", 100.0), cost("fc8", 1000.0)];
        let empty = PathBuf::new;
        let subject = Subject {
            caffemodel: empty(),
            npz: empty(),
            images: empty(),
            features: empty(),
            labels: empty(),
            costs,
        };
        let macs = |mode| subject.operations(mode) / 2.0 / BATCH as f64;
        assert_eq!(macs(Mode::All), 3.0 * 1111.0 - 1.0);
        assert_eq!(macs(Mode::Middle), 1111.0 + 1101.0 + 1110.0);
        assert_eq!(macs(Mode::Top), 1111.0 + 1100.0 + 1000.0);
        assert_eq!(macs(Mode::Cached), 1100.0 + 1100.0 + 1000.0);
    }

    #[test]
    fn losses_are_compared_step_by_step() {
        assert!(are_close(&differences(&[2.0, 1.0], &[2.0, 1.00005])));
        assert!(!are_close(&differences(&[2.0, 1.0], &[2.001, 1.0])));
        assert!(!are_close(&differences(&[2.0, 1.0], &[2.0, 1.1])));
        assert!(!are_close(&differences(&[2.0], &[2.0, 1.0])));
        assert!(!are_close(&differences(&[f32::NAN, 1.0], &[2.0, 1.0])));
    }
}
