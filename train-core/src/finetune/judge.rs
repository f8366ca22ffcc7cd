//! Judges a net by images that it has not learned from.

use std::sync::Arc;
use std::time::Instant;

use crate::data::{Ending, Feed, Loader, LoaderOptions, Position};
use crate::features::Prefix;
use crate::run::Judged;
use crate::{Executor, Result};

/// How a net has judged images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The mean cross entropy.
    pub loss: f64,
    /// The part that was classified right.
    pub accuracy: f64,
    /// How long it took.
    pub seconds: f64,
    /// The images, in the data's order; those that cannot be read are left out.
    pub images: Vec<Judged>,
    /// Which sample each of them is.
    pub samples: Vec<usize>,
}

/// A net that judges.
pub(super) struct Judge<'j, 'b> {
    pub(super) executor: &'j mut Executor<'b>,
    /// What runs before it, when the images come as they are.
    pub(super) prefix: Option<&'j mut Prefix<'b>>,
    /// The inputs.
    pub(super) inputs: &'j [String],
    pub(super) scores: &'j str,
    pub(super) batch_size: usize,
    pub(super) strict: bool,
    pub(super) threads: usize,
}

impl Judge<'_, '_> {
    /// Judges every sample of `feed` once.
    pub(super) fn all(&mut self, feed: &Arc<dyn Feed>) -> std::result::Result<Judgement, super::Error> {
        let begun = Instant::now();
        let options = LoaderOptions {
            ending: Ending::Fill,
            strict: self.strict,
            threads: self.threads,
            ahead: self.threads + 1,
            ..LoaderOptions::new(self.batch_size)
        };
        let mut loader = Loader::new(Arc::clone(feed), options, Position::default())?;
        let (mut judgement, mut done) = (Judgement::default(), 0);
        let mut cut = Vec::new();
        while done < feed.len() {
            let batch = loader.next_batch()?;
            let (labels, values) =
                batch.tops.split_last().unwrap_or_else(|| unreachable!("labels are the last top"));
            match &mut self.prefix {
                Some(prefix) => {
                    prefix.run(&values[0], &mut cut)?;
                    self.run(&cut)?;
                }
                None => self.run(values)?,
            }
            let (shape, scores) = self.executor.blob(self.scores)?;
            let classes = shape.iter().skip(1).product::<usize>();
            for (at, &sample) in batch.samples[..batch.count].iter().enumerate() {
                // Another in the place of one that cannot be read has a turn of its own.
                if sample == done {
                    let scores = &scores[at * classes..][..classes];
                    judgement.add(feed.name(sample), sample, scores, labels[at] as usize);
                }
                done += 1;
            }
        }
        let count = judgement.images.len() as f64;
        judgement.loss /= count;
        judgement.accuracy /= count;
        judgement.seconds = begun.elapsed().as_secs_f64();
        Ok(judgement)
    }

    fn run(&mut self, values: &[Vec<f32>]) -> Result<()> {
        for (name, values) in self.inputs.iter().zip(values) {
            self.executor.set_input(name, values)?;
        }
        self.executor.forward()
    }
}

impl Judgement {
    /// Whether it is better than another: more right, or as many with less loss.
    pub fn is_better_than(&self, accuracy: f64, loss: f64) -> bool {
        self.accuracy > accuracy || (self.accuracy == accuracy && self.loss < loss)
    }

    fn add(&mut self, name: String, sample: usize, scores: &[f32], label: usize) {
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let predicted = scores.iter().position(|&score| score == most).unwrap_or(0);
        let sum: f64 = scores.iter().map(|&score| f64::from(score - most).exp()).sum();
        self.loss += sum.ln() - f64::from(scores[label] - most);
        self.accuracy += f64::from(u8::from(predicted == label));
        self.samples.push(sample);
        self.images.push(Judged { name, label, predicted, probability: 1.0 / sum, picture: None });
    }
}
