//! [`ResizeOps`] for devices.

use crate::backend::ResizeOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::source::{RESIZE, VECTOR};
use crate::error::Result;
use crate::geometry::InterpGeometry;

impl ResizeOps for DeviceBackend {
    fn interp_forward(&self, geometry: &InterpGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_forward";
        let [input, output] = geometry.lens(OP)?;
        let (x, y) = (self.take(OP, "x", x, input)?, self.take_mut(OP, "y", y, output)?);
        let call = self.call(&RESIZE, OP).value(geometry).count(output);
        call.input(x).output(&y, output).over(output)
    }

    fn interp_backward(&self, geometry: &InterpGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_backward";
        let [input, output] = geometry.lens(OP)?;
        let (dy, dx) = (self.take(OP, "dy", dy, output)?, self.take_mut(OP, "dx", dx, input)?);
        let call = self.call(&RESIZE, OP).value(geometry).count(input);
        call.input(dy).output(&dx, input).over(input)
    }

    fn unpool_forward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        x: &Buffer,
        mask: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "unpool_forward";
        let [from, to] = lengths.map(|length| planes as usize * length as usize);
        let (x, mask) = (self.take(OP, "x", x, from)?, self.take(OP, "mask", mask, from)?);
        let y = self.take_mut(OP, "y", y, to)?;
        // Until the values come, y holds who is to give them.
        self.call(&VECTOR, "fill").float(0.0).count(to).output(&y, to).over(to)?;
        let call = self.call(&RESIZE, "unpool_claim").count(lengths[0] as usize).count(lengths[1] as usize);
        call.count(from).input(mask).output(&y, 0).over(from)?;
        let call = self.call(&RESIZE, OP).count(to).input(x).source(&y);
        call.output(&y, to).over(to)
    }

    fn unpool_backward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        mask: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "unpool_backward";
        let [from, to] = lengths.map(|length| planes as usize * length as usize);
        let (mask, dy) = (self.take(OP, "mask", mask, from)?, self.take(OP, "dy", dy, to)?);
        let dx = self.take_mut(OP, "dx", dx, from)?;
        let call = self.call(&RESIZE, OP).count(lengths[0] as usize).count(lengths[1] as usize).count(from);
        call.input(mask).input(dy).output(&dx, from).over(from)
    }
}
