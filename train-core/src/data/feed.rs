//! What fills a batch: samples, each a value of every top of a data layer.

use super::random::Draw;

/// Samples that can be written into a batch, in any order and from any thread.
pub trait Feed: Send + Sync {
    /// How many samples there are.
    fn len(&self) -> usize;

    /// The shape of one sample in each top, without the batch's axis; a label has none.
    fn shapes(&self) -> &[Vec<usize>];

    /// What to call a sample in a message.
    fn name(&self, sample: usize) -> String;

    /// Writes a sample into its place of each top.
    ///
    /// # Errors
    /// In words, without the name: why this one cannot be used. What was written then is of no account.
    fn fill(&self, sample: usize, chance: &mut Chance, tops: &mut [&mut [f32]]) -> Result<(), String>;

    /// Whether a sample is not the same each time, so that what a net makes of it cannot be kept.
    fn is_random(&self) -> bool {
        false
    }

    /// The samples in an order drawn by chance.
    fn shuffled(&self, chance: &mut Chance) -> Vec<u32> {
        let mut order = (0..self.len() as u32).collect::<Vec<_>>();
        chance.0.shuffle(&mut order);
        order
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Random numbers that depend on the seed, the epoch and the sample, and on nothing else.
pub struct Chance(pub(super) Draw);

impl Chance {
    /// Evenly one of the numbers below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    /// Yes or no, each as often.
    pub fn coin(&mut self) -> bool {
        self.0.coin()
    }
}
