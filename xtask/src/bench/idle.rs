//! How busy the machine is with other programs: a sample taken beside them is worth nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// More of a processor than this, taken by other programs, disturbs a measurement.
const LIMIT: f64 = 0.15;
const WINDOW: Duration = Duration::from_millis(150);

/// Waits until nothing else runs, at most for `limit`; returns whether that came to be.
pub(super) fn wait(limit: Duration) -> bool {
    let start = Instant::now();
    loop {
        let watch = Watch::start(None);
        thread::sleep(WINDOW);
        if watch.others() < LIMIT {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
    }
}

/// Counts what programs other than one process take.
pub(super) struct Watch {
    start: Instant,
    process: Option<u32>,
    busy: u64,
    own: u64,
}

impl Watch {
    pub(super) fn start(process: Option<u32>) -> Self {
        Self { start: Instant::now(), process, busy: busy(), own: own(process) }
    }

    /// Whether the others took more than a measurement can bear.
    pub(super) fn disturbed(&self) -> bool {
        self.others() > LIMIT
    }

    /// The processors' worth that others took since the start.
    fn others(&self) -> f64 {
        let busy = busy().saturating_sub(self.busy);
        let own = own(self.process).saturating_sub(self.own);
        busy.saturating_sub(own) as f64 * TICK / self.start.elapsed().as_secs_f64()
    }
}

/// Seconds of a clock tick: 100 a second on every Linux of today.
const TICK: f64 = 0.01;

/// Ticks that all processors were not idle; elsewhere than on Linux, none.
fn busy() -> u64 {
    fs::read_to_string("/proc/stat").map_or(0, |text| busy_of(&text))
}

/// User, nice, system, interrupts and steal of the first line; the guests' time is part of user's.
fn busy_of(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).map(|word| word.parse::<u64>().unwrap_or(0));
    ticks.take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4)).map(|(_, ticks)| ticks).sum()
}

fn own(process: Option<u32>) -> u64 {
    let text = process.map(|id| fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default());
    text.map_or(0, |text| own_of(&text))
}

/// User and system time; the name before them, in brackets, may hold anything.
fn own_of(stat: &str) -> u64 {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(11).take(2).map(|word| word.parse::<u64>().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_proc_are_read() {
        assert_eq!(busy_of("cpu  10 1 20 1000 500 2 3 4 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"), 40);
        assert_eq!(own_of("12 (a ) b) S 1 1 1 0 -1 4194560 1 2 3 4 55 66 0 0 20 0 5 0 1"), 121);
        assert_eq!(own_of(""), 0);
    }
}
