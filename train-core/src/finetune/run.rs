//! A run, epoch by epoch.

use std::path::Path;
use std::time::{Duration, Instant};

use caffe_proto::proto::{NetState, Phase};
use caffe_proto::{Model, text};
use kernels::Backend;
use weight_io::{WriteOptions, write_file};

use super::keep::{self, Best, Place};
use super::stage::{Ground, Stage, Start, held, layers_of};
use super::{Error, Judgement, Observer, Options, Prepared, Result, Stepping, resume};
use crate::data::Position;
use crate::hooks::{Hook as _, Moment};
use crate::optim::{ParamInfo, rule_by_name};
use crate::run::{LayerOutput, Metric, MetricsWriter, RunFolder, Settings};
use crate::{Network, features};

/// A run that can be started, or gone on with.
pub struct Finetune<'r, 'b> {
    backend: &'b dyn Backend,
    prepared: &'r Prepared,
    options: &'r Options,
    infos: Vec<ParamInfo>,
    first_convolution: Option<String>,
    settings: Settings,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether all epochs are done; otherwise it was broken off, and can go on.
    pub is_finished: bool,
    /// Steps done.
    pub iteration: u64,
    /// Epochs done.
    pub epochs: u64,
    /// The accuracy of the best epoch, 0 to 1.
    pub best_accuracy: f64,
    /// Its loss.
    pub best_loss: f64,
    /// Which epoch it was, from 1; 0 when none was judged.
    pub best_epoch: u64,
    /// What was kept of the frozen layers' work.
    pub cache: String,
    /// Images that could not be used.
    pub broken: usize,
    /// How long it took.
    pub seconds: f64,
}

/// A run under way.
struct Going<'b> {
    folder: RunFolder,
    stage: Stage<'b>,
    held: Vec<bool>,
    /// The parameters of all layers, as they were when this stage began.
    current: Model,
    metrics: MetricsWriter,
    best: Best,
    saved: Instant,
    broken: usize,
    /// Sums over the steps of the epoch: loss, accuracy, and how many.
    sums: (f64, f64, u64),
}

/// A state is saved after so long.
const PATIENCE: Duration = Duration::from_secs(180);

impl<'r, 'b> Finetune<'r, 'b> {
    /// A run of `prepared` on `backend`. Of `settings` what the caller knows is taken: the command, and where things are.
    ///
    /// # Errors
    /// When a pattern of what is frozen matches nothing, everything is frozen, or the optimizer is not known.
    pub fn new(
        backend: &'b dyn Backend,
        prepared: &'r Prepared,
        options: &'r Options,
        settings: Settings,
    ) -> Result<Self> {
        let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
        let network = Network::new(prepared.operated.train_val.clone(), &state)?;
        let infos = ParamInfo::all_of(network.net(), &network.shapes()?);
        for freeze in &options.freeze {
            freeze.check(&infos)?;
        }
        let marked = held(&infos, &options.freeze, Moment::default());
        if infos.iter().zip(&marked).all(|(info, &held)| held || info.lr_mult == 0.0) {
            return Err(Error::AllFrozen);
        }
        let rule = rule_by_name(&options.optimizer, options.rate)?;
        let hooks = [("weight decay", options.weight_decay), ("clipped to", options.clip)];
        let hooks = hooks.iter().filter_map(|(name, value)| value.map(|value| format!(", {name} {value}")));
        let sets = &prepared.sets;
        let first_convolution = keep::first_convolution(network.net());
        let settings = Settings {
            device: backend.name(),
            arithmetic: backend.arithmetic(),
            seed: options.seed,
            epochs: options.epochs,
            batch_size: options.batch_size as u64,
            optimizer: format!("{rule:?}{}", hooks.collect::<String>()),
            rate: rule.rate(),
            frozen: layers_of(&infos, &marked),
            replaced: prepared.operated.replaced.clone(),
            images: sets.terms.to_string(),
            parameters: resume::checksum(&prepared.base)?,
            classes: sets.classes.clone(),
            training_images: crate::data::Feed::len(&*sets.train) as u64,
            validation_images: crate::data::Feed::len(&*sets.validation) as u64,
            first_convolution: first_convolution.clone(),
            ..settings
        };
        Ok(Self { backend, prepared, options, infos, first_convolution, settings })
    }

    /// How the run is started.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Trains from the start, and keeps everything in the folder at `path`; with `force`, in the place of a run that is there.
    /// The folder is made when everything else is ready.
    ///
    /// # Errors
    /// Those of training and of its files.
    pub fn run(&mut self, path: &Path, force: bool, observer: &mut dyn Observer) -> Result<Outcome> {
        if !force {
            RunFolder::check_free(path)?;
        }
        let begun = Instant::now();
        let position = Position::default();
        let marked = held(&self.infos, &self.options.freeze, Moment::default());
        let current = self.prepared.base.clone();
        let start = Start { held: &marked, current: &current, state: None, position, is_cached: None };
        let stage = match Stage::new(self.ground(), &start, observer) {
            Err(Error::Features(features::Error::Stopped)) => return Ok(Outcome::nothing(begun)),
            stage => stage?,
        };
        self.settings.cache.clone_from(&stage.cache);
        let folder = &RunFolder::create(path, force)?;
        self.write_definitions(folder)?;
        let metrics = MetricsWriter::create(&folder.metrics())?;
        let mut going = Going::new(folder, stage, marked, current, metrics, Best::NONE);
        self.save(&mut going, false)?;
        self.go(&mut going, begun, observer)
    }

    /// Goes on with the run in `folder`, to the same bits as if it had never been broken off.
    ///
    /// # Errors
    /// When there is none, or it was begun otherwise; those of training and of its files.
    pub fn resume(&mut self, folder: &RunFolder, observer: &mut dyn Observer) -> Result<Outcome> {
        let begun = Instant::now();
        if !folder.state().exists() {
            return Err(Error::NoState { folder: folder.path().display().to_string() });
        }
        resume::check(&Settings::read(&folder.settings())?, &self.settings)?;
        let (state, place) = keep::read_state(&folder.state())?;
        let iteration = keep::read_count(&state, "optimizer/t")?;
        let epoch = keep::read_count(&state, "optimizer/epoch")?;
        let marked = held(&self.infos, &self.options.freeze, Moment { epoch, iteration });
        let current = self.prepared.base.clone();
        let start = Start {
            held: &marked,
            current: &current,
            state: Some(&state),
            position: place.position,
            is_cached: Some(place.is_cached),
        };
        let stage = match Stage::new(self.ground(), &start, observer) {
            Err(Error::Features(features::Error::Stopped)) => return Ok(Outcome::nothing(begun)),
            stage => stage?,
        };
        let metrics = MetricsWriter::resume(&folder.metrics(), iteration)?;
        let mut going = Going::new(folder, stage, marked, current, metrics, place.best);
        self.go(&mut going, begun, observer)
    }

    fn go(&self, going: &mut Going<'b>, begun: Instant, observer: &mut dyn Observer) -> Result<Outcome> {
        observer.note(&format!("features: {}", going.stage.cache));
        let mut last = Instant::now();
        while going.stage.loader.position().epoch < self.options.epochs {
            if observer.is_over() {
                self.save(going, true)?;
                return Ok(going.outcome(false, begun));
            }
            let epoch = going.stage.loader.position().epoch;
            let stepped = going.stage.step().map_err(|error| diverged(error, &going.folder))?;
            let mut step = self.stepping(going, stepped.loss)?;
            step.images_per_second = self.options.batch_size as f64 / last.elapsed().as_secs_f64();
            last = Instant::now();
            going.count(&step);
            going.metrics.write(&Metric::Step {
                iteration: step.iteration,
                epoch: step.epoch,
                loss: step.loss,
                accuracy: step.accuracy,
                rate: f64::from(stepped.rate),
                images_per_second: step.images_per_second,
            })?;
            going.name_broken(observer)?;
            observer.stepped(&step);
            let now = going.stage.loader.position().epoch;
            let is_end = now > epoch;
            if is_end {
                self.end_epoch(going, now, &step, observer)?;
                (epoch..now).try_for_each(|_| going.stage.trainer.new_epoch().map(drop))?;
            }
            self.thaw(going, now, observer)?;
            let is_due = self.options.snapshot_every.is_some_and(|every| step.iteration % every.max(1) == 0);
            if is_end || is_due || going.saved.elapsed() >= PATIENCE {
                self.save(going, is_end)?;
            }
            if is_end {
                last = Instant::now();
            }
        }
        Ok(going.outcome(true, begun))
    }

    /// Judges the net, and keeps it if it is the best.
    fn end_epoch(
        &self,
        going: &mut Going<'b>,
        epoch: u64,
        step: &Stepping,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let model = going.model()?;
        let judgement = going.stage.judge(self.ground(), &model)?;
        let iteration = step.iteration;
        going.metrics.write(&Metric::Validation {
            iteration,
            epoch: step.epoch,
            loss: judgement.loss,
            accuracy: judgement.accuracy,
            images: judgement.images.len() as u64,
            seconds: judgement.seconds,
        })?;
        let layers = self.outputs(going)?;
        going.metrics.write(&Metric::Outputs { iteration, layers })?;
        let is_best = judgement.is_better_than(going.best.accuracy, going.best.loss);
        if is_best {
            going.best = Best { accuracy: judgement.accuracy, loss: judgement.loss, epoch };
            self.save_best(&going.folder, epoch, &model, &judgement)?;
        }
        going.metrics.write(&Metric::Snapshot { iteration, epoch: step.epoch, best: is_best })?;
        let (loss, accuracy, steps) = std::mem::take(&mut going.sums);
        let of_epoch = Stepping { loss: loss / steps as f64, accuracy: accuracy / steps as f64, ..*step };
        observer.judged(epoch, &of_epoch, &judgement, is_best);
        Ok(())
    }

    fn save_best(&self, folder: &RunFolder, epoch: u64, model: &Model, judgement: &Judgement) -> Result<()> {
        let operated = &self.prepared.operated;
        keep::save_model(&operated.train_val, model, &folder.best())?;
        let sets = &self.prepared.sets;
        let most =
            judgement.images.iter().map(|image| image.predicted.max(image.label) + 1).max().unwrap_or(0);
        keep::save_judgement(folder, epoch, sets, most, judgement)?;
        if let Some(layer) = &self.first_convolution {
            keep::save_filters(layer, &self.prepared.base, model, &folder.filters())?;
        }
        Ok(())
    }

    /// Begins another stage when other layers are frozen than before.
    fn thaw(&self, going: &mut Going<'b>, epoch: u64, observer: &mut dyn Observer) -> Result<()> {
        let iteration = going.stage.trainer.iteration();
        let now = held(&self.infos, &self.options.freeze, Moment { epoch, iteration });
        if now == going.held {
            return Ok(());
        }
        let before = layers_of(&self.infos, &going.held);
        let after = layers_of(&self.infos, &now);
        let layers = before.into_iter().filter(|layer| !after.contains(layer)).collect::<Vec<_>>();
        going.current = going.model()?;
        let state = going.stage.trainer.to_state()?;
        let position = going.stage.loader.position();
        let start =
            Start { held: &now, current: &going.current, state: Some(&state), position, is_cached: None };
        going.stage = Stage::new(self.ground(), &start, observer)?;
        (going.held, going.broken) = (now, 0);
        observer.note(&format!(
            "from here on these learn too: {}; features: {}",
            layers.join(", "),
            going.stage.cache
        ));
        going.metrics.write(&Metric::Thawed { iteration, layers })?;
        Ok(())
    }

    /// What the layers that have parameters put out in the last step.
    fn outputs(&self, going: &Going<'b>) -> Result<Vec<LayerOutput>> {
        let mut outputs: Vec<LayerOutput> = Vec::new();
        for layer in &going.stage.split.train.layer {
            let has_params = self.infos.iter().any(|info| info.layer == layer.name());
            let (true, Some(top)) = (has_params, layer.top.first()) else { continue };
            if outputs.iter().any(|output| output.layer == layer.name()) {
                continue;
            }
            let Ok((_, values)) = going.stage.trainer.trainee().blob(top) else { continue };
            let count = values.len() as f64;
            let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
            let square = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
            outputs.push(LayerOutput { layer: layer.name().to_owned(), mean, deviation: square.sqrt() });
        }
        Ok(outputs)
    }

    fn stepping(&self, going: &Going<'b>, loss: f64) -> Result<Stepping> {
        let accuracy = going.stage.trainer.trainee().blob(&self.prepared.operated.accuracy)?.1;
        let images = self.settings.training_images as f64;
        let batch = self.options.batch_size as f64;
        let iteration = going.stage.trainer.iteration();
        Ok(Stepping {
            iteration,
            iterations: (self.options.epochs as f64 * images / batch).ceil() as u64,
            epoch: iteration as f64 * batch / images,
            loss,
            accuracy: accuracy.first().copied().map_or(f64::NAN, f64::from),
            images_per_second: 0.0,
        })
    }

    /// Saves what is needed to go on, and with `models` the weights.
    fn save(&self, going: &mut Going<'b>, models: bool) -> Result<()> {
        if models {
            keep::save_model(&self.prepared.operated.train_val, &going.model()?, &going.folder.last())?;
        }
        let place = Place {
            position: going.stage.loader.position(),
            is_cached: going.stage.is_cached,
            best: going.best,
        };
        keep::save_state(&going.stage.trainer.to_state()?, place, &going.folder.state())?;
        going.saved = Instant::now();
        Ok(())
    }

    fn write_definitions(&self, folder: &RunFolder) -> Result<()> {
        self.settings.write(&folder.settings())?;
        let write = WriteOptions { force: true, sync: false };
        let operated = &self.prepared.operated;
        write_file(&folder.train_val(), text::print(&operated.train_val).as_bytes(), write)?;
        write_file(&folder.deploy(), text::print(&operated.deploy).as_bytes(), write)?;
        let names = self.settings.classes.iter().flat_map(|name| [name.as_str(), "\n"]).collect::<String>();
        Ok(write_file(&folder.labels(), names.as_bytes(), write)?)
    }

    fn ground(&self) -> Ground<'_, 'b> {
        Ground { backend: self.backend, prepared: self.prepared, options: self.options }
    }
}

impl Outcome {
    /// Of a run that was broken off before its first step.
    fn nothing(begun: Instant) -> Outcome {
        Outcome {
            is_finished: false,
            iteration: 0,
            epochs: 0,
            best_accuracy: f64::NAN,
            best_loss: f64::NAN,
            best_epoch: 0,
            cache: String::new(),
            broken: 0,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }
}

impl<'b> Going<'b> {
    fn new(
        folder: &RunFolder,
        stage: Stage<'b>,
        held: Vec<bool>,
        current: Model,
        metrics: MetricsWriter,
        best: Best,
    ) -> Self {
        Self {
            folder: folder.clone(),
            stage,
            held,
            current,
            metrics,
            best,
            saved: Instant::now(),
            broken: 0,
            sums: (0.0, 0.0, 0),
        }
    }

    fn outcome(&self, is_finished: bool, begun: Instant) -> Outcome {
        Outcome {
            is_finished,
            iteration: self.stage.trainer.iteration(),
            epochs: self.stage.loader.position().epoch,
            best_accuracy: self.best.accuracy,
            best_loss: self.best.loss,
            best_epoch: self.best.epoch,
            cache: self.stage.cache.clone(),
            broken: self.stage.loader.broken_count(),
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    /// The parameters of all layers as they are now.
    fn model(&self) -> Result<Model> {
        Ok(keep::overlaid(&self.current, &self.stage.trainer.trainee().to_model()?))
    }

    fn name_broken(&mut self, observer: &mut dyn Observer) -> Result<()> {
        for broken in self.stage.loader.broken().iter().skip(self.broken) {
            observer.note(&format!("cannot be used: {}: {}", broken.name, broken.what));
            self.metrics.write(&Metric::Broken { name: broken.name.clone(), what: broken.what.clone() })?;
        }
        self.broken = self.stage.loader.broken().len();
        Ok(())
    }

    fn count(&mut self, step: &Stepping) {
        self.sums.0 += step.loss;
        self.sums.1 += step.accuracy;
        self.sums.2 += 1;
    }
}

fn diverged(error: Error, folder: &RunFolder) -> Error {
    match error {
        Error::Net(what) if matches!(*what, crate::Error::Diverged { .. }) => {
            Error::Diverged { what, state: folder.state().display().to_string() }
        }
        other => other,
    }
}
