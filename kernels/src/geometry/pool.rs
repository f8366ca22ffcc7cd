use crate::error::{Error, Result};

/// What a pooling window is reduced to.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolMethod {
    /// Its largest value.
    Max,
    /// Its mean, where padding counts as zeros but what exceeds the padding does not count at all.
    Average,
    /// A value drawn with a probability in proportion to itself (training).
    StochasticTrain,
    /// The expectation of that draw: `Σ x² / Σ x`.
    StochasticTest,
}

/// What happens to a last window that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// It is kept, cut off at the border: Caffe's rule.
    Ceil,
    /// It is dropped.
    Floor,
}

/// Sizes of a pooling: N×C×H×W in, N×C×H'×W' out. Arrays are (height, width).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    /// N.
    pub batch: u32,
    /// C.
    pub channels: u32,
    /// H, W.
    pub input: [u32; 2],
    /// H', W'.
    pub output: [u32; 2],
    /// Extents of the window.
    pub kernel: [u32; 2],
    /// Steps of the window.
    pub stride: [u32; 2],
    /// Zeros at both ends.
    pub pad: [u32; 2],
    /// What a window is reduced to.
    pub method: PoolMethod,
}

impl PoolGeometry {
    /// Stride 1 and no padding, windows rounded up. `shape` is (N, C, H, W).
    pub fn new(method: PoolMethod, shape: [u32; 4], kernel: [u32; 2]) -> Self {
        let [batch, channels, height, width] = shape;
        let geometry = Self {
            batch,
            channels,
            input: [height, width],
            output: [0; 2],
            kernel,
            stride: [1; 2],
            pad: [0; 2],
            method,
        };
        geometry.with_steps([1, 1], [0, 0], Rounding::Ceil)
    }

    /// The window is the whole image.
    pub fn global(method: PoolMethod, shape: [u32; 4]) -> Self {
        Self::new(method, shape, [shape[2], shape[3]])
    }

    /// With these steps, this padding and this rounding; the output's extents follow, as pooling_layer.cpp of Caffe
    /// has them: `round((i + 2p − k) / s) + 1`, less one if there is padding and the last window would start in it.
    /// A kernel that fits nowhere gives an output of 0, which the operation refuses.
    pub fn with_steps(self, stride: [u32; 2], pad: [u32; 2], rounding: Rounding) -> Self {
        let padded = pad != [0, 0];
        let output = std::array::from_fn(|axis| {
            let (step, reach) = (stride[axis].max(1), self.input[axis] + 2 * pad[axis]);
            let windows = match (reach.checked_sub(self.kernel[axis]), rounding) {
                (Some(rest), Rounding::Ceil) => rest.div_ceil(step) + 1,
                (Some(rest), Rounding::Floor) => rest / step + 1,
                // Short by less than a step is rounded up to no step at all.
                (None, Rounding::Ceil) if self.kernel[axis] - reach < step => 1,
                (None, _) => return 0,
            };
            let last_is_outside = padded && (windows - 1) * step >= self.input[axis] + pad[axis];
            windows - u32::from(last_is_outside)
        });
        Self { output, stride, pad, ..self }
    }

    /// N·C.
    pub(crate) fn planes(&self) -> usize {
        (self.batch * self.channels) as usize
    }

    pub(crate) fn input_len(&self) -> usize {
        self.planes() * self.input_plane()
    }

    pub(crate) fn output_len(&self) -> usize {
        self.planes() * self.output_plane()
    }

    pub(crate) fn input_plane(&self) -> usize {
        (self.input[0] * self.input[1]) as usize
    }

    pub(crate) fn output_plane(&self) -> usize {
        (self.output[0] * self.output[1]) as usize
    }

    fn check(&self, op: &'static str) -> Result<()> {
        for axis in 0..2 {
            let (kernel, stride, pad) = (self.kernel[axis], self.stride[axis], self.pad[axis]);
            if kernel == 0 || stride == 0 || pad >= kernel || self.output[axis] == 0 {
                return Err(Error::geometry(
                    op,
                    format!(
                        "a window of {kernel} with stride {stride} and pad {pad} over {} has no output",
                        self.input[axis]
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether the window has an output, and the method a mask if one is given.
    pub(crate) fn check_forward(&self, op: &'static str, mask: bool) -> Result<()> {
        self.check(op)?;
        if mask && !self.is_masked() {
            return Err(Error::geometry(op, format!("{:?} pooling has no mask", self.method)));
        }
        Ok(())
    }

    /// Whether there is a gradient, and the mask if it needs one.
    pub(crate) fn check_backward(&self, op: &'static str, mask: bool) -> Result<()> {
        self.check(op)?;
        if self.method == PoolMethod::StochasticTest {
            return Err(Error::geometry(op, "stochastic pooling has a gradient in training only"));
        }
        if self.is_masked() != mask {
            let what = if mask { "has no mask" } else { "needs its mask" };
            return Err(Error::geometry(op, format!("{:?} pooling {what}", self.method)));
        }
        Ok(())
    }

    /// Whether each output is of one element of its window.
    fn is_masked(&self) -> bool {
        matches!(self.method, PoolMethod::Max | PoolMethod::StochasticTrain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(input: u32, kernel: u32, stride: u32, pad: u32, rounding: Rounding) -> u32 {
        let geometry = PoolGeometry::new(PoolMethod::Max, [1, 1, input, input], [kernel; 2]);
        geometry.with_steps([stride; 2], [pad; 2], rounding).output[0]
    }

    #[test]
    fn windows_are_counted_as_caffe_counts_them() {
        assert_eq!(output(55, 3, 2, 0, Rounding::Ceil), 27);
        assert_eq!(output(112, 3, 2, 0, Rounding::Ceil), 56);
        assert_eq!(output(112, 3, 2, 0, Rounding::Floor), 55);
        // The last window would start in the padding.
        assert_eq!(output(3, 2, 2, 1, Rounding::Ceil), 2);
        assert_eq!(output(2, 3, 1, 0, Rounding::Ceil), 0);
        assert_eq!(output(2, 3, 2, 0, Rounding::Ceil), 1);
        assert_eq!(output(2, 3, 2, 0, Rounding::Floor), 0);
    }
}
