use crate::error::{Error, Result};

/// The most spatial axes that a convolution can have.
pub const MAX_SPATIAL: usize = 6;

/// Sizes of a convolution or a deconvolution.
///
/// The input is N×I×spatial, the output N×O×spatial. Weights are O×(I/G)×kernel for a convolution and I×(O/G)×kernel
/// for a deconvolution. Only the first `rank` entries of the arrays count.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// N: images.
    pub batch: u32,
    /// I.
    pub input_channels: u32,
    /// O.
    pub output_channels: u32,
    /// G: groups of channels that see only each other.
    pub group: u32,
    /// Spatial axes: 2 for images.
    pub rank: u32,
    /// Extents of the input.
    pub input: [u32; MAX_SPATIAL],
    /// Extents of the kernel.
    pub kernel: [u32; MAX_SPATIAL],
    /// Steps of the kernel.
    pub stride: [u32; MAX_SPATIAL],
    /// Zeros added at both ends of each axis.
    pub pad: [u32; MAX_SPATIAL],
    /// Distance between neighbouring taps of the kernel.
    pub dilation: [u32; MAX_SPATIAL],
}

impl ConvGeometry {
    /// Stride 1, no padding, no dilation, one group. `input` and `kernel` have an entry for each spatial axis.
    ///
    /// # Panics
    /// If there are more axes than [`MAX_SPATIAL`], or not as many in `kernel` as in `input`.
    pub fn new(batch: u32, channels: [u32; 2], input: &[u32], kernel: &[u32]) -> Self {
        assert_eq!(input.len(), kernel.len(), "kernel and input have the same axes");
        Self {
            batch,
            input_channels: channels[0],
            output_channels: channels[1],
            group: 1,
            rank: input.len() as u32,
            input: spread(input, 1),
            kernel: spread(kernel, 1),
            stride: [1; MAX_SPATIAL],
            pad: [0; MAX_SPATIAL],
            dilation: [1; MAX_SPATIAL],
        }
    }

    /// With these steps.
    pub fn with_stride(self, stride: &[u32]) -> Self {
        Self { stride: spread(stride, 1), ..self }
    }

    /// With this padding.
    pub fn with_pad(self, pad: &[u32]) -> Self {
        Self { pad: spread(pad, 0), ..self }
    }

    /// With this dilation.
    pub fn with_dilation(self, dilation: &[u32]) -> Self {
        Self { dilation: spread(dilation, 1), ..self }
    }

    /// With this many groups.
    pub fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }

    /// Extents of a convolution's output along the `rank` axes (entries past them are 1):
    /// `(i + 2p − (d(k−1)+1)) / s + 1`, rounded towards 0 (Caffe, conv_layer.cpp): a kernel that reaches past the padded
    /// image by less than a stride has one place, and sees zeros there.
    pub fn output(&self) -> [u32; MAX_SPATIAL] {
        let mut output = [1; MAX_SPATIAL];
        for (axis, extent) in output.iter_mut().enumerate().take(self.rank as usize) {
            let padded = self.input[axis] + 2 * self.pad[axis];
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            *extent = padded.saturating_sub(reach) / self.stride[axis] + 1;
        }
        output
    }

    /// Extents of a deconvolution's output: `s(i−1) + d(k−1) + 1 − 2p` (Caffe, deconv_layer.cpp).
    pub fn deconvolution_output(&self) -> [u32; MAX_SPATIAL] {
        let mut output = [1; MAX_SPATIAL];
        for (axis, extent) in output.iter_mut().enumerate().take(self.rank as usize) {
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            *extent = self.stride[axis] * (self.input[axis] - 1) + reach - 2 * self.pad[axis];
        }
        output
    }

    /// The convolution whose gradient with respect to its input this deconvolution is.
    pub fn transposed(&self) -> Self {
        Self {
            input_channels: self.output_channels,
            output_channels: self.input_channels,
            input: self.deconvolution_output(),
            ..*self
        }
    }

    /// Multiply-adds of a forward convolution, twice.
    pub fn flops(&self) -> u64 {
        let pixels: u64 = self.output().iter().map(|&extent| u64::from(extent)).product();
        let taps: u64 = self.kernel.iter().map(|&extent| u64::from(extent)).product();
        let per_pixel = u64::from(self.input_channels / self.group) * u64::from(self.output_channels) * taps;
        2 * u64::from(self.batch) * pixels * per_pixel
    }

    /// That the sizes fit together; `deconvolution` says which operation they are for.
    pub(crate) fn check(&self, op: &'static str, deconvolution: bool) -> Result<()> {
        let refuse = |what: String| Err(Error::geometry(op, what));
        if !(1..=MAX_SPATIAL as u32).contains(&self.rank) {
            return refuse(format!("{} spatial axes; 1 to {MAX_SPATIAL} are possible", self.rank));
        }
        if self.group == 0
            || !self.input_channels.is_multiple_of(self.group)
            || !self.output_channels.is_multiple_of(self.group)
        {
            return refuse(format!(
                "{} input and {} output channels cannot be cut into {} groups",
                self.input_channels, self.output_channels, self.group
            ));
        }
        for axis in 0..self.rank as usize {
            let (kernel, stride, dilation) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
            if kernel == 0 || stride == 0 || dilation == 0 {
                return refuse(format!(
                    "kernel {kernel}, stride {stride}, dilation {dilation} on axis {axis}"
                ));
            }
            let wide = |x: u32| u64::from(x);
            let reach = wide(dilation) * (wide(kernel) - 1) + 1;
            let padding = 2 * wide(self.pad[axis]);
            let fits = if deconvolution {
                let full = (wide(self.input[axis]).saturating_sub(1)) * wide(stride) + reach;
                self.input[axis] > 0 && full > padding && full < wide(u32::MAX)
            } else {
                let padded = wide(self.input[axis]) + padding;
                padded + wide(stride) > reach && padded < wide(u32::MAX)
            };
            if !fits {
                return refuse(format!(
                    "a kernel reaching over {reach} does not fit an input of {} padded by {} on axis {axis}",
                    self.input[axis], self.pad[axis]
                ));
            }
        }
        Ok(())
    }
}

fn spread(values: &[u32], rest: u32) -> [u32; MAX_SPATIAL] {
    assert!(values.len() <= MAX_SPATIAL, "{} spatial axes; at most {MAX_SPATIAL}", values.len());
    std::array::from_fn(|axis| values.get(axis).copied().unwrap_or(rest))
}

/// Products of sizes, in `usize`.
impl ConvGeometry {
    pub(crate) fn input_pixels(&self) -> usize {
        product(&self.input)
    }

    pub(crate) fn output_pixels(&self) -> usize {
        product(&self.output())
    }

    pub(crate) fn taps(&self) -> usize {
        product(&self.kernel)
    }

    /// I/G.
    pub(crate) fn group_inputs(&self) -> usize {
        (self.input_channels / self.group) as usize
    }

    /// O/G.
    pub(crate) fn group_outputs(&self) -> usize {
        (self.output_channels / self.group) as usize
    }

    pub(crate) fn weight_len(&self) -> usize {
        self.output_channels as usize * self.group_inputs() * self.taps()
    }

    pub(crate) fn input_len(&self) -> usize {
        (self.batch * self.input_channels) as usize * self.input_pixels()
    }

    /// Floats of the input's windows, one a column.
    pub(crate) fn column_len(&self) -> usize {
        (self.batch * self.input_channels) as usize * self.taps() * self.output_pixels()
    }

    pub(crate) fn output_len(&self) -> usize {
        (self.batch * self.output_channels) as usize * self.output_pixels()
    }
}

fn product(extents: &[u32]) -> usize {
    extents.iter().map(|&extent| extent as usize).product()
}
