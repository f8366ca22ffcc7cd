//! Which algorithm runs which shape: decided here and nowhere else.

use crate::geometry::ConvGeometry;

/// How a convolution is computed on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvAlgorithm {
    /// 1×1 with stride 1: a matrix product on the image as it lies.
    Pointwise,
    /// Any shape: a matrix product whose right-hand panels are packed straight from the image.
    ImplicitGemm,
    /// One input channel a group: sums of shifted rows.
    Depthwise,
    /// 3×3 with stride 1: the minimal filtering algorithm F(4×4, 3×3), a quarter of the multiplications.
    Winograd,
    /// Any shape: a matrix product whose left-hand rows are read from a copy of the image with its channels innermost.
    ChannelsLast,
}

impl ConvAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pointwise, Self::ImplicitGemm, Self::Depthwise, Self::Winograd, Self::ChannelsLast];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pointwise => "1x1 GEMM",
            Self::ImplicitGemm => "implicit GEMM",
            Self::Depthwise => "depthwise",
            Self::Winograd => "Winograd F(4x4,3x3)",
            Self::ChannelsLast => "channels last",
        }
    }

    /// Whether it can compute this shape at all.
    pub fn supports(self, geometry: &ConvGeometry) -> bool {
        let rank = geometry.rank as usize;
        let all = |values: &[u32], value: u32| values[..rank].iter().all(|&x| x == value);
        match self {
            Self::Pointwise => all(&geometry.kernel, 1) && all(&geometry.stride, 1) && all(&geometry.pad, 0),
            Self::ImplicitGemm | Self::ChannelsLast => true,
            Self::Depthwise => rank == 2 && geometry.group == geometry.input_channels,
            Self::Winograd => {
                rank == 2
                    && all(&geometry.kernel, 3)
                    && all(&geometry.stride, 1)
                    && all(&geometry.dilation, 1)
            }
        }
    }

    /// The one expected to be fastest.
    pub fn choose(geometry: &ConvGeometry) -> Self {
        let group_inputs = geometry.input_channels / geometry.group;
        if Self::Depthwise.supports(geometry) && group_inputs == 1 && geometry.group > 1 {
            return Self::Depthwise;
        }
        if Self::Pointwise.supports(geometry) {
            return Self::Pointwise;
        }
        if Self::Winograd.supports(geometry) && winograd_pays(geometry) {
            return Self::Winograd;
        }
        if channels_last_pays(geometry) {
            return Self::ChannelsLast;
        }
        Self::ImplicitGemm
    }
}

/// As measured: with many taps the copy is soon paid for, rows of the left matrix must be long runs, and few output channels
/// are what makes packing dear.
fn channels_last_pays(geometry: &ConvGeometry) -> bool {
    let row = geometry.rank as usize - 1;
    let run = geometry.kernel[row] as usize * geometry.group_inputs();
    geometry.taps() >= 16
        && geometry.stride[row] == 1
        && geometry.dilation[row] == 1
        && run >= 128
        && geometry.output()[row] >= 16
        && (16..=128).contains(&geometry.group_outputs())
}

/// Estimates cycles for each pair of an input and an output channel, with 16 lanes and two multiply-adds a cycle: 36
/// products for 16 tiles against 9 for 16 pixels, and the measured time of the transforms, which the other channels
/// share. Lanes that the image leaves empty count on both sides.
fn winograd_pays(geometry: &ConvGeometry) -> bool {
    const TRANSFORM: f32 = 550.0;
    const PACK: f32 = 4.0;
    let [height, width, ..] = geometry.output();
    let vectors = |columns: u32| (columns * geometry.batch).div_ceil(16) as f32;
    let inputs = (geometry.input_channels / geometry.group) as f32;
    let outputs = (geometry.output_channels / geometry.group) as f32;
    let tiles = vectors(height.div_ceil(4) * width.div_ceil(4));
    let pixels = vectors(height * width);
    tiles * (36.0 / 2.0 + TRANSFORM * (1.0 / inputs + 1.0 / outputs)) < pixels * 9.0 * (0.5 + PACK / outputs)
}
