//! Operands as slices, checked.

use crate::buffer::{Buffer, Floats};
use crate::cpu::random::Numbers;
use crate::error::{Error, Result};
use crate::random::{CLOCK_LEN, Random};

/// The first `needed` floats of an operand.
pub(super) fn take<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: &'a Buffer,
    needed: usize,
) -> Result<&'a [f32]> {
    let found = buffer.len();
    let floats = buffer.as_host().ok_or_else(|| buffer.refusal(op, operand, false))?;
    floats.get(..needed).ok_or(Error::TooShort { op, operand, needed, found })
}

/// The same of an operand that may lie anywhere.
pub(super) fn take_anywhere<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: &'a Buffer,
    needed: usize,
) -> Result<Floats<'a>> {
    let floats = buffer.as_floats().ok_or_else(|| buffer.refusal(op, operand, false))?;
    if floats.len() < needed {
        return Err(Error::TooShort { op, operand, needed, found: buffer.len() });
    }
    Ok(floats.part(0..needed))
}

/// The same of an operand that may be absent.
pub(super) fn take_if<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: Option<&'a Buffer>,
    needed: usize,
) -> Result<Option<&'a [f32]>> {
    buffer.map(|buffer| take(op, operand, buffer, needed)).transpose()
}

/// The same of an operand that is written.
pub(super) fn take_mut<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: &'a mut Buffer,
    needed: usize,
) -> Result<&'a mut [f32]> {
    if buffer.as_host_mut().is_none() {
        return Err(buffer.refusal(op, operand, true));
    }
    let found = buffer.len();
    let floats = buffer.as_host_mut().unwrap_or_default();
    floats.get_mut(..needed).ok_or(Error::TooShort { op, operand, needed, found })
}

/// The numbers of the pass that the clock says.
pub(super) fn numbers(op: &'static str, random: &Random<'_>) -> Result<Numbers> {
    Ok(Numbers::new(random.key, take(op, "the clock", random.clock, CLOCK_LEN)?))
}
