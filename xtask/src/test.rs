//! `cargo xtask test`: everything that CI checks, in the order of what fails fastest.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{kernels, workspace};

/// One command of the suite.
struct Step {
    name: String,
    command: Command,
}

pub(crate) fn run() -> Result<ExitCode> {
    let start = Instant::now();
    let emulator = has_compiler();
    let mut steps = steps(&workspace::metadata()?, emulator);
    let mut skipped = Vec::new();
    if !emulator {
        skipped.push("everything with the emulated GPU: there is no C++ compiler (c++)".to_owned());
    }
    skipped.extend(add_kernels(&mut steps)?);
    skipped.extend(add_deny(&mut steps).map(str::to_owned));
    let count = steps.len();
    let mut times = Vec::with_capacity(count);
    for (index, mut step) in steps.into_iter().enumerate() {
        let typed = typed(&step.command);
        println!("\n==> {}/{count} {}: {typed}", index + 1, step.name);
        io::stdout().flush()?;
        let begun = Instant::now();
        let status = step.command.status().with_context(|| format!("cannot run `{typed}`"))?;
        let time = begun.elapsed();
        if !status.success() {
            println!("\n==> {} failed after {}; to repeat it:\n    {typed}", step.name, seconds(time));
            return Ok(ExitCode::FAILURE);
        }
        println!("==> {} passed in {}", step.name, seconds(time));
        times.push((step.name, time));
    }

    println!();
    for (name, time) in &times {
        println!("{:>9}  {name}", seconds(*time));
    }
    for reason in skipped {
        println!("  skipped  {reason}");
    }
    println!("{:>9}  all of {count} steps passed", seconds(start.elapsed()));
    Ok(ExitCode::SUCCESS)
}

fn steps(metadata: &Value, emulator: bool) -> Vec<Step> {
    let mut steps = vec![step("format", &["fmt", "--all", "--check"])];
    if workspace::root().join("fuzz/Cargo.toml").exists() {
        steps.push(step("format of fuzz", &["fmt", "--manifest-path=fuzz/Cargo.toml", "--check"]));
    }

    let features = Features::of(metadata);
    steps.push(clippy("clippy", None));
    if features.any_default {
        steps.push(clippy("clippy without default features", Some("--no-default-features")));
    }
    for (feature, selection) in features.optional.iter().filter(|(name, _)| emulator || *name != "emulate") {
        let flag = format!("--features={}", selection.join(","));
        steps.push(clippy(&format!("clippy with {feature}"), Some(&flag)));
    }

    steps.push(step("tests", &["test", "--workspace", "--lib", "--bins", "--tests", "--examples"]));
    if emulator {
        // In one go: with other features, everything would be compiled again.
        let packages = ["kernels", "train-core", "rebrew"];
        let mut devices = step("the emulated GPU", &["test", "--package=kernels", "--lib"]);
        let features = packages.map(|package| format!("{package}/cuda,{package}/emulate"));
        devices
            .command
            .args(packages[1..].iter().map(|package| format!("--package={package}")).collect::<Vec<_>>());
        devices.command.arg(format!("--features={}", features.join(",")));
        devices.command.args(
            [
                "conformance",
                "allocation",
                "device_updates",
                "emulated",
                "freeze",
                "goldens",
                "gradients",
                "recorded",
                "run",
                "step_at_once",
                "trajectories",
            ]
            .map(|test| format!("--test={test}")),
        );
        steps.push(devices);
    }
    steps.push(step("doctests", &["test", "--workspace", "--doc"]));
    let mut doc = step("docs", &["doc", "--workspace", "--no-deps"]);
    doc.command.env("RUSTDOCFLAGS", "-D warnings");
    steps.push(doc);
    steps
}

/// Adds the compilation of the CUDA kernels; returns why it is left out, which CI does not let pass.
fn add_kernels(steps: &mut Vec<Step>) -> Result<Option<String>> {
    match kernels::compiler() {
        Ok(_) => steps.push(step("CUDA kernels", &["xtask", "kernels"])),
        Err(error) if env::var("CI").is_ok_and(|ci| ci == "true") => {
            return Err(error.context("CUDA kernels: the compiler cannot be had"));
        }
        Err(error) => return Ok(Some(format!("CUDA kernels: the compiler cannot be had: {error:#}"))),
    }
    Ok(None)
}

/// Adds what cargo-deny checks; returns why something is left out.
fn add_deny(steps: &mut Vec<Step>) -> Option<&'static str> {
    if !installed("deny") {
        return Some("deny: cargo-deny is not installed (cargo install --locked cargo-deny)");
    }
    steps.push(step("deny", &["deny", "check", "bans", "licenses", "sources"]));
    if !succeeds(&["deny", "fetch", "db"]) {
        return Some("deny, advisories: their database cannot be fetched from here");
    }
    steps.push(step("deny, advisories", &["deny", "check", "advisories"]));
    None
}

fn step(name: &str, arguments: &[&str]) -> Step {
    let mut command = Command::new(workspace::cargo());
    command.args(arguments).current_dir(workspace::root());
    Step { name: name.to_owned(), command }
}

fn clippy(name: &str, flag: Option<&str>) -> Step {
    let mut step = step(name, &["clippy", "--workspace", "--all-targets"]);
    step.command.args(flag).args(["--", "-D", "warnings"]);
    step
}

/// The features of the workspace's packages.
struct Features {
    /// Some package turns features on by default.
    any_default: bool,
    /// Name of a feature that is off by default → `package/feature` of every package that has it.
    optional: BTreeMap<String, Vec<String>>,
}

impl Features {
    fn of(metadata: &Value) -> Self {
        let mut features = Self { any_default: false, optional: BTreeMap::new() };
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let Some(table) = package["features"].as_object() else { continue };
            let default = table.get("default").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            features.any_default |= !default.is_empty();
            for feature in table.keys() {
                if feature != "default" && !default.iter().any(|name| name == feature) {
                    let selection = format!("{}/{feature}", package["name"].as_str().unwrap_or_default());
                    features.optional.entry(feature.clone()).or_default().push(selection);
                }
            }
        }
        features
    }
}

/// Whether `cargo NAME` answers.
pub(crate) fn installed(name: &str) -> bool {
    succeeds(&[name, "--version"])
}

/// Whether there is a C++ compiler.
fn has_compiler() -> bool {
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut command = Command::new(compiler);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn succeeds(arguments: &[&str]) -> bool {
    let mut command = step("", arguments).command;
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The command for a reader to paste: `cargo` by its short name, with the environment that the step sets.
fn typed(command: &Command) -> String {
    let mut short = Command::new("cargo");
    short.args(command.get_args());
    let environment = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let environment = environment.map(|(name, value)| format!("{}='{}' ", name.display(), value.display()));
    environment.collect::<String>() + &workspace::typed(&short)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
