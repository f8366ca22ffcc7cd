//! Inputs of the next step, brought to a device while it still computes this one.

use kernels::{Buffer, CopyGeometry};

use super::Trainee;
use crate::error::Result;
use crate::executor::in_place;

/// What an input will hold, in memory of its own.
pub(super) struct Ahead {
    /// Which of the net's inputs.
    input: usize,
    values: Buffer,
    is_set: bool,
}

impl Trainee<'_> {
    /// Puts values where they wait for [`take_inputs_ahead`](Self::take_inputs_ahead): the input keeps what it has. On a device the copy lies beside
    /// whatever is computed, which pays where passes [are recorded](Self::is_recorded). The first time takes memory for it.
    ///
    /// # Errors
    /// As [`set_input`](Self::set_input).
    pub fn set_input_ahead(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let value = self.input(name)?;
        self.check_count(name, value, values)?;
        let Some(input) = self.plan.inputs.iter().position(|(input, _)| input == name) else {
            unreachable!("it was just found")
        };
        if self.ahead.iter().all(|ahead| ahead.input != input) {
            let values = self.backend.allocate(values.len())?;
            self.ahead.push(Ahead { input, values, is_set: false });
        }
        let Some(ahead) = self.ahead.iter_mut().find(|ahead| ahead.input == input) else {
            unreachable!("it is there by now")
        };
        self.backend.write(&mut ahead.values, 0, values)?;
        ahead.is_set = true;
        Ok(())
    }

    /// Copies what waits into the inputs, within the device's memory. Inputs for which nothing does stay as they are.
    ///
    /// # Errors
    /// The device's.
    pub fn take_inputs_ahead(&mut self) -> Result<()> {
        for ahead in self.ahead.iter_mut().filter(|ahead| ahead.is_set) {
            let storage = self.plan.storage(self.plan.inputs[ahead.input].1);
            let len = [ahead.values.len() as u32];
            let input = in_place(&mut self.buffers, storage);
            self.backend.transform_tensor(&CopyGeometry::crop(&len, &[0], &len), &ahead.values, input)?;
            ahead.is_set = false;
        }
        Ok(())
    }

    /// Floats that wait, or may.
    pub(super) fn ahead_len(&self) -> usize {
        self.ahead.iter().map(|ahead| ahead.values.len()).sum()
    }
}
