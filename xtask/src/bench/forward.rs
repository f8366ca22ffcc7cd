//! `cargo xtask bench forward`: forward passes beside other programs, interleaved in one run.
//!
//! Every program is one process that stays loaded and they are called in turn, so that whatever the machine does befalls
//! all of them alike. Before it is timed, a program's result is compared with real Caffe's.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::start::{self, Start};
use super::turns::{self, Figures, Pass, Runner, Turns, find, verdict};
use super::worker::{self, Worker};
use crate::model::{Files, Model};
use crate::venv;
use crate::{machine, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Timed rounds, after one that is not counted; in each, every program gives one sample
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Threads of every program
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Only this model
    #[arg(long, value_enum)]
    model: Option<Subject>,
    /// Only this batch
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// The real open_nsfw in place of one with random weights
    #[arg(long, num_args = 2, value_names = ["DEPLOY", "WEIGHTS"])]
    nsfw: Option<Vec<PathBuf>>,
    /// Leave a program out; PyTorch takes 8 GB of disk
    #[arg(long, value_enum)]
    without: Vec<Peer>,
    /// Also the time of every layer of ours
    #[arg(long)]
    layers: bool,
    /// Seconds to wait, before each sample, for other programs to become idle
    #[arg(long, default_value_t = 20)]
    wait: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// Batch 1 and 32
    Alexnet,
    /// ResNet-50 with half the channels, batch 1 and 16
    Nsfw,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    Caffe,
    #[value(name = "opencv")]
    OpenCv,
    #[value(name = "torch")]
    PyTorch,
    #[value(name = "onnxruntime")]
    OnnxRuntime,
}

impl Peer {
    /// Real Caffe first: the others' results are compared with its own.
    const ALL: [Self; 4] = [Self::Caffe, Self::OpenCv, Self::PyTorch, Self::OnnxRuntime];

    fn name(self) -> &'static str {
        match self {
            Self::Caffe => "Caffe 1.0",
            Self::OpenCv => "OpenCV 4.12",
            Self::PyTorch => "PyTorch, eager",
            Self::OnnxRuntime => "ONNX Runtime",
        }
    }

    /// The program to install, and its word in worker/forward.py.
    fn program(self) -> (venv::Program, &'static str) {
        match self {
            Self::Caffe => (venv::Program::Caffe, "caffe"),
            Self::OpenCv => (venv::Program::OpenCv, "opencv"),
            Self::PyTorch => (venv::Program::PyTorch, "pytorch"),
            Self::OnnxRuntime => (venv::Program::OnnxRuntime, "onnxruntime"),
        }
    }
}

/// Seconds, for the processors and the frameworks' threads are half asleep after a wait.
const WARM_UP: f64 = 0.06;
const SAMPLE: f64 = 0.3;
/// Largest difference from Caffe's result, over its largest value.
const TOLERANCE: f64 = 1e-4;
/// A program that is running; without a peer it is ours.
struct Program {
    peer: Option<Peer>,
    runner: Runner,
}

/// A model in the forms that the programs read.
struct Subjects {
    title: String,
    /// The module in worker/forward.py.
    module: &'static str,
    files: Files,
    onnx: PathBuf,
    npz: PathBuf,
    shape: [usize; 3],
    /// Of one image.
    operations: f64,
    batches: Vec<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let rebrew = workspace::build_rebrew(false)?;
    let ours = workspace::build("benches", "--bin", "forward_worker", false)?;
    let throughput = workspace::build("kernels", "--example", "throughput", false)?;
    let folder = workspace::cache()?.join("bench");
    let scratch = folder.join(format!("forward-{}", std::process::id()));
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

impl Bench<'_> {
    fn run(&self, ours: &Path, throughput: &Path) -> Result<()> {
        let mut programs = self.programs(ours)?;
        println!(
            "{}; {} threads, medians of {} interleaved samples of about {SAMPLE} s.",
            machine::describe(&self.folder),
            self.arguments.threads,
            self.arguments.rounds
        );
        let limit = turns::print_limits(throughput, self.arguments.threads, self.wait())?;
        for kind in [Subject::Alexnet, Subject::Nsfw] {
            if self.arguments.model.is_some_and(|only| only != kind) {
                continue;
            }
            let subject = self.prepare(kind)?;
            let mut single = None;
            for &batch in &subject.batches {
                let figures = self.measure(&subject, batch, &mut programs)?;
                print(&subject, batch, &figures, limit);
                if batch == 1 {
                    single = find(&figures, "rebrew");
                }
            }
            let (_, input) = self.input(&subject, 1)?;
            let start = Start {
                rebrew: &self.rebrew,
                files: &subject.files,
                input: &input,
                forward: single,
                threads: usize::from(self.arguments.threads),
                wait: self.wait(),
                limits_time: kind == Subject::Nsfw,
                limits_memory: kind == Subject::Alexnet,
            };
            start::print(&start, self.scratch)?;
            if self.arguments.layers {
                self.print_layers(&subject)?;
            }
        }
        Ok(())
    }

    fn programs(&self, ours: &Path) -> Result<Vec<Program>> {
        let threads = self.arguments.threads;
        let worker = Worker::start(Command::new(ours).arg(threads.to_string()))?;
        let mut programs = vec![Program { peer: None, runner: Runner { name: "rebrew", worker } }];
        for peer in Peer::ALL {
            if self.arguments.without.contains(&peer) {
                println!("{} is left out.", peer.name());
                continue;
            }
            let (program, word) = peer.program();
            let worker = Worker::python(program, worker::FORWARD, word, threads)?;
            programs.push(Program { peer: Some(peer), runner: Runner { name: peer.name(), worker } });
        }
        Ok(programs)
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(self.arguments.wait)
    }

    fn prepare(&self, subject: Subject) -> Result<Subjects> {
        let (title, module, mut files, shape, batches) = match subject {
            Subject::Alexnet => {
                ("AlexNet", "alexnet", Model::Alexnet.make(&self.folder)?, [3, 227, 227], [1, 32])
            }
            Subject::Nsfw => {
                ("ResNet-50-1by2", "nsfw", Model::Nsfw.make(&self.folder)?, [3, 224, 224], [1, 16])
            }
        };
        let mut title = title.to_owned();
        if let (Subject::Nsfw, Some(named)) = (subject, &self.arguments.nsfw) {
            let [definition, weights] = [&named[0], &named[1]].map(std::path::absolute);
            files = Files { definition: definition?, weights: weights? };
            "open_nsfw".clone_into(&mut title);
        }
        let [onnx, npz] = ["onnx", "npz"].map(|extension| self.scratch.join(format!("{module}.{extension}")));
        for output in [&onnx, &npz] {
            let mut command = Command::new(&self.rebrew);
            command.arg("convert").arg(&files.weights).arg("--definition").arg(&files.definition);
            let output = command.arg("-o").arg(output).arg("-q").output().context("cannot run rebrew")?;
            if !output.status.success() {
                bail!("rebrew convert failed: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
        }
        let picture = inspect(&self.rebrew, &files)?;
        let operations = 2.0 * picture["macs"].as_f64().unwrap_or(f64::NAN);
        let batches = self.arguments.batch.map_or(batches.to_vec(), |batch| vec![usize::from(batch)]);
        Ok(Subjects { title, module, files, onnx, npz, shape, operations, batches })
    }

    /// Loads the case in every program, leaves out those that compute something else, and times the others in turn.
    fn measure(&self, subject: &Subjects, batch: usize, programs: &mut [Program]) -> Result<Vec<Figures>> {
        let (input, _) = self.input(subject, batch)?;
        let [channels, height, width] = subject.shape;
        let output = self.scratch.join("output");
        let mut ready = Vec::new();
        for Program { peer, runner } in programs {
            let (definition, weights) = match peer {
                Some(Peer::OnnxRuntime) => (subject.files.definition.as_path(), &subject.onnx),
                Some(Peer::PyTorch) => (Path::new(subject.module), &subject.npz),
                None | Some(Peer::Caffe | Peer::OpenCv) => {
                    (subject.files.definition.as_path(), &subject.files.weights)
                }
            };
            let shape = [batch, channels, height, width].map(|extent| extent.to_string()).join(",");
            let words = [definition.as_os_str(), weights.as_os_str(), OsStr::new(&shape), input.as_os_str()];
            match runner.worker.load(&words, &output) {
                Ok(result) => ready.push((*peer, runner, result)),
                Err(error) => println!("\n{} cannot run {}: {error:#}", runner.name, subject.title),
            }
        }
        let reference = ready.iter().find(|(peer, ..)| *peer == Some(Peer::Caffe)).or(ready.first());
        let reference = reference.context("no program is left")?.2.clone();
        println!();
        ready.retain(|(_, runner, result)| {
            let difference = difference(result, &reference);
            let close = difference <= TOLERANCE;
            if !close {
                println!("{} computes something else on {}: {difference:.2e}", runner.name, subject.title);
            }
            close
        });

        let turns = Turns {
            rounds: self.arguments.rounds,
            uncounted: 1,
            warm_up: WARM_UP,
            seconds: SAMPLE,
            wait: self.wait(),
        };
        turns.measure(&mut ready.into_iter().map(|(_, runner, _)| runner).collect::<Vec<_>>())
    }

    /// Writes a batch of noise as bare floats, and as an .npy.
    fn input(&self, subject: &Subjects, batch: usize) -> Result<(PathBuf, PathBuf)> {
        let [channels, height, width] = subject.shape;
        let values = turns::noise(batch * channels * height * width);
        let (bare, npy) = (self.scratch.join("input"), self.scratch.join("input.npy"));
        fs::write(&bare, &values)?;
        let mut bytes = npy_head(&[batch, channels, height, width]);
        bytes.extend(values);
        fs::write(&npy, bytes)?;
        Ok((bare, npy))
    }

    fn print_layers(&self, subject: &Subjects) -> Result<()> {
        println!("\n#### {}, layer by layer\n", subject.title);
        let mut command = Command::new(&self.rebrew);
        command.arg("inspect").arg(&subject.files.weights).arg("--definition").arg(&subject.files.definition);
        let status = command.arg("--time").stdin(Stdio::null()).status().context("cannot run rebrew")?;
        if !status.success() {
            println!("rebrew does not tell ({status})");
        }
        Ok(())
    }
}

/// What `rebrew inspect --json` says.
pub(super) fn inspect(rebrew: &Path, files: &Files) -> Result<Value> {
    let mut command = Command::new(rebrew);
    command.arg("inspect").arg(&files.weights).arg("--definition").arg(&files.definition).arg("--json");
    let output = command.output().context("cannot run rebrew")?;
    serde_json::from_slice(&output.stdout).context("rebrew inspect did not print JSON")
}

/// Everything of an .npy file that stands before its floats.
fn npy_head(shape: &[usize]) -> Vec<u8> {
    let order = if cfg!(target_endian = "big") { '>' } else { '<' };
    let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!("{{'descr': '{order}f4', 'fortran_order': False, 'shape': ({shape},), }}");
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.into_bytes());
    bytes
}

/// The largest difference over the largest value; infinite where the two cannot be compared.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() || found.iter().chain(expected).any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let gaps = found.iter().zip(expected).map(|(found, expected)| f64::from((found - expected).abs()));
    gaps.fold(0.0, f64::max) / f64::from(largest.max(1e-6))
}

fn print(subject: &Subjects, batch: usize, figures: &[Figures], limit: Option<f64>) {
    let operations = subject.operations * batch as f64;
    println!("### {}, batch {batch}, {:.1} GFLOP\n", subject.title, operations / 1e9);
    turns::print_table(&Pass { operations, images: batch }, figures, limit);
    let ours = find(figures, "rebrew");
    let Some(ours) = ours else { return };
    for peer in [Peer::Caffe, Peer::OpenCv, Peer::PyTorch] {
        verdict(&format!("required, faster than {}", peer.name()), ours, find(figures, peer.name()), 1.0);
    }
    let runtime = Peer::OnnxRuntime.name();
    verdict(&format!("required, at most 1.5 times {runtime}"), ours, find(figures, runtime), 1.5);
    let others = figures.iter().filter(|row| row.name != "rebrew");
    let best = others.min_by(|a, b| a.median.total_cmp(&b.median));
    if let Some(best) = best {
        verdict(&format!("goal, faster than all, {} the fastest", best.name), ours, Some(best.median), 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_compared_by_their_largest_value() {
        assert_eq!(difference(&[1.0, 2.0], &[1.0, 4.0]), 0.5);
        assert_eq!(difference(&[1.0], &[1.0, 4.0]), f64::INFINITY);
        assert_eq!(difference(&[f32::NAN], &[1.0]), f64::INFINITY);
    }

    #[test]
    fn the_head_of_an_npy_is_aligned() {
        let head = npy_head(&[1, 3, 224, 224]);
        assert_eq!(head.len() % 64, 0);
        assert_eq!(usize::from(u16::from_le_bytes([head[8], head[9]])) + 10, head.len());
    }
}
