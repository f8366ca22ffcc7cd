//! Convolutions of 1×1 as a batch of plain products.

use super::DeviceBackend;
use super::convolution::{Operands, Pass, extents};
use super::gemm::{Batch, Cut, Matrix};
use super::memory::DeviceBuffer;
use crate::error::Result;
use crate::geometry::ConvGeometry;

impl DeviceBackend {
    /// Groups are a batch of products. On the way to the weights channels by pixels times pixels by channels, of all images; else
    /// images are a batch too, of channels by channels times channels by pixels. Without a cut they are cuBLAS's.
    pub(super) fn pointwise(
        &self,
        geometry: &ConvGeometry,
        pass: Pass,
        cut: Option<&Cut>,
        operands: &Operands<'_>,
    ) -> Result<()> {
        let [m, n, k] = extents(geometry, pass).map(|extent| extent as u32);
        let pixels = geometry.input_pixels() as u32;
        let (rows, image) = (operands.rows, operands.image);
        let batch = if pass == Pass::Filter {
            let channels = |buffer: &DeviceBuffer, of_group: u32| {
                Matrix::in_runs(buffer.address(), of_group, pixels, geometry.group * of_group * pixels)
                    .stepping(0, of_group * pixels)
            };
            Batch {
                sizes: [m, n, k],
                a: channels(rows, m),
                b: channels(image, n),
                counts: [1, geometry.group],
            }
        } else {
            Batch {
                sizes: [m, pixels, k],
                a: Matrix::new(rows.address(), [m, k], pass == Pass::Data).stepping(0, m * k),
                b: Matrix::new(image.address(), [pixels, k], true)
                    .stepping(geometry.group * k * pixels, k * pixels),
                counts: [geometry.batch, geometry.group],
            }
        };
        let Some(cut) = cut else {
            return self.batch_by_blas(&batch, operands.epilogue, operands.result);
        };
        let mut call = self.gemm_call(cut.tile);
        call.reads(rows);
        call.reads(image);
        self.batch(call, &batch, cut, operands.epilogue, operands.result, operands.workspace)
    }
}
