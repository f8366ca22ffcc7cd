//! How long a program runs and how much memory it takes.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::machine::{field, kibibytes};
use crate::workspace::typed;

const POLL: Duration = Duration::from_millis(1);

/// The largest amounts of memory that a process was seen to hold, in KiB.
#[derive(Clone, Copy, Default)]
pub(crate) struct Peak {
    /// Private memory: heap and stacks, but no mapped file.
    pub(crate) anonymous: u64,
    /// Everything resident, pages of mapped files included.
    pub(crate) resident: u64,
}

/// Wall time from the start of the process to its end.
pub(crate) fn time(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", typed(command)))?;
    let wall = start.elapsed();
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            typed(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(wall)
}

/// Peak memory, read from /proc while the program runs.
pub(crate) fn memory(command: &mut Command) -> Result<Peak> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", typed(command)))?;
    let file = format!("/proc/{}/status", child.id());
    let mut peak = Peak::default();
    let status = loop {
        let read = |name| field(&file, name).and_then(|text| kibibytes(&text)).unwrap_or(0);
        peak.anonymous = peak.anonymous.max(read("RssAnon"));
        peak.resident = peak.resident.max(read("VmHWM"));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        bail!("`{}` failed ({status})", typed(command));
    }
    Ok(peak)
}

/// The middle value; of an even number of values, the lower of the two in the middle.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) / 2]
}
