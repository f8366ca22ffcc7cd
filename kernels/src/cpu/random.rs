//! Random numbers, and what they decide: Dropout.

use super::CpuBackend;
use crate::random::{CLOCK_LEN, GROUP, LANES, philox};

/// Elements that one task works on at a time.
const CHUNK: usize = 64 * GROUP;

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

    /// Numbers `256 · group` to `256 · group + 255`.
    #[inline(always)]
    fn draw(&self, group: usize, numbers: &mut [f32; GROUP]) {
        let (words, _) = numbers.as_chunks_mut::<LANES>();
        let [first, second, third, fourth] = words else { unreachable!("four words of as many blocks") };
        let unit = |word: u32| (word >> 8) as i32 as f32 * (1.0 / (1 << 24) as f32);
        // A loop over vectors, whose lanes are blocks.
        for lane in 0..LANES {
            let counter = [(group * LANES + lane) as u32, 0, self.pass[0], self.pass[1]];
            let block = philox(self.key, counter);
            first[lane] = unit(block[0]);
            second[lane] = unit(block[1]);
            third[lane] = unit(block[2]);
            fourth[lane] = unit(block[3]);
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
            drawn.numbers.draw(start / GROUP, &mut drawn.group);
        }
        drawn
    }

    #[inline(always)]
    pub(crate) fn next(&mut self) -> f32 {
        if self.next.is_multiple_of(GROUP) {
            self.numbers.draw(self.next / GROUP, &mut self.group);
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
                    numbers.draw(index * (CHUNK / GROUP) + group, &mut drawn);
                    for (y, number) in y.iter_mut().zip(&drawn) {
                        *y = if *number < ratio { 0.0 } else { factor * *y };
                    }
                }
            },
        );
    });
}
