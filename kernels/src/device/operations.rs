//! [`Backend`] for devices: each method checks its operands and launches the kernels of `cu/`.

use std::sync::PoisonError;

use super::DeviceBackend;
use super::activation::Function;
use super::call::{Call, Parameter, THREADS, Target};
use super::convolution::{Operands, Pass, Plan, Prepared, result_len};
use super::driver::Address;
use super::gemm::Epilogue;
use super::losses::TOTALS;
use super::memory::DeviceBuffer;
use super::recording::Recorded;
use super::source::{
    ACTIVATION, ARGMAX, BATCH_NORMALIZATION, CHANNELWISE, COPY, DROPOUT, ELTWISE, IM2COL, LRN, LSTM,
    NORMALIZE, POOLING, RESIZE, ROWS, SOFTMAX, SUMS, VECTOR,
};
use crate::activation::{Activation, GradientFrom};
use crate::backend::{ArgMaxOutput, Backend, EltwiseOp, ReduceOp, Site};
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::geometry::{
    AccuracyGeometry, AxisGeometry, ConvGeometry, CopyGeometry, EmbedGeometry, GemmGeometry,
    InnerProductGeometry, InterpGeometry, LabelLossGeometry, LrnGeometry, LrnRegion, LstmGeometry, MAX_AXES,
    MAX_SPATIAL, NormalizeGeometry, PairLossGeometry, PoolGeometry, PoolMethod, RowsGeometry,
};
use crate::prepared::{BackwardData, Convolution, Deconvolution, MadeFor};
use crate::random::{CLOCK_LEN, GROUP, LANES, Random, check_ratio};
use crate::recording::Recording;
use crate::update::Updates;

/// The most parts into which a sum over a whole array is cut.
pub(crate) const PARTS: usize = 256;

/// The most inputs of an element-by-element combination.
const MAX_INPUTS: usize = 32;

impl Backend for DeviceBackend {
    fn name(&self) -> String {
        self.driver.name()
    }

    fn arithmetic(&self) -> String {
        let model = self.driver.model();
        if self.uses_tf32() { format!("{model}, TF32") } else { model }
    }

    fn allocate(&self, len: usize) -> Result<Buffer> {
        DeviceBuffer::zeroed(&self.driver, len).map(Buffer::Device)
    }

    fn allocate_all(&self, lens: &[usize]) -> Result<Vec<Buffer>> {
        let parts = DeviceBuffer::all_zeroed(&self.driver, lens)?;
        Ok(parts.into_iter().map(Buffer::Device).collect())
    }

    fn discard(&self, buffer: &mut Buffer) -> Result<()> {
        let len = buffer.len();
        let target = self.take_mut("discard", "the buffer", buffer, len)?;
        self.driver.discard(target.address(), len);
        Ok(())
    }

    fn write(&self, buffer: &mut Buffer, start: usize, values: &[f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        let target = self.take_mut("write", "the buffer", buffer, end)?;
        self.driver.write(target.address() + bytes(start), values)
    }

    fn read(&self, buffer: &Buffer, start: usize, values: &mut [f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        self.fetch(self.take("read", "the buffer", buffer, end)?, start, values)
    }

    fn fill(&self, buffer: &mut Buffer, len: usize, value: f32) -> Result<()> {
        let y = self.take_mut("fill", "the buffer", buffer, len)?;
        self.call(&VECTOR, "fill").float(value).count(len).output(&y, len).over(len)
    }

    fn synchronize(&self) -> Result<()> {
        self.driver.synchronize()?;
        self.faults.take(&*self.driver, |record, words| self.fetch(record, 0, words))
    }

    fn record(&self, body: &mut dyn FnMut()) -> Result<Recording> {
        Ok(Recording { recorded: Recorded::new(&self.driver, body)? })
    }

    fn replay(&self, recording: &Recording) -> Result<()> {
        if recording.recorded.is_of(&self.driver) {
            return recording.recorded.replay();
        }
        Err(Error::Elsewhere { op: "replay", operand: "what was recorded" })
    }

    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        body();
    }

    fn each(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(body);
    }

    fn gemm_workspace_len(&self, geometry: &GemmGeometry) -> usize {
        self.product_plan(geometry).workspace_len(geometry.m as usize * geometry.n as usize)
    }

    fn gemm(
        &self,
        geometry: &GemmGeometry,
        a: &Buffer,
        b: &Buffer,
        c: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "gemm";
        let [m, n, k] = [geometry.m, geometry.n, geometry.k].map(|extent| extent as usize);
        let operands = [self.take(OP, "a", a, m * k)?, self.take(OP, "b", b, k * n)?];
        let plan = self.product_plan(geometry);
        let workspace = self.take_mut(OP, "the workspace", workspace, plan.workspace_len(m * n))?;
        let epilogue = Epilogue::scaled(geometry.alpha, geometry.beta);
        self.product(geometry, &plan, operands, epilogue, &self.take_mut(OP, "c", c, m * n)?, &workspace)
    }

    fn inner_product_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        self.gemm_workspace_len(&Self::inner_product_gemm(geometry))
    }

    fn inner_product_forward(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        x: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "inner_product_forward";
        let [batch, inputs, outputs] =
            [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
        let operands =
            [self.take(OP, "x", x, batch * inputs)?, self.take(OP, "weights", weights, inputs * outputs)?];
        let bias = self.take_if(OP, "bias", epilogue.bias, outputs)?;
        let (finish, rest) = Epilogue::adding(epilogue.accumulate)
            .with_bias(bias, 1, outputs)
            .with_activation(epilogue.activation);
        let product = Self::inner_product_gemm(geometry);
        let plan = self.product_plan(&product);
        let needed = plan.workspace_len(batch * outputs);
        let workspace = self.take_mut(OP, "the workspace", workspace, needed)?;
        let y = self.take_mut(OP, "y", y, batch * outputs)?;
        self.product(&product, &plan, operands, finish, &y, &workspace)?;
        self.apply(rest, batch * outputs, &y)
    }

    fn inner_product_backward_data_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        self.inner_product_workspace_len(&mirrored(geometry))
    }

    fn inner_product_backward_data(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        // A forward product with the roles of inputs and outputs exchanged.
        let epilogue = crate::Epilogue { accumulate, ..crate::Epilogue::default() };
        self.inner_product_forward(&mirrored(geometry), weights, dy, &epilogue, dx, workspace)
    }

    fn inner_product_backward_filter_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        self.gemm_workspace_len(&Self::inner_product_filter_gemm(geometry))
    }

    fn inner_product_backward_filter(
        &self,
        geometry: &InnerProductGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "inner_product_backward_filter";
        let [batch, inputs, outputs] =
            [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
        let (x, dy) = (self.take(OP, "x", x, batch * inputs)?, self.take(OP, "dy", dy, batch * outputs)?);
        let operands = if geometry.transpose { [x, dy] } else { [dy, x] };
        let product = Self::inner_product_filter_gemm(geometry);
        let plan = self.product_plan(&product);
        let needed = plan.workspace_len(inputs * outputs);
        let workspace = self.take_mut(OP, "the workspace", workspace, needed)?;
        let dw = self.take_mut(OP, "dw", dw, inputs * outputs)?;
        self.product(&product, &plan, operands, Epilogue::adding(accumulate), &dw, &workspace)
    }

    fn convolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Convolution> {
        const OP: &str = "convolution_prepare";
        geometry.check(OP, false)?;
        let prepared = self.prepare(OP, geometry, Pass::Forward, weights)?;
        Ok(Convolution { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn convolution_forward(
        &self,
        prepared: &Convolution,
        x: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_forward";
        self.run(OP, prepared.plan.device(OP)?, ["x", "y"], x, epilogue, y, workspace)
    }

    fn convolution_repack(&self, prepared: &mut Convolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_repack";
        self.repack(OP, prepared.plan.device_mut(OP)?, weights)
    }

    fn convolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "convolution_backward_data_prepare";
        geometry.check(OP, false)?;
        let prepared = self.prepare(OP, geometry, Pass::Data, weights)?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn convolution_backward_data_repack(&self, prepared: &mut BackwardData, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_backward_data_repack";
        self.repack(OP, prepared.plan.device_mut(OP)?, weights)
    }

    fn convolution_backward_data(
        &self,
        prepared: &BackwardData,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_backward_data";
        let plan = prepared.plan.device(OP)?;
        let epilogue = crate::Epilogue { accumulate, ..crate::Epilogue::default() };
        self.run(OP, plan, ["dy", "dx"], dy, &epilogue, dx, workspace)
    }

    fn convolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        let plan = self.convolution_plan(geometry, Pass::Filter);
        plan.workspace_len(geometry.weight_len())
    }

    fn convolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_backward_filter";
        geometry.check(OP, false)?;
        let x = self.take(OP, "x", x, geometry.input_len())?;
        let dy = self.take(OP, "dy", dy, geometry.output_len())?;
        self.filter_gradient(OP, geometry, [x, dy], accumulate, dw, workspace)
    }

    fn deconvolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Deconvolution> {
        const OP: &str = "deconvolution_prepare";
        geometry.check(OP, true)?;
        let prepared = self.prepare(OP, &geometry.transposed(), Pass::Data, weights)?;
        Ok(Deconvolution { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn deconvolution_forward(
        &self,
        prepared: &Deconvolution,
        x: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "deconvolution_forward";
        self.run(OP, prepared.plan.device(OP)?, ["x", "y"], x, epilogue, y, workspace)
    }

    fn deconvolution_repack(&self, prepared: &mut Deconvolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "deconvolution_repack";
        self.repack(OP, prepared.plan.device_mut(OP)?, weights)
    }

    fn deconvolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "deconvolution_backward_data_prepare";
        geometry.check(OP, true)?;
        let prepared = self.prepare(OP, &geometry.transposed(), Pass::Forward, weights)?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn deconvolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        self.convolution_backward_filter_workspace_len(&geometry.transposed())
    }

    fn deconvolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "deconvolution_backward_filter";
        geometry.check(OP, true)?;
        // The convolution that it transposes has dy for its image, and x for its output's gradient.
        let transposed = geometry.transposed();
        let dy = self.take(OP, "dy", dy, transposed.input_len())?;
        let x = self.take(OP, "x", x, transposed.output_len())?;
        self.filter_gradient(OP, &transposed, [dy, x], accumulate, dw, workspace)
    }

    fn im2col(&self, geometry: &ConvGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col";
        geometry.check(OP, false)?;
        let planes = (geometry.batch * geometry.input_channels) as usize;
        let (taps, len) = (geometry.taps(), planes * geometry.taps() * geometry.output_pixels());
        let x = self.take(OP, "x", x, planes * geometry.input_pixels())?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&IM2COL, "im2col").value(geometry);
        let extents = Extents(geometry.output());
        call.value(&extents).count(taps).count(len).input(x).output(&y, len).over(len)
    }

    fn im2col_backward(&self, geometry: &ConvGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col_backward";
        geometry.check(OP, false)?;
        let planes = (geometry.batch * geometry.input_channels) as usize;
        let (taps, len) = (geometry.taps(), planes * geometry.input_pixels());
        let dy = self.take(OP, "dy", dy, planes * taps * geometry.output_pixels())?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&IM2COL, "im2col_backward").value(geometry);
        let extents = Extents(geometry.output());
        call.value(&extents).count(taps).count(len).input(dy).output(&dx, len).over(len)
    }

    fn pooling_forward(
        &self,
        geometry: &PoolGeometry,
        x: &Buffer,
        y: &mut Buffer,
        mask: Option<&mut Buffer>,
        random: Option<&Random<'_>>,
    ) -> Result<()> {
        const OP: &str = "pooling_forward";
        geometry.check(OP)?;
        let len = geometry.output_len();
        if mask.is_some() && !matches!(geometry.method, PoolMethod::Max | PoolMethod::StochasticTrain) {
            return Err(Error::geometry(OP, format!("{:?} pooling has no mask", geometry.method)));
        }
        let x = self.take(OP, "x", x, geometry.input_len())?;
        let mask = mask.map(|mask| self.take_mut(OP, "mask", mask, len)).transpose()?;
        let (y, count) = (self.take_mut(OP, "y", y, len)?, len as u32);
        let is_global =
            geometry.kernel == geometry.input && geometry.output == [1, 1] && geometry.pad == [0, 0];
        match geometry.method {
            PoolMethod::Max | PoolMethod::Average if is_global && mask.is_none() => {
                let rows = RowsGeometry { rows: count, length: geometry.input_plane() as u32 };
                let method = geometry.method as u32;
                let call = self.call(&POOLING, "pooling_global").value(&rows).count(method as usize);
                call.input(x).output(&y, len).blocks(len, geometry.input_plane())
            }
            PoolMethod::Max => {
                let call = self.call(&POOLING, "pooling_max").value(geometry).count(count as usize).input(x);
                call.output(&y, len).maybe_output(mask.as_ref(), len).over(len)
            }
            PoolMethod::Average => {
                let call = self.call(&POOLING, "pooling_average").value(geometry).count(count as usize);
                call.input(x).output(&y, len).over(len)
            }
            PoolMethod::StochasticTest => {
                let call = self.call(&POOLING, "pooling_expectation").value(geometry).count(count as usize);
                call.input(x).output(&y, len).over(len)
            }
            PoolMethod::StochasticTrain => {
                let call = self.call(&POOLING, "pooling_draw").value(geometry).count(count as usize);
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
        geometry.check(OP)?;
        let masked = match geometry.method {
            PoolMethod::Max | PoolMethod::StochasticTrain => true,
            PoolMethod::Average => false,
            PoolMethod::StochasticTest => {
                return Err(Error::geometry(OP, "stochastic pooling has a gradient in training only"));
            }
        };
        if masked != mask.is_some() {
            let what = if masked { "needs its mask" } else { "has no mask" };
            return Err(Error::geometry(OP, format!("{:?} pooling {what}", geometry.method)));
        }
        let mask = self.take_if(OP, "mask", mask, geometry.output_len())?;
        let dy = self.take(OP, "dy", dy, geometry.output_len())?;
        let (len, count) = (geometry.input_len(), geometry.input_len() as u32);
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let kernel = if masked { "pooling_masked_backward" } else { "pooling_average_backward" };
        let call = self.call(&POOLING, kernel).value(geometry).count(count as usize);
        let call = if masked { call.maybe(mask) } else { call };
        call.input(dy).output(&dx, len).over(len)
    }

    fn lrn_forward(&self, geometry: &LrnGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_forward";
        check_window(OP, geometry)?;
        let len = geometry.len();
        let (x, y) = (self.take(OP, "x", x, len)?, self.take_mut(OP, "y", y, len)?);
        let call = self.call(&LRN, "lrn_forward").value(geometry).count(len);
        call.input(x).output(&y, len).over(len)
    }

    fn lrn_backward(&self, geometry: &LrnGeometry, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_backward";
        check_window(OP, geometry)?;
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

    fn scale_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        scale: Option<&Buffer>,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "scale_forward";
        let (axis, len) = (geometry.axis as usize, geometry.len());
        let x = self.take_if(OP, "x", x, len)?;
        let scale = self.take_if(OP, "scale", scale, axis)?;
        let bias = self.take_if(OP, "bias", bias, axis)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&CHANNELWISE, OP).value(geometry).count(len).input_or(x, &y);
        call.maybe(scale).maybe(bias).output(&y, len).over(len)
    }

    fn bias_backward(&self, geometry: &AxisGeometry, dy: &Buffer, db: &mut Buffer) -> Result<()> {
        const OP: &str = "bias_backward";
        let dy = self.take(OP, "dy", dy, geometry.len())?;
        let db = self.take_mut(OP, "db", db, geometry.axis as usize)?;
        self.add_by_channel(geometry, Term::Plain, dy, dy, &db)
    }

    fn scale_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "scale_backward";
        let (x, dy) = (self.take(OP, "x", x, geometry.len())?, self.take(OP, "dy", dy, geometry.len())?);
        let dscale = self.take_mut(OP, "dscale", dscale, geometry.axis as usize)?;
        self.add_by_channel(geometry, Term::Product, x, dy, &dscale)
    }

    fn activation_forward(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "activation_forward";
        let x = self.take_if(OP, "x", x, len)?;
        let y = self.take_mut(OP, "y", y, len)?;
        self.activate(activation, len, x, &y)
    }

    fn activation_backward(
        &self,
        activation: Activation,
        len: usize,
        source: Option<&Buffer>,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "activation_backward";
        let Some(from) = activation.gradient_from() else {
            return Err(Error::geometry(OP, format!("{activation:?} has no gradient")));
        };
        if source.is_none() && from != GradientFrom::Neither {
            return Err(Error::geometry(OP, format!("{activation:?} needs its {from:?}")));
        }
        let source = self.take_if(OP, "the source", source, len)?;
        let dy = self.take_if(OP, "dy", dy, len)?;
        let (dx, count) = (self.take_mut(OP, "dx", dx, len)?, len as u32);
        if let Some(factor) = Function::constant_derivative(activation) {
            let call =
                self.call(&ACTIVATION, "scale_by").float(factor).count(count as usize).input_or(dy, &dx);
            return call.output(&dx, len).over(len);
        }
        let function = Function::of(activation);
        let call =
            self.call(&ACTIVATION, OP).value(&function).count(count as usize).maybe(source).input_or(dy, &dx);
        call.output(&dx, len).over(len)
    }

    fn prelu_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        slope: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_forward";
        let len = geometry.len();
        let x = self.take_if(OP, "x", x, len)?;
        let slope = self.take(OP, "slope", slope, geometry.axis as usize)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&CHANNELWISE, OP).value(geometry).count(len).input_or(x, &y);
        call.input(slope).output(&y, len).over(len)
    }

    fn prelu_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        slope: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_backward";
        let len = geometry.len();
        let x = self.take(OP, "x", x, len)?;
        let slope = self.take(OP, "slope", slope, geometry.axis as usize)?;
        let dy = self.take_if(OP, "dy", dy, len)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&CHANNELWISE, OP).value(geometry).count(len).input(x).input(slope);
        call.input_or(dy, &dx).output(&dx, len).over(len)
    }

    fn prelu_backward_slope(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dslope: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_backward_slope";
        let (x, dy) = (self.take(OP, "x", x, geometry.len())?, self.take(OP, "dy", dy, geometry.len())?);
        let dslope = self.take_mut(OP, "dslope", dslope, geometry.axis as usize)?;
        self.add_by_channel(geometry, Term::BelowZero, x, dy, &dslope)
    }

    fn eltwise_forward(&self, op: EltwiseOp<'_>, len: usize, x: &[&Buffer], y: &mut Buffer) -> Result<()> {
        const OP: &str = "eltwise_forward";
        if let EltwiseOp::Sum(coefficients) = op
            && !coefficients.is_empty()
            && coefficients.len() != x.len()
        {
            let what = format!("{} coefficients for {} inputs", coefficients.len(), x.len());
            return Err(Error::geometry(OP, what));
        }
        if !(1..=MAX_INPUTS).contains(&x.len()) {
            let what = format!("{} inputs; 1 to {MAX_INPUTS} are possible", x.len());
            return Err(Error::geometry(OP, what));
        }
        let inputs = self.inputs(OP, op, len, x)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&ELTWISE, OP).value(&inputs).count(len);
        call.output(&y, len).over(len)
    }

    fn eltwise_backward(
        &self,
        op: EltwiseOp<'_>,
        len: usize,
        index: usize,
        x: &[&Buffer],
        y: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "eltwise_backward";
        let plain = matches!(op, EltwiseOp::Sum(_));
        if (!plain && (x.len() > MAX_INPUTS || index >= x.len())) || index >= MAX_INPUTS {
            let what = format!("input {index} of {}; {MAX_INPUTS} are possible", x.len());
            return Err(Error::geometry(OP, what));
        }
        let inputs = self.inputs(OP, op, len, if plain { &[] } else { x })?;
        let (y, dy) = (self.take_if(OP, "y", y, len)?, self.take(OP, "dy", dy, len)?);
        let (dx, which) = (self.take_mut(OP, "dx", dx, len)?, index as u32);
        let call = self.call(&ELTWISE, OP).value(&inputs).count(which as usize).count(len);
        call.maybe(y).input(dy).output(&dx, len).over(len)
    }

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
        let (count, copies) = (kept.count(), repeated.count() as u32);
        if geometry.count() == 0 {
            return Ok(());
        }
        let call = self.call(&COPY, "copy_box_backward").value(&kept).value(&repeated);
        let call = call.count(count).count(copies as usize).count(usize::from(accumulate));
        call.input(dy).output(&dx, 0).over(count)
    }

    fn argmax_forward(
        &self,
        geometry: &AxisGeometry,
        top_k: u32,
        output: ArgMaxOutput,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "argmax_forward";
        if top_k == 0 || top_k > geometry.axis {
            return Err(Error::geometry(OP, format!("the top {top_k} of {} elements", geometry.axis)));
        }
        let parts = if output == ArgMaxOutput::IndexAndValue { 2 } else { 1 };
        let (outer, _, inner) = geometry.sizes();
        let len = outer * parts * top_k as usize * inner;
        let (x, y) = (self.take(OP, "x", x, geometry.len())?, self.take_mut(OP, "y", y, len)?);
        let output = match output {
            ArgMaxOutput::Index => 0_u32,
            ArgMaxOutput::Value => 1,
            ArgMaxOutput::IndexAndValue => 2,
        };
        let call = self.call(&ARGMAX, OP).value(geometry).count(top_k as usize).count(output as usize);
        let lines = (outer * inner) as u32;
        call.input(x).output(&y, len).launch([lines.div_ceil(128), 1, 1], 128)
    }

    fn reduce_forward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "reduce_forward";
        let rows = geometry.rows as usize;
        let x = self.take(OP, "x", x, geometry.len())?;
        let y = self.take_mut(OP, "y", y, rows)?;
        let call = self.call(&ROWS, OP).value(geometry).count(op as usize).float(coefficient);
        call.input(x).output(&y, rows).blocks(rows, geometry.length as usize)
    }

    fn reduce_backward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "reduce_backward";
        if x.is_none() && !matches!(op, ReduceOp::Sum | ReduceOp::Mean) {
            return Err(Error::geometry(OP, format!("{op:?} needs its input")));
        }
        let len = geometry.len();
        let x = self.take_if(OP, "x", x, len)?;
        let dy = self.take(OP, "dy", dy, geometry.rows as usize)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&ROWS, OP).value(geometry).count(op as usize).float(coefficient);
        call.count(len).maybe(x).input(dy).output(&dx, len).over(len)
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

    fn embed_forward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        table: &Buffer,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        self.embed(geometry, site, [index, table], bias, y)
    }

    fn embed_backward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        dy: &Buffer,
        dtable: &mut Buffer,
    ) -> Result<()> {
        self.embed_gradient(geometry, site, [index, dy], dtable)
    }

    fn lstm_unit_forward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &mut Buffer,
        h: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "lstm_unit_forward";
        let (batch, hidden) = (geometry.batch as usize, geometry.hidden as usize);
        let len = batch * hidden;
        let gates = self.take(OP, "gates", gates, 4 * len)?;
        let continuation = self.take(OP, "continuation", continuation, batch)?;
        let (c, h) = (self.take_mut(OP, "c", c, len)?, self.take_mut(OP, "h", h, len)?);
        let call = self.call(&LSTM, OP).value(geometry).input(gates).input(continuation);
        call.output(&c, len).output(&h, len).over(len)
    }

    fn lstm_unit_backward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &Buffer,
        dh: &Buffer,
        dc: &mut Buffer,
        dgates: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "lstm_unit_backward";
        let (batch, hidden) = (geometry.batch as usize, geometry.hidden as usize);
        let len = batch * hidden;
        let gates = self.take(OP, "gates", gates, 4 * len)?;
        let continuation = self.take(OP, "continuation", continuation, batch)?;
        let (c, dh) = (self.take(OP, "c", c, len)?, self.take(OP, "dh", dh, len)?);
        let dc = self.take_mut(OP, "dc", dc, len)?;
        let dgates = self.take_mut(OP, "dgates", dgates, 4 * len)?;
        let call = self.call(&LSTM, OP).value(geometry).input(gates).input(continuation).input(c).input(dh);
        call.output(&dc, len).output(&dgates, 4 * len).over(len)
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

    fn interp_forward(&self, geometry: &InterpGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_forward";
        let [input, output] = planes_of(OP, geometry)?;
        let (x, y) = (self.take(OP, "x", x, input)?, self.take_mut(OP, "y", y, output)?);
        let call = self.call(&RESIZE, OP).value(geometry).count(output);
        call.input(x).output(&y, output).over(output)
    }

    fn interp_backward(&self, geometry: &InterpGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_backward";
        let [input, output] = planes_of(OP, geometry)?;
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

    fn dropout(
        &self,
        ratio: f32,
        len: usize,
        random: &Random<'_>,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "dropout";
        check_ratio(ratio)?;
        let (x, y) = (self.take_if(OP, "x", x, len)?, self.take_mut(OP, "y", y, len)?);
        let call = self.drawing(OP, self.call(&DROPOUT, OP), random)?;
        call.float(ratio).count(len).input_or(x, &y).output(&y, len).over(len.div_ceil(GROUP) * LANES)
    }

    fn loss_totals_len(&self) -> usize {
        TOTALS
    }

    fn label_loss_forward(
        &self,
        geometry: &LabelLossGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()> {
        self.label_loss(geometry, site, x, label, matrix, loss, totals)
    }

    fn label_loss_backward(
        &self,
        geometry: &LabelLossGeometry,
        _site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        self.label_loss_gradient(geometry, x, label, matrix, dloss, totals, dx)
    }

    fn accuracy_forward(
        &self,
        geometry: &AccuracyGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        share: &mut Buffer,
        by_class: Option<&mut Buffer>,
        totals: &mut Buffer,
    ) -> Result<()> {
        self.accuracy(geometry, site, x, label, share, by_class, totals)
    }

    fn pair_loss_forward(
        &self,
        geometry: &PairLossGeometry,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()> {
        self.pair_loss(geometry, pair, extra, loss, totals)
    }

    fn pair_loss_backward(
        &self,
        geometry: &PairLossGeometry,
        which: usize,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        self.pair_loss_gradient(geometry, which, pair, extra, dloss, totals, dx)
    }

    fn axpy(&self, alpha: f32, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "axpy";
        let (x, y) = (self.take(OP, "x", x, len)?, self.take_mut(OP, "y", y, len)?);
        let call = self.call(&VECTOR, OP).float(alpha).count(len);
        call.input(x).output(&y, len).over(len)
    }

    fn scale_tensor(&self, alpha: f32, len: usize, y: &mut Buffer) -> Result<()> {
        let y = self.take_mut("scale_tensor", "y", y, len)?;
        let call = self.call(&ACTIVATION, "scale_by").float(alpha).count(len);
        call.source(&y).output(&y, len).over(len)
    }

    fn sum_of_squares(&self, len: usize, x: &Buffer) -> Result<f64> {
        const OP: &str = "sum_of_squares";
        let x = self.take(OP, "x", x, len)?;
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = [0.0_f32; 2 * PARTS];
        let blocks = len.div_ceil(THREADS as usize).min(PARTS);
        let call = self.call(&VECTOR, OP).count(len).input(x);
        call.output(&Target::new(&mut scratch), 2 * blocks).launch([blocks as u32, 1, 1], THREADS)?;
        self.fetch(&scratch, 0, &mut parts[..2 * blocks])?;
        // Each part is an f64.
        let (parts, _) = parts[..2 * blocks].as_chunks::<2>();
        Ok(parts.iter().map(|&part| bytemuck::cast::<[f32; 2], f64>(part)).sum())
    }

    fn updates(&self) -> Option<Box<dyn Updates>> {
        Some(self.new_updates())
    }
}

/// What several operations have in common.
impl DeviceBackend {
    /// `y = activation(x)`; in place without x.
    fn activate(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&DeviceBuffer>,
        y: &Target<'_>,
    ) -> Result<()> {
        if activation == Activation::Identity && x.is_none() {
            return Ok(());
        }
        let function = Function::of(activation);
        let call = self.call(&ACTIVATION, "activation_forward").value(&function).count(len);
        call.input_or(x, y).output(y, len).over(len)
    }

    /// What of an activation could not be done on the way out.
    fn apply(&self, rest: Activation, len: usize, y: &Target<'_>) -> Result<()> {
        self.activate(rest, len, None, y)
    }

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

    /// `target[c] += Σ term` over the elements of entry c of the axis.
    fn add_by_channel(
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

    /// The inputs of an element-by-element combination, checked.
    fn inputs(&self, op: &'static str, kind: EltwiseOp<'_>, len: usize, x: &[&Buffer]) -> Result<Inputs> {
        let mut inputs =
            Inputs { x: [0; MAX_INPUTS], coefficient: [1.0; MAX_INPUTS], count: x.len() as u32, kind: 0 };
        for (address, x) in inputs.x.iter_mut().zip(x) {
            *address = self.take(op, "x", x, len)?.address();
        }
        inputs.kind = match kind {
            EltwiseOp::Sum(coefficients) => {
                for (target, coefficient) in inputs.coefficient.iter_mut().zip(coefficients) {
                    *target = *coefficient;
                }
                0
            }
            EltwiseOp::Product => 1,
            EltwiseOp::Max => 2,
        };
        Ok(inputs)
    }

    /// With the key and the clock of the numbers that a kernel draws.
    fn drawing<'c>(&self, op: &'static str, call: Call<'c>, random: &Random<'c>) -> Result<Call<'c>> {
        let clock = self.take(op, "the clock", random.clock, CLOCK_LEN)?;
        Ok(call.count(random.key as u32 as usize).count((random.key >> 32) as usize).input(clock))
    }

    /// A convolution's pass with a copy of the weights.
    fn prepare(
        &self,
        op: &'static str,
        geometry: &ConvGeometry,
        pass: Pass,
        weights: &Buffer,
    ) -> Result<Prepared> {
        let plan = self.convolution_plan(geometry, pass);
        let own = DeviceBuffer::zeroed(&self.driver, plan.weight_len(geometry))?;
        let mut prepared = Prepared { geometry: *geometry, pass, weights: own, plan };
        self.repack(op, &mut prepared, weights)?;
        Ok(prepared)
    }

    fn repack(&self, op: &'static str, prepared: &mut Prepared, weights: &Buffer) -> Result<()> {
        let len = prepared.geometry.weight_len();
        let weights = self.take(op, "weights", weights, len)?;
        match prepared.plan {
            Plan::Winograd(winograd) => self.winograd_weights(&winograd, weights, &mut prepared.weights),
            _ => self.driver.copy(weights.address(), prepared.weights.address(), len),
        }
    }

    /// Runs what was prepared; `names` are the operands' in messages.
    #[expect(clippy::too_many_arguments, reason = "what the operations have")]
    fn run(
        &self,
        op: &'static str,
        prepared: &Prepared,
        names: [&'static str; 2],
        image: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        result: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        let geometry = &prepared.geometry;
        if !prepared.weights.is_of(&self.driver) {
            return Err(Error::Elsewhere { op, operand: "what was prepared" });
        }
        let (image_len, channels, pixels) = match prepared.pass {
            Pass::Data => (geometry.output_len(), geometry.input_channels, geometry.input_pixels()),
            _ => (geometry.input_len(), geometry.output_channels, geometry.output_pixels()),
        };
        let len = result_len(geometry, prepared.pass);
        let bias = self.take_if(op, "bias", epilogue.bias, channels as usize)?;
        let (finish, rest) = Epilogue::adding(epilogue.accumulate)
            .with_bias(bias, pixels, channels as usize)
            .with_activation(epilogue.activation);
        let result = self.take_mut(op, names[1], result, len)?;
        let operands = Operands {
            rows: &prepared.weights,
            image: self.take(op, names[0], image, image_len)?,
            epilogue: finish,
            result: &result,
            workspace: &self.take_mut(op, "the workspace", workspace, prepared.workspace_len())?,
        };
        self.convolution_pass(geometry, prepared.pass, prepared.plan, &operands)?;
        self.apply(rest, len, &result)
    }

    fn filter_gradient(
        &self,
        op: &'static str,
        geometry: &ConvGeometry,
        [x, dy]: [&DeviceBuffer; 2],
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        let plan = self.convolution_plan(geometry, Pass::Filter);
        let needed = plan.workspace_len(geometry.weight_len());
        let operands = Operands {
            rows: dy,
            image: x,
            epilogue: Epilogue::adding(accumulate),
            result: &self.take_mut(op, "dw", dw, geometry.weight_len())?,
            workspace: &self.take_mut(op, "the workspace", workspace, needed)?,
        };
        self.convolution_pass(geometry, Pass::Filter, plan, &operands)
    }
}

/// What is summed by channel: `Term` of cu/sums.cu.
#[repr(u32)]
#[derive(Clone, Copy)]
enum Term {
    /// dy.
    Plain = 0,
    /// x · dy.
    Product = 1,
    /// min(x, 0) · dy.
    BelowZero = 2,
}

/// `Inputs` of cu/eltwise.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Inputs {
    x: [Address; MAX_INPUTS],
    coefficient: [f32; MAX_INPUTS],
    count: u32,
    kind: u32,
}

// SAFETY: as cu/eltwise.cu has it.
unsafe impl Parameter for Inputs {}

/// `Extents` of cu/im2col.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extents([u32; MAX_SPATIAL]);

// SAFETY: as cu/im2col.cu has it.
unsafe impl Parameter for Extents {}

/// Bytes that so many floats take.
pub(super) fn bytes(floats: usize) -> Address {
    floats as Address * size_of::<f32>() as Address
}

/// The product that takes dy to dx: inputs and outputs exchanged.
fn mirrored(geometry: &InnerProductGeometry) -> InnerProductGeometry {
    let InnerProductGeometry { batch, inputs, outputs, transpose } = *geometry;
    InnerProductGeometry { batch, inputs: outputs, outputs: inputs, transpose: !transpose }
}

fn check_window(op: &'static str, geometry: &LrnGeometry) -> Result<()> {
    if geometry.size.is_multiple_of(2) {
        return Err(Error::geometry(op, format!("a window of {} has no middle", geometry.size)));
    }
    Ok(())
}

/// Floats of input and output.
fn planes_of(op: &'static str, geometry: &InterpGeometry) -> Result<[usize; 2]> {
    let area = |[height, width]: [u32; 2]| height as usize * width as usize;
    if area(geometry.input) == 0 {
        return Err(Error::geometry(op, "there are no pixels between which to interpolate"));
    }
    Ok([geometry.input, geometry.output].map(|extents| geometry.planes as usize * area(extents)))
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
