//! Compiles every CUDA kernel by NVRTC, which needs no GPU, and prints what each takes: `compile_kernels sm_80 sm_90 …` gives a line a
//! kernel, in columns separated by tabs. For a compute capability such as 13.0, a line with what a GPU of it would be given.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kernels::{Error, compile_for, compile_reports};

fn main() -> Result<(), Error> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let lines: Vec<_> = wanted.iter().map(|_| Mutex::new(Ok(String::new()))).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(index) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < wanted.len())
                {
                    let found = compile(&wanted[index]);
                    *lines[index].lock().expect("nothing panics while it is held") = found;
                }
            });
        }
    });
    for lines in lines {
        print!("{}", lines.into_inner().expect("nothing panics while it is held")?);
    }
    Ok(())
}

/// The lines for an architecture, or for a compute capability.
fn compile(wanted: &str) -> Result<String, Error> {
    let numbers = wanted.split_once('.').map(|(major, minor)| [major, minor].map(str::parse));
    if let Some([Ok(major), Ok(minor)]) = numbers {
        let code = compile_for([major, minor])?;
        return Ok(format!("{wanted}\t{}\t{}\n", code.target, code.bytes));
    }
    let lines = compile_reports(wanted)?.into_iter().map(|report| {
        let [stored, loaded] = report.spilled;
        format!(
            "{wanted}\t{}\t{}\t{}\t{}\t{}\t{stored}\t{loaded}\n",
            report.file, report.kernel, report.threads, report.registers, report.shared
        )
    });
    Ok(lines.collect())
}
