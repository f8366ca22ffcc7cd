//! Launches of `cu/depthwise.cu`: a group for each channel of the input.

use super::DeviceBackend;
use super::call::Parameter;
use super::convolution::{Operands, Pass, result_len};
use super::source::DEPTHWISE;
use crate::error::Result;
use crate::geometry::{ConvGeometry, MAX_SPATIAL};

/// `Depthwise` of cu/depthwise.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Depthwise {
    batch: u32,
    input_channels: u32,
    output_channels: u32,
    input: [u32; 2],
    output: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    pad: [u32; 2],
    dilation: [u32; 2],
}

// SAFETY: as cu/depthwise.cu has it.
unsafe impl Parameter for Depthwise {}

impl DeviceBackend {
    pub(super) fn depthwise(
        &self,
        geometry: &ConvGeometry,
        pass: Pass,
        operands: &Operands<'_>,
    ) -> Result<()> {
        let pair = |values: &[u32; MAX_SPATIAL]| [values[0], values[1]];
        let sizes = Depthwise {
            batch: geometry.batch,
            input_channels: geometry.input_channels,
            output_channels: geometry.output_channels,
            input: pair(&geometry.input),
            output: pair(&geometry.output()),
            kernel: pair(&geometry.kernel),
            stride: pair(&geometry.stride),
            pad: pair(&geometry.pad),
            dilation: pair(&geometry.dilation),
        };
        let Operands { rows, image, epilogue, result, .. } = operands;
        let len = result_len(geometry, pass);
        if pass == Pass::Filter {
            let call = self.call(&DEPTHWISE, "depthwise_backward_filter").value(&sizes);
            let call = call.input(image).input(rows).value(epilogue).output(result, len);
            return call.blocks(len, geometry.batch as usize * geometry.output_pixels());
        }
        let kernel = if pass == Pass::Forward { "depthwise_forward" } else { "depthwise_backward_data" };
        let call = self.call(&DEPTHWISE, kernel).value(&sizes).count(len);
        call.input(rows).input(image).value(epilogue).output(result, len).over(len)
    }
}
