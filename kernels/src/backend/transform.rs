//! Copies of boxes of elements.

use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::CopyGeometry;

/// Copies and their gradients, cuDNN's `cudnnTransformTensor`.
pub trait TransformOps {
    /// Copies a box of elements: Concat, Slice, Crop, Permute, Tile, ShuffleChannel, Upsample.
    fn transform_tensor(&self, geometry: &CopyGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of the copy that `geometry` describes, from its target, dy, to its source, dx: each element that was read
    /// receives the sum of where it went, or has it added; elements that were not read are left alone.
    fn transform_tensor_backward(
        &self,
        geometry: &CopyGeometry,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
    ) -> Result<()>;
}
