//! Our side of `cargo xtask bench train`: `train_worker THREADS`.

use benches::worker::{Case, Result, read_floats, serve};
use caffe_proto::open_definition;
use caffe_proto::proto::{NetState, Phase};
use kernels::CpuBackend;
use train_core::optim::{Adam, Optimizer};
use train_core::{Match, Network, Trainee, TrainingOptions};
use weight_io::Weights;

/// As in worker/train.py.
const RATE: f64 = 1e-5;
const STEPS: usize = 2;

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).ok_or("how many threads?")?.parse()?;
    let cpu = CpuBackend::new(threads)?;
    serve(|words| {
        // The definition has the shape and the dropout ratio.
        let &[definition, weights, _, images, labels, frozen, _] = words else {
            return Err("seven words, please".into());
        };
        let mut step = Step::new(&cpu, threads, [definition, weights], frozen)?;
        step.images = read_floats(images)?;
        step.labels = read_floats(labels)?;
        let mut losses = Vec::new();
        for _ in 0..STEPS {
            step.run()?;
            losses.push(step.loss as f32);
        }
        Ok((step, losses))
    })
}

/// A net in training, and the batch it is trained on.
struct Step<'b> {
    trainee: Trainee<'b>,
    optimizer: Optimizer,
    images: Vec<f32>,
    labels: Vec<f32>,
    loss: f64,
}

impl<'b> Step<'b> {
    fn new(
        cpu: &'b CpuBackend,
        threads: usize,
        [definition, weights]: [&str; 2],
        frozen: &str,
    ) -> Result<Self> {
        let definition = open_definition(definition, caffe_proto::text::Options::default())?;
        let definition = definition.definition.ok_or("no definition")?;
        let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
        let mut network = Network::new(definition, &state)?;
        network.initialise_from(&Weights::open(weights)?, Match::ByName)?;
        let frozen = frozen.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let trainee = network.trainee(cpu, &TrainingOptions { frozen, ..TrainingOptions::default() })?;
        let rule = Adam { rate: RATE, ..Adam::default() };
        let mut optimizer = Optimizer::new(Box::new(rule), trainee.infos().to_vec());
        optimizer.set_threads(threads);
        Ok(Self { trainee, optimizer, images: Vec::new(), labels: Vec::new(), loss: 0.0 })
    }
}

impl Case for Step<'_> {
    fn run(&mut self) -> Result<()> {
        self.trainee.set_input("data", &self.images)?;
        self.trainee.set_input("label", &self.labels)?;
        self.trainee.clear_gradients();
        self.trainee.forward()?;
        self.loss = self.trainee.loss()?;
        self.trainee.backward()?;
        Ok(self.optimizer.update(&mut self.trainee.params())?)
    }
}
