//! Whose turn it is at a device, and what outlives its buffers: memory that a recording names.
//!
//! A recording holds addresses, and nothing says which: kernels find some of them in structs and tables. So memory that was
//! there when a recording was made is given back only when that recording is gone too, whoever drops it first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use super::driver::{Address, Driver};
use crate::error::{Error, Result};

/// Tells recordings of one device apart, and tells memory that was there before one from memory that came after it.
pub(crate) type RecordingId = u64;

/// What was given to a device to do, ready to be done again.
pub(crate) struct Recorded {
    driver: Arc<dyn Driver>,
    id: RecordingId,
}

impl Recorded {
    /// Takes down what `body` gives to the device. None of it is done.
    ///
    /// # Errors
    /// [`Error::Unrecordable`] where something of it cannot be taken down; the driver's.
    pub(crate) fn new(driver: &Arc<dyn Driver>, body: &mut dyn FnMut()) -> Result<Self> {
        driver.begin()?;
        let taking = Taking(&**driver);
        body();
        let id = taking.end()?;
        Ok(Self { driver: driver.clone(), id })
    }

    pub(crate) fn is_of(&self, driver: &Arc<dyn Driver>) -> bool {
        Arc::ptr_eq(&self.driver, driver)
    }

    /// Does what was taken down.
    pub(crate) fn replay(&self) -> Result<()> {
        self.driver.recorder().replays.fetch_add(1, Ordering::Relaxed);
        self.driver.replay(self.id)
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recording {} of {}", self.id, self.driver.name())
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.driver.recorder().drop_recording(&*self.driver, self.id);
    }
}

/// A recording that goes on; without an [`end`](Taking::end), as when its body panics, nothing is kept of it.
struct Taking<'d>(&'d dyn Driver);

impl Taking<'_> {
    fn end(self) -> Result<RecordingId> {
        let driver = self.0;
        std::mem::forget(self);
        driver.recorder().end(driver)
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        // Its outcome is that of whatever ended it.
        let _ = self.0.recorder().abandon(self.0);
    }
}

/// Lets one thread at a time work on a device, for the length of an operation or of a recording.
#[derive(Default)]
pub(crate) struct Recorder {
    state: Mutex<State>,
    ended: Condvar,
    reads: AtomicU64,
    launches: AtomicU64,
    replays: AtomicU64,
}

#[derive(Default)]
struct State {
    taking: Option<ThreadId>,
    /// What of the recording that goes on could not be taken down.
    refused: Option<&'static str>,
    /// Counts allocations and recordings.
    clock: u64,
    /// The recordings there are, each with the memory that was dropped since and that it may name.
    recordings: BTreeMap<RecordingId, Vec<Spent>>,
    /// What was dropped while a recording goes on.
    spent: Vec<Spent>,
    forgotten: Vec<RecordingId>,
}

/// Memory that nobody has any more.
struct Spent {
    born: u64,
    addresses: Vec<Address>,
}

impl Recorder {
    /// Waits for this thread's turn, which lasts as long as what it gives.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let me = thread::current().id();
        let mut state = self.lock();
        while state.taking.is_some_and(|other| other != me) {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(state)
    }

    /// The same for what cannot be recorded.
    ///
    /// # Errors
    /// [`Error::Unrecordable`] while this thread records.
    pub(crate) fn unrecorded(&self, what: &'static str) -> Result<Turn<'_>> {
        let mut turn = self.turn();
        if turn.is_recording() { Err(turn.refuse(what)) } else { Ok(turn) }
    }

    /// The turn of a copy to the host, which is counted.
    ///
    /// # Errors
    /// Those of [`unrecorded`](Self::unrecorded).
    pub(crate) fn read(&self) -> Result<Turn<'_>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.unrecorded("it reads to the host")
    }

    /// How many copies to the host there were.
    pub(crate) fn read_count(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Counts a kernel that is given to the device.
    pub(crate) fn count_launch(&self) {
        self.launches.fetch_add(1, Ordering::Relaxed);
    }

    /// How many kernels were given to the device one by one, those that were taken down included.
    pub(crate) fn launch_count(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// How often something that was taken down was done.
    pub(crate) fn replay_count(&self) -> u64 {
        self.replays.load(Ordering::Relaxed)
    }

    /// The time of birth of memory that was just allocated.
    pub(crate) fn birth(&self) -> u64 {
        let mut state = self.lock();
        state.clock += 1;
        state.clock
    }

    /// Gives memory back, when no recording names it any more.
    pub(crate) fn drop_memory(&self, driver: &dyn Driver, born: u64, addresses: Vec<Address>) {
        let mut state = self.lock();
        let spent = Spent { born, addresses };
        if state.taking.is_some() {
            state.spent.push(spent);
        } else {
            state.give_back(driver, spent);
        }
    }

    fn drop_recording(&self, driver: &dyn Driver, id: RecordingId) {
        let mut state = self.lock();
        if state.taking.is_some() {
            state.forgotten.push(id);
        } else {
            state.forget(driver, id);
        }
    }

    fn end(&self, driver: &dyn Driver) -> Result<RecordingId> {
        let refused = self.lock().refused;
        if let Some(what) = refused {
            // Whatever the driver says: it was refused before.
            let _ = self.abandon(driver);
            return Err(Error::Unrecordable { what });
        }
        let id = {
            let mut state = self.lock();
            state.clock += 1;
            state.clock
        };
        let outcome = driver.end(Some(id));
        self.close(driver, outcome.is_ok().then_some(id));
        outcome.map(|()| id)
    }

    fn abandon(&self, driver: &dyn Driver) -> Result<()> {
        let outcome = driver.end(None);
        self.close(driver, None);
        outcome
    }

    /// After the driver has ended a recording.
    fn close(&self, driver: &dyn Driver, kept: Option<RecordingId>) {
        let mut state = self.lock();
        (state.taking, state.refused) = (None, None);
        if let Some(id) = kept {
            state.recordings.insert(id, Vec::new());
        }
        for spent in std::mem::take(&mut state.spent) {
            state.give_back(driver, spent);
        }
        for id in std::mem::take(&mut state.forgotten) {
            state.forget(driver, id);
        }
        drop(state);
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Memory that a recording may name goes to the newest of those; where there is none, to the driver.
    fn give_back(&mut self, driver: &dyn Driver, spent: Spent) {
        match self.recordings.range_mut(spent.born..).next_back() {
            Some((_, kept)) => kept.push(spent),
            None => driver.free(&spent.addresses),
        }
    }

    fn forget(&mut self, driver: &dyn Driver, id: RecordingId) {
        driver.forget(id);
        for spent in self.recordings.remove(&id).unwrap_or_default() {
            self.give_back(driver, spent);
        }
    }
}

/// A thread's turn at a device.
pub(crate) struct Turn<'r>(MutexGuard<'r, State>);

impl Turn<'_> {
    /// Whether what is done in it is taken down.
    pub(crate) fn is_recording(&self) -> bool {
        self.0.taking.is_some()
    }

    /// From here on, what this thread does is.
    pub(crate) fn begin_recording(&mut self) {
        self.0.taking = Some(thread::current().id());
    }

    /// Says that something cannot be taken down, and so the recording cannot be kept.
    pub(crate) fn refuse(&mut self, what: &'static str) -> Error {
        self.0.refused.get_or_insert(what);
        Error::Unrecordable { what }
    }
}

#[cfg(all(test, feature = "emulate"))]
mod tests {
    use std::panic::{self, AssertUnwindSafe};

    use super::*;
    use crate::device::DeviceBuffer;
    use crate::device::call::{Call, Target};
    use crate::device::driver::Driver;
    use crate::device::emulate::Emulator;
    use crate::device::source::Module;

    static FAULTS: Module = Module::of_kernels_elsewhere("faults");

    fn open() -> Arc<dyn Driver> {
        Arc::new(Emulator::default())
    }

    /// A kernel that copies the first 512 floats of at least as many.
    fn copy(driver: &dyn Driver, x: &DeviceBuffer, y: &mut DeviceBuffer) -> Result<()> {
        let target = Target::new(y);
        Call::new(driver, &FAULTS, "unwritten_tail").count(512).input(x).output(&target, 512).each(512)
    }

    fn first(driver: &dyn Driver, address: Address) -> f32 {
        let mut value = [f32::NAN];
        driver.read(address, &mut value).unwrap();
        value[0]
    }

    #[test]
    fn nothing_is_done_before_it_is_replayed() {
        let driver = open();
        let x = DeviceBuffer::zeroed(&driver, 512).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 512).unwrap();
        driver.write(x.address(), &[2.0; 512]).unwrap();
        let recorded = Recorded::new(&driver, &mut || copy(&*driver, &x, &mut y).unwrap()).unwrap();
        assert_eq!(first(&*driver, y.address()), 0.0);
        for value in [2.0, 3.0] {
            driver.write(x.address(), &[value; 512]).unwrap();
            recorded.replay().unwrap();
            assert_eq!(first(&*driver, y.address()), value);
        }
    }

    #[test]
    fn memory_is_kept_as_long_as_a_recording_that_may_name_it() {
        let driver = open();
        let live = || driver.recorder().lock().recordings.values().map(Vec::len).collect::<Vec<_>>();
        let x = DeviceBuffer::zeroed(&driver, 512).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 512).unwrap();
        driver.write(x.address(), &[2.0; 512]).unwrap();
        let mut record = || Recorded::new(&driver, &mut || copy(&*driver, &x, &mut y).unwrap()).unwrap();
        let (one, other) = (record(), record());
        let address = y.address();
        drop((x, y));
        assert_eq!(live(), [0, 2]);
        // What came later is no recording's.
        drop(DeviceBuffer::zeroed(&driver, 512).unwrap());
        assert_eq!(live(), [0, 2]);
        drop(other);
        assert_eq!(live(), [2]);
        one.replay().unwrap();
        assert_eq!(first(&*driver, address), 2.0);
        drop(one);
        assert_eq!(live(), [] as [usize; 0]);
    }

    #[test]
    fn what_is_dropped_within_is_given_back_after() {
        let driver = open();
        let x = DeviceBuffer::zeroed(&driver, 512).unwrap();
        let mut y = Some(DeviceBuffer::zeroed(&driver, 512).unwrap());
        let outer = Recorded::new(&driver, &mut || {}).unwrap();
        let mut outer = Some(outer);
        let recorded = Recorded::new(&driver, &mut || {
            if let Some(mut y) = y.take() {
                copy(&*driver, &x, &mut y).unwrap();
            }
            outer = None;
        });
        recorded.unwrap().replay().unwrap();
        assert!(driver.recorder().lock().recordings.is_empty());
    }

    #[test]
    fn what_cannot_be_recorded_is_refused_and_nothing_is_done() {
        let driver = open();
        let x = DeviceBuffer::zeroed(&driver, 512).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 512).unwrap();
        driver.write(x.address(), &[2.0; 512]).unwrap();
        let other = Recorded::new(&driver, &mut || {}).unwrap();
        let (from, to) = (x.address(), y.address());
        type Within<'a> = &'a dyn Fn() -> Result<()>;
        let refused: [(Within<'_>, &str); 6] = [
            (&|| driver.read(from, &mut [0.0]), "it reads to the host"),
            (&|| driver.write(to, &[1.0]), "it writes from the host"),
            (&|| driver.allocate(&[1]).map(drop), "it allocates memory"),
            (&|| driver.synchronize(), "it waits for the device"),
            (&|| other.replay(), "it replays"),
            (&|| Recorded::new(&driver, &mut || {}).map(drop), "it records again"),
        ];
        for (operation, what) in refused {
            let mut within = None;
            let outcome = Recorded::new(&driver, &mut || {
                copy(&*driver, &x, &mut y).unwrap();
                within = operation().err();
                copy(&*driver, &x, &mut y).unwrap();
            });
            let message = format!("cannot record: {what}. Nothing of it was done");
            assert_eq!(outcome.unwrap_err().to_string(), message);
            assert_eq!(within.unwrap().to_string(), message);
            assert_eq!(first(&*driver, to), 0.0, "{what}");
        }
        // And the device works on.
        copy(&*driver, &x, &mut y).unwrap();
        assert_eq!(first(&*driver, to), 2.0);
    }

    #[test]
    fn a_fault_is_found_when_it_is_done() {
        let driver = open();
        let x = DeviceBuffer::zeroed(&driver, 600).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 600).unwrap();
        let recorded = Recorded::new(&driver, &mut || {
            let target = Target::new(&mut y);
            let call = Call::new(&*driver, &FAULTS, "off_by_one").count(600).input(&x).output(&target, 600);
            call.each(600).unwrap();
        });
        let message = recorded.unwrap().replay().unwrap_err().to_string();
        let fault = "off_by_one`: block (2, 0, 0), thread 88: out of bounds: 4 bytes at byte 2400 of a buffer of 2400";
        assert!(message.ends_with(fault), "{message}");
    }

    #[test]
    fn a_panic_ends_a_recording() {
        let driver = open();
        let x = DeviceBuffer::zeroed(&driver, 512).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 512).unwrap();
        driver.write(x.address(), &[2.0; 512]).unwrap();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            Recorded::new(&driver, &mut || {
                copy(&*driver, &x, &mut y).unwrap();
                panic::resume_unwind(Box::new("planted"));
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(first(&*driver, y.address()), 0.0);
        copy(&*driver, &x, &mut y).unwrap();
        assert_eq!(first(&*driver, y.address()), 2.0);
    }

    #[test]
    fn other_threads_wait_and_are_not_recorded() {
        let driver = open();
        let mut parts = DeviceBuffer::all_zeroed(&driver, &[512; 4]).unwrap();
        let [x, y, other_x, other_y] = &mut parts[..] else { unreachable!("four") };
        driver.write(x.address(), &[2.0; 512]).unwrap();
        driver.write(other_x.address(), &[3.0; 512]).unwrap();
        let to = other_y.address();
        thread::scope(|scope| {
            let mut other = Some(other_y);
            let recorded = Recorded::new(&driver, &mut || {
                if let Some(other_y) = other.take() {
                    let (driver, other_x) = (&driver, &*other_x);
                    scope.spawn(move || copy(&**driver, other_x, other_y).unwrap());
                }
                thread::sleep(std::time::Duration::from_millis(5));
                copy(&*driver, x, y).unwrap();
            });
            recorded.unwrap();
        });
        assert_eq!((first(&*driver, y.address()), first(&*driver, to)), (0.0, 3.0));
    }
}
