//! The loader: the same bits whatever the threads, going on where another stopped, broken samples, and its end.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use train_core::data::{Batch, Chance, Ending, Error, Feed, Loader, LoaderOptions, Position};

/// Samples that are their number and something drawn by chance.
struct Numbers {
    count: usize,
    shapes: Vec<Vec<usize>>,
    broken: fn(usize) -> bool,
    panics: fn(usize) -> bool,
    filled: AtomicUsize,
}

impl Numbers {
    fn new(count: usize) -> Self {
        let shapes = vec![vec![2, 3], vec![]];
        Self { count, shapes, broken: |_| false, panics: |_| false, filled: AtomicUsize::new(0) }
    }
}

impl Feed for Numbers {
    fn len(&self) -> usize {
        self.count
    }

    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    fn name(&self, sample: usize) -> String {
        format!("number {sample}")
    }

    fn fill(&self, sample: usize, chance: &mut Chance, tops: &mut [&mut [f32]]) -> Result<(), String> {
        self.filled.fetch_add(1, Ordering::Relaxed);
        assert!(!(self.panics)(sample), "panicked as asked");
        // Threads overtake each other.
        if sample.is_multiple_of(5) {
            thread::sleep(Duration::from_micros(300));
        }
        tops[0].fill_with(|| chance.below(1000) as f32);
        tops[1].fill(if chance.coin() { sample as f32 } else { -(sample as f32) });
        if (self.broken)(sample) { Err("it is odd".to_owned()) } else { Ok(()) }
    }
}

#[test]
fn threads_make_no_difference() {
    for (shuffle, ending) in [(false, Ending::Wrap), (true, Ending::Wrap), (true, Ending::Fill)] {
        let batches = |threads, ahead| {
            let feed = Numbers { broken: |sample| sample % 7 == 3, ..Numbers::new(23) };
            let options = LoaderOptions { seed: 5, shuffle, ending, threads, ahead, ..LoaderOptions::new(4) };
            taken(&mut Loader::new(Arc::new(feed), options, Position::default()).unwrap(), 20)
        };
        let one = batches(1, 1);
        for (threads, ahead) in [(2, 2), (3, 9), (7, 1)] {
            assert_eq!(batches(threads, ahead), one, "{threads} threads, {ahead} ahead, {ending:?}");
        }
    }
}

#[test]
fn what_is_shown_before_is_handed_out_then() {
    let feed: Arc<dyn Feed> = Arc::new(Numbers { broken: |sample| sample == 8, ..Numbers::new(11) });
    let options = LoaderOptions { seed: 9, shuffle: true, threads: 3, ahead: 4, ..LoaderOptions::new(3) };
    let [mut loader, mut other] =
        [1, 2].map(|_| Loader::new(feed.clone(), options, Position::default()).unwrap());
    for _ in 0..12 {
        let before = (loader.position(), loader.broken_count());
        let deadline = Instant::now() + Duration::from_secs(20);
        let shown = loop {
            if let Some(upcoming) = loader.upcoming() {
                break (upcoming.tops.clone(), upcoming.next);
            }
            assert!(Instant::now() < deadline, "no batch is made");
            thread::sleep(Duration::from_micros(100));
        };
        // As often as one likes.
        assert_eq!(loader.upcoming().map(|upcoming| upcoming.next), Some(shown.1));
        assert_eq!((loader.position(), loader.broken_count()), before);
        let expected = other.next_batch().unwrap();
        assert_eq!(shown, (expected.tops.clone(), expected.next));
        loader.next_batch().unwrap();
        assert_eq!((&loader.current().tops, loader.position()), (&expected.tops, shown.1));
    }
}

#[test]
fn a_run_goes_on_where_another_stopped() {
    let feed: Arc<dyn Feed> = Arc::new(Numbers { broken: |sample| sample == 8, ..Numbers::new(11) });
    for ending in [Ending::Wrap, Ending::Fill] {
        let options = LoaderOptions { seed: 9, shuffle: true, ending, threads: 2, ..LoaderOptions::new(3) };
        let mut whole = Loader::new(feed.clone(), options, Position::default()).unwrap();
        let mut starts = Vec::new();
        let mut batches = Vec::new();
        for _ in 0..16 {
            starts.push(whole.position());
            batches.extend(taken(&mut whole, 1));
        }
        for (at, &start) in starts.iter().enumerate() {
            let mut rest = Loader::new(feed.clone(), options, start).unwrap();
            assert_eq!(rest.position(), start);
            assert_eq!(taken(&mut rest, 16 - at), batches[at..], "{ending:?}, from {start:?}");
        }
    }
}

#[test]
fn every_epoch_has_each_sample_once_in_an_order_of_its_own() {
    let orders = |seed| {
        let options = LoaderOptions { seed, shuffle: true, ..LoaderOptions::new(10) };
        let mut loader = Loader::new(Arc::new(Numbers::new(30)), options, Position::default()).unwrap();
        let samples = (0..9).flat_map(|_| loader.next_batch().unwrap().samples.clone()).collect::<Vec<_>>();
        samples.chunks_exact(30).map(<[usize]>::to_vec).collect::<Vec<_>>()
    };
    let [first, second] = [1, 2].map(orders);
    let all = first.iter().chain(&second).collect::<Vec<_>>();
    for (at, order) in all.iter().enumerate() {
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), 30);
        assert!(!all[..at].contains(order));
    }
}

#[test]
fn a_broken_sample_is_named_counted_and_replaced_by_the_next() {
    let feed = Numbers { broken: |sample| sample == 2 || sample == 3 || sample == 9, ..Numbers::new(10) };
    let mut loader = Loader::new(Arc::new(feed), LoaderOptions::new(5), Position::default()).unwrap();
    assert_eq!(loader.next_batch().unwrap().samples, [0, 1, 4, 4, 4]);
    assert_eq!(loader.broken_count(), 2);
    assert_eq!(loader.broken()[0].name, "number 2");
    assert_eq!(loader.broken()[0].what, "it is odd");
    // After the epoch's last comes its first.
    assert_eq!(loader.next_batch().unwrap().samples, [5, 6, 7, 8, 0]);
    for _ in 0..10 {
        loader.next_batch().unwrap();
    }
    assert_eq!(loader.broken_count(), 3);
}

#[test]
fn strict_stops_at_the_first_broken_sample() {
    for threads in [1, 3] {
        let feed = Numbers { broken: |sample| sample == 7 || sample == 8, ..Numbers::new(20) };
        let options = LoaderOptions { strict: true, threads, ..LoaderOptions::new(3) };
        let mut loader = Loader::new(Arc::new(feed), options, Position::default()).unwrap();
        assert_eq!(taken(&mut loader, 2).len(), 2);
        assert_eq!(loader.next_batch().unwrap_err().to_string(), "number 7: it is odd");
        assert!(matches!(loader.next_batch(), Err(Error::Stopped)));
    }
}

#[test]
fn mostly_broken_is_an_error() {
    let error = |count, broken: fn(usize) -> bool| {
        let feed = Numbers { broken, ..Numbers::new(count) };
        let mut loader = Loader::new(Arc::new(feed), LoaderOptions::new(4), Position::default()).unwrap();
        (0..1000).find_map(|_| loader.next_batch().err()).map(|error| error.to_string())
    };
    let all = error(50, |_| true);
    assert_eq!(all.unwrap(), "none of 50 samples in a row can be used; the first: number 0: it is odd");
    let most = error(500, |sample| sample % 5 != 0).unwrap();
    assert!(most.ends_with("were needed; the first: number 1: it is odd"), "{most}");
    assert_eq!(error(500, |sample| sample % 5 == 0), None);
}

#[test]
fn a_panic_is_an_error() {
    for threads in [1, 4] {
        let feed = Numbers { panics: |sample| sample >= 6, ..Numbers::new(20) };
        let options = LoaderOptions { threads, ..LoaderOptions::new(3) };
        let mut loader = Loader::new(Arc::new(feed), options, Position::default()).unwrap();
        assert_eq!(taken(&mut loader, 2).len(), 2);
        let error = loader.next_batch().unwrap_err();
        assert!(matches!(&error, Error::Thread { what } if what == "panicked as asked"), "{error}");
        assert!(matches!(loader.next_batch(), Err(Error::Stopped)));
    }
}

#[test]
fn threads_end_with_their_loader() {
    let feed = Arc::new(Numbers::new(100));
    for taken in [0, 1, 5] {
        let options = LoaderOptions { threads: 3, ahead: 4, ..LoaderOptions::new(8) };
        let mut loader = Loader::new(feed.clone(), options, Position::default()).unwrap();
        for _ in 0..taken {
            loader.next_batch().unwrap();
        }
        drop(loader);
        assert_eq!(Arc::strong_count(&feed), 1);
    }
}

#[test]
fn the_queue_is_bounded_and_its_buffers_are_used_again() {
    let feed = Arc::new(Numbers::new(100));
    let options = LoaderOptions { threads: 2, ahead: 3, ..LoaderOptions::new(5) };
    let mut loader = Loader::new(feed.clone(), options, Position::default()).unwrap();
    let start = Instant::now();
    while feed.filled.load(Ordering::Relaxed) < 15 && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!(feed.filled.load(Ordering::Relaxed), 15);
    let places = (0..60).map(|_| loader.next_batch().unwrap().tops[0].as_ptr()).collect::<HashSet<_>>();
    assert!(places.len() <= 4, "{} buffers", places.len());
}

#[test]
fn a_validation_counts_each_sample_once() {
    let options = LoaderOptions { ending: Ending::Fill, threads: 2, ..LoaderOptions::new(4) };
    let mut loader = Loader::new(Arc::new(Numbers::new(10)), options, Position::default()).unwrap();
    let mut seen = Vec::new();
    while loader.position().epoch == 0 {
        let batch = loader.next_batch().unwrap();
        assert_eq!(batch.tops[1].len(), 4);
        seen.extend_from_slice(&batch.samples[..batch.count]);
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_position_that_is_not_in_the_data_is_refused() {
    let start = Position { epoch: 3, index: 10 };
    let error = Loader::new(Arc::new(Numbers::new(10)), LoaderOptions::new(1), start).err().unwrap();
    assert_eq!(
        error.to_string(),
        "cannot go on at sample 10 of epoch 3: the data have 10 samples. Are they the same?"
    );
}

/// Everything in the next batches, values as their bits.
fn taken(loader: &mut Loader, count: usize) -> Vec<String> {
    let shown = |batch: &Batch| {
        let bits = batch.tops.iter().map(|top| top.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        let Batch { samples, count, epoch, next, broken, .. } = batch;
        format!("{samples:?} {count} {epoch} {next:?} {broken:?} {:?}", bits.collect::<Vec<_>>())
    };
    (0..count).map(|_| shown(loader.next_batch().unwrap())).collect()
}
