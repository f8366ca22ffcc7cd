//! Chance: streams of numbers that depend on nothing but what they are for.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The order of an epoch.
    Order = 1,
    /// Crop and mirroring of one sample in one epoch.
    Augment = 2,
    /// How many samples are passed over at the start.
    Skip = 3,
    /// Which samples of one class are held out: the class in the place of the epoch.
    HoldOut = 4,
}

/// A stream of random numbers.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of `seed` for one purpose in one epoch, and one sample where it is about one: the same numbers on every
    /// machine, whatever else was drawn before. All four are the cipher's key.
    pub(crate) fn new(seed: u64, purpose: Purpose, epoch: u64, sample: usize) -> Self {
        let mut key = [0; 32];
        let words = [seed, purpose as u64, epoch, sample as u64];
        for (place, word) in key.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Evenly one of the numbers below `end`; 0 when there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = end as u64;
        // Numbers from a last, incomplete round of 0..end are drawn again, so that none comes more often.
        let rest = (u64::MAX % end.max(1) + 1) % end.max(1);
        loop {
            let number = self.0.next_u64();
            if number <= u64::MAX - rest {
                return (number % end.max(1)) as usize;
            }
        }
    }

    /// Yes or no, each as often.
    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Brings `items` into one of all their orders (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            let chosen = self.below(end);
            items.swap(chosen, end - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_everything_it_is_for() {
        let first = |seed, purpose, epoch, sample| Draw::new(seed, purpose, epoch, sample).below(usize::MAX);
        let numbers = [
            first(1, Purpose::Augment, 2, 3),
            first(2, Purpose::Augment, 2, 3),
            first(1, Purpose::Order, 2, 3),
            first(1, Purpose::Augment, 3, 3),
            first(1, Purpose::Augment, 2, 4),
        ];
        for (at, number) in numbers.iter().enumerate() {
            assert!(!numbers[..at].contains(number));
        }
        // The same on every machine and in every version.
        assert_eq!(Draw::new(1, Purpose::Augment, 2, 3).below(1 << 32), 1_188_757_468);
    }

    #[test]
    fn every_order_comes_as_often() {
        let mut counts = std::collections::HashMap::new();
        let mut draw = Draw::new(7, Purpose::Order, 0, 0);
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            draw.shuffle(&mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert_eq!(draw.below(1), 0);
        assert_eq!(draw.below(0), 0);
    }
}
