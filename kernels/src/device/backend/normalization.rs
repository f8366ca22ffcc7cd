//! [`NormalizationOps`] for devices.

use crate::backend::NormalizationOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::call::Target;
use crate::device::memory::DeviceBuffer;
use crate::device::source::{BATCH_NORMALIZATION, CHANNELWISE, LRN, NORMALIZE, ROWS};
use crate::error::{Error, Result};
use crate::geometry::{AxisGeometry, LrnGeometry, LrnRegion, NormalizeGeometry, RowsGeometry};

impl NormalizationOps for DeviceBackend {
    fn lrn_forward(&self, geometry: &LrnGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_forward";
        geometry.check(OP)?;
        let len = geometry.len();
        let (x, y) = (self.take(OP, "x", x, len)?, self.take_mut(OP, "y", y, len)?);
        let call = self.call(&LRN, "lrn_forward").value(geometry).count(len);
        call.input(x).output(&y, len).over(len)
    }

    fn lrn_backward(&self, geometry: &LrnGeometry, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_backward";
        geometry.check(OP)?;
        let size = geometry.size;
        if size > if geometry.region == LrnRegion::AcrossChannels { 256 } else { 56 } {
            return Err(Error::geometry(OP, format!("a window of {size} is too large")));
        }
        let len = geometry.len();
        let (x, dy) = (self.take(OP, "x", x, len)?, self.take(OP, "dy", dy, len)?);
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&LRN, "lrn_backward").value(geometry).count(len);
        call.input(x).input(dy).output(&dx, len).over(len)
    }

    fn batch_normalization_forward_inference(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        mean: &Buffer,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_forward_inference";
        let (axis, len) = (geometry.axis as usize, geometry.len());
        let x = self.take_if(OP, "x", x, len)?;
        let mean = self.take(OP, "mean", mean, axis)?;
        let variance = self.take(OP, "variance", variance, axis)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let weight = self.take(OP, "weight", weight, 1)?;
        self.normalize_channels(geometry, [Some(mean), Some(variance), Some(weight)], eps, x, &y)
    }

    fn batch_normalization_forward_training(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        eps: f32,
        y: &mut Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_forward_training";
        let (axis, len) = (geometry.axis as usize, geometry.len());
        let x = self.take(OP, "x", x, len)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let mean_target = self.take_mut(OP, "mean", mean, axis)?;
        let variance_target = self.take_mut(OP, "variance", variance, axis)?;
        let call = self.call(&BATCH_NORMALIZATION, "batch_statistics").value(geometry).input(x);
        let call = call.output(&mean_target, axis).output(&variance_target, axis);
        call.blocks(axis, (geometry.outer * geometry.inner) as usize)?;
        let (mean, variance) =
            (self.take(OP, "mean", mean, axis)?, self.take(OP, "variance", variance, axis)?);
        self.normalize_channels(geometry, [Some(mean), Some(variance), None], eps, Some(x), &y)
    }

    fn batch_normalization_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        mean: &Buffer,
        variance: &Buffer,
        eps: f32,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_backward";
        let (axis, len) = (geometry.axis as usize, geometry.len());
        let x = self.take(OP, "x", x, len)?;
        let (mean, variance) =
            (self.take(OP, "mean", mean, axis)?, self.take(OP, "variance", variance, axis)?);
        let dy = self.take(OP, "dy", dy, len)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&BATCH_NORMALIZATION, OP).value(geometry).input(x).input(mean).input(variance);
        let call = call.float(eps).input(dy).output(&dx, len);
        call.blocks(axis, (geometry.outer * geometry.inner) as usize)
    }

    fn batch_normalization_backward_inference(
        &self,
        geometry: &AxisGeometry,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_backward_inference";
        let len = geometry.len();
        let variance = self.take(OP, "variance", variance, geometry.axis as usize)?;
        let dy = self.take_if(OP, "dy", dy, len)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let weight = self.take(OP, "weight", weight, 1)?;
        self.normalize_channels(geometry, [None, Some(variance), Some(weight)], eps, dy, &dx)
    }

    fn mvn_forward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "mvn_forward";
        let len = geometry.len();
        let (x, y) = (self.take(OP, "x", x, len)?, self.take_mut(OP, "y", y, len)?);
        let call = self.call(&ROWS, OP).value(geometry).count(usize::from(normalize_variance)).float(eps);
        call.input(x).output(&y, len).blocks(geometry.rows as usize, geometry.length as usize)
    }

    fn mvn_backward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "mvn_backward";
        let len = geometry.len();
        let (x, dy) = (self.take(OP, "x", x, len)?, self.take(OP, "dy", dy, len)?);
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&ROWS, OP).value(geometry).count(usize::from(normalize_variance)).float(eps);
        let call = call.input(x).input(dy).output(&dx, len);
        call.blocks(geometry.rows as usize, geometry.length as usize)
    }

    fn normalize_forward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_forward";
        let len = geometry.len();
        let x = self.take(OP, "x", x, len)?;
        let scale = self.take(OP, "scale", scale, geometry.scale_len())?;
        let y = self.take_mut(OP, "y", y, len)?;
        let (batch, inner) = (geometry.batch as usize, geometry.inner as usize);
        if geometry.across_spatial {
            let call = self.call(&NORMALIZE, "normalize_images").value(geometry).input(x).input(scale);
            return call.output(&y, len).blocks(batch, len / batch.max(1));
        }
        let call = self.call(&NORMALIZE, "normalize_pixels").value(geometry).input(x).input(scale);
        call.output(&y, len).each(batch * inner)
    }

    fn normalize_backward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_backward";
        let len = geometry.len();
        let (x, dy) = (self.take(OP, "x", x, len)?, self.take(OP, "dy", dy, len)?);
        let scale = self.take(OP, "scale", scale, geometry.scale_len())?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let (batch, inner) = (geometry.batch as usize, geometry.inner as usize);
        if geometry.across_spatial {
            let call = self.call(&NORMALIZE, "normalize_images_backward").value(geometry);
            let call = call.input(x).input(scale).input(dy).output(&dx, len);
            return call.blocks(batch, len / batch.max(1));
        }
        let call = self.call(&NORMALIZE, "normalize_pixels_backward").value(geometry);
        call.input(x).input(scale).input(dy).output(&dx, len).each(batch * inner)
    }

    fn normalize_backward_scale(
        &self,
        geometry: &NormalizeGeometry,
        y: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_backward_scale";
        let (len, scales) = (geometry.len(), geometry.scale_len());
        let (y, dy) = (self.take(OP, "y", y, len)?, self.take(OP, "dy", dy, len)?);
        let scale = self.take(OP, "scale", scale, scales)?;
        let dscale = self.take_mut(OP, "dscale", dscale, scales)?;
        // One sum: the whole array is one channel of one image.
        let axes = if geometry.channel_shared {
            AxisGeometry { outer: 1, axis: 1, inner: len as u32 }
        } else {
            AxisGeometry { outer: geometry.batch, axis: geometry.channels, inner: geometry.inner }
        };
        let call = self.call(&NORMALIZE, OP).value(&axes).input(y).input(scale).input(dy);
        call.output(&dscale, scales).blocks(scales, len / scales.max(1))
    }
}

impl DeviceBackend {
    /// `y = (x − mean·f) / √(variance·f + eps)`, f being one over the weight; without a mean, nothing is taken off, and without a
    /// weight f is 1.
    fn normalize_channels(
        &self,
        geometry: &AxisGeometry,
        [mean, variance, weight]: [Option<&DeviceBuffer>; 3],
        eps: f32,
        x: Option<&DeviceBuffer>,
        y: &Target<'_>,
    ) -> Result<()> {
        let len = geometry.len();
        let call = self.call(&CHANNELWISE, "batch_normalization_inference").value(geometry);
        let call = call.count(len).input_or(x, y).maybe(mean).maybe(variance);
        call.maybe(weight).float(eps).output(y, len).over(len)
    }
}
