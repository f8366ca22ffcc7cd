//! Random numbers among a kernel's arguments.

use super::DeviceBackend;
use super::call::Call;
use crate::error::Result;
use crate::random::{CLOCK_LEN, Random};

impl DeviceBackend {
    /// With the key and the clock of the numbers that a kernel draws.
    pub(super) fn drawing<'c>(
        &self,
        op: &'static str,
        call: Call<'c>,
        random: &Random<'c>,
    ) -> Result<Call<'c>> {
        let clock = self.take(op, "the clock", random.clock, CLOCK_LEN)?;
        Ok(call.count(random.key as u32 as usize).count((random.key >> 32) as usize).input(clock))
    }
}
