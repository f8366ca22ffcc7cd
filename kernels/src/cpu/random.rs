//! Random numbers, and what they decide: Dropout.

use super::CpuBackend;
use crate::random::{CLOCK_LEN, GROUP, LANES, philox};

/// Elements that one task works on at a time.
const CHUNK: usize = 128 * GROUP;

/// Blocks that are computed in registers.
const SIDE_BY_SIDE: usize = 16;

/// A pass's numbers.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    key: u64,
    pass: [u32; 2],
}

impl Numbers {
    pub(crate) fn new(key: u64, clock: &[f32]) -> Self {
        let mut pass = [0; CLOCK_LEN];
        pass.iter_mut().zip(clock).for_each(|(pass, word)| *pass = word.to_bits());
        Self { key, pass }
    }

    /// Numbers `128 · group` to `128 · group + 127`.
    #[inline(always)]
    pub(crate) fn group(&self, group: usize, numbers: &mut [f32; GROUP]) {
        let rest = [0, self.pass[0], self.pass[1]];
        for start in (0..LANES).step_by(SIDE_BY_SIDE) {
            let first = std::array::from_fn(|lane| (group * LANES + start + lane) as u32);
            let words = philox::<SIDE_BY_SIDE>(self.key, first, rest);
            for (numbers, words) in numbers.chunks_exact_mut(LANES).zip(&words) {
                for (number, word) in numbers[start..start + SIDE_BY_SIDE].iter_mut().zip(words) {
                    *number = (word >> 8) as i32 as f32 * (1.0 / (1 << 24) as f32);
                }
            }
        }
    }
}

/// Numbers one after the other, from any on.
pub(crate) struct Drawn {
    numbers: Numbers,
    group: [f32; GROUP],
    next: usize,
}

impl Drawn {
    pub(crate) fn from(numbers: Numbers, start: usize) -> Self {
        let mut drawn = Self { numbers, group: [0.0; GROUP], next: start };
        if !start.is_multiple_of(GROUP) {
            drawn.numbers.group(start / GROUP, &mut drawn.group);
        }
        drawn
    }

    #[inline(always)]
    pub(crate) fn next(&mut self) -> f32 {
        if self.next.is_multiple_of(GROUP) {
            self.numbers.group(self.next / GROUP, &mut self.group);
        }
        let number = self.group[self.next % GROUP];
        self.next += 1;
        number
    }
}

/// `y = number < ratio ? 0 : x / (1 − ratio)`, which is its own gradient; in place without x.
pub(crate) fn dropout(cpu: &CpuBackend, ratio: f32, numbers: Numbers, x: Option<&[f32]>, y: &mut [f32]) {
    let factor = 1.0 / (1.0 - ratio);
    cpu.threads.chunks(y, CHUNK, 4, |index, y| {
        if let Some(x) = x {
            y.copy_from_slice(&x[index * CHUNK..][..y.len()]);
        }
        cpu.level.vectorize(
            #[inline(always)]
            || {
                let mut drawn = [0.0; GROUP];
                for (group, y) in y.chunks_mut(GROUP).enumerate() {
                    numbers.group(index * (CHUNK / GROUP) + group, &mut drawn);
                    for (y, number) in y.iter_mut().zip(&drawn) {
                        *y = if *number < ratio { 0.0 } else { factor * *y };
                    }
                }
            },
        );
    });
}
