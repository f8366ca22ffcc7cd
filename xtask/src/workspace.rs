//! Where things are: the repository, the cache folder, cargo, and the binary that the tasks run.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The repository's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository").to_path_buf()
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The folder for what is large or slow to make and lives outside the tree.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("REBREW_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("rebrew")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/rebrew")))
        .context("no cache folder: set REBREW_CACHE")?;
    std::path::absolute(folder).context("the cache folder has no absolute path")
}

/// What `cargo metadata` says about the members of the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata did not print JSON")
}

/// Builds `rebrew` in the release profile and returns the binary's path, or takes the one that `REBREW_BINARY` names.
///
/// Quietly: cargo then says nothing but errors and warnings.
pub(crate) fn build_rebrew(quiet: bool) -> Result<PathBuf> {
    build_rebrew_with(&[], quiet)
}

/// The same with these features.
pub(crate) fn build_rebrew_with(features: &[&str], quiet: bool) -> Result<PathBuf> {
    match env::var_os("REBREW_BINARY") {
        Some(binary) => Ok(binary.into()),
        None => build_with("rebrew", "--bin", "rebrew", features, quiet),
    }
}

/// Builds a program of a package in the release profile, a `--bin` or an `--example`, and returns its path.
pub(crate) fn build(package: &str, kind: &str, name: &str, quiet: bool) -> Result<PathBuf> {
    build_with(package, kind, name, &[], quiet)
}

/// The same, or a `--test` or `--bench`, with these features.
pub(crate) fn build_with(
    package: &str,
    kind: &str,
    name: &str,
    features: &[&str],
    quiet: bool,
) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    command
        .args(["build", "--release", "--package", package, kind, name])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root())
        .stderr(Stdio::inherit());
    if !features.is_empty() {
        command.arg(format!("--features={}", features.join(",")));
    }
    if quiet {
        command.arg("--quiet");
    }
    let output = command.output().context("cannot run cargo build")?;
    if !output.status.success() {
        bail!("{name} did not build ({})", output.status);
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo build did not say where it put {name}"))
}

/// A command as it would be typed, for messages.
pub(crate) fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = !word.is_empty()
            && word.chars().all(|character| character.is_alphanumeric() || "-_=+./,:@%".contains(character));
        if plain { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Runs a program that must succeed, and gives what it printed.
pub(crate) fn printed(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", typed(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", typed(command), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The exit code that a shell would report.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)
}
