//! `cargo xtask conformance`: every operation on every backend that is here against f64, as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

use crate::{machine, workspace};

const TABLE: &str = "kernels/CONFORMANCE.md";
/// The traits of a backend's operations.
const TRAITS: &str = "kernels/src/backend";

/// The seed of the shapes and numbers, so that the table can be made again.
const SEED: &str = "20";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write the table to kernels/CONFORMANCE.md, beside printing it
    #[arg(long)]
    write: bool,
    /// Make the table from a file that the tests left under the name in KERNELS_ERRORS, on another machine
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Operation → backend → the worst error.
type Errors = BTreeMap<String, BTreeMap<String, f64>>;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let file = match &arguments.from {
        Some(file) => file.clone(),
        None => measure()?,
    };
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let errors = read(&text)?;
    let page = page(&errors);
    print!("{page}");
    if arguments.write {
        let path = workspace::root().join(TABLE);
        fs::write(&path, &page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let missing = missing(&definitions()?, &errors);
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("No test records an error of these operations (check_op): {}", missing.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The text of the traits, one after the other.
fn definitions() -> Result<String> {
    let folder = workspace::root().join(TRAITS);
    let read = || {
        let mut files =
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        files.sort_unstable();
        files.iter().map(fs::read_to_string).collect::<io::Result<String>>()
    };
    read().with_context(|| format!("cannot read {}", folder.display()))
}

/// Runs the tests, and says where they left their errors.
fn measure() -> Result<PathBuf> {
    let folder = workspace::cache()?.join("conformance");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join("errors.tsv");
    let _ = fs::remove_file(&file);
    let mut command = Command::new(workspace::cargo());
    command.args(["test", "--package=kernels", "--features=kernels/cuda,kernels/emulate"]);
    command.args(["--test=conformance", "--quiet"]).current_dir(workspace::root());
    command.env("KERNELS_ERRORS", &file).env("PROPTEST_RNG_SEED", SEED);
    let status = command.stdout(std::io::stderr()).status().context("cannot run cargo test")?;
    if !status.success() {
        bail!("`{}` failed ({status})", workspace::typed(&command));
    }
    Ok(file)
}

/// Reads lines of operations (with commas between several), backend and error, in columns separated by tabs.
fn read(text: &str) -> Result<Errors> {
    let mut errors = Errors::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let &[operations, backend, error] = words.as_slice() else { bail!("the tests say `{line}`") };
        let error: f64 = error.parse().with_context(|| format!("the tests say `{line}`"))?;
        for operation in operations.split(", ") {
            let worst = errors.entry(operation.to_owned()).or_default();
            let worst = worst.entry(backend.to_owned()).or_insert(0.0);
            *worst = worst.max(error);
        }
    }
    Ok(errors)
}

fn page(errors: &Errors) -> String {
    let backends: BTreeSet<&String> = errors.values().flat_map(BTreeMap::keys).collect();
    let mut text = format!(
        "# Conformance\n\nThe worst error of every operation, forward and backward, on generated shapes against a plain f64 reference: the largest\n\
         difference as a part of the largest value that is expected (of 0.01, where all are smaller: what goes in is about 1).\n\
         Gradients are held to slopes by differences, in f64. Written by `cargo xtask conformance --write`, which runs `kernels/tests/conformance` on each instruction set of the machine, on the emulated GPU\n\
         (`emulate/`), and on an NVIDIA GPU where there is one. The tests allow each operation a little more than this.\n\n\
         Machine: {}.\n\n| operation |",
        machine::processor()
    );
    for backend in &backends {
        write!(text, " {backend} |").expect("into a string");
    }
    text += "\n| --- |";
    text += &" ---: |".repeat(backends.len());
    text.push('\n');
    for (operation, worst) in errors {
        write!(text, "| `{operation}` |").expect("into a string");
        for backend in &backends {
            match worst.get(*backend) {
                Some(0.0) => text += " exact |",
                Some(error) => write!(text, " {error:.1e} |").expect("into a string"),
                None => text += " – |",
            }
        }
        text.push('\n');
    }
    let gpu = backends.iter().any(|backend| backend.contains("sm_"));
    if !gpu {
        text += "\nOn an NVIDIA GPU: not yet run, none was at hand.\n";
    }
    text
}

/// The operations of the trait that no test has recorded. What manages memory or records, or prepares or sizes
/// something, is none.
fn missing(definition: &str, errors: &Errors) -> Vec<String> {
    const OTHERS: [&str; 12] = [
        "name",
        "arithmetic",
        "allocate",
        "allocate_all",
        "discard",
        "write",
        "read",
        "synchronize",
        "enter",
        "each",
        "record",
        "replay",
    ];
    let names = definition.lines().filter_map(|line| line.strip_prefix("    fn "));
    let names = names.filter_map(|line| line.split(['(', '<']).next());
    let is_operation = |name: &&str| {
        !OTHERS.contains(name) && !["_len", "_prepare", "_repack"].iter().any(|ending| name.ends_with(ending))
    };
    names.filter(is_operation).filter(|name| !errors.contains_key(*name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_an_operation_and_a_column_a_backend() {
        let errors = read("axpy, scale_tensor\tA\t2.0e-7\naxpy\tB\t0.0e0\naxpy\tA\t1.0e-7\n").unwrap();
        let page = page(&errors);
        assert!(page.contains("| operation | A | B |\n| --- | ---: | ---: |\n"), "{page}");
        assert!(page.contains("| `axpy` | 2.0e-7 | exact |\n| `scale_tensor` | 2.0e-7 | – |\n"), "{page}");
        assert!(page.ends_with("On an NVIDIA GPU: not yet run, none was at hand.\n"), "{page}");
        assert!(read("axpy\tA\n").is_err());
    }

    #[test]
    fn an_operation_without_a_row_is_named() {
        let definition = "    fn name(&self);\n    fn gemm_workspace_len(\n    fn gemm(\n    fn axpy(&self, alpha: f32);\n";
        assert_eq!(missing(definition, &read("gemm\tA\t0\n").unwrap()), ["axpy"]);
    }

    #[test]
    fn operations_of_every_family_are_looked_for() {
        let all = missing(&definitions().unwrap(), &Errors::new());
        for operation in ["gemm", "convolution_forward", "lstm_unit_forward", "softmax_forward", "axpy"] {
            assert!(all.iter().any(|name| name == operation), "{operation} is not among {all:?}");
        }
    }
}
