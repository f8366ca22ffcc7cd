//! [`SoftmaxOps`] for devices.

use crate::backend::SoftmaxOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::source::SOFTMAX;
use crate::error::Result;
use crate::geometry::{AxisGeometry, RowsGeometry};

impl SoftmaxOps for DeviceBackend {
    fn softmax_forward(&self, geometry: &AxisGeometry, x: Option<&Buffer>, y: &mut Buffer) -> Result<()> {
        const OP: &str = "softmax_forward";
        let len = geometry.len();
        let x = self.take_if(OP, "x", x, len)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let (outer, axis, inner) = geometry.sizes();
        if inner == 1 {
            let rows = RowsGeometry { rows: geometry.outer, length: geometry.axis };
            let call = self.call(&SOFTMAX, "softmax_rows").value(&rows).input_or(x, &y);
            return call.output(&y, len).blocks(outer, axis);
        }
        let call = self.call(&SOFTMAX, "softmax_columns").value(geometry).input_or(x, &y);
        call.output(&y, len).each(outer * inner)
    }

    fn softmax_backward(
        &self,
        geometry: &AxisGeometry,
        y: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "softmax_backward";
        let len = geometry.len();
        let y = self.take(OP, "y", y, len)?;
        let dy = self.take_if(OP, "dy", dy, len)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let (outer, axis, inner) = geometry.sizes();
        if inner == 1 {
            let rows = RowsGeometry { rows: geometry.outer, length: geometry.axis };
            let call = self.call(&SOFTMAX, "softmax_rows_backward").value(&rows).input(y).input_or(dy, &dx);
            return call.output(&dx, len).blocks(outer, axis);
        }
        let call = self.call(&SOFTMAX, "softmax_columns_backward").value(geometry).input(y).input_or(dy, &dx);
        call.output(&dx, len).each(outer * inner)
    }
}
