//! `cargo xtask bench`: time and memory, side by side with other programs.

mod convert;
mod forward;
mod idle;
mod start;
mod task;
mod train;
mod turns;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Benchmark {
    /// Conversion of an AlexNet and a VGG16, beside `cp` and a plain read and write loop
    Convert(convert::Arguments),
    /// Forward passes of an AlexNet and a ResNet-50-1by2, beside Caffe, OpenCV, PyTorch and ONNX Runtime
    Forward(forward::Arguments),
    /// Training steps of an AlexNet, with and without frozen layers, beside Caffe, Chainer and PyTorch
    Train(train::Arguments),
    /// A real task, fine-tuned beside PyTorch: accuracy and time
    Task(task::Arguments),
    /// Read one file and write another, through a buffer of 1 MiB
    #[command(hide = true)]
    Copy { from: PathBuf, to: PathBuf },
}

pub(crate) fn run(benchmark: &Benchmark) -> Result<ExitCode> {
    match benchmark {
        Benchmark::Convert(arguments) => convert::run(arguments),
        Benchmark::Forward(arguments) => forward::run(arguments),
        Benchmark::Train(arguments) => train::run(arguments),
        Benchmark::Task(arguments) => task::run(arguments),
        Benchmark::Copy { from, to } => convert::copy(from, to),
    }
}
