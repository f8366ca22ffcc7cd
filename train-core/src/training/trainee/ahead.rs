//! Inputs of the next step, brought to a device while it still computes this one.

use kernels::{Buffer, CopyGeometry};

use super::Trainee;
use crate::error::{Error, Result};
use crate::executor::in_place;

/// What the inputs will hold, in memory of its own.
#[derive(Default)]
pub(super) struct Ahead {
    /// In the net's order; none before memory was taken.
    inputs: Vec<Waiting>,
    /// Whether there was no memory for them.
    is_refused: bool,
}

struct Waiting {
    values: Buffer,
    is_set: bool,
}

impl Trainee<'_> {
    /// Takes the memory that [`set_input_ahead`](Self::set_input_ahead) needs, as much again as all inputs have, unless it was taken before.
    /// Gives `false` where there is not that much: then whoever calls has to do without, and it is not tried again.
    ///
    /// # Errors
    /// The device's, but [`Memory`](kernels::Error::Memory).
    pub fn make_room_ahead(&mut self) -> Result<bool> {
        if self.ahead.is_refused {
            return Ok(false);
        }
        match self.take_room_ahead() {
            Err(Error::Device(kernels::Error::Memory { .. })) => {
                self.ahead.is_refused = true;
                Ok(false)
            }
            taken => taken.map(|()| true),
        }
    }

    /// Puts values where they wait for [`take_inputs_ahead`](Self::take_inputs_ahead): the input keeps what it has. On a device the copy lies beside
    /// whatever is computed, which pays where passes [are recorded](Self::is_recorded). The first time takes memory for all inputs:
    /// [`make_room_ahead`](Self::make_room_ahead) tells whether there is any.
    ///
    /// # Errors
    /// As [`set_input`](Self::set_input); [`Memory`](kernels::Error::Memory), with nothing set.
    pub fn set_input_ahead(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let value = self.input(name)?;
        self.check_count(name, value, values)?;
        self.take_room_ahead()?;
        let named = self.plan.inputs.iter().zip(&mut self.ahead.inputs);
        for (_, waiting) in named.filter(|((input, _), _)| input == name) {
            self.backend.write(&mut waiting.values, 0, values)?;
            waiting.is_set = true;
        }
        Ok(())
    }

    /// Copies what waits into the inputs, within the device's memory. Inputs for which nothing does stay as they are.
    ///
    /// # Errors
    /// The device's.
    pub fn take_inputs_ahead(&mut self) -> Result<()> {
        let all = self.plan.inputs.iter().zip(&mut self.ahead.inputs);
        for (&(_, value), waiting) in all.filter(|(_, waiting)| waiting.is_set) {
            let len = [waiting.values.len() as u32];
            let input = in_place(&mut self.buffers, self.plan.storage(value));
            self.backend.transform_tensor(&CopyGeometry::crop(&len, &[0], &len), &waiting.values, input)?;
            waiting.is_set = false;
        }
        Ok(())
    }

    /// Floats that wait, or may.
    pub(super) fn ahead_len(&self) -> usize {
        self.ahead.inputs.iter().map(|waiting| waiting.values.len()).sum()
    }

    fn take_room_ahead(&mut self) -> Result<()> {
        if self.ahead.inputs.is_empty() {
            let inputs = self.plan.inputs.iter();
            let lens: Vec<usize> = inputs.map(|&(_, value)| self.plan.values[value].capacity).collect();
            let room = self.backend.allocate_all(&lens)?.into_iter();
            self.ahead.inputs = room.map(|values| Waiting { values, is_set: false }).collect();
        }
        Ok(())
    }
}
