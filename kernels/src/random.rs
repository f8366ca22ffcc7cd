//! Random numbers that depend on a key and a place alone, so that whoever needs one computes it: Philox4x32-10 of Salmon, Moraes,
//! Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

use crate::buffer::Buffer;
use crate::error::{Error, Result};

/// Numbers in [0, 1), multiples of 2⁻²⁴, that operations draw where they use them; the same for every backend.
///
/// Number i of a pass is of word `i / 64 % 4` of the block with counter `(i / 256 · 64 + i % 64, 0, pass, pass >> 32)`: neighbouring
/// threads of a GPU that compute a block each have neighbouring numbers, word by word, and so has a loop over vectors.
#[derive(Clone, Copy, Debug)]
pub struct Random<'a> {
    /// What is drawn for: a seed and a layer.
    pub key: u64,
    /// Which pass it is, as [`clock`] puts it. It is read when the operation runs.
    pub clock: &'a Buffer,
}

/// Floats of a clock.
pub const CLOCK_LEN: usize = 2;

/// What a clock holds in a pass: the number's halves, as the bits of floats.
pub fn clock(pass: u64) -> [f32; CLOCK_LEN] {
    [pass as u32, (pass >> 32) as u32].map(f32::from_bits)
}

/// Blocks whose words lie side by side.
pub(crate) const LANES: usize = 64;

/// Numbers that [`LANES`] blocks give.
pub(crate) const GROUP: usize = 4 * LANES;

/// The four words of a counter's block.
#[inline(always)]
pub(crate) fn philox(key: u64, counter: [u32; 4]) -> [u32; 4] {
    const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
    const STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
    let mut key = [key as u32, (key >> 32) as u32];
    let mut block = counter;
    for _ in 0..10 {
        let a = u64::from(MULTIPLIERS[0]) * u64::from(block[0]);
        let b = u64::from(MULTIPLIERS[1]) * u64::from(block[2]);
        let upper = [(b >> 32) as u32 ^ block[1] ^ key[0], (a >> 32) as u32 ^ block[3] ^ key[1]];
        block = [upper[0], b as u32, upper[1], a as u32];
        key = [key[0].wrapping_add(STEPS[0]), key[1].wrapping_add(STEPS[1])];
    }
    block
}

pub(crate) fn check_ratio(ratio: f32) -> Result<()> {
    if (0.0..1.0).contains(&ratio) {
        return Ok(());
    }
    Err(Error::geometry("dropout", format!("a ratio of {ratio}: it must be at least 0 and below 1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of philox4x32 with ten rounds in the file kat_vectors of the authors' library, Random123.
    #[test]
    fn known_answers() {
        for (counter, key, expected) in [
            ([0; 4], 0, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], u64::MAX, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                0x299f_31d0_a409_3822,
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(key, counter), expected);
        }
    }
}
