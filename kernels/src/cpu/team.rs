//! Threads that stay awake for a while: tasks begin within a microsecond instead of a wake-up.
//!
//! A pass through a net is a hundred short loops. Threads that sleep between them spend more time waking than working, so
//! for the length of a pass all threads of the pool serve in a team: one leads, the others wait for its next loop
//! on a word of memory.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::hint;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::gemm::Split;

thread_local! {
    /// The team that this thread leads just now, outside any task; or null.
    static LED: Cell<*const Team> = const { Cell::new(ptr::null()) };
}

/// How often a thread looks before it lets others have the processor: some tens of microseconds.
const LOOKS: u32 = 2_000;

/// In [`Team::state`]: the loop takes more members in.
const OPEN: u64 = 1 << 31;

/// In [`Team::state`]: the loop's number is above this bit.
const NUMBER: u32 = 32;

/// What leader and members share.
pub(crate) struct Team {
    /// Whose threads these are, by address.
    owner: usize,
    /// How many.
    size: usize,
    /// The loop's number, whether it is [`OPEN`], and how many members are in it.
    state: AtomicU64,
    /// The loop, while members are in it or it is open.
    work: UnsafeCell<Work>,
    /// The next task of each thread's share of the loop.
    next: [Share; MAX_SHARES],
    /// Whether the pass is over.
    over: AtomicBool,
    /// What a member panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A loop over tasks.
#[derive(Clone, Copy)]
struct Work {
    body: *const (dyn Fn(usize, usize) + Sync),
    tasks: usize,
}

// SAFETY: `work` is written by the leader alone, while no member is in a loop and none can enter; everything else is made to
// be shared.
unsafe impl Sync for Team {}
// SAFETY: as above.
unsafe impl Send for Team {}

impl Team {
    /// A team of the `size` threads that `owner` has.
    pub(crate) fn of<T>(owner: &T, size: usize) -> Self {
        let body: *const (dyn Fn(usize, usize) + Sync) = &|_, _| ();
        Self {
            owner: ptr::from_ref(owner).addr(),
            state: AtomicU64::new(0),
            work: UnsafeCell::new(Work { body, tasks: 0 }),
            next: [const { Share(AtomicUsize::new(0)) }; MAX_SHARES],
            size,
            over: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// Gives `tasks` to the team of `owner`'s threads, if this thread leads it and is not inside a task; says whether.
    pub(crate) fn run_here<T>(owner: &T, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) -> bool {
        // SAFETY: it is set by `lead`, for no longer than the team lives.
        let team = unsafe { LED.get().as_ref() }.filter(|team| team.owner == ptr::from_ref(owner).addr());
        team.inspect(|team| team.run(tasks, body)).is_some()
    }

    /// Runs `body` as the team's leader, and dismisses the members afterwards.
    pub(crate) fn lead<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Dismiss<'a>(&'a Team, *const Team);
        impl Drop for Dismiss<'_> {
            fn drop(&mut self) {
                LED.set(self.1);
                self.0.over.store(true, Ordering::Release);
            }
        }
        let _dismiss = Dismiss(self, LED.replace(self));
        body()
    }

    /// Takes part in the leader's loops as number `slot` until it is done.
    pub(crate) fn serve(&self, slot: usize) {
        let mut seen = 0;
        let mut looks = 0;
        while !self.over.load(Ordering::Acquire) {
            let state = self.state.load(Ordering::Acquire);
            let is_new = state & OPEN != 0 && state >> NUMBER != seen;
            if !is_new
                || self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Acquire).is_err()
            {
                wait(&mut looks);
                continue;
            }
            seen = state >> NUMBER;
            looks = 0;
            // SAFETY: this member is counted in, and the leader changes `work` only when nobody is.
            let work = unsafe { *self.work.get() };
            // SAFETY: the leader stays in `run`, where `body` lives, until this member is counted out.
            let body = unsafe { &*work.body };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.tasks(slot, work.tasks, body))) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Calls `body(slot, task)` for every task below `tasks`, here and by the members. For the leader alone.
    fn run(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        /// Lets no more members in and waits for those inside, also when a task of the leader's panics.
        struct Close<'a>(&'a Team);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
                let mut looks = 0;
                while self.0.state.load(Ordering::Acquire) & (OPEN - 1) != 0 {
                    wait(&mut looks);
                }
                LED.set(self.0);
            }
        }
        // SAFETY: only the type changes, by a lifetime: `Close` sees to it that nobody uses the body any longer.
        let body_for_all =
            unsafe { mem::transmute::<&(dyn Fn(usize, usize) + Sync), &(dyn Fn(usize, usize) + Sync)>(body) };
        // SAFETY: the loop before is closed and nobody is in it.
        unsafe { *self.work.get() = Work { body: body_for_all, tasks } };
        let shares = self.shares(tasks);
        for share in 0..shares.parts() {
            self.next[share].0.store(shares.part(share).start, Ordering::Relaxed);
        }
        let number = (self.state.load(Ordering::Relaxed) >> NUMBER) as u32;
        {
            let _close = Close(self);
            self.state.store(u64::from(number.wrapping_add(1).max(1)) << NUMBER | OPEN, Ordering::Release);
            // A loop inside a task runs where it is.
            LED.set(ptr::null());
            self.tasks(0, tasks, body);
        }
        if let Some(panic) = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }

    /// How `tasks` are shared out: a thread gets the same part of every loop, whose data its cache may still have.
    fn shares(&self, tasks: usize) -> Split {
        Split::into_parts(tasks, self.size.min(MAX_SHARES))
    }

    /// Does the share of thread `slot`, and then what is left of the others'.
    fn tasks(&self, slot: usize, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        let shares = self.shares(tasks);
        for turn in 0..shares.parts() {
            let share = (slot + turn) % shares.parts();
            let end = shares.part(share).end;
            loop {
                let task = self.next[share].0.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                body(slot, task);
            }
        }
    }
}

/// A counter with a cache line to itself.
#[repr(align(64))]
struct Share(AtomicUsize);

/// Shares of a loop, at most: more threads than that have some in common.
const MAX_SHARES: usize = 32;

/// Waits a moment: first awake, then leaving the processor to others.
fn wait(looks: &mut u32) {
    if *looks < LOOKS {
        *looks += 1;
        hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use std::panic;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use crate::cpu::threads::Threads;

    /// That a loop of `tasks` calls each task once, and no slot from two places at a time.
    fn check(threads: &Threads, tasks: usize) {
        let calls: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        let busy: Vec<AtomicUsize> = (0..threads.count()).map(|_| AtomicUsize::new(0)).collect();
        threads.run(tasks, |slot, task| {
            assert_eq!(busy[slot].fetch_add(1, Ordering::AcqRel), 0, "slot {slot} is used twice at a time");
            calls[task].fetch_add(1, Ordering::Relaxed);
            busy[slot].fetch_sub(1, Ordering::AcqRel);
        });
        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn every_task_runs_once() {
        for count in [1, 2, 3, 40] {
            let threads = Threads::new(count).unwrap();
            threads.enter(|| (0..500).for_each(|tasks| check(&threads, tasks % 70)));
        }
    }

    #[test]
    fn a_task_may_have_a_loop_of_its_own() {
        let threads = Threads::new(3).unwrap();
        threads.enter(|| threads.run(8, |_, tasks| threads.enter(|| check(&threads, tasks))));
    }

    #[test]
    fn two_may_enter_at_a_time() {
        let threads = Threads::new(2).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|tasks| threads.enter(|| check(&threads, tasks))));
            }
        });
    }

    #[test]
    fn a_panic_comes_back_and_nothing_hangs() {
        let threads = Threads::new(3).unwrap();
        for bad in [0, 7, 19] {
            let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                threads.enter(|| threads.run(20, |_, task| assert_ne!(task, bad, "a task fails")));
            }));
            assert!(outcome.is_err());
            threads.enter(|| check(&threads, 20));
        }
    }
}
