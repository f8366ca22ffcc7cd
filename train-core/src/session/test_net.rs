//! A net that is tested with the weights of the one that learns (Caffe's Solver::Test).

use std::path::Path;

use caffe_proto::Model;
use caffe_proto::proto::Phase;
use kernels::Backend;

use super::nets::Named;
use super::supply::Supply;
use crate::error::Result;
use crate::network::Network;
use crate::params::Match;
use crate::plan::Options;

/// One value of a net's output.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The blob.
    pub name: String,
    /// The value; of a test, the mean over its batches.
    pub value: f32,
    /// Its part in the loss is this times the value.
    pub loss_weight: f32,
}

/// A test net with its data.
pub(super) struct TestNet {
    network: Network,
    supply: Supply,
    batches: usize,
}

impl TestNet {
    pub(super) fn open(
        named: Named,
        batches: usize,
        base: &Path,
        seed: u64,
        initialise: &mut dyn FnMut(&mut Network) -> Result<()>,
    ) -> Result<Self> {
        let mut network = Network::new(named.definition, &named.state)?;
        network.set_seed(seed);
        network.check_kinds()?;
        let supply = Supply::open(&mut network, Phase::Test, base, seed)?;
        initialise(&mut network)?;
        network.shapes()?;
        Ok(Self { network, supply, batches })
    }

    pub(super) fn supply(&self) -> &Supply {
        &self.supply
    }

    pub(super) fn supply_mut(&mut self) -> &mut Supply {
        &mut self.supply
    }

    /// The mean of each output over the test's batches, with the weights of `model` in the layers of the same names.
    pub(super) fn test(
        &mut self,
        model: &Model,
        backend: &dyn Backend,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Output>> {
        self.network.initialise_from_model(model, Match::ByName)?;
        let mut executor = self.network.executor(backend, &Options::default())?;
        let mut sums: Vec<(Output, f64)> = Vec::new();
        let mut done = 0;
        while done < self.batches && !(done > 0 && stop()) {
            self.supply.give(&mut |name, values| executor.set_input(name, values))?;
            executor.forward()?;
            let mut place = 0;
            for name in executor.outputs() {
                let (_, values) = executor.blob(name)?;
                for value in values {
                    if done == 0 {
                        let loss_weight = loss_weight(self.network.net(), name);
                        sums.push((Output { name: name.clone(), value: 0.0, loss_weight }, 0.0));
                    }
                    sums[place].1 += f64::from(value);
                    place += 1;
                }
            }
            done += 1;
        }
        let mean = |(output, sum): (Output, f64)| Output { value: (sum / done as f64) as f32, ..output };
        Ok(sums.into_iter().map(mean).collect())
    }
}

/// What the blob counts in the net's loss.
pub(super) fn loss_weight(net: &caffe_proto::net::Net, blob: &str) -> f32 {
    let layers = net.layers.iter().rev();
    let weight = { layers }.find_map(|layer| {
        let top = layer.tops.iter().position(|top| top == blob)?;
        layer.loss_weight.get(top).copied()
    });
    weight.unwrap_or(0.0)
}
