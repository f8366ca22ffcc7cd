//! [`PoolingOps`] for the CPU.

use super::operands::{numbers, take, take_if, take_mut};
use crate::backend::PoolingOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, pooling};
use crate::error::{Error, Result};
use crate::geometry::{PoolGeometry, PoolMethod};
use crate::random::Random;

impl PoolingOps for CpuBackend {
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
        if geometry.method == PoolMethod::StochasticTrain && random.is_none() {
            return Err(Error::geometry(OP, "stochastic pooling in training needs random numbers"));
        }
        let len = geometry.output_len();
        let x = take(OP, "x", x, geometry.input_len())?;
        let random = random.map(|random| numbers(OP, random)).transpose()?;
        let mask = mask.map(|mask| take_mut(OP, "mask", mask, len)).transpose()?;
        pooling::forward(self, geometry, x, take_mut(OP, "y", y, len)?, mask, random);
        Ok(())
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
        let mask = take_if(OP, "mask", mask, geometry.output_len())?;
        let dy = take(OP, "dy", dy, geometry.output_len())?;
        pooling::backward(self, geometry, mask, dy, take_mut(OP, "dx", dx, geometry.input_len())?);
        Ok(())
    }
}
