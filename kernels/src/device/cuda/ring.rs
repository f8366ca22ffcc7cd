//! Memory that is used again when its last use is over.

use std::collections::VecDeque;

use super::Outcome;

/// What is used again and again, each time until the device is done with it.
pub(super) trait Slot: Sized {
    /// Whether the device is done with its last use.
    fn is_free(&self) -> Outcome<bool>;

    /// Waits until it is.
    fn wait(&self) -> Outcome<()>;
}

/// Slots in the order of their last uses, which end in that order too. There are as many as were ever in use at a time, and
/// never more than `most`.
pub(super) struct Ring<S> {
    used: VecDeque<S>,
    made: usize,
    most: usize,
}

impl<S: Slot> Ring<S> {
    pub(super) fn new(most: usize) -> Self {
        Self { used: VecDeque::new(), made: 0, most }
    }

    /// A slot that is free: the oldest if it is, else a new one, else the oldest when it will be. To be put back.
    pub(super) fn take(&mut self, make: impl FnOnce() -> Outcome<S>) -> Outcome<S> {
        let Some(oldest) = self.used.pop_front() else { return self.make(make) };
        let outcome = oldest.is_free().and_then(|is_free| match () {
            () if is_free => Ok(None),
            // One that cannot be made is waited for.
            () if self.made < self.most => match self.make(make) {
                Ok(new) => Ok(Some(new)),
                Err(_) => oldest.wait().map(|()| None),
            },
            () => oldest.wait().map(|()| None),
        });
        match outcome {
            Ok(None) => Ok(oldest),
            other => {
                self.used.push_front(oldest);
                other.map(|new| new.unwrap_or_else(|| unreachable!("the oldest was given")))
            }
        }
    }

    /// Puts a slot back, in use from here on.
    pub(super) fn put_back(&mut self, slot: S) {
        self.used.push_back(slot);
    }

    fn make(&mut self, make: impl FnOnce() -> Outcome<S>) -> Outcome<S> {
        let slot = make()?;
        self.made += 1;
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use cudarc::driver::result::DriverError;
    use cudarc::driver::sys::CUresult;

    use super::*;

    /// A device that has done its first so many uses, and does what it is waited for.
    #[derive(Clone, Default)]
    struct Device {
        given: Rc<Cell<usize>>,
        done: Rc<Cell<usize>>,
        waits: Rc<Cell<usize>>,
    }

    struct Fake {
        device: Device,
        number: usize,
        last_use: usize,
    }

    impl Slot for Fake {
        fn is_free(&self) -> Outcome<bool> {
            Ok(self.last_use <= self.device.done.get())
        }

        fn wait(&self) -> Outcome<()> {
            self.device.waits.set(self.device.waits.get() + 1);
            self.device.done.set(self.device.done.get().max(self.last_use));
            Ok(())
        }
    }

    /// Uses a slot; gives its number.
    fn use_one(ring: &mut Ring<Fake>, device: &Device, made: &Cell<usize>) -> usize {
        let make = || {
            made.set(made.get() + 1);
            Ok(Fake { device: device.clone(), number: made.get(), last_use: 0 })
        };
        let mut slot = ring.take(make).unwrap();
        assert!(slot.is_free().unwrap(), "a slot in use was given");
        device.given.set(device.given.get() + 1);
        slot.last_use = device.given.get();
        let number = slot.number;
        ring.put_back(slot);
        number
    }

    #[test]
    fn slots_are_used_again_when_they_are_free() {
        let (mut ring, device, made) = (Ring::new(3), Device::default(), Cell::new(0));
        // A device that keeps up needs one.
        for _ in 0..5 {
            assert_eq!(use_one(&mut ring, &device, &made), 1);
            device.done.set(device.given.get());
        }
        // One that does not, as many as there may be; then it is waited for, the oldest first.
        let numbers: Vec<usize> = (0..7).map(|_| use_one(&mut ring, &device, &made)).collect();
        assert_eq!(numbers, [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!((made.get(), device.waits.get()), (3, 4));
    }

    #[test]
    fn what_cannot_be_made_is_waited_for_or_an_error() {
        let (mut ring, device, made) = (Ring::new(3), Device::default(), Cell::new(0));
        let fails = || Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
        assert!(ring.take(fails).is_err());
        use_one(&mut ring, &device, &made);
        let slot = ring.take(fails).unwrap();
        assert_eq!((slot.number, device.waits.get()), (1, 1));
    }
}
