//! [`PoolingOps`] for devices.

use crate::backend::PoolingOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::source::POOLING;
use crate::error::{Error, Result};
use crate::geometry::{PoolGeometry, PoolMethod, RowsGeometry};
use crate::random::Random;

impl PoolingOps for DeviceBackend {
    fn pooling_forward(
        &self,
        geometry: &PoolGeometry,
        x: &Buffer,
        y: &mut Buffer,
        mask: Option<&mut Buffer>,
        random: Option<&Random<'_>>,
    ) -> Result<()> {
        const OP: &str = "pooling_forward";
        geometry.check_forward(OP, mask.is_some())?;
        let len = geometry.output_len();
        let x = self.take(OP, "x", x, geometry.input_len())?;
        let mask = mask.map(|mask| self.take_mut(OP, "mask", mask, len)).transpose()?;
        let y = self.take_mut(OP, "y", y, len)?;
        let is_global =
            geometry.kernel == geometry.input && geometry.output == [1, 1] && geometry.pad == [0, 0];
        match geometry.method {
            PoolMethod::Max | PoolMethod::Average if is_global && mask.is_none() => {
                let rows = RowsGeometry { rows: len as u32, length: geometry.input_plane() as u32 };
                let call = self.call(&POOLING, "pooling_global").value(&rows).count(geometry.method as usize);
                call.input(x).output(&y, len).blocks(len, geometry.input_plane())
            }
            PoolMethod::Max => {
                let call = self.call(&POOLING, "pooling_max").value(geometry).count(len).input(x);
                call.output(&y, len).maybe_output(mask.as_ref(), len).over(len)
            }
            PoolMethod::Average => {
                let call = self.call(&POOLING, "pooling_average").value(geometry).count(len);
                call.input(x).output(&y, len).over(len)
            }
            PoolMethod::StochasticTest => {
                let call = self.call(&POOLING, "pooling_expectation").value(geometry).count(len);
                call.input(x).output(&y, len).over(len)
            }
            PoolMethod::StochasticTrain => {
                let call = self.call(&POOLING, "pooling_draw").value(geometry).count(len);
                let Some(random) = random else {
                    return Err(Error::geometry(OP, "stochastic pooling in training needs random numbers"));
                };
                let call = self.drawing(OP, call, random)?.input(x);
                call.output(&y, len).maybe_output(mask.as_ref(), len).over(len)
            }
        }
    }

    fn pooling_backward(
        &self,
        geometry: &PoolGeometry,
        mask: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "pooling_backward";
        geometry.check_backward(OP, mask.is_some())?;
        let mask = self.take_if(OP, "mask", mask, geometry.output_len())?;
        let dy = self.take(OP, "dy", dy, geometry.output_len())?;
        let len = geometry.input_len();
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let kernel = if mask.is_some() { "pooling_masked_backward" } else { "pooling_average_backward" };
        let call = self.call(&POOLING, kernel).value(geometry).count(len);
        let call = if mask.is_some() { call.maybe(mask) } else { call };
        call.input(dy).output(&dx, len).over(len)
    }
}
