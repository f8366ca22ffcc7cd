//! Threads, and the ways in which work is shared among them.
//!
//! Work is cut into tasks by sizes alone and no sum is ever cut between tasks, so results have the same bits with any
//! number of threads.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::team::Team;
use crate::error::Error;

/// Elements below which waking another thread costs more than it saves.
const SERIAL: usize = 16 * 1024;

/// A pool of a fixed number of threads.
pub(crate) struct Threads {
    pool: Option<rayon::ThreadPool>,
    count: usize,
}

impl Threads {
    /// A pool of `count` threads; with one, everything runs on the calling thread.
    pub(crate) fn new(count: usize) -> Result<Self, Error> {
        if count <= 1 {
            return Ok(Self { pool: None, count: 1 });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("kernels-{index}"))
            .build()
            .map_err(|source| Error::Threads { count, source })?;
        Ok(Self { pool: Some(pool), count })
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Runs `body` on a thread of the pool, with all others awake and waiting for the parallel loops inside it.
    pub(crate) fn enter<R: Send>(&self, body: impl FnOnce() -> R + Send) -> R {
        let Some(pool) = self.pool.as_ref().filter(|pool| pool.current_thread_index().is_none()) else {
            return body();
        };
        let team = Team::of(self, self.count);
        let (body, result) = (Mutex::new(Some(body)), Mutex::new(None));
        pool.broadcast(|thread| {
            if thread.index() > 0 {
                return team.serve(thread.index());
            }
            let body = body.lock().unwrap_or_else(PoisonError::into_inner).take();
            let outcome = body.map(|body| team.lead(body));
            *result.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        });
        match result.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(outcome) => outcome,
            None => unreachable!("thread 0 has run it"),
        }
    }

    /// Calls `body` once on every thread, on all at the same time.
    pub(crate) fn everywhere<R: Send>(&self, body: impl Fn() -> R + Sync) -> Vec<R> {
        match &self.pool {
            Some(pool) => pool.broadcast(|_| body()),
            None => vec![body()],
        }
    }

    /// Calls `body(slot, task)` for every task below `tasks`. Slots are numbers below `count`; no two calls that run
    /// at the same time have the same.
    pub(crate) fn run(&self, tasks: usize, body: impl Fn(usize, usize) + Sync) {
        let Some(pool) = self.pool.as_ref().filter(|_| tasks > 1) else {
            return (0..tasks).for_each(|task| body(0, task));
        };
        if Team::run_here(self, tasks, &body) {
            return;
        }
        let next = AtomicUsize::new(0);
        let worker = |slot| {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    return;
                }
                body(slot, task);
            }
        };
        let slots = self.count.min(tasks);
        pool.install(|| (0..slots).into_par_iter().with_max_len(1).for_each(worker));
    }

    /// Cuts `output` into chunks of `chunk` floats (the last may be shorter) and calls `body(index, chunk)` for each.
    /// `cost` is how many plain operations an element takes, roughly: little work stays on one thread.
    pub(crate) fn chunks(
        &self,
        output: &mut [f32],
        chunk: usize,
        cost: usize,
        body: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        if output.is_empty() {
            return;
        }
        let (len, chunk) = (output.len(), chunk.max(1));
        let count = len.div_ceil(chunk);
        if self.count == 1 || count == 1 || len * cost.max(1) < SERIAL {
            return output.chunks_mut(chunk).enumerate().for_each(|(index, part)| body(index, part));
        }
        let per_task = (SERIAL / (chunk * cost.max(1))).clamp(1, count.div_ceil(self.count));
        let output = Disjoint::new(output);
        self.run(count.div_ceil(per_task), |_, task| {
            for index in task * per_task..((task + 1) * per_task).min(count) {
                let start = index * chunk;
                // SAFETY: each index is one task's, and chunks do not overlap.
                body(index, unsafe { output.slice(start, chunk.min(len - start)) });
            }
        });
    }
}

/// A slice whose disjoint parts different threads may write.
pub(crate) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` whose users promise, at each use, to touch different parts.
unsafe impl Send for Disjoint<'_> {}
// SAFETY: as above.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    /// Shares `slice`.
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// Floats in all.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first float.
    pub(crate) fn as_ptr(&self) -> *mut f32 {
        self.start
    }

    /// `len` floats from `start` on.
    ///
    /// # Safety
    /// No other slice or access to the same floats may be alive.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts are disjoint")]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start, "part {start}+{len} of {} floats", self.len);
        // SAFETY: in bounds by the assertion; alone by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
