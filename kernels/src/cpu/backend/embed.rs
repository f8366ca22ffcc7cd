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
        let index = take(OP, "index", index, geometry.count as usize)?;
        let table = take(OP, "table", table, geometry.table_len())?;
        let bias = take_if(OP, "bias", bias, geometry.length as usize)?;
        embed::forward(self, geometry, site, index, table, bias, take_mut(OP, "y", y, geometry.output_len())?)
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
        let operands =
            [take(OP, "index", index, geometry.count as usize)?, take(OP, "dy", dy, geometry.output_len())?];
        embed::backward(self, geometry, site, operands, take_mut(OP, "dtable", dtable, geometry.table_len())?)
    }
}
