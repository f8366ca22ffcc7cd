//! Batches made ahead of time, by threads of their own.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::feed::{Chance, Feed};
use super::order::{Batches, Orders};
use super::random::{Draw, Purpose};
use super::{Ending, Error, Position, Result};

/// How a [`Loader`] goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Samples a batch.
    pub batch_size: usize,
    /// What all chance depends on.
    pub seed: u64,
    /// Whether each epoch has an order of its own, drawn by chance.
    pub shuffle: bool,
    /// What happens where an epoch ends within a batch.
    pub ending: Ending,
    /// Whether a broken sample is an error.
    pub strict: bool,
    /// Threads that make batches.
    pub threads: usize,
    /// The most batches that are made or being made, and not asked for yet. At least one a thread.
    pub ahead: usize,
}

/// A batch: the values of every top.
#[derive(Debug, Default)]
pub struct Batch {
    /// Top by top, sample by sample.
    pub tops: Vec<Vec<f32>>,
    /// Which sample is where in it.
    pub samples: Vec<usize>,
    /// How many of the samples count; the others fill the batch up ([`Ending::Fill`]).
    pub count: usize,
    /// The epoch of its first sample.
    pub epoch: u64,
    /// Where to go on after it.
    pub next: Position,
    /// Samples that were tried for it and could not be used.
    pub broken: Vec<Broken>,
}

/// A sample that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number.
    pub sample: usize,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
}

/// Makes batches in the background, and hands them out in order.
///
/// What is in a batch depends on the seed and its place alone, not on the threads: a loader that starts at a [`Position`]
/// that another came to goes on with the same bits.
///
/// A sample that cannot be read is replaced by the next in the epoch's order that can, so that batches keep their size and
/// their places; it is named and counted. Where that next one's own turn comes, it is used again. When more than half as
/// many are broken as were handed out, or a thousand in a row, that is an error; with `strict`, one is.
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    current: Batch,
    position: Position,
    /// Samples that were handed out.
    wanted: u64,
    broken: HashSet<usize>,
    named: Vec<Broken>,
}

struct Shared {
    feed: Arc<dyn Feed>,
    options: LoaderOptions,
    batches: Batches,
    orders: Orders,
    /// Values of one sample in each top.
    counts: Vec<usize>,
    state: Mutex<State>,
    /// A batch may be begun, or the threads shall end.
    work: Condvar,
    /// A batch was finished.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the batch to be begun next.
    begin: u64,
    /// The number of the batch to be handed out next.
    hand_out: u64,
    finished: BTreeMap<u64, Result<Batch>>,
    spare: Vec<Batch>,
    stop: bool,
}

/// The batch that is handed out next, which is finished and not handed out yet.
pub struct Upcoming<'l> {
    shared: &'l Shared,
    number: u64,
    batch: Batch,
}

/// How many samples in a row may be broken.
const MAX_IN_A_ROW: usize = 1000;
/// How many broken samples are kept by name.
const MAX_NAMED: usize = 1000;
/// From this many on, it matters what part of all they are.
const MANY_BROKEN: usize = 10;

impl LoaderOptions {
    /// Batches of a size, in the samples' own order, made by one thread.
    pub fn new(batch_size: usize) -> Self {
        Self {
            batch_size,
            seed: 0,
            shuffle: false,
            ending: Ending::Wrap,
            strict: false,
            threads: 1,
            ahead: 2,
        }
    }
}

impl Loader {
    /// Starts the threads. The first batch begins at `start`.
    ///
    /// # Errors
    /// When the position is not in the data, the batches are larger than memory can be, or no thread can be started.
    pub fn new(feed: Arc<dyn Feed>, options: LoaderOptions, start: Position) -> Result<Self> {
        let samples = feed.len();
        if start.index >= samples {
            return Err(Error::Position { epoch: start.epoch, index: start.index, samples });
        }
        let counts = feed.shapes().iter().map(|shape| shape.iter().product()).collect::<Vec<usize>>();
        let bytes = counts.iter().map(|&count| count.checked_mul(options.batch_size)?.checked_mul(4));
        if bytes.collect::<Option<Vec<_>>>().is_none() || u32::try_from(samples).is_err() {
            let what = format!("{samples} samples in batches of {} are too many", options.batch_size);
            return Err(Error::Sample { sample: feed.name(0), what });
        }
        let batch_size = options.batch_size.max(1);
        let threads = options.threads.max(1);
        let options = LoaderOptions { batch_size, threads, ahead: options.ahead.max(threads), ..options };
        let shared = Arc::new(Shared {
            batches: Batches { samples, size: batch_size, start, ending: options.ending },
            feed,
            options,
            orders: Orders::default(),
            counts,
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let mut loader = Self {
            shared,
            threads: Vec::new(),
            current: Batch::default(),
            position: start,
            wanted: 0,
            broken: HashSet::new(),
            named: Vec::new(),
        };
        for number in 0..threads {
            let shared = Arc::clone(&loader.shared);
            let thread = thread::Builder::new().name(format!("data {number}")).spawn(move || shared.work());
            // Threads that were started end when the loader is dropped.
            loader.threads.push(thread.map_err(|error| Error::Thread { what: error.to_string() })?);
        }
        Ok(loader)
    }

    /// The next batch; waits for it if it is not finished. The one before is overwritten in time.
    ///
    /// # Errors
    /// A broken sample with `strict`, too many broken ones otherwise, or a thread that panicked. After an error there is
    /// nothing but [`Error::Stopped`].
    pub fn next_batch(&mut self) -> Result<&Batch> {
        let used = std::mem::take(&mut self.current);
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if !used.tops.is_empty() {
            state.spare.push(used);
        }
        let finished = loop {
            if state.stop {
                return Err(Error::Stopped);
            }
            let number = state.hand_out;
            match state.finished.remove(&number) {
                Some(finished) => break finished,
                None => state = shared.done.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.hand_out += 1;
        drop(state);
        self.shared.work.notify_one();
        match finished.and_then(|batch| self.counted(batch)) {
            Ok(batch) => {
                self.position = batch.next;
                self.current = batch;
                Ok(&self.current)
            }
            Err(error) => {
                self.shared.stop();
                Err(error)
            }
        }
    }

    /// The batch that was handed out last.
    pub fn current(&self) -> &Batch {
        &self.current
    }

    /// The batch that [`next_batch`](Self::next_batch) will hand out, if it is finished. It is not handed out by this: the position stays.
    pub fn upcoming(&self) -> Option<Upcoming<'_>> {
        let mut state = self.shared.lock();
        let number = state.hand_out;
        if state.stop || !matches!(state.finished.get(&number), Some(Ok(_))) {
            return None;
        }
        let batch = state.finished.remove(&number)?.ok()?;
        Some(Upcoming { shared: &self.shared, number, batch })
    }

    /// Where the next batch begins: what a snapshot keeps.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What the samples come from.
    pub fn feed(&self) -> &Arc<dyn Feed> {
        &self.shared.feed
    }

    /// How many different samples could not be used, in the batches that were handed out.
    pub fn broken_count(&self) -> usize {
        self.broken.len()
    }

    /// The first thousand of them.
    pub fn broken(&self) -> &[Broken] {
        &self.named
    }

    fn counted(&mut self, batch: Batch) -> Result<Batch> {
        self.wanted += batch.samples.len() as u64;
        for broken in &batch.broken {
            if self.broken.insert(broken.sample) && self.named.len() < MAX_NAMED {
                self.named.push(broken.clone());
            }
        }
        let broken = self.broken.len();
        if let Some(first) =
            self.named.first().filter(|_| broken >= MANY_BROKEN && broken as u64 * 2 > self.wanted)
        {
            let first = format!("{}: {}", first.name, first.what);
            return Err(Error::MostBroken { broken, wanted: self.wanted, first });
        }
        Ok(batch)
    }
}

impl Deref for Upcoming<'_> {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

impl Drop for Upcoming<'_> {
    fn drop(&mut self) {
        self.shared.lock().finished.insert(self.number, Ok(std::mem::take(&mut self.batch)));
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread does not panic outside the making of a batch, where it is caught.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// What a thread does, until the loader ends.
    fn work(&self) {
        loop {
            let (number, batch) = {
                let mut state = self.lock();
                while !state.stop && state.begin >= state.hand_out + self.options.ahead as u64 {
                    state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.stop {
                    return;
                }
                let number = state.begin;
                state.begin += 1;
                (number, state.spare.pop().unwrap_or_default())
            };
            let made = catch_unwind(AssertUnwindSafe(|| self.make(number, batch)))
                .unwrap_or_else(|panic| Err(Error::Thread { what: said(&*panic) }));
            self.lock().finished.insert(number, made);
            self.done.notify_all();
        }
    }

    fn make(&self, number: u64, mut batch: Batch) -> Result<Batch> {
        let places = self.batches.places(number);
        batch.tops.resize_with(self.counts.len(), Vec::new);
        for (top, count) in batch.tops.iter_mut().zip(&self.counts) {
            top.resize(count * self.options.batch_size, 0.0);
        }
        batch.samples.clear();
        batch.broken.clear();
        batch.count = places.count;
        batch.epoch = places.all.first().map_or(0, |place| place.epoch);
        batch.next = places.next;
        for (at, &place) in places.all.iter().enumerate() {
            let tops = batch.tops.iter_mut().zip(&self.counts);
            let mut tops = tops.map(|(top, count)| &mut top[at * count..][..*count]).collect::<Vec<_>>();
            let sample = self.fill(place, &mut tops, &mut batch.broken)?;
            batch.samples.push(sample);
        }
        Ok(batch)
    }

    /// Fills a place with its sample, or with the next whole one.
    fn fill(&self, place: Position, tops: &mut [&mut [f32]], broken: &mut Vec<Broken>) -> Result<usize> {
        let samples = self.batches.samples;
        let LoaderOptions { seed, strict, .. } = self.options;
        let order = self.options.shuffle.then(|| self.orders.of(&*self.feed, seed, place.epoch));
        let sample_at = |index: usize| order.as_ref().map_or(index, |order| order[index] as usize);
        let own = sample_at(place.index);
        let tries = samples.min(MAX_IN_A_ROW);
        let before = broken.len();
        for next in 0..tries {
            let sample = sample_at((place.index + next) % samples);
            let mut chance = Chance(Draw::new(seed, Purpose::Augment, place.epoch, own));
            match self.feed.fill(sample, &mut chance, tops) {
                Ok(()) => return Ok(sample),
                Err(what) => {
                    let name = self.feed.name(sample);
                    if strict {
                        return Err(Error::Sample { sample: name, what });
                    }
                    broken.push(Broken { sample, name, what });
                }
            }
        }
        let first = broken.get(before).map(|broken| format!("{}: {}", broken.name, broken.what));
        Err(Error::AllBroken { tried: tries, first: first.unwrap_or_default() })
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.work.notify_all();
        self.done.notify_all();
    }

    /// Nothing that is done under the lock can leave it half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
