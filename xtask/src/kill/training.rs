//! Fine-tuning that is killed at random moments and gone on with: the weights must be those of a run that was not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::{XorShift, digest, kill_after};
use crate::{measure, workspace};

/// What must come out the same.
const FILES: [&str; 4] = ["last.caffemodel", "best.caffemodel", "state.npz", "validation.json"];

/// All layers learn, one of them later; Dropout drops, and images are mirrored by chance.
const OPTIONS: [&str; 11] = [
    "--mirror",
    "--epochs",
    "60",
    "--batch-size",
    "16",
    "--freeze-schedule",
    "conv1@200it, conv2@12ep",
    "--snapshot-every",
    "7",
    "--input-scale",
    "0.0078125",
];

/// Kills so many runs, and returns how many came to something else.
pub(super) fn kills(rebrew: &Path, runs: u32, random: &mut XorShift, folder: &Path) -> Result<u32> {
    let fashion = workspace::root().join("testdata/fashion");
    let command = |output: &Path, more: &str| {
        let mut command = Command::new(rebrew);
        command.arg("finetune").arg(fashion.join("deploy.prototxt"));
        command.arg("--weights").arg(fashion.join("fashion.caffemodel"));
        command.arg("--data").arg(fashion.join("t10k-sample-images-idx3-ubyte.gz"));
        command.arg("--mean").arg(fashion.join("mean.binaryproto")).args(OPTIONS);
        command.arg("-o").arg(output).args([more, "-q"]).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("REBREW_CACHE", folder.join("cache"));
        command
    };
    let whole = folder.join("whole");
    let wall = measure::time(&mut command(&whole, "--force"))?;
    let (mut killed, mut early, mut bad) = (0, 0, 0);
    while killed < runs {
        let broken = folder.join("broken");
        let wait = wall.mul_f64(random.fraction());
        if !kill_after(&mut command(&broken, "--force"), wait)? {
            continue;
        }
        killed += 1;
        // Killed before there was a state, it begins anew.
        let is_begun = broken.join("state.npz").exists();
        early += u32::from(!is_begun);
        measure::time(&mut command(&broken, if is_begun { "--resume" } else { "--force" }))?;
        for file in FILES {
            if digest(&broken.join(file))? != digest(&whole.join(file))? {
                bad += 1;
                println!("fine-tuning killed after {wait:?} and gone on with: {file} is another");
            }
        }
        fs::remove_dir_all(&broken)?;
    }
    println!(
        "{runs} fine-tunings of {wall:.1?} killed with SIGKILL and gone on with ({early} before their first state): {bad} files \
         differ from those of a run that was not killed"
    );
    Ok(bad)
}
