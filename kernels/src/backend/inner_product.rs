//! Fully connected layers: samples times a matrix of weights.

use super::Epilogue;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::InnerProductGeometry;

/// Inner products of samples and weights, and their gradients.
pub trait InnerProductOps {
    /// Floats of workspace that [`inner_product_forward`](InnerProductOps::inner_product_forward) needs.
    fn inner_product_workspace_len(&self, geometry: &InnerProductGeometry) -> usize;

    /// `y = activation(x · Wᵀ + bias (+ y))`: x is batch×inputs, W outputs×inputs (inputs×outputs if `transpose`), y
    /// batch×outputs. W is read where it lies, once, and unless `transpose` may be shared memory of any alignment.
    fn inner_product_forward(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Floats of workspace that [`inner_product_backward_data`](InnerProductOps::inner_product_backward_data) needs.
    fn inner_product_backward_data_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        self.inner_product_workspace_len(&geometry.mirrored())
    }

    /// `dx = dy · W`, or `dx += ` that.
    fn inner_product_backward_data(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        // A forward product with the roles of inputs and outputs exchanged.
        let epilogue = Epilogue { accumulate, ..Epilogue::default() };
        self.inner_product_forward(&geometry.mirrored(), weights, dy, &epilogue, dx, workspace)
    }

    /// Floats of workspace that [`inner_product_backward_filter`](InnerProductOps::inner_product_backward_filter) needs.
    fn inner_product_backward_filter_workspace_len(&self, geometry: &InnerProductGeometry) -> usize;

    /// `dw = dyᵀ · x` (its transpose if W is transposed), or `dw += ` that.
    fn inner_product_backward_filter(
        &self,
        geometry: &InnerProductGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;
}
