//! Rows of a table, looked up by number.

use super::Site;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::EmbedGeometry;

/// Look-ups and their gradients.
pub trait EmbedOps {
    /// Row `index[i]` of `table` (plus `bias`) becomes row i of y: Embed, BatchReindex, Filter. Indices are floats; one
    /// that names no row is an error, at once or when the device is [synchronized](super::Backend::synchronize).
    fn embed_forward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        table: &Buffer,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `dtable[index[i]] += dy[i]`, row by row. (The bias has [`bias_backward`](super::ElementwiseOps::bias_backward).)
    fn embed_backward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        dy: &Buffer,
        dtable: &mut Buffer,
    ) -> Result<()>;
}
