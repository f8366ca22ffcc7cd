//! The way back through a stride, taken apart into dense products.
//!
//! A pixel i of dx and a tap t meet where `i + pad − t · dilation = stride · o` for some pixel o of dy. So what an input pixel
//! meets depends on its place in a stride only: along each axis, pixels `first + stride · q` are a *phase*, and its taps are the
//! solutions of
//!
//! ```text
//! t · dilation ≡ first + pad  (mod stride)
//! ```
//!
//! With g = gcd(stride, dilation) there are none unless g divides `first + pad`. Else they are `tap + period · j`, where
//! `period = stride / g` and `tap = (first + pad) mod stride / g · (dilation / g)⁻¹ mod period`, and what they meet is
//!
//! ```text
//! o = (first + pad − tap · dilation) / stride + q − j · dilation / g
//! ```
//!
//! a sum of a place of the pixel and a place of the tap, as in every other pass. The phases of all axes together are
//! products beside each other, with as many columns as they have pixels and as many steps as they have taps: maybe none, and then
//! their part of dx is zeros. Which phase has which is worked out by each block (cu/convolution.cuh).

use crate::geometry::MAX_SPATIAL;

/// `Phases` of cu/convolution.cuh. Without strides there is one.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Phases {
    /// How many there are along each axis: the stride, but no more than there are pixels.
    count: [u32; MAX_SPATIAL],
    pub(crate) stride: [u32; MAX_SPATIAL],
    dilation: [u32; MAX_SPATIAL],
    /// The greatest common divisor of both.
    common: [u32; MAX_SPATIAL],
    /// From one tap to the next.
    pub(crate) period: [u32; MAX_SPATIAL],
    /// `(dilation / common)⁻¹ mod period`.
    inverse: [u32; MAX_SPATIAL],
}

impl Phases {
    /// One, of everything.
    pub(crate) fn one() -> Self {
        let ones = [1; MAX_SPATIAL];
        Self::new(ones, ones, ones)
    }

    /// The phases of an image of these extents.
    pub(crate) fn new(
        extent: [u32; MAX_SPATIAL],
        stride: [u32; MAX_SPATIAL],
        dilation: [u32; MAX_SPATIAL],
    ) -> Self {
        let each =
            |entry: fn(u32, u32) -> u32| std::array::from_fn(|axis| entry(stride[axis], dilation[axis]));
        Self {
            count: std::array::from_fn(|axis| stride[axis].min(extent[axis]).max(1)),
            stride,
            dilation,
            common: each(common_divisor),
            period: each(|stride, dilation| stride / common_divisor(stride, dilation)),
            inverse: each(|stride, dilation| {
                let common = common_divisor(stride, dilation);
                inverse(dilation / common, stride / common)
            }),
        }
    }

    /// How many there are in all.
    pub(crate) fn number(&self) -> u32 {
        self.count.iter().product()
    }

    /// How far, along each axis, a tap's place is from that of the tap before.
    pub(crate) fn tap_scale(&self) -> [i32; MAX_SPATIAL] {
        std::array::from_fn(|axis| -((self.dilation[axis] / self.common[axis]) as i32))
    }

    /// Pixels and taps of the largest.
    pub(crate) fn largest(&self, extent: [u32; MAX_SPATIAL], kernel: [u32; MAX_SPATIAL]) -> [usize; 2] {
        let product = |all: [u32; MAX_SPATIAL], each: &[u32; MAX_SPATIAL]| {
            all.iter().zip(each).map(|(&all, &each)| all.div_ceil(each) as usize).product()
        };
        [product(extent, &self.stride), product(kernel, &self.period)]
    }
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The number below `modulus` that times `number` is 1 modulo `modulus`, to which it has no divisor in common (Euclid's
/// algorithm, run backwards).
fn inverse(number: u32, modulus: u32) -> u32 {
    let (mut rest, mut next) = (i64::from(modulus), i64::from(number));
    let (mut factor, mut next_factor) = (0, 1);
    while next != 0 {
        let whole = rest / next;
        (rest, next) = (next, rest - whole * next);
        (factor, next_factor) = (next_factor, factor - whole * next_factor);
    }
    i64::rem_euclid(factor, i64::from(modulus)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::ConvGeometry;

    #[test]
    fn inverses_are_inverse() {
        for modulus in 1..60 {
            for number in (1..80).filter(|&number| common_divisor(number, modulus) == 1) {
                assert_eq!(
                    number * inverse(number, modulus) % modulus,
                    1 % modulus,
                    "{number} mod {modulus}"
                );
            }
        }
    }

    /// Multiply-adds for an image and a pair of channels: of all pixels with all taps, and of those that may meet.
    fn counted(geometry: &ConvGeometry) -> [u32; 2] {
        let axis = |axis: usize| {
            let ConvGeometry { input, kernel, stride, pad, dilation, .. } = geometry;
            let meet = |pixel: u32| {
                let taps = 0..kernel[axis];
                let place = |tap: u32| i64::from(pixel + pad[axis]) - i64::from(tap * dilation[axis]);
                taps.filter(|&tap| place(tap) % i64::from(stride[axis]) == 0).count() as u32
            };
            [input[axis] * kernel[axis], (0..input[axis]).map(meet).sum()]
        };
        let [rows, columns] = [axis(0), axis(1)];
        [rows[0] * columns[0], rows[1] * columns[1]]
    }

    /// The figures of cu/README.md: conformance tests show that phases give the gradient, and their pixels and taps are what is
    /// counted here.
    #[test]
    fn what_meets_is_counted() {
        let square = |size, kernel, stride, pad| {
            ConvGeometry::new(1, [1, 1], &[size; 2], &[kernel; 2])
                .with_stride(&[stride; 2])
                .with_pad(&[pad; 2])
        };
        // AlexNet's conv1, ResNet's 3×3 and 1×1 with stride 2, as they are seen from their input.
        assert_eq!(counted(&square(227, 11, 4, 0)), [6_235_009, 390_625]);
        assert_eq!(counted(&square(56, 3, 2, 1)), [28_224, 7_056]);
        assert_eq!(counted(&square(56, 1, 2, 0)), [3_136, 784]);
    }
}
