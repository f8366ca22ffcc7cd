//! Launches of `cu/winograd.cu`.

use super::DeviceBackend;
use super::call::{Parameter, Target};
use super::convolution::{Operands, Pass};
use super::gemm::{Batch, Cut, Epilogue, Matrix};
use super::memory::DeviceBuffer;
use super::source::WINOGRAD;
use crate::cpu::ConvAlgorithm;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// Points in the plane: 6×6.
const POINTS: u32 = 36;

/// Floats of workspace that a turn takes for each multiprocessor, unless one image takes more: enough for a dozen tiles of
/// each product.
const TURN: usize = 256 << 10;

/// A convolution by minimal filtering: forward, or the gradient with respect to the input as the convolution that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Winograd {
    batch: u32,
    group: u32,
    /// Channels of a group, seen and made.
    inputs: u32,
    outputs: u32,
    input: [u32; 2],
    output: [u32; 2],
    pad: [u32; 2],
    tiles: [u32; 2],
    /// Whether kernels are turned around, and channels exchanged.
    turned: bool,
    /// Images that are worked on at a time.
    images: u32,
    cut: Cut,
    /// Whether cuBLAS computes the products.
    pub(crate) by_blas: bool,
}

/// `Winograd` of cu/winograd.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sizes {
    images: u32,
    first_image: u32,
    input_channels: u32,
    output_channels: u32,
    input: [u32; 2],
    output: [u32; 2],
    pad: [u32; 2],
    tiles: [u32; 2],
}

// SAFETY: as cu/winograd.cu has it.
unsafe impl Parameter for Sizes {}

impl Winograd {
    /// If it can compute this pass.
    pub(crate) fn new(geometry: &ConvGeometry, pass: Pass, tf32: bool, multiprocessors: u32) -> Option<Self> {
        if !ConvAlgorithm::Winograd.supports(geometry) || pass == Pass::Filter || geometry.batch == 0 {
            return None;
        }
        let pair = |values: [u32; 6]| [values[0], values[1]];
        let (seen, made) = (pair(geometry.input), pair(geometry.output()));
        let (inputs, outputs) = (geometry.group_inputs() as u32, geometry.group_outputs() as u32);
        let turned = pass == Pass::Data;
        let (input, output) = if turned { (made, seen) } else { (seen, made) };
        let (inputs, outputs) = if turned { (outputs, inputs) } else { (inputs, outputs) };
        let mut pad = pair(geometry.pad);
        if turned {
            for pad in &mut pad {
                *pad = 2_u32.checked_sub(*pad)?;
            }
        }
        let tiles = output.map(|extent| extent.div_ceil(4));
        let group = geometry.group;
        let for_an_image = POINTS as usize * (group * (inputs + outputs) * tiles[0] * tiles[1]) as usize;
        let images =
            (TURN * multiprocessors as usize / for_an_image.max(1)).clamp(1, geometry.batch as usize) as u32;
        let sizes = [outputs, images * tiles[0] * tiles[1], inputs].map(|extent| extent as usize);
        // Sums over channels are not cut: there are 36 products to share out.
        let cut = Cut::new(sizes, (POINTS * group) as usize, tf32, multiprocessors).whole(sizes[2]);
        let batch = geometry.batch;
        let by_blas = false;
        Some(Self { batch, group, inputs, outputs, input, output, pad, tiles, turned, images, cut, by_blas })
    }

    /// The same with cuBLAS's products.
    pub(crate) fn with_blas(self) -> Self {
        Self { by_blas: true, ..self }
    }

    /// Counted, not measured: against the flops that are saved stand the bytes of the transformed input and output, each
    /// written once and read once, 36 floats for 16 pixels, and the outputs of tiles that lie outside.
    pub(crate) fn pays(&self) -> bool {
        /// What a GPU computes while a byte comes from its memory.
        const FLOPS_A_BYTE: f32 = 16.0;
        let area = |[height, width]: [u32; 2]| (height * width) as f32;
        let used = area(self.output) / (16.0 * area(self.tiles));
        let bytes = 2.0 * 4.0 * 36.0 / 16.0 * (1.0 / self.inputs as f32 + 1.0 / self.outputs as f32);
        let plain = 2.0 * 9.0;
        let filtered = (2.0 * 36.0 / 16.0 + bytes * FLOPS_A_BYTE) / used;
        filtered < plain
    }

    /// Floats of the transformed weights.
    pub(crate) fn weight_len(&self) -> usize {
        (POINTS * self.group * self.outputs) as usize * self.inputs as usize
    }

    pub(crate) fn workspace_len(&self) -> usize {
        self.input_len() + self.product_len()
    }

    fn columns(&self) -> u32 {
        self.images * self.tiles[0] * self.tiles[1]
    }

    fn input_len(&self) -> usize {
        (POINTS * self.group * self.inputs) as usize * self.columns() as usize
    }

    fn product_len(&self) -> usize {
        (POINTS * self.group * self.outputs) as usize * self.columns() as usize
    }
}

impl DeviceBackend {
    /// Transforms the weights.
    pub(crate) fn winograd_weights(
        &self,
        winograd: &Winograd,
        weights: &DeviceBuffer,
        transformed: &mut DeviceBuffer,
    ) -> Result<()> {
        let count = (winograd.group * winograd.outputs) as usize * winograd.inputs as usize;
        let target = Target::new(transformed);
        let call = self.call(&WINOGRAD, "winograd_weights").count(count).count(winograd.outputs as usize);
        let call = call.count(winograd.inputs as usize).count(usize::from(winograd.turned)).input(weights);
        call.output(&target, winograd.weight_len()).launch([count.div_ceil(128) as u32, 1, 1], 128)
    }

    /// Some images at a time: their input is transformed, multiplied, and the products are transformed back.
    pub(crate) fn winograd(&self, winograd: &Winograd, operands: &Operands<'_>) -> Result<()> {
        let Winograd { batch, group, inputs, outputs, input, output, pad, tiles, .. } = *winograd;
        let input_at = operands.workspace.part(0);
        for first_image in (0..batch).step_by(winograd.images as usize) {
            let images = winograd.images.min(batch - first_image);
            let (input_channels, output_channels) = (group * inputs, group * outputs);
            let sizes =
                Sizes { images, first_image, input_channels, output_channels, input, output, pad, tiles };
            let columns = images * tiles[0] * tiles[1];
            let input_len = (POINTS * input_channels) as usize * columns as usize;
            let product_at = operands.workspace.part(winograd.input_len());
            let blocks = |channels: u32| [(channels * columns).div_ceil(128), 1, 1];

            let call = self.call(&WINOGRAD, "winograd_input").value(&sizes).input(operands.image);
            call.output(&input_at, input_len).launch(blocks(input_channels), 128)?;

            let (a_step, b_step) = (outputs * inputs, inputs * columns);
            let products = Batch {
                sizes: [outputs, columns, inputs],
                a: Matrix::new(operands.rows.address(), [outputs, inputs], false)
                    .stepping(group * a_step, a_step),
                b: Matrix::new(input_at.address(), [columns, inputs], true).stepping(group * b_step, b_step),
                counts: [POINTS, group],
            };
            if winograd.by_blas {
                self.batch_by_blas(&products, Epilogue::adding(false), &product_at)?;
            } else {
                let mut call = self.gemm_call(winograd.cut.tile);
                call.reads(operands.rows);
                let cut = winograd.cut.with_columns(columns as usize);
                self.batch(call, &products, &cut, Epilogue::adding(false), &product_at, operands.workspace)?;
            }

            let call = self.call(&WINOGRAD, "winograd_output").value(&sizes).source(&product_at);
            let call = call.value(&operands.epilogue).output(operands.result, 0);
            call.launch(blocks(output_channels), 128)?;
        }
        Ok(())
    }
}
