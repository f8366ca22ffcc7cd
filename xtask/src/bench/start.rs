//! `rebrew run` from a cold start: how long until it computes, what memory it takes, and whether threads change a bit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::forward::inspect;
use super::idle;
use crate::measure;
use crate::model::Files;

/// Seconds beside the forward pass itself.
const START_LIMIT: f64 = 0.06;
const RUNS: usize = 7;

/// What to run, and which of the two limits are held against this net.
pub(super) struct Start<'a> {
    pub(super) rebrew: &'a Path,
    pub(super) files: &'a Files,
    pub(super) input: &'a Path,
    /// The time of a pass in a program that stays loaded.
    pub(super) forward: Option<f64>,
    pub(super) threads: usize,
    /// How long to wait, before each run, for other programs to become idle.
    pub(super) wait: Duration,
    pub(super) limits_time: bool,
    pub(super) limits_memory: bool,
}

/// Prints a line for each.
pub(super) fn print(start: &Start<'_>, scratch: &Path) -> Result<()> {
    let &Start { rebrew, files, input, forward, threads, wait, limits_time, limits_memory } = start;
    let command = |threads: usize, output: &Path| {
        let mut command = Command::new(rebrew);
        command.arg("run").arg(&files.definition).arg("--weights").arg(&files.weights);
        command.arg("--input").arg(format!("data={}", input.display())).arg("-o").arg(output);
        command.args(["--threads", &threads.to_string(), "--force", "-q"]);
        command
    };
    let outputs = ["one.npz", "all.npz"].map(|name| scratch.join(name));
    println!();
    for (threads, output) in [1, threads].into_iter().zip(&outputs) {
        if let Err(error) = measure::time(&mut command(threads, output)) {
            println!("* `rebrew run` was not measured: {error:#}");
            return Ok(());
        }
    }
    let same = fs::read(&outputs[0])? == fs::read(&outputs[1])?;
    println!("* the same bits with 1 and {threads} threads: {}", met(same));

    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        idle::wait(wait);
        times.push(measure::time(&mut command(threads, &outputs[1]))?);
    }
    let whole = measure::median(&mut times).as_secs_f64();
    if let Some(forward) = forward {
        let rest = whole - forward;
        let verdict = limits_time
            .then(|| format!(" of at most {:.0} ms: {}", 1e3 * START_LIMIT, met(rest < START_LIMIT)));
        println!(
            "* start to output, {:.1} ms, without the pass itself, {:.1} ms: {:.1} ms{}",
            1e3 * whole,
            1e3 * forward,
            1e3 * rest,
            verdict.unwrap_or_default()
        );
    }

    let peak = measure::memory(&mut command(threads, &outputs[1]))?;
    let weights = fs::metadata(&files.weights)?.len() as f64;
    let live = live_bytes(&inspect(rebrew, files)?) as f64;
    let limit = (1.2 * weights + live) / f64::from(1 << 20);
    let [anonymous, resident] = [peak.anonymous, peak.resident].map(|kibibytes| kibibytes as f64 / 1024.0);
    let verdict = limits_memory.then(|| {
        let alive = live / f64::from(1 << 20);
        let met = met(resident < limit);
        format!(", of at most {limit:.0} MiB (1.2 times the weights, and {alive:.1} MiB of activations alive at once): {met}")
    });
    println!(
        "* memory, {resident:.0} MiB resident of which {anonymous:.0} MiB anonymous{}",
        verdict.unwrap_or_default()
    );
    Ok(())
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "NOT met" }
}

/// The most bytes of blobs that a layer finds alive: each from the layer that makes it to the last that reads it.
fn live_bytes(picture: &Value) -> u64 {
    let layers = picture["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let names = |layer: &Value, key: &str| {
        let names = layer[key].as_array().into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    // From, to, bytes.
    let mut spans = BTreeMap::<String, (usize, usize, u64)>::new();
    for (at, layer) in layers.iter().enumerate() {
        for bottom in names(layer, "bottoms") {
            if let Some(span) = spans.get_mut(&bottom) {
                span.1 = at;
            }
        }
        for (index, top) in names(layer, "tops").into_iter().enumerate() {
            let extents = layer["outputs"][index].as_array().into_iter().flatten();
            let bytes = 4 * extents.filter_map(Value::as_u64).product::<u64>();
            spans.entry(top).or_insert((at, at, bytes)).1 = at;
        }
    }
    let alive = |at: usize| {
        spans.values().filter(|(from, to, _)| (*from..=*to).contains(&at)).map(|span| span.2).sum()
    };
    (0..layers.len()).map(alive).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blobs_live_until_they_are_last_read() {
        let layer = |bottoms: &[&str], top: &str, count: u64| json!({ "bottoms": bottoms, "tops": [top], "outputs": [[1, count]] });
        let layers = [
            layer(&[], "data", 10),
            layer(&["data"], "a", 5),
            layer(&["a"], "a", 5),
            layer(&["a"], "b", 20),
            layer(&["b", "a"], "c", 1),
        ];
        assert_eq!(live_bytes(&json!({ "layers": layers })), 4 * (5 + 20 + 1));
    }
}
