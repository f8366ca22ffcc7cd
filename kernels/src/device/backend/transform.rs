//! [`TransformOps`] for devices.

use crate::backend::TransformOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::source::COPY;
use crate::error::Result;
use crate::geometry::{CopyGeometry, MAX_AXES};

impl TransformOps for DeviceBackend {
    fn transform_tensor(&self, geometry: &CopyGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "transform_tensor";
        geometry.check(OP)?;
        let (source, target) = geometry.reach();
        let (x, y) = (self.take(OP, "x", x, source)?, self.take_mut(OP, "y", y, target)?);
        let count = geometry.count();
        let call = self.call(&COPY, "copy_box").value(geometry).count(count).input(x);
        call.output(&y, 0).over(count)
    }

    fn transform_tensor_backward(
        &self,
        geometry: &CopyGeometry,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "transform_tensor_backward";
        geometry.check_backward(OP)?;
        let (source, target) = geometry.reach();
        let (dy, dx) = (self.take(OP, "dy", dy, target)?, self.take_mut(OP, "dx", dx, source)?);
        let [kept, repeated] = apart(geometry);
        let (count, copies) = (kept.count(), repeated.count());
        if geometry.count() == 0 {
            return Ok(());
        }
        let call = self.call(&COPY, "copy_box_backward").value(&kept).value(&repeated);
        let call = call.count(count).count(copies).count(usize::from(accumulate));
        call.input(dy).output(&dx, 0).over(count)
    }
}

/// A copy's axes that have steps in the source, with the offsets, and those that have not.
fn apart(geometry: &CopyGeometry) -> [CopyGeometry; 2] {
    let nothing = CopyGeometry {
        rank: 0,
        extent: [1; MAX_AXES],
        source_stride: [0; MAX_AXES],
        target_stride: [0; MAX_AXES],
        source_offset: 0,
        target_offset: 0,
    };
    let (source_offset, target_offset) = (geometry.source_offset, geometry.target_offset);
    let mut parts = [CopyGeometry { source_offset, target_offset, ..nothing }, nothing];
    for axis in (0..geometry.rank as usize).filter(|&axis| geometry.extent[axis] > 1) {
        let part = &mut parts[usize::from(geometry.source_stride[axis] == 0)];
        let next = part.rank as usize;
        part.extent[next] = geometry.extent[axis];
        part.source_stride[next] = geometry.source_stride[axis];
        part.target_stride[next] = geometry.target_stride[axis];
        part.rank += 1;
    }
    parts
}
