//! [`ResizeOps`] for the CPU.

use super::operands::{take, take_mut};
use crate::backend::ResizeOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, resize};
use crate::error::{Error, Result};
use crate::geometry::InterpGeometry;

impl ResizeOps for CpuBackend {
    fn interp_forward(&self, geometry: &InterpGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_forward";
        let area = |[height, width]: [u32; 2]| height as usize * width as usize;
        let planes = geometry.planes as usize;
        if area(geometry.input) == 0 {
            return Err(Error::geometry(OP, "there are no pixels between which to interpolate"));
        }
        let x = take(OP, "x", x, planes * area(geometry.input))?;
        resize::interp(self, geometry, x, take_mut(OP, "y", y, planes * area(geometry.output))?);
        Ok(())
    }

    fn interp_backward(&self, geometry: &InterpGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_backward";
        let area = |[height, width]: [u32; 2]| height as usize * width as usize;
        let planes = geometry.planes as usize;
        if area(geometry.input) == 0 {
            return Err(Error::geometry(OP, "there are no pixels between which to interpolate"));
        }
        let dy = take(OP, "dy", dy, planes * area(geometry.output))?;
        let dx = take_mut(OP, "dx", dx, planes * area(geometry.input))?;
        resize::interp_backward(self, geometry, dy, dx);
        Ok(())
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
        let [from, to] = lengths.map(|length| length as usize);
        let planes = planes as usize;
        let (x, mask) = (take(OP, "x", x, planes * from)?, take(OP, "mask", mask, planes * from)?);
        resize::unpool(self, [from, to], x, mask, take_mut(OP, "y", y, planes * to)?);
        Ok(())
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
        let [from, to] = lengths.map(|length| length as usize);
        let planes = planes as usize;
        let (mask, dy) = (take(OP, "mask", mask, planes * from)?, take(OP, "dy", dy, planes * to)?);
        resize::unpool_backward(self, [from, to], mask, dy, take_mut(OP, "dx", dx, planes * from)?);
        Ok(())
    }
}
