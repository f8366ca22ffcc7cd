//! What a rule remembers of one parameter, kept where the parameter is.

use kernels::{Backend, Buffer, HostBuffer};

use super::{Error, StateArray};

/// How often a parameter was updated, and its rule's arrays.
#[derive(Debug, Default)]
pub(super) struct ParamState {
    /// Updates it has had.
    pub(super) t: u64,
    /// None before the first.
    pub(super) arrays: Vec<Buffer>,
}

impl ParamState {
    /// One that goes on from stored arrays; they go to a device when it updates them.
    pub(super) fn restored(t: u64, arrays: Vec<Vec<f32>>) -> Self {
        let arrays = arrays.into_iter().map(|values| Buffer::Host(HostBuffer::from(values)));
        Self { t, arrays: arrays.collect() }
    }

    /// Brings the arrays, of `count` values each, to main memory; new ones hold what they begin with.
    pub(super) fn keep_on_host(&mut self, arrays: &[StateArray], count: usize) -> Result<(), Error> {
        if self.arrays.is_empty() {
            let new = arrays.iter().map(|array| vec![array.initial; count]);
            self.arrays = new.map(|values| Buffer::Host(HostBuffer::from(values))).collect();
        }
        for place in 0..self.arrays.len() {
            if self.arrays[place].as_host().is_none() {
                self.arrays[place] = Buffer::Host(HostBuffer::from(self.values(place, count)?));
            }
        }
        Ok(())
    }

    /// How many of the arrays are in no device's memory.
    pub(super) fn missing_on_device(&self, arrays: &[StateArray]) -> usize {
        if self.arrays.is_empty() {
            return arrays.len();
        }
        self.arrays.iter().filter(|array| array.as_host().is_some()).count()
    }

    /// Brings the arrays, of `count` values each, to a device's memory; new ones hold what they begin with. `room` has a buffer of
    /// zeros for each that is [missing](Self::missing_on_device).
    pub(super) fn keep_on(
        &mut self,
        backend: &dyn Backend,
        arrays: &[StateArray],
        count: usize,
        room: &mut impl Iterator<Item = Buffer>,
    ) -> Result<(), Error> {
        if self.arrays.is_empty() {
            for (array, mut buffer) in arrays.iter().zip(room) {
                if array.initial != 0.0 {
                    backend.fill(&mut buffer, count, array.initial)?;
                }
                self.arrays.push(buffer);
            }
            return Ok(());
        }
        let host = self.arrays.iter_mut().filter(|array| array.as_host().is_some());
        for (array, mut buffer) in host.zip(room) {
            if let Some(values) = array.as_host() {
                backend.write(&mut buffer, 0, values)?;
            }
            *array = buffer;
        }
        Ok(())
    }

    /// The values of an array, wherever it is.
    pub(super) fn values(&self, place: usize, count: usize) -> Result<Vec<f32>, Error> {
        let mut values = vec![0.0; count];
        self.arrays[place].read(&mut values)?;
        Ok(values)
    }
}
