//! How rows and sums are cut. The cuts depend on the sizes alone, never on the number of threads.

use std::ops::Range;

/// The longest piece of a sum between two visits to C: a panel of B of this depth fits the first-level cache.
pub(crate) const MAX_DEPTH: usize = 256;

/// A length cut into the fewest parts of at most `max`, as even as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    length: usize,
    parts: usize,
}

impl Split {
    /// Cuts `length` into parts of at most `max`.
    pub(crate) fn new(length: usize, max: usize) -> Self {
        Self { length, parts: length.div_ceil(max).max(1) }
    }

    /// Cuts `length` into this many parts.
    pub(crate) fn into_parts(length: usize, parts: usize) -> Self {
        Self { length, parts: parts.max(1) }
    }

    /// How many parts.
    pub(crate) fn parts(self) -> usize {
        self.parts
    }

    /// Part `index`.
    #[inline]
    pub(crate) fn part(self, index: usize) -> Range<usize> {
        let (base, longer) = (self.length / self.parts, self.length % self.parts);
        let start = index * base + index.min(longer);
        start..start + base + usize::from(index < longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_length_evenly() {
        for length in 0..200 {
            for max in 1..20 {
                let split = Split::new(length, max);
                let mut next = 0;
                for index in 0..split.parts() {
                    let part = split.part(index);
                    assert_eq!(part.start, next);
                    assert!(part.len() <= max && part.len() + 1 >= length / split.parts());
                    next = part.end;
                }
                assert_eq!(next, length);
            }
        }
    }
}
