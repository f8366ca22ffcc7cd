//! `cargo xtask fuzz`: every fuzz target, on stable Rust, from the golden files as a first corpus.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{test, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only these targets
    targets: Vec<String>,
}

/// Golden files above this size teach a fuzzer little and slow it down.
const LARGEST_SEED: u64 = 64 << 10;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !test::installed("fuzz") {
        bail!("cargo-fuzz is not installed: cargo install --locked cargo-fuzz");
    }
    let known = targets()?;
    if let Some(unknown) = arguments.targets.iter().find(|target| !known.contains(target)) {
        bail!("no fuzz target `{unknown}`, there are: {}", known.join(", "));
    }
    let chosen = if arguments.targets.is_empty() { &known } else { &arguments.targets };

    let mut outcomes = Vec::new();
    for target in chosen {
        let seeds = plant(target)?;
        println!("==> {target}: {} s from {seeds} golden files", arguments.seconds);
        let mut command = cargo_fuzz("run");
        command.args([target, "--sanitizer=none", "--"]);
        command.args([&format!("-max_total_time={}", arguments.seconds), "-rss_limit_mb=512", "-timeout=2"]);
        let status = command.status().context("cannot run cargo fuzz")?;
        outcomes.push((target, status.success()));
    }

    println!();
    for (target, held) in &outcomes {
        println!("{target}: {}", if *held { "no crash" } else { "FAILED, see fuzz/artifacts" });
    }
    let held = outcomes.iter().all(|(_, held)| *held);
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn targets() -> Result<Vec<String>> {
    let output =
        cargo_fuzz("list").stderr(Stdio::inherit()).output().context("cannot run cargo fuzz list")?;
    if !output.status.success() {
        bail!("cargo fuzz list failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn cargo_fuzz(task: &str) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.args(["fuzz", task]).current_dir(workspace::root());
    command
}

/// Copies the golden files of the target's format into its corpus; returns how many there are.
fn plant(target: &str) -> Result<usize> {
    let suffix = match target {
        "hdf5" => "h5",
        "solver" => "solverstate",
        same => same,
    };
    let corpus = workspace::root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let mut count = 0;
    plant_from(&workspace::root().join("testdata"), &format!(".{suffix}"), &corpus, &mut count)?;
    Ok(count)
}

fn plant_from(folder: &Path, suffix: &str, corpus: &Path, count: &mut usize) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            plant_from(&path, suffix, corpus, count)?;
        } else if name.ends_with(suffix) && entry.metadata()?.len() <= LARGEST_SEED {
            fs::copy(&path, corpus.join(format!("golden-{count}-{name}")))?;
            *count += 1;
        }
    }
    Ok(())
}
