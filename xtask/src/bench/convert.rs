//! `cargo xtask bench convert`: conversion beside copying, and beside real Caffe and real Chainer.

use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::measure::{self, Peak};
use crate::model::{Files, Model};
use crate::venv::Program;
use crate::{machine, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Timed rounds; in each, every program runs once
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only this model
    #[arg(long, value_enum)]
    model: Option<Model>,
    /// Only the rows whose name contains this text; `cp` always runs
    #[arg(long)]
    only: Option<String>,
    /// Also pycaffe with savez, and CaffeFunction with save_npz
    #[arg(long)]
    peers: bool,
}

const COPY: &str = "cp";
const LOOP: &str = "read and write loop";
const NPZ: &str = "rebrew to npz";
const SAFETENSORS: &str = "rebrew to safetensors";
const CHAINER: &str = "Chainer CaffeFunction and save_npz, not compressed";
const MEMORY_LIMIT: u64 = 64 << 10;

const PYCAFFE_SCRIPT: &str = "\
import sys, numpy, caffe
definition, weights, output = sys.argv[1:]
net = caffe.Net(definition, weights, caffe.TEST)
numpy.savez(output, **{'%s/%d' % (name, i): blob.data for name, blobs in net.params.items() for i, blob in enumerate(blobs)})
";

const CHAINER_SCRIPT: &str = "\
import sys
from chainer import serializers
from chainer.links.caffe import CaffeFunction
weights, output = sys.argv[1:]
serializers.save_npz(output, CaffeFunction(weights), compression=False)
";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let rebrew = workspace::build_rebrew(false)?;
    let folder = workspace::cache()?.join("bench");
    let models = arguments.model.map_or_else(|| vec![Model::Alexnet, Model::Vgg16], |model| vec![model]);

    println!(
        "{}; medians of {} interleaved rounds, page cache warm.",
        machine::describe(&folder),
        arguments.rounds
    );
    for model in models {
        let files = model.make(&folder)?;
        let scratch = folder.join(format!("scratch-{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let figures =
            rows(arguments, &rebrew, &files, &scratch).and_then(|rows| measure_all(rows, arguments.rounds));
        fs::remove_dir_all(&scratch)?;
        print(model, fs::metadata(&files.weights)?.len(), &figures?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The loop that conversion is held against.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<ExitCode> {
    let mut reader = File::open(from)?;
    let mut writer = File::create(to)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        writer.write_all(&buffer[..count])?;
    }
}

/// One row of the table: a program that reads a model and writes one file.
struct Row {
    name: &'static str,
    command: Command,
    output: PathBuf,
    times: Vec<Duration>,
    peak: Peak,
}

/// What a row came to.
struct Figures {
    name: &'static str,
    median: Duration,
    fastest: Duration,
    peak: Peak,
}

/// The programs to run, and the files that they start from.
fn rows(arguments: &Arguments, rebrew: &Path, files: &Files, scratch: &Path) -> Result<Vec<Row>> {
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|text| name == COPY || name.contains(text));
    let row = |name, command, output| Row { name, command, output, times: Vec::new(), peak: Peak::default() };
    let weights = &files.weights;
    let mut rows = Vec::new();

    let output = scratch.join("copy");
    let mut command = Command::new("cp");
    command.arg(weights).arg(&output);
    rows.push(row(COPY, command, output));

    let output = scratch.join("loop");
    let mut command = Command::new(env::current_exe()?);
    command.args(["bench", "copy"]).arg(weights).arg(&output);
    rows.push(row(LOOP, command, output));

    let conversions: [(_, _, &[&str]); 4] = [
        (NPZ, "model.npz", &[]),
        (SAFETENSORS, "model.safetensors", &[]),
        ("rebrew to caffemodel.h5", "model.caffemodel.h5", &[]),
        ("rebrew to npz --compress", "compressed.npz", &["--compress"]),
    ];
    let back = [
        "rebrew from npz to caffemodel",
        "rebrew from safetensors to caffemodel",
        "rebrew from caffemodel.h5 to caffemodel",
        "rebrew from npz --compress to caffemodel",
    ];
    let convert = |from: &Path, to: &Path, flags: &[&str]| {
        let mut command = Command::new(rebrew);
        command.arg("convert").arg(from).arg("-o").arg(to).arg("-q").args(flags);
        command
    };
    for (name, file, flags) in conversions {
        let output = scratch.join(file);
        rows.push(row(name, convert(weights, &output, flags), output));
    }
    let sources = scratch.join("sources");
    fs::create_dir_all(&sources)?;
    for (name, (_, file, flags)) in back.into_iter().zip(conversions) {
        if wanted(name) {
            let source = sources.join(file);
            measure::time(&mut convert(weights, &source, flags))?;
            let output = scratch.join("back.caffemodel");
            let mut command = convert(&source, &output, &[]);
            command.arg("--definition").arg(&files.definition);
            rows.push(row(name, command, output));
        }
    }
    if arguments.peers {
        let output = scratch.join("pycaffe.npz");
        let mut command = Program::Caffe.set_up()?.command();
        command.args(["-c", PYCAFFE_SCRIPT]).arg(&files.definition).arg(weights).arg(&output);
        rows.push(row("pycaffe and savez", command, output));
        let output = scratch.join("chainer.npz");
        let mut command = Program::Chainer.set_up()?.command();
        command.args(["-c", CHAINER_SCRIPT]).arg(weights).arg(&output);
        rows.push(row(CHAINER, command, output));
    }
    rows.retain(|row| wanted(row.name));
    Ok(rows)
}

/// Runs every row once for its memory, which also warms the page cache, then round after round for its time.
fn measure_all(mut rows: Vec<Row>, rounds: u16) -> Result<Vec<Figures>> {
    for row in &mut rows {
        row.peak = measure::memory(&mut row.command)?;
        clean(&row.output)?;
    }
    for _ in 0..rounds {
        for row in &mut rows {
            row.times.push(measure::time(&mut row.command)?);
            clean(&row.output)?;
        }
    }
    let figures = rows.into_iter().map(|mut row| {
        let median = measure::median(&mut row.times);
        Figures { name: row.name, median, fastest: row.times[0], peak: row.peak }
    });
    Ok(figures.collect())
}

/// Removes an output and lets the disk come to rest, so that no program pays for what the one before it wrote.
fn clean(output: &Path) -> Result<()> {
    fs::remove_file(output).with_context(|| format!("nothing was written to {}", output.display()))?;
    if !Command::new("sync").status().context("cannot run sync")?.success() {
        bail!("sync failed");
    }
    Ok(())
}

fn print(model: Model, bytes: u64, figures: &[Figures]) {
    let find = |name| figures.iter().find(|row| row.name == name).map(|row| row.median.as_secs_f64());
    let copy = find(COPY).unwrap_or(f64::NAN);
    println!("\n### {}, {:.0} MB\n", model.name(), bytes as f64 / 1e6);
    println!("| program | time | fastest | times `cp` | anonymous memory, peak | resident, peak |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for row in figures {
        let (median, fastest) = (row.median.as_secs_f64(), row.fastest.as_secs_f64());
        let (anonymous, resident) = (mebibytes(row.peak.anonymous), mebibytes(row.peak.resident));
        let ratio = median / copy;
        let name = row.name;
        println!(
            "| {name} | {median:.3} s | {fastest:.3} s | {ratio:.2} | {anonymous:.1} MiB | {resident:.0} MiB |"
        );
    }

    println!();
    let verdict = |what: &str, value: Option<f64>, limit: Option<f64>| {
        if let (Some(value), Some(limit)) = (value, limit) {
            let met = if value <= limit { "met" } else { "NOT met" };
            println!("* {what}: {value:.3} s of at most {limit:.3} s: {met}");
        }
    };
    verdict("npz in the time of the read and write loop", find(NPZ), find(LOOP));
    verdict("npz in 1/25 of CaffeFunction's time", find(NPZ), find(CHAINER).map(|time| time / 25.0));
    verdict("safetensors in 1.5 times cp", find(SAFETENSORS), Some(1.5 * copy));
    verdict("goal, npz in 1.2 times cp", find(NPZ), Some(1.2 * copy));
    verdict("goal, safetensors in 1.2 times cp", find(SAFETENSORS), Some(1.2 * copy));
    let ours = figures.iter().filter(|row| row.name.starts_with("rebrew")).map(|row| row.peak.anonymous);
    if let Some(worst) = ours.max() {
        let met = if worst < MEMORY_LIMIT { "met" } else { "NOT met" };
        println!(
            "* every rebrew under 64 MiB of anonymous memory: at most {:.1} MiB: {met}",
            mebibytes(worst)
        );
    }
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
