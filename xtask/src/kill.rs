//! `cargo xtask kill`: whatever befalls `rebrew convert`, the file under the final name is whole or absent; and fine-tuning
//! that is killed goes on to the same bits.

mod training;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::model::Model;
use crate::{measure, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often to kill a conversion
    #[arg(long, default_value_t = 100)]
    times: u32,
    /// How often to kill fine-tuning
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// What the moments of the kills are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const OLD_MODEL: &str = "testdata/fashion/fashion.caffemodel";
const FORMATS: [&str; 5] = ["npz", "safetensors", "h5", "caffemodel", "caffemodel.h5"];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let rebrew = workspace::build_rebrew(false)?;
    let cache = workspace::cache()?;
    let large = Model::Alexnet.make(&cache.join("bench"))?.weights;
    let scratch = Scratch::new(cache.join(format!("kill-{}", std::process::id())))?;
    let trial = Trial { rebrew, small: workspace::root().join(OLD_MODEL), large };

    let kills_bad = trial.kills(arguments, &scratch.0)?;
    let disk_bad = trial.full_disk(&scratch.0)?;
    let mut random = XorShift(arguments.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let training_bad = training::kills(&trial.rebrew, arguments.runs, &mut random, &scratch.0)?;
    Ok(if kills_bad + disk_bad + training_bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program under trial, a model for its old outputs and a larger one for its new.
struct Trial {
    rebrew: PathBuf,
    small: PathBuf,
    large: PathBuf,
}

impl Trial {
    fn convert(&self, input: &Path, output: &Path) -> Command {
        let mut command = Command::new(&self.rebrew);
        command.arg("convert").arg(input).arg("-o").arg(output).args(["--force", "-q"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Kills conversions at random moments and returns how many left something that is neither the old file nor the
    /// new one.
    fn kills(&self, arguments: &Arguments, folder: &Path) -> Result<u32> {
        let mut random = XorShift(arguments.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut old_count, mut new_count, mut leftovers, mut bad) = (0, 0, 0, 0);
        for (index, format) in FORMATS.into_iter().enumerate() {
            let output = folder.join(format!("model.{format}"));
            measure::time(&mut self.convert(&self.small, &output))?;
            let old_bytes = fs::read(&output)?;
            let old = digest(&output)?;
            let whole = measure::time(&mut self.convert(&self.large, &output))?;
            let new = digest(&output)?;

            let mut left = share(arguments.times, index);
            while left > 0 {
                fs::write(&output, &old_bytes)?;
                let wait = whole.mul_f64(random.fraction());
                if !kill_after(&mut self.convert(&self.large, &output), wait)? {
                    continue;
                }
                left -= 1;
                match digest(&output).ok() {
                    Some(found) if found == old => old_count += 1,
                    Some(found) if found == new => new_count += 1,
                    found => {
                        bad += 1;
                        let state =
                            found.map_or("gone".to_owned(), |found| format!("{} bytes, not whole", found.1));
                        println!("{format}: killed after {wait:?}: the output is {state}");
                    }
                }
                leftovers += remove_others(folder, None)?;
            }
        }
        println!(
            "{} conversions killed with SIGKILL while they ran: {old_count} left the old output, {new_count} the \
             complete new one, {bad} anything else ({leftovers} temporary files stayed behind)",
            arguments.times
        );
        Ok(bad)
    }

    /// Converts onto a disk that is too small, over nothing and over an old output, and returns how many tries went
    /// otherwise than they must.
    fn full_disk(&self, folder: &Path) -> Result<u32> {
        let disk = match SmallDisk::mount(folder.join("disk")) {
            Ok(disk) => disk,
            Err(error) => {
                println!("full disk: skipped, a small disk needs root: {error:#}");
                return Ok(0);
            }
        };
        let (mut good, mut bad) = (0, 0);
        for format in FORMATS {
            let output = disk.0.join(format!("model.{format}"));
            for over_old in [false, true] {
                remove_others(&disk.0, None)?;
                let before = if over_old {
                    measure::time(&mut self.convert(&self.small, &output))?;
                    Some(digest(&output)?)
                } else {
                    None
                };
                let mut faults = Vec::new();
                let result = self.convert(&self.large, &output).output().context("cannot run rebrew")?;
                let message = String::from_utf8_lossy(&result.stderr);
                if result.status.code() != Some(2) {
                    faults.push(format!("ended with {}, not with exit code 2", result.status));
                }
                if !message.to_lowercase().contains("no space") {
                    faults.push(format!("does not say that there is no space: {}", message.trim()));
                }
                if digest(&output).ok() != before {
                    faults.push("the output is not what it was before".to_owned());
                }
                if remove_others(&disk.0, Some(&output))? > 0 {
                    faults.push("a temporary file stayed behind".to_owned());
                }
                if faults.is_empty() {
                    good += 1;
                } else {
                    bad += 1;
                    let what = if over_old { "an old output" } else { "nothing" };
                    println!("full disk: {format} over {what}: {}", faults.join("; "));
                }
            }
        }
        println!(
            "{} conversions onto a full disk: {good} refused with the old output or none, {bad} otherwise",
            good + bad
        );
        Ok(bad)
    }
}

/// The kills that fall to one format, so that all together make `times`.
fn share(times: u32, index: usize) -> u32 {
    let formats = FORMATS.len() as u32;
    times / formats + u32::from((index as u32) < times % formats)
}

/// Whether the process still ran when the signal came.
fn kill_after(command: &mut Command, wait: Duration) -> Result<bool> {
    let mut child = command.stderr(Stdio::null()).spawn().context("cannot run rebrew")?;
    thread::sleep(wait);
    let running = child.try_wait()?.is_none();
    child.kill()?;
    let status = child.wait()?;
    if !running && !status.success() {
        bail!("rebrew failed by itself ({status})");
    }
    Ok(running && status.code().is_none())
}

/// Hash and length of a file.
fn digest(path: &Path) -> Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let (mut hash, mut length) = (0xcbf2_9ce4_8422_2325, 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hash, length));
        }
        length += count as u64;
        for word in buffer[..count].chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        }
    }
}

/// Removes the files of a folder that are not `kept`; returns how many were none of the outputs themselves.
fn remove_others(folder: &Path, kept: Option<&Path>) -> Result<u32> {
    let mut strangers = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && kept != Some(path.as_path()) {
            let is_output =
                FORMATS.iter().any(|format| path.file_name() == Some(OsStr::new(&format!("model.{format}"))));
            strangers += u32::from(!is_output);
            fs::remove_file(&path)?;
        }
    }
    Ok(strangers)
}

/// A folder that goes when the task ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file system of 4 MiB in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&folder);
        let output = command.output().context("cannot run mount")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Marsaglia's generator.
struct XorShift(u64);

impl XorShift {
    /// A number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
