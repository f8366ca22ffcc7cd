//! [`EmbedOps`] for devices.

use crate::backend::{EmbedOps, Site};
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::call::THREADS;
use crate::device::faults::{Operation, Watch};
use crate::device::memory::DeviceBuffer;
use crate::device::source::EMBED;
use crate::error::Result;
use crate::geometry::EmbedGeometry;

impl EmbedOps for DeviceBackend {
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
        let index = self.take(OP, "index", index, geometry.count as usize)?;
        let table = self.take(OP, "table", table, geometry.table_len())?;
        let bias = self.take_if(OP, "bias", bias, geometry.length as usize)?;
        let (y, len) = (self.take_mut(OP, "y", y, geometry.output_len())?, geometry.output_len());
        self.check_rows(&Watch::new(Operation::EmbedForward, site, geometry.rows), geometry, index)?;
        let call = self.call(&EMBED, OP).value(geometry).input(index).input(table).maybe(bias);
        call.output(&y, len).over(len)
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
        let index = self.take(OP, "index", index, geometry.count as usize)?;
        let dy = self.take(OP, "dy", dy, geometry.output_len())?;
        let dtable = self.take_mut(OP, "dtable", dtable, geometry.table_len())?;
        self.check_rows(&Watch::new(Operation::EmbedBackward, site, geometry.rows), geometry, index)?;
        let call = self.call(&EMBED, OP).value(geometry).input(index).input(dy);
        call.output(&dtable, 0).each(geometry.length as usize)
    }
}

impl DeviceBackend {
    /// Records the first index that names no row.
    fn check_rows(&self, watch: &Watch, geometry: &EmbedGeometry, index: &DeviceBuffer) -> Result<()> {
        let record = self.faults.record();
        let call = self.call(&EMBED, "embed_check").value(watch).value(geometry);
        call.input(index).input(index).output(&record, 0).launch([1, 1, 1], THREADS)
    }
}
