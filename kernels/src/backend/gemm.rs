//! General matrix products, as BLAS has them.

use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::GemmGeometry;

/// Products of matrices.
pub trait GemmOps {
    /// Floats of workspace that [`gemm`](GemmOps::gemm) needs.
    fn gemm_workspace_len(&self, geometry: &GemmGeometry) -> usize;

    /// `c = α · op(a) · op(b) + β · c`.
    fn gemm(
        &self,
        geometry: &GemmGeometry,
        a: &Buffer,
        b: &Buffer,
        c: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;
}
