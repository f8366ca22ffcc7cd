//! `cargo xtask peers`: other programs beside `rebrew`, on whole models.
//!
//! Conversions are compared with real Caffe and real Chainer bit for bit, forward passes with real Caffe, OpenCV and ONNX
//! Runtime, and training with real Caffe. The programs are installed by `venv.rs`; what they load is dumped and compared by `live_*.py` of testdata/gen.

mod forward;
mod train;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::models::{self, Model, is_hdf5};
use crate::venv::{Program, Python};
use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A folder of folders of models, beside the bundled ones
    #[arg(long)]
    models: Option<PathBuf>,
    /// Only the models whose path contains this text
    #[arg(long)]
    only: Vec<String>,
    /// Only this half of the comparison
    #[arg(long, value_enum)]
    part: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What is written, bit for bit
    Convert,
    /// What is computed, every blob
    Forward,
    /// Snapshots: who goes on from whose
    Train,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let models = models::find(arguments.models.as_deref(), &arguments.only)?;
    if models.is_empty() {
        bail!("no model to compare");
    }
    let is_wanted = |part| arguments.part.is_none_or(|only| only == part);
    let converts = is_wanted(Part::Convert);
    let forwards = is_wanted(Part::Forward);
    let caffe = Program::Caffe.set_up()?;
    let chainer = Program::Chainer.set_up()?;
    let opencv = forwards.then(|| Program::OpenCv.set_up()).transpose()?;
    let onnx_runtime = forwards.then(|| Program::OnnxRuntime.set_up()).transpose()?;
    let rebrew = workspace::build_rebrew(false)?;
    let folder = workspace::cache()?.join(format!("peers/live-{}", std::process::id()));
    let scripts = workspace::root().join("testdata/gen");
    let comparison = Comparison { caffe, chainer, rebrew, scripts, folder };

    let mut differences = 0;
    if converts {
        println!("| model | check | result |\n| --- | --- | --- |");
        let outcome = comparison.run_all(&models);
        let _ = fs::remove_dir_all(&comparison.folder);
        let (checks, different) = outcome?;
        println!("\n{} models, {checks} checks, {different} differences", models.len());
        differences += different;
    }
    if let (Some(opencv), Some(onnx_runtime)) = (opencv, onnx_runtime) {
        let forward = forward::Forward { comparison: &comparison, opencv, onnx_runtime };
        let outcome = forward.run_all(&models);
        let _ = fs::remove_dir_all(&comparison.folder);
        differences += outcome?;
    }
    if is_wanted(Part::Train) {
        let Comparison { caffe, rebrew, scripts, folder, .. } = &comparison;
        let outcome = train::run(caffe, rebrew, scripts, folder);
        let _ = fs::remove_dir_all(folder);
        differences += outcome?;
    }
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A way to write a model.
struct Target {
    name: &'static str,
    file: &'static str,
    flags: &'static [&'static str],
    /// It holds Caffe's own names, so real Caffe itself reads it.
    caffe: bool,
}

const TARGETS: [Target; 7] = [
    Target { name: "npz", file: "grouped.npz", flags: &[], caffe: false },
    Target { name: "npz, dense", file: "dense.npz", flags: &["--conv", "dense"], caffe: false },
    Target { name: "h5", file: "grouped.h5", flags: &[], caffe: false },
    Target { name: "h5, dense", file: "dense.h5", flags: &["--conv", "dense"], caffe: false },
    Target { name: "safetensors", file: "model.safetensors", flags: &[], caffe: false },
    Target { name: "caffemodel", file: "model.caffemodel", flags: &[], caffe: true },
    Target { name: "caffemodel.h5", file: "model.caffemodel.h5", flags: &[], caffe: true },
];

/// How a check went.
enum Verdict {
    Equal(String),
    Different(String),
}

impl Verdict {
    fn of(result: std::result::Result<String, String>) -> Self {
        result.map_or_else(Self::Different, Self::Equal)
    }
}

/// The programs to compare.
struct Comparison {
    caffe: Python,
    chainer: Python,
    rebrew: PathBuf,
    scripts: PathBuf,
    folder: PathBuf,
}

impl Comparison {
    /// Compares the models on all cores and prints the rows of each as it ends; returns checks and differences.
    fn run_all(&self, models: &[Model]) -> Result<(usize, usize)> {
        let left = Mutex::new(models.iter().enumerate());
        let counts = Mutex::new((0, 0));
        let work = || -> Result<()> {
            loop {
                let Some((index, model)) = left.lock().expect("no worker panics").next() else {
                    return Ok(());
                };
                let folder = self.folder.join(index.to_string());
                fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
                let rows = self.run_one(model, &folder)?;
                fs::remove_dir_all(&folder)?;
                let mut counts = counts.lock().expect("no worker panics");
                for (check, verdict) in rows {
                    counts.0 += 1;
                    let text = match verdict {
                        Verdict::Equal(text) => text,
                        Verdict::Different(text) => {
                            counts.1 += 1;
                            format!("**DIFFERENT** {text}")
                        }
                    };
                    println!("| {} | {check} | {} |", model.name, text.replace('|', "\\|"));
                }
            }
        };
        thread::scope(|scope| {
            let count = thread::available_parallelism().map_or(1, usize::from);
            let workers = (0..count).map(|_| scope.spawn(work)).collect::<Vec<_>>();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
        })?;
        Ok(counts.into_inner().expect("no worker panics"))
    }

    fn run_one(&self, model: &Model, folder: &Path) -> Result<Vec<(String, Verdict)>> {
        let loaded = folder.join("caffe.npz");
        // Only with a net does real Caffe know the types of an HDF5 file's layers.
        let source_definition = model.definition().filter(|_| is_hdf5(&model.weights));
        let caffe = self.load_in_caffe(&model.weights, source_definition, &loaded)?;
        let has_slashes = self.has_slashes(model)?;
        let mut rows = Vec::new();
        for target in &TARGETS {
            let output = folder.join(target.file);
            let mut flags = target.flags.to_vec();
            flags.push("--verify");
            let converted = self.convert(&model.weights, &output, &flags, source_definition)?;
            if let Err(refusal) = converted {
                let verdict = match &caffe {
                    Err(_) => Verdict::Equal(format!("refused, and by real Caffe too: {refusal}")),
                    Ok(_) => Verdict::Different(format!("real Caffe loads it: {refusal}")),
                };
                rows.push((target.name.to_owned(), verdict));
                if caffe.is_err() {
                    break;
                }
                continue;
            }
            let check = match &caffe {
                Ok(_) if has_slashes && is_hdf5(&output) && target.caffe => {
                    Ok("a layer's name has a `/`, on which real Caffe's HDF5 ends: compared by rebrew diff alone".to_owned())
                }
                Ok(_) if target.caffe => self.check_by_caffe(&loaded, &output, folder)?,
                Ok(_) => self.check(&loaded, &output)?,
                Err(refusal) => {
                    Ok(format!("real Caffe cannot load the model ({refusal}): compared by rebrew diff alone"))
                }
            };
            let diff = if target.flags.is_empty() { self.diff(model, &output)? } else { Ok(String::new()) };
            rows.push((target.name.to_owned(), Verdict::of(diff.and(check))));
            if target.name != "caffemodel" {
                let verdict =
                    self.check_back(model, target, &output, caffe.is_ok().then_some(&*loaded), folder)?;
                rows.push((format!("{} and back", target.name), Verdict::of(verdict)));
            }
        }
        let grouped = folder.join(TARGETS[0].file);
        if let (Ok(_), Some(definition), true) = (&caffe, model.definition(), grouped.exists()) {
            rows.push(("forward".to_owned(), self.check_forward(model, definition, &grouped, folder)?));
        }
        Ok(rows)
    }

    /// Real Chainer, with grouped links and our weights, must compute what real Caffe computes.
    fn check_forward(
        &self,
        model: &Model,
        definition: &Path,
        grouped: &Path,
        folder: &Path,
    ) -> Result<Verdict> {
        let recorded = folder.join("forward.npz");
        let mut command = self.caffe.command();
        command
            .arg(self.scripts.join("live_forward_caffe.py"))
            .arg(definition)
            .arg(&model.weights)
            .arg(&recorded);
        if let Err(refusal) = answer(&mut command)? {
            return Ok(Verdict::Equal(format!("not run, real Caffe cannot: {refusal}")));
        }
        let mut command = self.chainer.command();
        command.arg(self.scripts.join("live_forward_chainer.py")).arg(recorded).arg(grouped);
        Ok(Verdict::of(answer(&mut command)?))
    }

    /// Converts an output back to a caffemodel, by the definition inside the model where it has one: real Caffe must load from it what the output holds.
    fn check_back(
        &self,
        model: &Model,
        target: &Target,
        output: &Path,
        loaded: Option<&Path>,
        folder: &Path,
    ) -> Result<Answer> {
        let back = folder.join("back.caffemodel");
        // A model's own definition has every layer that the model has; a deploy net may have fewer.
        let own = if is_hdf5(&model.weights) { model.definition() } else { Some(&*model.weights) };
        if let Err(refusal) = self.convert(output, &back, &[], own)? {
            return Ok(Err(format!("not converted back: {refusal}")));
        }
        let Some(loaded) = loaded else { return self.diff(model, &back) };
        if target.caffe {
            return self.check_by_caffe(loaded, &back, folder);
        }
        let reloaded = folder.join("back.npz");
        match self.load_in_caffe(&back, None, &reloaded)? {
            Ok(_) => self.check(&reloaded, output),
            Err(refusal) => Ok(Err(format!("real Caffe cannot load the way back: {refusal}"))),
        }
    }

    /// Real Caffe loads a file that we wrote: it must hold what Caffe loaded from the model.
    fn check_by_caffe(&self, loaded: &Path, ours: &Path, folder: &Path) -> Result<Answer> {
        let reloaded = folder.join("ours.npz");
        match self.load_in_caffe(ours, None, &reloaded)? {
            Ok(_) => self.check(loaded, &reloaded),
            Err(refusal) => Ok(Err(format!("real Caffe cannot load it: {refusal}"))),
        }
    }

    fn load_in_caffe(&self, weights: &Path, definition: Option<&Path>, output: &Path) -> Result<Answer> {
        let mut command = self.caffe.command();
        command.arg(self.scripts.join("live_caffe.py")).arg(weights).args(definition).arg(output);
        let loaded = answer(&mut command)?;
        Ok(loaded.and_then(|line| {
            if line.ends_with(": 0 blobs") { Err("it finds no blob".to_owned()) } else { Ok(line) }
        }))
    }

    fn check(&self, loaded: &Path, ours: &Path) -> Result<Answer> {
        let mut command = self.chainer.command();
        answer(command.arg(self.scripts.join("live_check.py")).arg(loaded).arg(ours))
    }

    fn convert(&self, from: &Path, to: &Path, flags: &[&str], definition: Option<&Path>) -> Result<Answer> {
        let mut command = Command::new(&self.rebrew);
        command.arg("convert").arg(from).arg("-o").arg(to).args(flags).args(["--force", "-q"]);
        if let Some(definition) = definition {
            command.arg("--definition").arg(definition);
        }
        answer(&mut command)
    }

    fn diff(&self, model: &Model, output: &Path) -> Result<Answer> {
        let mut command = Command::new(&self.rebrew);
        command.arg("diff").arg(&model.weights).arg(output);
        if let Some(definition) = model.definition().filter(|_| is_hdf5(&model.weights)) {
            command.arg("--definition").arg(definition);
        }
        answer(&mut command)
    }

    /// Whether a layer's name cannot be the name of one HDF5 group.
    fn has_slashes(&self, model: &Model) -> Result<bool> {
        let mut command = Command::new(&self.rebrew);
        let output =
            command.arg("inspect").arg(&model.weights).arg("--json").output().context("cannot run rebrew")?;
        let Ok(picture) = serde_json::from_slice::<Value>(&output.stdout) else { return Ok(false) };
        let mut layers = picture["layers"].as_array().into_iter().flatten();
        Ok(layers.any(|layer| layer["name"].as_str().is_some_and(|name| name.contains('/'))))
    }
}

/// What a program says of success, or of failure.
type Answer = std::result::Result<String, String>;

/// Runs a program; its last line counts if it succeeds, otherwise the first that tells of a difference or an error.
fn answer(command: &mut Command) -> Result<Answer> {
    let typed = workspace::typed(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{typed}`"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(Ok(printed.lines().last().unwrap_or_default().trim().to_owned()));
    }
    let told = |line: &&str| line.contains("DIFFERENT") || line.contains("cannot") || line.contains("rror");
    let first = printed.lines().chain(complaint.lines()).find(told);
    let line = first.or_else(|| complaint.lines().last()).or_else(|| printed.lines().last());
    Ok(Err(line.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned())))
}
