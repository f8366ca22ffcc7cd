//! Our side of `cargo xtask bench forward`: a net that stays loaded and runs passes when told to.
//!
//! `forward_worker THREADS` speaks the lines that xtask/src/bench/worker.rs describes.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use caffe_proto::open_definition;
use caffe_proto::proto::NetState;
use kernels::CpuBackend;
use train_core::{Executor, Match, Network, Options};
use weight_io::Weights;

/// Seconds, for the processors and the pool's threads are half asleep after a wait.
const WARM_UP: f64 = 0.06;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).ok_or("how many threads?")?.parse()?;
    let cpu = CpuBackend::new(threads)?;
    let mut loaded = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words = line.split('\t').collect::<Vec<_>>();
        let answer = match answer(&cpu, &mut loaded, &words) {
            Ok(answer) => answer,
            Err(error) => format!("error {}", error.to_string().replace('\n', " ")),
        };
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// A net and what it runs on.
struct Loaded<'b> {
    executor: Executor<'b>,
    name: String,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl<'b> Loaded<'b> {
    fn new(cpu: &'b CpuBackend, definition: &str, weights: &str, shape: &str, input: &str) -> Result<Self> {
        let definition = open_definition(definition, caffe_proto::text::Options::default())?;
        let definition = definition.definition.ok_or("no definition")?;
        let mut network = Network::new(definition, &NetState::default())?;
        let shape = shape.split(',').map(str::parse).collect::<std::result::Result<Vec<usize>, _>>()?;
        network.set_input_shape("data", shape);
        network.initialise_from(&Weights::open(weights)?, Match::ByName)?;
        let executor = network.executor(cpu, &Options::default())?;
        let name = executor.outputs().last().ok_or("no output")?.clone();
        let output = executor.blob(&name)?.1;
        let input = fs::read(input)?;
        let input = input.chunks_exact(4).map(|bytes| Ok(f32::from_ne_bytes(bytes.try_into()?)));
        Ok(Self { executor, name, input: input.collect::<Result<_>>()?, output })
    }

    fn run(&mut self) -> Result<()> {
        self.executor.set_input("data", &self.input)?;
        self.executor.forward()?;
        Ok(self.executor.read(&self.name, &mut self.output)?)
    }

    /// The mean time of as many passes as take so many seconds.
    fn passes(&mut self, seconds: f64) -> Result<f64> {
        let (start, mut passes) = (Instant::now(), 0);
        loop {
            self.run()?;
            passes += 1;
            let spent = start.elapsed().as_secs_f64();
            if spent >= seconds {
                return Ok(spent / f64::from(passes));
            }
        }
    }
}

fn answer<'b>(cpu: &'b CpuBackend, loaded: &mut Option<Loaded<'b>>, words: &[&str]) -> Result<String> {
    match *words {
        ["load", definition, weights, shape, input, output] => {
            *loaded = None;
            let loaded = loaded.insert(Loaded::new(cpu, definition, weights, shape, input)?);
            loaded.run()?;
            let bytes = loaded.output.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>();
            fs::write(output, bytes)?;
            Ok("ok".to_owned())
        }
        ["run", seconds] => {
            let loaded = loaded.as_mut().ok_or("nothing is loaded")?;
            loaded.passes(WARM_UP)?;
            Ok(loaded.passes(seconds.parse()?)?.to_string())
        }
        _ => Err("no such request".into()),
    }
}
