//! A stretch of a run in which the same layers are frozen.

use std::cell::Cell;
use std::sync::Arc;

use caffe_proto::proto::{NetParameter, NetState, Phase};
use caffe_proto::{Model, Payload, text};
use kernels::Backend;
use weight_io::{Dtype, Tensor, Weights};

use super::judge::Judge;
use super::{CacheMode, Error, Judgement, Observer, Options, Prepared, Result};
use crate::data::{Feed, Loader, LoaderOptions, Position};
use crate::features::{self, FeatureFeed, Fingerprint, Prefix, Split, Views, Work};
use crate::hooks::{self, Freeze, GradientClipping, Hook, Moment, Trainable, WeightDecay};
use crate::optim::{LrPolicy, Optimizer, ParamInfo, Solver, rule_by_name};
use crate::training::Stepped;
use crate::{Match, Network, Options as Keep, Trainer, TrainingOptions};

/// What all stages of a run go by.
#[derive(Clone, Copy)]
pub(super) struct Ground<'r, 'b> {
    pub(super) backend: &'b dyn Backend,
    pub(super) prepared: &'r Prepared,
    pub(super) options: &'r Options,
}

/// The net in two parts, the data for them, and the place in these.
pub(super) struct Stage<'b> {
    pub(super) split: Split,
    pub(super) trainer: Trainer<'b>,
    pub(super) loader: Loader,
    pub(super) is_cached: bool,
    /// What is kept of the frozen part, or why nothing is.
    pub(super) cache: String,
    prefix: Option<Prefix<'b>>,
    validation: Arc<dyn Feed>,
    /// The blobs that the trainer is given: where the net is cut, and the labels.
    inputs: Vec<String>,
    /// What the prefix made of the batch.
    cut: Vec<Vec<f32>>,
    /// Whether the trainer has the next batch by now.
    is_ahead: bool,
}

/// Where a stage begins.
pub(super) struct Start<'s> {
    pub(super) held: &'s [bool],
    /// The parameters of all layers.
    pub(super) current: &'s Model,
    /// Of the layers that were trained before, the solver and the passes.
    pub(super) state: Option<&'s Weights>,
    pub(super) position: Position,
    /// Whether features are to come from a cache, where that was decided before.
    pub(super) is_cached: Option<bool>,
}

/// Features to learn from and to judge by, and whether they were computed before.
type Cached = (FeatureFeed, FeatureFeed, bool);

/// Which of the parameters hooks hold at a moment.
pub(super) fn held(infos: &[ParamInfo], freeze: &[Freeze], moment: Moment) -> Vec<bool> {
    let mut trainable = Trainable::new(infos);
    for freeze in freeze {
        freeze.plan(moment, &mut trainable);
    }
    trainable.into_frozen()
}

/// The layers all of whose parameters are marked, in the net's order.
pub(super) fn layers_of(infos: &[ParamInfo], marked: &[bool]) -> Vec<String> {
    let mut layers: Vec<(&str, bool)> = Vec::new();
    for (info, &marked) in infos.iter().zip(marked) {
        match layers.iter_mut().find(|(layer, _)| *layer == info.layer) {
            Some((_, all)) => *all &= marked,
            None => layers.push((&info.layer, marked)),
        }
    }
    layers.into_iter().filter(|(_, all)| *all).map(|(layer, _)| layer.to_owned()).collect()
}

impl<'b> Stage<'b> {
    pub(super) fn new(
        ground: Ground<'_, 'b>,
        start: &Start<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let Ground { backend, prepared, options, .. } = ground;
        let split = Split::new(&prepared.operated, start.held, options.batch_size)?;
        let mut prefix = None;
        if let Some(definition) = &split.prefix {
            let network = filled(definition, Phase::Test, start.current, options.seed)?;
            prefix = Some(Prefix::new(&network, &split, backend)?);
        }
        let mut why_not = split.why_not.clone();
        let mut cached: Option<Cached> = None;
        if let Some(prefix) = &mut prefix {
            match kept(ground, start, &split, prefix, observer)? {
                Ok(features) => cached = Some(features),
                Err(why) => why_not = Some(why),
            }
        }
        if cached.is_none() && options.cache == CacheMode::On {
            return Err(Error::NoCache { why: why_not.unwrap_or_default() });
        }
        let cache = told(&split, cached.as_ref(), why_not.as_deref());
        let is_cached = cached.is_some();
        let (train, validation): (Arc<dyn Feed>, Arc<dyn Feed>) = match cached {
            Some((train, validation, _)) => (Arc::new(train), Arc::new(validation)),
            None => (Arc::clone(&prepared.sets.train) as _, Arc::clone(&prepared.sets.validation) as _),
        };

        let network = filled(&split.train, Phase::Train, start.current, options.seed)?;
        let trainee = network.trainee(backend, &TrainingOptions::default())?;
        let optimizer = optimizer(options, trainee.infos().to_vec())?;
        let mut trainer = Trainer::new(trainee, Solver::of_optimizer(optimizer, LrPolicy::Fixed))?;
        if let Some(state) = start.state {
            let state = completed(state, &trainer)?;
            trainer.restore_state(&state)?;
        }
        let loading = LoaderOptions {
            seed: options.seed,
            shuffle: true,
            strict: options.strict,
            threads: options.threads,
            ahead: options.threads + 2,
            ..LoaderOptions::new(options.batch_size)
        };
        let mut inputs = split.blobs.clone();
        inputs.push(prepared.operated.label.clone());
        Ok(Self {
            loader: Loader::new(train, loading, start.position)?,
            prefix: prefix.filter(|_| !is_cached),
            split,
            trainer,
            is_cached,
            cache,
            validation,
            inputs,
            cut: Vec::new(),
            is_ahead: false,
        })
    }

    /// One step on the next batch.
    pub(super) fn step(&mut self) -> Result<Stepped> {
        self.loader.next_batch()?;
        let batch = self.loader.current();
        if let Some(prefix) = &mut self.prefix {
            prefix.run(&batch.tops[0], &mut self.cut)?;
        }
        let values = if self.prefix.is_some() { &self.cut[..] } else { &batch.tops[..batch.tops.len() - 1] };
        let values = values.iter().chain(batch.tops.last());
        let is_ahead = Cell::from_mut(&mut self.is_ahead);
        let stepped = self.trainer.step_and(
            &mut |net| {
                if is_ahead.take() {
                    return net.take_inputs_ahead();
                }
                let mut inputs = self.inputs.iter().zip(values.clone());
                inputs.try_for_each(|(name, values)| net.set_input(name, values))
            },
            &mut |net| {
                // What comes from a prefix is not there before its turn.
                if self.prefix.is_some() || !net.is_recorded() || !net.make_room_ahead()? {
                    return Ok(());
                }
                let Some(batch) = self.loader.upcoming() else { return Ok(()) };
                let mut inputs = self.inputs.iter().zip(&batch.tops);
                inputs.try_for_each(|(name, values)| net.set_input_ahead(name, values))?;
                is_ahead.set(true);
                Ok(())
            },
        );
        Ok(stepped?)
    }

    /// Judges the net, whose parameters are `current`.
    pub(super) fn judge(&mut self, ground: Ground<'_, 'b>, current: &Model) -> Result<Judgement> {
        let Ground { backend, prepared, options, .. } = ground;
        let network = filled(&self.split.test, Phase::Test, current, options.seed)?;
        let scores = &prepared.operated.scores;
        let keep = Keep { all_blobs: false, keep: vec![scores.clone()] };
        let mut judge = Judge {
            executor: &mut network.executor(backend, &keep)?,
            prefix: self.prefix.as_mut(),
            inputs: &self.split.blobs,
            scores,
            batch_size: options.batch_size,
            strict: options.strict,
            threads: options.threads,
        };
        judge.all(&self.validation)
    }
}

/// A net in a phase with the parameters there are.
fn filled(definition: &NetParameter, phase: Phase, parameters: &Model, seed: u64) -> Result<Network> {
    let state = NetState { phase: Some(phase.into()), ..NetState::default() };
    let mut network = Network::new(definition.clone(), &state)?;
    network.set_seed(seed);
    network.initialise_from_model(parameters, Match::ByName)?;
    Ok(network)
}

fn optimizer(options: &Options, infos: Vec<ParamInfo>) -> Result<Optimizer> {
    let mut optimizer = Optimizer::new(rule_by_name(&options.optimizer, options.rate)?, infos);
    optimizer.set_threads(options.threads);
    for freeze in &options.freeze {
        optimizer.add_hook(OfPart(freeze.clone()))?;
    }
    if let Some(decay) = options.weight_decay {
        optimizer.add_hook(WeightDecay::new(decay))?;
    }
    if let Some(norm) = options.clip {
        optimizer.add_hook(GradientClipping::new(norm))?;
    }
    Ok(optimizer)
}

/// Freezes what it matches in a part of a net. That it matches something in the whole was checked before.
#[derive(Debug)]
struct OfPart(Freeze);

impl Hook for OfPart {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn plan(&self, moment: Moment, trainable: &mut Trainable<'_>) {
        self.0.plan(moment, trainable);
    }

    fn changes_after(&self, moment: Moment) -> bool {
        self.0.changes_after(moment)
    }

    fn check(&self, _: &[ParamInfo]) -> std::result::Result<(), hooks::Error> {
        Ok(())
    }
}

/// A state with what layers begin with that were in no trainer before.
fn completed(state: &Weights, trainer: &Trainer<'_>) -> Result<Weights> {
    let mut state = state.clone();
    for (place, info) in trainer.trainee().infos().iter().enumerate() {
        let key = format!("param/{}", info.name);
        if state.find(&key).is_none() {
            let values = trainer.trainee().param(place)?;
            state.insert(key, Tensor::from_f32(info.shape.clone(), &values)?)?;
        }
        let key = format!("optimizer/{}/t", info.name);
        if state.find(&key).is_none() {
            let never = Payload::from_bytes(0_i64.to_le_bytes().to_vec());
            state.insert(key, Tensor::new(Dtype::I64, Vec::new(), never)?)?;
        }
    }
    Ok(state)
}

/// The features of all images; or why they are not kept.
fn kept(
    ground: Ground<'_, '_>,
    start: &Start<'_>,
    split: &Split,
    prefix: &mut Prefix<'_>,
    observer: &mut dyn Observer,
) -> Result<std::result::Result<Cached, String>> {
    let Ground { prepared, options, .. } = ground;
    let sets = &prepared.sets;
    let views = || [&sets.train, &sets.validation].map(|images| Views::of(Arc::clone(images)));
    let [train, validation] = views();
    let per_image = train.per_image();
    if options.cache == CacheMode::Off || start.is_cached == Some(false) {
        return Ok(Err("--cache-features off".to_owned()));
    }
    let fingerprint = fingerprint(split, start.current, ground.backend)?;
    let of = |views: &Views, set: Fingerprint| {
        let mut print = fingerprint;
        print.add(&set.bytes());
        print.add(format!("{:?}", views.crops()).as_bytes());
        print
    };
    let prints = [of(&train, sets.train_fingerprint), of(&validation, sets.validation_fingerprint)];
    let cache = options.cache_folder.as_ref();
    let must = options.cache == CacheMode::On || start.is_cached == Some(true);
    let is_there = cache.is_some_and(|cache| cache.find(prints[0]).is_some());
    if !must && !is_there && per_image as u64 > options.epochs {
        return Ok(Err(format!(
            "mirroring and crops make {per_image} pieces of each image, which pays after {per_image} epochs \
             (--cache-features on computes them all the same)"
        )));
    }
    let needed = prefix.bytes(&train) + prefix.bytes(&validation);
    let mut was_there = true;
    let mut made = Vec::new();
    let mut folder = cache;
    for (set, print) in [0, 1].into_iter().zip(prints) {
        let mut progress = |done, total| {
            observer.features(done, total);
            !observer.is_over()
        };
        let mut work = Work { strict: options.strict, threads: options.threads, progress: &mut progress };
        let one =
            |set: usize| views().into_iter().nth(set).unwrap_or_else(|| unreachable!("there are two sets"));
        let found = match prefix.features(one(set), folder, print, &mut work) {
            Err(error @ (features::Error::Write { .. } | features::Error::TooLarge { .. })) => {
                // What cannot be in a file may be in memory.
                if !fits_in_memory(needed) {
                    return Ok(Err(format!("{error}{}", cause(&error))));
                }
                folder = None;
                prefix.features(one(set), None, print, &mut work)
            }
            found => found,
        };
        let (feed, there) = found?;
        was_there &= there;
        made.push(feed);
    }
    let [train, validation] =
        <[FeatureFeed; 2]>::try_from(made).unwrap_or_else(|_| unreachable!("two were made"));
    Ok(Ok((train, validation, was_there)))
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// Whether so many bytes are a quarter at most of the memory that is free.
fn fits_in_memory(bytes: u64) -> bool {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    // Where the system does not tell, little is taken.
    bytes <= free.map_or(1 << 28, |kilobytes| kilobytes * 1024 / 4)
}

/// Tells the frozen part, its weights and what it is computed on from others.
fn fingerprint(split: &Split, parameters: &Model, backend: &dyn Backend) -> Result<Fingerprint> {
    let mut print = Fingerprint::default();
    print.add(env!("CARGO_PKG_VERSION").as_bytes());
    print.add(backend.arithmetic().as_bytes());
    if let Some(definition) = &split.prefix {
        print.add(text::print(definition).as_bytes());
    }
    print.add(split.blobs.join("\n").as_bytes());
    for layer in parameters.layers.iter().filter(|layer| split.layers.contains(&layer.name)) {
        for blob in &layer.blobs {
            print.add(format!("{} {:?}", layer.name, blob.shape()).as_bytes());
            blob.values().read(&mut |piece| {
                print.stream(piece);
                Ok(())
            })?;
        }
    }
    Ok(print)
}

fn told(split: &Split, cached: Option<&Cached>, why_not: Option<&str>) -> String {
    let Some((train, validation, was_there)) = cached else {
        return format!("nothing is cached: {}", why_not.unwrap_or("nothing is frozen"));
    };
    let blobs = split.blobs.iter().map(|blob| format!("`{blob}`")).collect::<Vec<_>>().join(", ");
    let megabytes = (train.features().bytes() + validation.features().bytes()) as f64 / 1e6;
    let found = if *was_there { "found in the cache" } else { "computed once" };
    let lowest = split.lowest.as_ref().map(|layer| format!(", below `{layer}`")).unwrap_or_default();
    format!("{blobs}{lowest}, of {} images, {megabytes:.1} MB, {found}", train.len() + validation.len())
}

#[cfg(all(test, feature = "emulate"))]
mod tests;
