//! Our side of `cargo xtask bench forward`: `forward_worker THREADS`.

use benches::worker::{Case, Result, read_floats, read_shape, serve};
use caffe_proto::open_definition;
use caffe_proto::proto::NetState;
use kernels::CpuBackend;
use train_core::{Executor, Match, Network, Options};
use weight_io::Weights;

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).ok_or("how many threads?")?.parse()?;
    let cpu = CpuBackend::new(threads)?;
    serve(|words| {
        let &[definition, weights, shape, input] = words else { return Err("four words, please".into()) };
        let mut pass = Pass::new(&cpu, definition, weights, shape, input)?;
        pass.run()?;
        let result = pass.output.clone();
        Ok((pass, result))
    })
}

/// A net and what it runs on.
struct Pass<'b> {
    executor: Executor<'b>,
    name: String,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl<'b> Pass<'b> {
    fn new(cpu: &'b CpuBackend, definition: &str, weights: &str, shape: &str, input: &str) -> Result<Self> {
        let definition = open_definition(definition, caffe_proto::text::Options::default())?;
        let definition = definition.definition.ok_or("no definition")?;
        let mut network = Network::new(definition, &NetState::default())?;
        network.set_input_shape("data", read_shape(shape)?);
        network.initialise_from(&Weights::open(weights)?, Match::ByName)?;
        let executor = network.executor(cpu, &Options::default())?;
        let name = executor.outputs().last().ok_or("no output")?.clone();
        let output = executor.blob(&name)?.1;
        Ok(Self { executor, name, input: read_floats(input)?, output })
    }
}

impl Case for Pass<'_> {
    fn run(&mut self) -> Result<()> {
        self.executor.set_input("data", &self.input)?;
        self.executor.forward()?;
        Ok(self.executor.read(&self.name, &mut self.output)?)
    }
}
