//! Launches of `cu/sums.cu`: sums over all but one axis, the gradients of biases, scales and slopes.

use super::DeviceBackend;
use super::call::Target;
use super::memory::DeviceBuffer;
use super::source::SUMS;
use crate::error::Result;
use crate::geometry::AxisGeometry;

/// What is summed by channel: `Term` of cu/sums.cu.
#[repr(u32)]
#[derive(Clone, Copy)]
pub(super) enum Term {
    /// dy.
    Plain = 0,
    /// x · dy.
    Product = 1,
    /// min(x, 0) · dy.
    BelowZero = 2,
}

impl DeviceBackend {
    /// `target[c] += Σ term` over the elements of entry c of the axis.
    pub(super) fn add_by_channel(
        &self,
        geometry: &AxisGeometry,
        term: Term,
        x: &DeviceBuffer,
        dy: &DeviceBuffer,
        target: &Target<'_>,
    ) -> Result<()> {
        let (outer, axis, inner) = geometry.sizes();
        let kernel = if inner == 1 { "column_sums" } else { "channel_sums" };
        let call = self.call(&SUMS, kernel).value(geometry).count(term as usize).input(x).input(dy);
        let call = call.output(target, axis);
        if inner == 1 { call.each(axis) } else { call.blocks(axis, outer * inner) }
    }
}
