//! Work on parameters, cut into pieces and shared among threads.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Values in one piece of a parameter: cuts are by size, never by threads, so that sums have the same bits with any number.
pub(crate) const PIECE: usize = 1 << 15;
/// Values whose gradients are changed at a time, in the cache.
pub(crate) const BLOCK: usize = 1 << 10;
/// Fewer pieces are not worth waking a thread for.
const FEW: usize = 4;

/// Does all tasks, on up to `threads` threads.
pub(crate) fn for_each<T: Send>(threads: usize, tasks: Vec<T>, body: impl Fn(T) + Sync) {
    if threads <= 1 || tasks.len() < FEW {
        return tasks.into_iter().for_each(body);
    }
    let helpers = threads.min(tasks.len()) - 1;
    let queue = Mutex::new(tasks.into_iter());
    let work = || {
        loop {
            let task = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            match task {
                Some(task) => body(task),
                None => return,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(work);
        }
        work();
    });
}

/// The sum of squares, in double precision.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0_f64; 8];
    for eight in eights {
        for (lane, &x) in lanes.iter_mut().zip(eight) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}
