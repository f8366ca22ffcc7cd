//! [`EmbedOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::backend::{EmbedOps, Site};
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, embed};
use crate::error::Result;
use crate::geometry::EmbedGeometry;

impl EmbedOps for CpuBackend {
    fn embed_forward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        table: &Buffer,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "embed_forward";
        let [count, rows, length] =
            [geometry.count, geometry.rows, geometry.length].map(|extent| extent as usize);
        let index = take(OP, "index", index, count)?;
        let table = take(OP, "table", table, rows * length)?;
        let bias = take_if(OP, "bias", bias, length)?;
        embed::forward(self, geometry, site, index, table, bias, take_mut(OP, "y", y, count * length)?)
    }

    fn embed_backward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        dy: &Buffer,
        dtable: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "embed_backward";
        let [count, rows, length] =
            [geometry.count, geometry.rows, geometry.length].map(|extent| extent as usize);
        let operands = [take(OP, "index", index, count)?, take(OP, "dy", dy, count * length)?];
        embed::backward(self, geometry, site, operands, take_mut(OP, "dtable", dtable, rows * length)?)
    }
}
