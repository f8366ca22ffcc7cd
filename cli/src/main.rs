//! The program `rebrew`: what the crates do, from a command line.
//!
//! Exit codes: 0, it is done; 1, it ran, and the answer is no (`diff` or `verify` found differences, `--verify` failed, an image
//! could not be read, training was broken off); 2, it could not run, which one message on the error output explains.

#![forbid(unsafe_code)]

mod classify;
mod convert;
mod device;
mod diff;
mod failure;
mod finetune;
mod inputs;
mod inspect;
mod interrupt;
mod markup;
mod network;
mod noise;
mod notes;
mod plot;
mod progress;
mod report;
mod run;
mod table;
mod timing;
mod train;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

#[derive(Parser)]
#[command(name = "rebrew", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print errors only
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Show a model's layers, types, parameters and their shapes; any weight file's tensors
    Inspect(inspect::Arguments),
    /// Convert weights between Caffe, Chainer and safetensors files, or a net to ONNX
    Convert(convert::Arguments),
    /// Compare two weight files tensor by tensor, whatever their formats
    Diff(diff::Arguments),
    /// Run a net once and write its outputs
    Run(run::Arguments),
    /// Run two files of one net on the same input and compare them blob by blob
    Verify(verify::Arguments),
    Classify(classify::Arguments),
    Train(train::Arguments),
    Finetune(Box<finetune::Arguments>),
    /// Draw what a model holds, or how runs went
    #[command(subcommand)]
    Plot(plot::Plot),
    Report(report::Arguments),
}

/// What a command that ran has to say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let answer = match &arguments.command {
        Command::Inspect(command) => inspect::run(command, arguments.quiet),
        Command::Convert(command) => convert::run(command, arguments.quiet),
        Command::Diff(command) => diff::run(command, arguments.quiet),
        Command::Run(command) => run::run(command, arguments.quiet),
        Command::Verify(command) => verify::run(command, arguments.quiet),
        Command::Classify(command) => classify::run(command, arguments.quiet),
        Command::Train(command) => train::run(command, arguments.quiet),
        Command::Finetune(command) => finetune::run(command, arguments.quiet),
        Command::Plot(command) => plot::run(command, arguments.quiet),
        Command::Report(command) => report::run(command, arguments.quiet),
    };
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        // The reader of a pipe has seen enough: not an error.
        Err(Failure::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rebrew: {}", notes::lines(&failure.to_string()));
            ExitCode::from(2)
        }
    }
}

/// How prototxt files are read.
fn text_options(lenient: bool) -> caffe_proto::text::Options {
    caffe_proto::text::Options { lenient }
}
