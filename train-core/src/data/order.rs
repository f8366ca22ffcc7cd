//! Which samples a batch is made of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::feed::{Chance, Feed};
use super::random::{Draw, Purpose};

/// A place in the endless row of epochs: where a run stands, and can go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// How many of its samples were passed.
    pub index: usize,
}

/// What happens where an epoch ends within a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The batch goes on with the next epoch, as in Caffe: for training.
    #[default]
    Wrap,
    /// The batch is filled up with the epoch's first samples, and says how many of its samples count: for validation, where
    /// each counts once.
    Fill,
}

/// Divides the epochs into batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batches {
    pub(super) samples: usize,
    /// Samples a batch.
    pub(super) size: usize,
    pub(super) start: Position,
    pub(super) ending: Ending,
}

/// A batch's samples, as places in the epochs' orders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) all: Vec<Position>,
    /// How many of them count.
    pub(super) count: usize,
    /// Where the next batch begins.
    pub(super) next: Position,
}

/// The order of each epoch's samples.
#[derive(Debug, Default)]
pub(super) struct Orders {
    kept: Mutex<VecDeque<(u64, Arc<Vec<u32>>)>>,
}

/// How many epochs' orders are kept: a batch can lie in two.
const KEPT: usize = 2;

impl Batches {
    /// The batch of this number, counted from the start.
    pub(super) fn places(&self, batch: u64) -> Places {
        let (samples, size, start) = (self.samples as u64, self.size as u64, self.start);
        match self.ending {
            Ending::Wrap => {
                let first = start.index as u64 + batch * size;
                let at = |sample: u64| Position {
                    epoch: start.epoch + sample / samples,
                    index: (sample % samples) as usize,
                };
                let places = (first..first + size).map(at).collect();
                Places { all: places, count: self.size, next: at(first + size) }
            }
            Ending::Fill => {
                let in_first = (samples - start.index as u64).div_ceil(size);
                let (epoch, from) = if batch < in_first {
                    (start.epoch, start.index as u64 + batch * size)
                } else {
                    let (batch, in_each) = (batch - in_first, samples.div_ceil(size));
                    (start.epoch + 1 + batch / in_each, batch % in_each * size)
                };
                let count = size.min(samples - from);
                let fill = (from..samples).take(count as usize).chain((0..samples).cycle());
                let places = fill.take(self.size).map(|index| Position { epoch, index: index as usize });
                let end = from + count;
                let next = if end == samples {
                    Position { epoch: epoch + 1, index: 0 }
                } else {
                    Position { epoch, index: end as usize }
                };
                Places { all: places.collect(), count: count as usize, next }
            }
        }
    }
}

impl Orders {
    /// The order of one epoch: drawn from the seed and the epoch's number alone.
    pub(super) fn of(&self, feed: &dyn Feed, seed: u64, epoch: u64) -> Arc<Vec<u32>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = kept.iter().find(|(number, _)| *number == epoch) {
            return Arc::clone(order);
        }
        let mut chance = Chance(Draw::new(seed, Purpose::Order, epoch, 0));
        let order = Arc::new(feed.shuffled(&mut chance));
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((epoch, Arc::clone(&order)));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(ending: Ending, start: (u64, usize)) -> Batches {
        let start = Position { epoch: start.0, index: start.1 };
        Batches { samples: 5, size: 3, start, ending }
    }

    fn shown(batches: Batches, batch: u64) -> (Vec<(u64, usize)>, usize, (u64, usize)) {
        let Places { all, count, next } = batches.places(batch);
        (all.iter().map(|place| (place.epoch, place.index)).collect(), count, (next.epoch, next.index))
    }

    #[test]
    fn batches_run_over_the_end_of_an_epoch() {
        let batches = batches(Ending::Wrap, (0, 0));
        assert_eq!(shown(batches, 0), (vec![(0, 0), (0, 1), (0, 2)], 3, (0, 3)));
        assert_eq!(shown(batches, 1), (vec![(0, 3), (0, 4), (1, 0)], 3, (1, 1)));
        assert_eq!(shown(batches, 2), (vec![(1, 1), (1, 2), (1, 3)], 3, (1, 4)));
    }

    #[test]
    fn batches_end_with_the_epoch() {
        let batches = batches(Ending::Fill, (0, 0));
        assert_eq!(shown(batches, 1), (vec![(0, 3), (0, 4), (0, 0)], 2, (1, 0)));
        assert_eq!(shown(batches, 2), (vec![(1, 0), (1, 1), (1, 2)], 3, (1, 3)));
        let larger = Batches { size: 12, ..batches };
        let (places, count, next) = shown(larger, 1);
        assert_eq!((places[5], places[11], count, next), ((1, 0), (1, 1), 5, (2, 0)));
    }

    #[test]
    fn any_batch_can_be_a_start() {
        for ending in [Ending::Wrap, Ending::Fill] {
            let whole = batches(ending, (2, 1));
            for at in 1..9 {
                let next = whole.places(at - 1).next;
                let rest = batches(ending, (next.epoch, next.index));
                for after in 0..9 {
                    assert_eq!(
                        rest.places(after),
                        whole.places(at + after),
                        "{ending:?}, {after} after {at}"
                    );
                }
            }
        }
    }
}
