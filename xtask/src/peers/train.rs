//! Training: `rebrew train` goes on from real Caffe's snapshots, and real Caffe from ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::venv::Python;
use crate::workspace::{self, printed};

/// How far a parameter may be from Caffe's after ten steps, relative to the largest of its blob.
const LIMIT: f64 = 1e-5;

/// Compares all cases of `live_train.py` and prints a table; returns how many differ.
pub(super) fn run(caffe: &Python, rebrew: &Path, scripts: &Path, folder: &Path) -> Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let script = |task: &str| {
        let mut command = caffe.command();
        command.arg(scripts.join("live_train.py")).arg(task).arg(folder);
        command
    };
    let fashion = workspace::root().join("testdata/fashion");
    let mut make = script("make");
    let parts = ["images-idx3", "labels-idx1"];
    printed(make.args(parts.map(|part| fashion.join(format!("t10k-sample-{part}-ubyte.gz")))))?;
    for entry in fs::read_dir(folder)? {
        let case = entry?.path();
        if !case.is_dir() {
            continue;
        }
        let hdf5 = case.join("caffe_iter_10.solverstate.h5").is_file();
        let state = if hdf5 { "caffe_iter_10.solverstate.h5" } else { "caffe_iter_10.solverstate" };
        for arguments in
            [["ours.prototxt", "--weights", "start.caffemodel"], ["on.prototxt", "--snapshot", state]]
        {
            printed(Command::new(rebrew).arg("train").args(arguments).current_dir(&case))?;
        }
    }
    printed(&mut script("continue"))?;

    println!(
        "\n| solver | steps | parameters | history | frozen as before |\n| --- | --- | ---: | ---: | --- |"
    );
    let mut different = 0;
    let table = printed(&mut script("compare"))?;
    for line in table.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[solver, case, params, history, frozen] = fields.as_slice() else { bail!("not a row: {line}") };
        let good = params.parse::<f64>()? <= LIMIT && frozen == "yes";
        different += usize::from(!good);
        let mark = if good { "" } else { "**DIFFERENT** " };
        println!("| {solver} | {case} | {mark}{params} | {history} | {frozen} |");
    }
    if table.is_empty() {
        bail!("nothing was compared");
    }
    Ok(different)
}
