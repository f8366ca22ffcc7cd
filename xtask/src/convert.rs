//! `cargo xtask convert`: the main job, on the bundled model or on yours.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::workspace;

const MODEL: &str = "testdata/fashion/fashion.caffemodel";
const FOLDER: &str = "target/convert";
const FORMATS: [&str; 5] = ["npz", "h5", "safetensors", "caffemodel", "caffemodel.h5"];

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Passed on to `rebrew convert`; without any, the bundled model is converted to every format
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.arguments.is_empty() {
        return bundled();
    }
    let quiet = !io::stderr().is_terminal();
    let status = Command::new(workspace::build_rebrew(quiet)?)
        .arg("convert")
        .args(&arguments.arguments)
        .status()
        .context("cannot run rebrew")?;
    Ok(workspace::exit_code(status).into())
}

fn bundled() -> Result<ExitCode> {
    let rebrew = workspace::build_rebrew(false)?;
    let folder = workspace::root().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let outputs = FORMATS.map(|format| format!("{FOLDER}/fashion.{format}"));
    let mut steps = vec![vec!["inspect", MODEL]];
    steps.extend(outputs.iter().map(|output| vec!["convert", MODEL, "-o", output, "--verify", "--force"]));
    steps.extend(outputs.iter().map(|output| vec!["diff", MODEL, output]));
    for step in steps {
        let code = show(&rebrew, &step)?;
        if code != 0 {
            eprintln!("error: `rebrew {}` ended with exit code {code}", step.join(" "));
            return Ok(code.into());
        }
    }

    println!("Converted {MODEL}, read every file back and found no difference. The files:");
    for output in &outputs {
        println!("  {:>9} bytes  {output}", size(&workspace::root().join(output))?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the command and runs it in the repository's folder.
fn show(rebrew: &PathBuf, arguments: &[&str]) -> Result<u8> {
    println!("> rebrew {}", arguments.join(" "));
    io::stdout().flush()?;
    let status = Command::new(rebrew)
        .args(arguments)
        .current_dir(workspace::root())
        .status()
        .with_context(|| format!("cannot run {}", rebrew.display()))?;
    println!();
    Ok(workspace::exit_code(status))
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("no {}", path.display()))?.len())
}
