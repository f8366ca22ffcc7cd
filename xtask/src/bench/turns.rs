//! Programs that stay loaded, called in turn: what a pass takes in each, and the table of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::idle;
use super::worker::Worker;

/// With fewer undisturbed samples than this, the disturbed ones count too.
const ENOUGH: usize = 3;

/// How samples are taken.
#[derive(Clone, Copy)]
pub(super) struct Turns {
    /// In each, every program gives one sample.
    pub(super) rounds: u16,
    /// Rounds before them that are not counted.
    pub(super) uncounted: u16,
    /// Seconds of passes before a sample, which the processors and the frameworks' threads need to wake up.
    pub(super) warm_up: f64,
    /// Seconds of passes in a sample.
    pub(super) seconds: f64,
    /// How long to wait, before each sample, for other programs to become idle.
    pub(super) wait: Duration,
}

/// A program, and what it works on at present.
pub(super) struct Runner {
    pub(super) name: &'static str,
    pub(super) worker: Worker,
}

/// What a program came to on one case.
pub(super) struct Figures {
    pub(super) name: &'static str,
    pub(super) median: f64,
    fastest: f64,
    clean: usize,
    samples: usize,
}

/// What a pass is, for the table.
pub(super) struct Pass {
    /// Multiplications and additions.
    pub(super) operations: f64,
    pub(super) images: usize,
}

impl Turns {
    /// Samples of every runner, so that whatever the machine does befalls all of them alike.
    pub(super) fn measure(&self, runners: &mut [&mut Runner]) -> Result<Vec<Figures>> {
        let mut samples = runners.iter().map(|_| Vec::new()).collect::<Vec<Vec<(f64, bool)>>>();
        for round in 0..self.uncounted + self.rounds {
            for (runner, samples) in runners.iter_mut().zip(&mut samples) {
                idle::wait(self.wait);
                let watch = idle::Watch::start(Some(runner.worker.id()));
                let seconds = runner.worker.run(self.warm_up, self.seconds);
                let seconds = seconds.with_context(|| runner.name.to_owned())?;
                if round >= self.uncounted {
                    samples.push((seconds, watch.disturbed()));
                }
            }
        }
        Ok(runners.iter().zip(&samples).map(|(runner, samples)| figures(runner.name, samples)).collect())
    }
}

/// Prints what the machine can do with one thread and with all, and returns the latter in operations a second.
pub(super) fn print_limits(throughput: &Path, threads: u16, wait: Duration) -> Result<Option<f64>> {
    let mut limit = None;
    let mut counts = vec![1, threads];
    counts.dedup();
    for threads in counts {
        idle::wait(wait);
        let output = Command::new(throughput).args([&threads.to_string(), "limits only"]).output();
        let output = output.with_context(|| format!("cannot run {}", throughput.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default();
        println!("{threads} thread{}: {line}", if threads == 1 { "" } else { "s" });
        limit = limit_of(line);
    }
    Ok(limit)
}

/// Prints a row for each program; `limit` is that of the machine, in operations a second.
pub(super) fn print_table(pass: &Pass, figures: &[Figures], limit: Option<f64>) {
    println!(
        "| program | time | fastest | times rebrew | images/s | GFLOP/s | of the limit | undisturbed samples |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let ours = find(figures, "rebrew");
    for Figures { name, median, fastest, clean, samples } in figures {
        let rate = pass.operations / median;
        let share = limit.map_or_else(String::new, |limit| format!("{:.0} %", 100.0 * rate / limit));
        let ratio = ours.map_or_else(String::new, |ours| format!("{:.2}", median / ours));
        println!(
            "| {name} | {:.2} ms | {:.2} ms | {ratio} | {:.1} | {:.1} | {share} | {clean} of {samples} |",
            1e3 * median,
            1e3 * fastest,
            pass.images as f64 / median,
            rate / 1e9
        );
    }
    println!();
}

/// The median time of a program, if it was measured.
pub(super) fn find(figures: &[Figures], name: &str) -> Option<f64> {
    figures.iter().find(|row| row.name == name).map(|row| row.median)
}

/// Prints whether our time is at most `factor` times theirs.
pub(super) fn verdict(what: &str, ours: f64, theirs: Option<f64>, factor: f64) {
    let Some(theirs) = theirs else {
        println!("* {what}: not measured");
        return;
    };
    let met = if ours <= factor * theirs { "met" } else { "NOT met" };
    println!("* {what}: {:.2} times its time: {met}", ours / theirs);
}

/// Noise between −1 and 1, the same every time, as bare floats.
pub(super) fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let values = (0..count).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0).to_ne_bytes()
    });
    values.collect()
}

/// Reads `…limits: 232.1 GFLOP/s, …`, what the example of the kernels prints first.
fn limit_of(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("limits: ")?;
    let (number, _) = rest.split_once(" GFLOP/s")?;
    Some(1e9 * number.parse::<f64>().ok()?)
}

/// Disturbed samples do not count, unless they are nearly all there is.
fn figures(name: &'static str, samples: &[(f64, bool)]) -> Figures {
    let clean = samples.iter().filter(|(_, disturbed)| !disturbed).count();
    let counted = samples.iter().filter(|(_, disturbed)| clean < ENOUGH || !disturbed);
    let mut times = counted.map(|(seconds, _)| *seconds).collect::<Vec<_>>();
    times.sort_unstable_by(f64::total_cmp);
    Figures { name, median: times[(times.len() - 1) / 2], fastest: times[0], clean, samples: samples.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read() {
        assert_eq!(limit_of("AVX-512; limits: 232.5 GFLOP/s, copy 20.0 GB/s"), Some(232.5e9));
        assert_eq!(limit_of("something else"), None);
    }

    #[test]
    fn disturbed_samples_count_only_when_few_are_left() {
        let samples = [(1.0, false), (2.0, false), (3.0, false), (9.0, true), (9.0, true)];
        let row = figures("a", &samples);
        assert_eq!((row.median, row.fastest, row.clean, row.samples), (2.0, 1.0, 3, 5));
        let row = figures("a", &samples[1..]);
        assert_eq!((row.median, row.clean), (3.0, 2));
    }
}
