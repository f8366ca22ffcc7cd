//! The data of a net's data layers, batch by batch.

use std::path::Path;

use caffe_proto::proto::Phase;

use crate::data::{Broken, DataLayer, Loader, LoaderOptions, Position};
use crate::error::{Error, Result};
use crate::network::Network;

/// The loaders of a net's data layers.
pub(super) struct Supply(Vec<Stream>);

struct Stream {
    layer: DataLayer,
    tops: Vec<String>,
    seed: u64,
    loader: Loader,
    told: usize,
}

/// Threads that make batches of one layer.
const THREADS: usize = 2;

impl Supply {
    /// Opens the data of `network`, and tells it their shapes.
    pub(super) fn open(network: &mut Network, phase: Phase, base: &Path, seed: u64) -> Result<Self> {
        let mut streams = Vec::new();
        let given: Vec<_> = network.net().layers.iter().filter(|layer| layer.is_given()).cloned().collect();
        for layer in given {
            let data = DataLayer::open(&layer, phase, base)?;
            for (top, shape) in layer.tops.iter().zip(data.shapes()) {
                network.set_input_shape(top, shape);
            }
            let loader = start(&data, seed, data.start(seed))?;
            streams.push(Stream { layer: data, tops: layer.tops, seed, loader, told: 0 });
        }
        Ok(Self(streams))
    }

    /// Gives the next batch of every layer, top by top; returns how many samples the first layer's has.
    pub(super) fn give(&mut self, set: &mut dyn FnMut(&str, &[f32]) -> Result<()>) -> Result<usize> {
        for stream in &mut self.0 {
            let batch = stream.loader.next_batch()?;
            for (top, values) in stream.tops.iter().zip(&batch.tops) {
                set(top, values)?;
            }
        }
        Ok(self.0.first().map_or(0, |stream| stream.layer.batch_size))
    }

    /// Shows the batches that [`give`](Self::give) gives next, if they are all there by now; says whether they are.
    pub(super) fn show_upcoming(&self, set: &mut dyn FnMut(&str, &[f32]) -> Result<()>) -> Result<bool> {
        let upcoming = self.0.iter().map(|stream| stream.loader.upcoming());
        let Some(upcoming) = upcoming.collect::<Option<Vec<_>>>() else { return Ok(false) };
        for (stream, batch) in self.0.iter().zip(&upcoming) {
            for (top, values) in stream.tops.iter().zip(&batch.tops) {
                set(top, values)?;
            }
        }
        Ok(!upcoming.is_empty())
    }

    /// Takes the next batch of every layer, which were shown; returns how many samples the first layer's has.
    pub(super) fn pass_over(&mut self) -> Result<usize> {
        self.give(&mut |_, _| Ok(()))
    }

    /// Where each layer's data go on.
    pub(super) fn positions(&self) -> Vec<Position> {
        self.0.iter().map(|stream| stream.loader.position()).collect()
    }

    /// Goes on from there.
    pub(super) fn go_to(&mut self, positions: &[Position]) -> Result<()> {
        if positions.len() != self.0.len() {
            return Err(Error::State {
                key: "data".to_owned(),
                what: format!(
                    "knows the place in {} sources of data, the net has {}",
                    positions.len(),
                    self.0.len()
                ),
            });
        }
        for (stream, &position) in self.0.iter_mut().zip(positions) {
            stream.loader = start(&stream.layer, stream.seed, position)?;
            stream.told = 0;
        }
        Ok(())
    }

    /// How often the first layer's data were passed through.
    pub(super) fn epoch(&self) -> f64 {
        self.0.first().map_or(0.0, |stream| {
            let Position { epoch, index } = stream.loader.position();
            epoch as f64 + index as f64 / stream.layer.feed.len().max(1) as f64
        })
    }

    /// The samples that could not be used, of those that were not told of yet.
    pub(super) fn broken(&mut self) -> Vec<Broken> {
        let mut broken = Vec::new();
        for stream in &mut self.0 {
            let all = stream.loader.broken();
            broken.extend_from_slice(&all[stream.told..]);
            stream.told = all.len();
        }
        broken
    }
}

fn start(layer: &DataLayer, seed: u64, position: Position) -> Result<Loader> {
    let options = LoaderOptions { threads: THREADS, ..layer.options(seed) };
    Ok(Loader::new(layer.feed.clone(), options, position)?)
}
