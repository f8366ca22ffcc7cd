//! The chores of this repository: `cargo xtask TASK`, one file a task.
//!
//! Nothing here links our own crates: a task runs `cargo`, the built binary `rebrew`, or another program, as a user would.

mod bench;
mod conformance;
mod convert;
mod devices;
mod fuzz;
mod gpu;
mod kernels;
mod kill;
mod machine;
mod measure;
mod model;
mod models;
mod peers;
mod test;
mod venv;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about = "The chores of this repository", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Convert the bundled model, check the result and print it; with arguments: `rebrew convert ARGS`
    Convert(convert::Arguments),
    /// Everything that CI checks, step by step, up to the first failure
    Test,
    /// Set up real Caffe and real Chainer in the cache folder and compare with them, tensor for tensor
    Peers(peers::Arguments),
    /// Time and memory, side by side with other programs
    #[command(subcommand)]
    Bench(bench::Benchmark),
    /// Kill `rebrew` at random moments and fill its disk: no output may ever be half a file, and training goes on to the same
    /// bits
    Kill(kill::Arguments),
    /// Compile the CUDA kernels for every architecture, and compare what they take with their budget
    Kernels(kernels::Arguments),
    /// Check every operation on every backend against f64, and print the worst errors
    Conformance(conformance::Arguments),
    /// Run and fine-tune whole models on a GPU or its emulation, and compare with the processor
    Devices(devices::Arguments),
    /// Make a folder that checks and measures a GPU on a machine without Rust
    Gpu(gpu::Arguments),
    /// Run every fuzz target for a while
    Fuzz(fuzz::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Convert(arguments) => convert::run(&arguments),
        Task::Test => test::run(),
        Task::Peers(arguments) => peers::run(&arguments),
        Task::Bench(benchmark) => bench::run(&benchmark),
        Task::Kill(arguments) => kill::run(&arguments),
        Task::Kernels(arguments) => kernels::run(&arguments),
        Task::Conformance(arguments) => conformance::run(&arguments),
        Task::Devices(arguments) => devices::run(&arguments),
        Task::Gpu(arguments) => gpu::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
