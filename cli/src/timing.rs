//! How long each step of a net takes, and what share of the machine's speed that is.

use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, Instant};

use kernels::Backend as _;
use serde_json::{Value, json};
use train_core::{Network, Options};

use crate::device::Threads;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::table::{Align, Table, bytes};

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Run the net on noise and show how long each of its steps takes
    #[arg(long)]
    time: bool,
    /// How often it runs for that; the medians count
    #[arg(long, value_name = "N", default_value = "10", requires = "time")]
    passes: NonZero<usize>,
    #[command(flatten)]
    threads: Threads,
}

/// What was measured.
pub(crate) struct Timing {
    pub(crate) heading: String,
    pub(crate) table: Table,
    pub(crate) closing: Vec<String>,
    pub(crate) json: Value,
}

impl Arguments {
    pub(crate) fn is_wanted(&self) -> bool {
        self.time
    }

    /// Runs the net from the file at `path`.
    pub(crate) fn measure(&self, network: &Network, path: &Path) -> Result<Timing, Failure> {
        let failed = |error| Failure::of_net(path, error);
        let cpu = self.threads.cpu()?;
        let mut executor = network.executor(&cpu, &Options::default()).map_err(failed)?;
        Inputs::noise(&executor, network.net(), 0).put(&mut executor)?;
        // The first pass touches all memory for the first time.
        executor.forward().map_err(failed)?;
        let passes = self.passes.get();
        let mut times = vec![Vec::with_capacity(passes); executor.steps().len()];
        let mut totals = Vec::with_capacity(passes);
        for _ in 0..passes {
            executor.forward_timed(&mut |step, time| times[step].push(time)).map_err(failed)?;
            // The whole is measured apart: without a look at the clock between any two steps.
            let start = Instant::now();
            executor.forward().map_err(failed)?;
            totals.push(start.elapsed());
        }
        let peak = cpu.peak_flops();
        let total = median(totals);
        let medians = times.into_iter().map(median).collect::<Vec<_>>();
        let sum = medians.iter().sum::<Duration>().as_secs_f64().max(f64::MIN_POSITIVE);

        let mut table = Table::new(&[
            ("layer", Align::Left),
            ("type, and those computed with it", Align::Left),
            ("algorithm", Align::Left),
            ("ms", Align::Right),
            ("of the time", Align::Right),
            ("GFLOP/s", Align::Right),
            ("of the limit", Align::Right),
        ]);
        let mut steps = Vec::new();
        for (step, time) in executor.steps().iter().zip(&medians) {
            let seconds = time.as_secs_f64();
            let rate = 2.0 * step.macs as f64 / seconds.max(1e-9);
            let others = step.layers.iter().skip(1).filter_map(|name| network.net().layer(name));
            let types: Vec<&str> = [step.kind.as_str()]
                .into_iter()
                .chain(others.map(|layer| layer.type_name.as_str()))
                .collect();
            let some = |text: String| if step.macs == 0 { String::new() } else { text };
            table.row([
                step.layers.first().cloned().unwrap_or_default(),
                types.join(", "),
                step.algorithm.unwrap_or_default().to_owned(),
                format!("{:.3}", seconds * 1e3),
                format!("{:.1} %", 100.0 * seconds / sum),
                some(format!("{:.1}", rate / 1e9)),
                some(format!("{:.0} %", 100.0 * rate / peak)),
            ]);
            steps.push(json!({
                "layers": step.layers,
                "type": step.kind,
                "algorithm": step.algorithm,
                "seconds": seconds,
                "macs": step.macs,
            }));
        }
        let macs = executor.steps().iter().map(|step| step.macs).fold(0, u64::saturating_add);
        let flops = 2.0 * macs as f64 / total.as_secs_f64().max(1e-9);
        let held = 4 * executor.plan().blob_floats() as u64;
        let workspace = 4 * executor.workspace_floats() as u64;
        let closing = vec![
            format!(
                "{:.3} ms a pass, {:.1} GFLOP/s, {:.0} % of the limit",
                total.as_secs_f64() * 1e3,
                flops / 1e9,
                100.0 * flops / peak
            ),
            format!("{} for blobs, {} of workspace", bytes(held), bytes(workspace)),
        ];
        let heading = format!("{}, limit {:.1} GFLOP/s; medians of {passes} passes", cpu.name(), peak / 1e9);
        let json = json!({
            "device": cpu.name(),
            "passes": passes,
            "limit_flops": peak,
            "seconds": total.as_secs_f64(),
            "steps": steps,
            "blob_bytes": held,
            "workspace_bytes": workspace,
        });
        Ok(Timing { heading, table, closing, json })
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
