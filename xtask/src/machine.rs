//! What this machine is, in words, for the head of a table.

use std::fs;
use std::path::Path;
use std::thread;

/// The processor's name.
pub(crate) fn processor() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned())
}

/// Processor, cores, memory and file system, as far as /proc tells.
pub(crate) fn describe(folder: &Path) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut words = vec![processor(), format!("{cores} cores")];
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text));
    words.extend(memory.map(|memory| format!("{:.0} GiB of memory", memory as f64 / (1 << 20) as f64)));
    words.extend(file_system(folder).map(|kind| format!("files on {kind}")));
    words.join(", ")
}

/// The value of the first `name : value` line of a file of /proc.
pub(crate) fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// Reads `1234 kB`.
pub(crate) fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.trim().parse().ok()
}

/// The type of the file system that holds a folder.
fn file_system(folder: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mut words = mounts.lines().map(|line| line.split(' ').skip(1));
    let entries = std::iter::from_fn(|| words.next().map(|mut entry| (entry.next(), entry.next())));
    entries
        .filter_map(|(point, kind)| Some((point?, kind?)))
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind.to_owned())
}
