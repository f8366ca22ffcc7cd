//! `rebrew finetune`: a net for other classes, from one that was trained.

mod arguments;
mod clock;
mod inputs;
mod watch;

use std::io::{self, Write};
use std::time::SystemTime;

use serde_json::json;
use train_core::features::FeatureCache;
use train_core::finetune::{Finetune, Options, Outcome, prepare};
use train_core::run::{RunFolder, Settings};

pub(crate) use arguments::Arguments;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::{Answer, notes};
use watch::Watch;

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let options = Options {
        epochs: arguments.epochs,
        batch_size: arguments.batch_size.get(),
        optimizer: arguments.optimizer.clone(),
        rate: arguments.lr,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        freeze: arguments.freeze()?,
        cache: arguments.cache_features.into(),
        cache_folder: FeatureCache::of_user(),
        seed: arguments.seed,
        strict: arguments.strict,
        threads: arguments.device.threads(),
        snapshot_every: arguments.snapshot_every,
    };
    let backend = arguments.device.open()?;
    let definition = inputs::definition(arguments, quiet)?;
    let request = inputs::request(arguments, &definition, quiet)?;
    let prepared = prepare(&request)?;
    notes::print(&prepared.notes, quiet);
    let settings = Settings {
        command: std::env::args().collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: clock::text(SystemTime::now()),
        definition: arguments.definition.display().to_string(),
        weights: arguments.weights.as_ref().map(|path| path.display().to_string()),
        algorithms: arguments.device.algorithms(),
        thaw: arguments.thaw(),
        ..Settings::default()
    };
    let mut finetune = Finetune::new(&*backend, &prepared, &options, settings)?;
    let frozen = &finetune.settings().frozen;
    if !frozen.is_empty() {
        notes::print(&[format!("frozen: {}", frozen.join(", "))], quiet);
    }
    let interrupt = Interrupt::listen()?;
    let mut watch = Watch::new(interrupt, quiet, arguments.json);
    let outcome = if arguments.resume {
        let folder = RunFolder::open(&arguments.output)?;
        finetune.resume(&folder, &mut watch)?
    } else {
        finetune.run(&arguments.output, arguments.force, &mut watch)?
    };
    watch.finish()?;
    if arguments.json || !quiet {
        told(arguments, &outcome, &mut io::stdout().lock())?;
    }
    if outcome.is_finished {
        return Ok(Answer::Yes);
    }
    eprintln!(
        "rebrew: broken off after {} steps; the same command with --resume goes on from there{}",
        outcome.iteration,
        if outcome.iteration == 0 { " (here: with --force, from the start)" } else { "" }
    );
    Ok(Answer::No)
}

fn told(arguments: &Arguments, outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let best = (outcome.best_epoch > 0).then_some(outcome);
    if arguments.json {
        let told = json!({
            "finished": outcome.is_finished,
            "iterations": outcome.iteration,
            "epochs": outcome.epochs,
            "best_epoch": best.map(|best| best.best_epoch),
            "best_accuracy": best.map(|best| best.best_accuracy),
            "best_loss": best.map(|best| best.best_loss),
            "features": outcome.cache,
            "broken_images": outcome.broken,
            "seconds": outcome.seconds,
            "run": arguments.output,
        });
        return writeln!(out, "{told:#}");
    }
    let Some(best) = best else { return Ok(()) };
    let folder = arguments.output.display();
    writeln!(
        out,
        "\nbest: {:.2}% right after epoch {}, in {:.1} s → {folder}/best.caffemodel, {folder}/deploy.prototxt",
        100.0 * best.best_accuracy,
        best.best_epoch,
        best.seconds
    )?;
    if outcome.broken > 0 {
        writeln!(out, "{} images could not be used", outcome.broken)?;
    }
    Ok(())
}
