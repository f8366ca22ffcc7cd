//! Compiles every CUDA kernel by NVRTC, which needs no GPU, and prints what each takes:
//! `compile_kernels sm_80 sm_90 …` gives a line a kernel, in columns separated by tabs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kernels::{Error, KernelReport, compile_reports};

fn main() -> Result<(), Error> {
    let architectures: Vec<String> = std::env::args().skip(1).collect();
    let reports: Vec<_> = architectures.iter().map(|_| Mutex::new(Ok(Vec::new()))).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(index) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < reports.len())
                {
                    let report = compile_reports(&architectures[index]);
                    *reports[index].lock().expect("nothing panics while it is held") = report;
                }
            });
        }
    });
    for (architecture, reports) in architectures.iter().zip(reports) {
        let reports: Vec<KernelReport> = reports.into_inner().expect("nothing panics while it is held")?;
        for report in reports {
            let [stored, loaded] = report.spilled;
            println!(
                "{architecture}\t{}\t{}\t{}\t{}\t{}\t{stored}\t{loaded}",
                report.file, report.kernel, report.threads, report.registers, report.shared
            );
        }
    }
    Ok(())
}
