//! Images through the net: read ahead in other threads, so that the net does not wait for them.

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::inputs::View;
use super::model::Classifier;
use crate::failure::Failure;

/// How many images each reader may be ahead.
const AHEAD: usize = 4;

/// The most readers: one decodes about as fast as a small net runs.
const READERS: usize = 4;

/// What is called with each image in order: its scores, or why it has none.
pub(super) type Sink<'a> = dyn FnMut(&Path, Result<Vec<f32>, String>) -> Result<(), Failure> + 'a;

/// Images and how they are read.
pub(super) struct Feed<'a> {
    pub(super) images: &'a [PathBuf],
    pub(super) view: &'a View,
}

type Crops = Result<Vec<f32>, String>;

impl Feed<'_> {
    /// Gives every image's scores to `sink`, in order.
    pub(super) fn run(&self, classifier: &mut Classifier<'_>, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let readers = processors.min(READERS).min(self.images.len()).max(1);
        thread::scope(|scope| {
            // Reader k reads every image k, k + readers, …: so they come in order, and none is far ahead.
            let channels = (0..readers).map(|reader| {
                let (sender, receiver) = sync_channel(AHEAD);
                scope.spawn(move || self.read(reader, readers, &sender));
                receiver
            });
            let channels = channels.collect::<Vec<_>>();
            self.score(&channels, classifier, sink)
        })
    }

    fn read(&self, first: usize, step: usize, sender: &SyncSender<Crops>) {
        for path in self.images.iter().skip(first).step_by(step) {
            // A decoder that panics over a damaged file must not end the others.
            let crops = catch_unwind(AssertUnwindSafe(|| self.view.read(path)))
                .unwrap_or_else(|_| {
                    let what = format!("{}: the decoder gave up on this file", path.display());
                    Err(Failure::Message(what))
                })
                .map_err(|error| error.to_string());
            if sender.send(crops).is_err() {
                return;
            }
        }
    }

    fn score(
        &self,
        channels: &[Receiver<Crops>],
        classifier: &mut Classifier<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        let per_image = self.view.crops().len();
        let mut batch = Batch::new(classifier, per_image, self.view.len());
        // Those whose scores are not told yet: they wait for their batch to be full.
        let mut waiting: Vec<(&Path, Option<String>)> = Vec::new();
        for (index, path) in self.images.iter().enumerate() {
            let crops = channels[index % channels.len()].recv();
            let crops = crops.unwrap_or_else(|_| Err(format!("{}: its reader has ended", path.display())));
            match crops {
                Ok(crops) => {
                    waiting.push((path, None));
                    batch.add(&crops, classifier)?;
                }
                Err(error) => waiting.push((path, Some(error))),
            }
            tell(&mut waiting, &mut batch, sink)?;
        }
        batch.flush(classifier)?;
        tell(&mut waiting, &mut batch, sink)
    }
}

/// Crops until there are enough for the net, and scores until they are told.
struct Batch {
    crops: Vec<f32>,
    /// Values of the crops in it.
    filled: usize,
    len: usize,
    /// Crops of an image.
    per_image: usize,
    scores: Vec<f32>,
    classes: usize,
    /// Scores of the crops of images not told yet, crop by crop.
    done: VecDeque<f32>,
}

impl Batch {
    fn new(classifier: &Classifier<'_>, per_image: usize, len: usize) -> Self {
        Self {
            crops: vec![0.0; classifier.batch() * len],
            filled: 0,
            len,
            per_image,
            scores: vec![0.0; classifier.batch() * classifier.classes()],
            classes: classifier.classes(),
            done: VecDeque::new(),
        }
    }

    fn add(&mut self, crops: &[f32], classifier: &mut Classifier<'_>) -> Result<(), Failure> {
        for crop in crops.chunks_exact(self.len) {
            self.crops[self.filled..self.filled + self.len].copy_from_slice(crop);
            self.filled += self.len;
            if self.filled == self.crops.len() {
                self.flush(classifier)?;
            }
        }
        Ok(())
    }

    /// Scores what is there; the places that are left are empty, and their scores are dropped.
    fn flush(&mut self, classifier: &mut Classifier<'_>) -> Result<(), Failure> {
        if self.filled == 0 {
            return Ok(());
        }
        self.crops[self.filled..].fill(0.0);
        classifier.scores(&self.crops, &mut self.scores)?;
        self.done.extend(&self.scores[..self.filled / self.len * self.classes]);
        self.filled = 0;
        Ok(())
    }

    /// The next image's scores, if all its crops are done: their mean.
    fn next(&mut self) -> Option<Vec<f32>> {
        if self.done.len() < self.per_image * self.classes {
            return None;
        }
        let mut mean = vec![0.0; self.classes];
        for _ in 0..self.per_image {
            for (sum, score) in mean.iter_mut().zip(self.done.drain(..self.classes)) {
                *sum += score;
            }
        }
        for sum in &mut mean {
            *sum /= self.per_image as f32;
        }
        Some(mean)
    }
}

/// Tells the first images that wait, as far as they are done.
fn tell(
    waiting: &mut Vec<(&Path, Option<String>)>,
    batch: &mut Batch,
    sink: &mut Sink<'_>,
) -> Result<(), Failure> {
    let mut told = 0;
    for (path, error) in waiting.iter_mut() {
        let scores = match error.take() {
            Some(error) => Err(error),
            None => match batch.next() {
                Some(scores) => Ok(scores),
                None => break,
            },
        };
        sink(path, scores)?;
        told += 1;
    }
    waiting.drain(..told);
    Ok(())
}
