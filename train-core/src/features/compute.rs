//! Runs the frozen part of a net.

use std::io;
use std::sync::Arc;

use kernels::Backend;

use super::file::{self, Writer};
use super::{Error, FeatureCache, FeatureFeed, Features, Fingerprint, Result, Split, Views};
use crate::data::{Ending, Feed as _, Loader, LoaderOptions, Position};
use crate::{Executor, Network, Options};

/// The frozen part of a net, ready to run.
pub struct Prefix<'b> {
    executor: Executor<'b>,
    input: String,
    blobs: Vec<String>,
    shapes: Vec<Vec<usize>>,
    batch_size: usize,
}

/// How features are computed.
pub struct Work<'w> {
    /// Whether an image that cannot be read is an error.
    pub strict: bool,
    /// Threads that read images.
    pub threads: usize,
    /// Is told how many of how many pieces are done; false breaks off.
    pub progress: &'w mut dyn FnMut(u64, u64) -> bool,
}

impl<'b> Prefix<'b> {
    /// Makes `network`, the frozen part that `split` has cut off, ready on `backend`.
    ///
    /// # Errors
    /// Those of [`Network::executor`].
    pub fn new(network: &Network, split: &Split, backend: &'b dyn Backend) -> Result<Self> {
        let options = Options { all_blobs: false, keep: split.blobs.clone() };
        let executor = network.executor(backend, &options)?;
        let shape = |name: &String| {
            let found = executor.blobs().find(|(blob, _)| blob == name);
            found.map(|(_, shape)| shape[1..].to_vec()).unwrap_or_default()
        };
        let shapes = split.blobs.iter().map(shape).collect();
        Ok(Self {
            shapes,
            input: split.input.clone(),
            blobs: split.blobs.clone(),
            batch_size: split.batch_size,
            executor,
        })
    }

    /// The shapes of what is cut, without the batch's axis.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// Computes what is cut, of a batch of images, blob by blob.
    ///
    /// # Errors
    /// Those of [`Executor::forward`].
    pub fn run(&mut self, images: &[f32], values: &mut Vec<Vec<f32>>) -> Result<()> {
        self.executor.set_input(&self.input, images)?;
        self.executor.forward()?;
        values.resize_with(self.blobs.len(), Vec::new);
        for ((name, shape), values) in self.blobs.iter().zip(&self.shapes).zip(values) {
            values.resize(self.batch_size * shape.iter().product::<usize>(), 0.0);
            self.executor.read(name, values)?;
        }
        Ok(())
    }

    /// The bytes that the features of `views` take.
    pub fn bytes(&self, views: &Views) -> u64 {
        file::size(views.len(), self.width())
    }

    /// The features of `views`: those kept in `cache` under `fingerprint`, or computed now and kept there; without a cache,
    /// in memory. Says whether they were there.
    ///
    /// # Errors
    /// When they cannot be computed or written.
    pub fn features(
        &mut self,
        views: Views,
        cache: Option<&FeatureCache>,
        fingerprint: Fingerprint,
        work: &mut Work<'_>,
    ) -> Result<(FeatureFeed, bool)> {
        let (rows, width) = (views.len(), self.width());
        let fits = |found: &Features| found.rows() == rows && found.width() == width;
        let found = cache.and_then(|cache| cache.find(fingerprint)).filter(fits);
        let views = Arc::new(views);
        let was_there = found.is_some();
        let features = match found {
            Some(features) => features,
            None => self.compute(&views, cache, fingerprint, work)?,
        };
        let views = Arc::into_inner(views).unwrap_or_else(|| unreachable!("the loader has ended"));
        Ok((FeatureFeed::new(Arc::new(features), views, self.shapes.clone()), was_there))
    }

    fn compute(
        &mut self,
        views: &Arc<Views>,
        cache: Option<&FeatureCache>,
        fingerprint: Fingerprint,
        work: &mut Work<'_>,
    ) -> Result<Features> {
        let rows = views.len();
        if let Some(cache) = cache {
            cache.make_room(self.bytes(views))?;
        }
        let path = cache.map(|cache| cache.path(fingerprint));
        let failed = |source: io::Error| Error::Write { path: path.clone().unwrap_or_default(), source };
        let mut writer = Writer::new(path.as_deref(), fingerprint, rows, self.width()).map_err(failed)?;
        let options = LoaderOptions {
            ending: Ending::Fill,
            strict: work.strict,
            threads: work.threads,
            ahead: work.threads + 1,
            ..LoaderOptions::new(self.batch_size)
        };
        let mut loader = Loader::new(Arc::clone(views) as Arc<_>, options, Position::default())?;
        let counts = self.shapes.iter().map(|shape| shape.iter().product()).collect::<Vec<usize>>();
        let (mut done, mut values) = (0, Vec::new());
        while done < rows {
            let batch = loader.next_batch()?;
            self.run(&batch.tops[0], &mut values)?;
            for (at, &sample) in batch.samples[..batch.count].iter().enumerate() {
                if sample == done {
                    let mut parts =
                        values.iter().zip(&counts).map(|(values, &count)| &values[at * count..][..count]);
                    let mut parts = parts.by_ref().collect::<Vec<_>>();
                    parts.push(&batch.tops[1][at..=at]);
                    writer.row(&parts).map_err(failed)?;
                } else {
                    let broken = batch.broken.iter().find(|broken| broken.sample == done);
                    writer
                        .broken(broken.map_or_else(String::new, |broken| broken.what.clone()))
                        .map_err(failed)?;
                }
                done += 1;
            }
            if !(work.progress)(done as u64, rows as u64) {
                return Err(Error::Stopped);
            }
        }
        writer.finish(fingerprint)
    }

    /// Numbers a row: all that is cut, and the label.
    fn width(&self) -> usize {
        self.shapes.iter().map(|shape| shape.iter().product::<usize>()).sum::<usize>() + 1
    }
}
