//! [`Backend`] for the CPU: each method checks its operands, takes the slices it needs and calls the operation.

use super::conv::{ConvAlgorithm, Filters, Operands, Plan, backward_data, backward_filter};
use super::gemm::Finish;
use super::{
    CpuBackend, activation, argmax, channelwise, deconv, eltwise, embed, gemm, im2col, inner_product,
    label_loss, lrn, lstm, normalize, pair_loss, pooling, random, resize, rows, softmax, sums, transform,
    vector,
};
use crate::activation::{Activation, GradientFrom};
use crate::backend::{ArgMaxOutput, Backend, EltwiseOp, Epilogue, ReduceOp, Site};
use crate::buffer::{Buffer, Floats, HostBuffer};
use crate::error::{Error, Result};
use crate::geometry::{
    AccuracyGeometry, AxisGeometry, ConvGeometry, CopyGeometry, EmbedGeometry, GemmGeometry,
    InnerProductGeometry, InterpGeometry, LabelLossGeometry, LrnGeometry, LstmGeometry, NormalizeGeometry,
    PairLossGeometry, PoolGeometry, PoolMethod, RowsGeometry,
};
use crate::prepared::{BackwardData, Convolution, Deconvolution, MadeFor};
use crate::random::{CLOCK_LEN, Random, check_ratio};

impl CpuBackend {
    /// [`Backend::convolution_prepare`] with the algorithm given: for tests and comparisons. It must support the
    /// geometry.
    pub fn convolution_prepare_with(
        &self,
        algorithm: ConvAlgorithm,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<Convolution> {
        const OP: &str = "convolution_prepare";
        geometry.check(OP, false)?;
        if !algorithm.supports(geometry) {
            return Err(Error::geometry(OP, format!("{} cannot compute {geometry:?}", algorithm.name())));
        }
        let weights = take(OP, "weights", weights, geometry.weight_len())?;
        let filters = Filters::forward(geometry, weights);
        let plan = self.threads.enter(|| Plan::new(self, algorithm, geometry, filters))?;
        Ok(Convolution { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> String {
        format!("CPU, {:?}, {} threads", self.isa(), self.threads())
    }

    fn arithmetic(&self) -> String {
        format!("{}, {:?}", std::env::consts::ARCH, self.isa())
    }

    fn allocate(&self, len: usize) -> Result<Buffer> {
        HostBuffer::zeroed(len).map(Buffer::Host)
    }

    fn write(&self, buffer: &mut Buffer, start: usize, values: &[f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        take_mut("write", "the buffer", buffer, end)?[start..].copy_from_slice(values);
        Ok(())
    }

    fn read(&self, buffer: &Buffer, start: usize, values: &mut [f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        values.copy_from_slice(&take("read", "the buffer", buffer, end)?[start..]);
        Ok(())
    }

    fn fill(&self, buffer: &mut Buffer, len: usize, value: f32) -> Result<()> {
        let y = take_mut("fill", "the buffer", buffer, len)?;
        self.threads.chunks(y, 16 * 1024, 1, |_, y| y.fill(value));
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        self.threads.enter(body);
    }

    fn each(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        self.threads.run(count, |_, index| body(index));
    }

    fn gemm_workspace_len(&self, geometry: &GemmGeometry) -> usize {
        gemm::workspace_len(self, geometry)
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
        let operands = [take(OP, "a", a, m * k)?, take(OP, "b", b, k * n)?];
        let workspace = take_mut(OP, "the workspace", workspace, gemm::workspace_len(self, geometry))?;
        gemm::forward(self, geometry, operands, take_mut(OP, "c", c, m * n)?, workspace);
        Ok(())
    }

    fn inner_product_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        inner_product::workspace_len(self, geometry)
    }

    fn inner_product_forward(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "inner_product_forward";
        let [batch, inputs, outputs] =
            [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
        let (finish, rest) = Finish::of(epilogue.activation);
        let weights = take_anywhere(OP, "weights", weights, inputs * outputs)?;
        if geometry.transpose && weights.as_slice().is_none() {
            return Err(Error::Unaligned { op: OP, operand: "weights" });
        }
        let operands = Operands {
            x: take(OP, "x", x, batch * inputs)?,
            bias: take_if(OP, "bias", epilogue.bias, outputs)?,
            accumulate: epilogue.accumulate,
            finish,
            y: take_mut(OP, "y", y, batch * outputs)?,
            workspace: take_mut(
                OP,
                "the workspace",
                workspace,
                inner_product::workspace_len(self, geometry),
            )?,
        };
        inner_product::forward(self, geometry, weights, operands);
        activation::forward(self, rest, None, take_mut(OP, "y", y, batch * outputs)?);
        Ok(())
    }

    fn inner_product_backward_data_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        inner_product::workspace_len(self, &mirrored(geometry))
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
        let epilogue = Epilogue { accumulate, ..Epilogue::default() };
        self.inner_product_forward(&mirrored(geometry), weights, dy, &epilogue, dx, workspace)
    }

    fn inner_product_backward_filter_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        inner_product::backward_filter_workspace_len(self, geometry)
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
        let operands = [take(OP, "x", x, batch * inputs)?, take(OP, "dy", dy, batch * outputs)?];
        let dw = take_mut(OP, "dw", dw, inputs * outputs)?;
        let needed = inner_product::backward_filter_workspace_len(self, geometry);
        let workspace = take_mut(OP, "the workspace", workspace, needed)?;
        inner_product::backward_filter(self, geometry, operands, accumulate, dw, workspace);
        Ok(())
    }

    fn convolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Convolution> {
        geometry.check("convolution_prepare", false)?;
        self.convolution_prepare_with(ConvAlgorithm::choose(geometry), geometry, weights)
    }

    fn convolution_forward(
        &self,
        prepared: &Convolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_forward";
        let plan = prepared.plan.host(OP)?;
        let geometry = &prepared.geometry;
        let (finish, rest) = Finish::of(epilogue.activation);
        let operands = Operands {
            x: take(OP, "x", x, geometry.input_len())?,
            bias: take_if(OP, "bias", epilogue.bias, geometry.output_channels as usize)?,
            accumulate: epilogue.accumulate,
            finish,
            y: take_mut(OP, "y", y, geometry.output_len())?,
            workspace: take_mut(OP, "the workspace", workspace, plan.workspace_len())?,
        };
        plan.forward(self, geometry, operands);
        activation::forward(self, rest, None, take_mut(OP, "y", y, geometry.output_len())?);
        Ok(())
    }

    fn convolution_repack(&self, prepared: &mut Convolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_repack";
        let geometry = &prepared.geometry;
        let weights = take(OP, "weights", weights, geometry.weight_len())?;
        let plan = prepared.plan.host_mut(OP)?;
        plan.repack(self, geometry, Filters::forward(geometry, weights));
        Ok(())
    }

    fn convolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "convolution_backward_data_prepare";
        geometry.check(OP, false)?;
        let weights = take(OP, "weights", weights, geometry.weight_len())?;
        let plan = self.threads.enter(|| backward_data::Plan::new(self, geometry, weights))?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }

    fn convolution_backward_data_repack(&self, prepared: &mut BackwardData, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_backward_data_repack";
        let plan = prepared.plan.host_mut(OP)?;
        plan.repack(self, take(OP, "weights", weights, plan.weight_len())?);
        Ok(())
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
        let plan = prepared.plan.host(OP)?;
        let dy = take(OP, "dy", dy, plan.gradient_len())?;
        let dx = take_mut(OP, "dx", dx, plan.input_len())?;
        plan.run(self, dy, accumulate, dx, take_mut(OP, "the workspace", workspace, plan.workspace_len())?);
        Ok(())
    }

    fn convolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        backward_filter::workspace_len(self, geometry)
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
        let operands = [take(OP, "x", x, geometry.input_len())?, take(OP, "dy", dy, geometry.output_len())?];
        let dw = take_mut(OP, "dw", dw, geometry.weight_len())?;
        let needed = backward_filter::workspace_len(self, geometry);
        let workspace = take_mut(OP, "the workspace", workspace, needed)?;
        backward_filter::run(self, geometry, operands, accumulate, dw, workspace);
        Ok(())
    }

    fn deconvolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Deconvolution> {
        const OP: &str = "deconvolution_prepare";
        geometry.check(OP, true)?;
        let transposed = geometry.transposed();
        let weights = take(OP, "weights", weights, transposed.weight_len())?;
        let plan = self.threads.enter(|| deconv::Plan::new(self, &transposed, weights))?;
        Ok(Deconvolution { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }

    fn deconvolution_forward(
        &self,
        prepared: &Deconvolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "deconvolution_forward";
        let plan = prepared.plan.host(OP)?;
        let geometry = prepared.geometry.transposed();
        let (finish, rest) = Finish::of(epilogue.activation);
        let operands = Operands {
            x: take(OP, "x", x, geometry.output_len())?,
            bias: take_if(OP, "bias", epilogue.bias, geometry.input_channels as usize)?,
            accumulate: epilogue.accumulate,
            finish,
            y: take_mut(OP, "y", y, geometry.input_len())?,
            workspace: take_mut(OP, "the workspace", workspace, plan.workspace_len())?,
        };
        plan.forward(self, operands);
        activation::forward(self, rest, None, take_mut(OP, "y", y, geometry.input_len())?);
        Ok(())
    }

    fn deconvolution_repack(&self, prepared: &mut Deconvolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "deconvolution_repack";
        let needed = prepared.geometry.transposed().weight_len();
        let weights = take(OP, "weights", weights, needed)?;
        let plan = prepared.plan.host_mut(OP)?;
        plan.repack(self, weights);
        Ok(())
    }

    fn deconvolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "deconvolution_backward_data_prepare";
        geometry.check(OP, true)?;
        let transposed = geometry.transposed();
        let weights = take(OP, "weights", weights, transposed.weight_len())?;
        let plan =
            self.threads.enter(|| backward_data::Plan::of_deconvolution(self, &transposed, weights))?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }

    fn deconvolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        backward_filter::workspace_len(self, &geometry.transposed())
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
        let operands =
            [take(OP, "dy", dy, transposed.input_len())?, take(OP, "x", x, transposed.output_len())?];
        let dw = take_mut(OP, "dw", dw, transposed.weight_len())?;
        let needed = backward_filter::workspace_len(self, &transposed);
        let workspace = take_mut(OP, "the workspace", workspace, needed)?;
        backward_filter::run(self, &transposed, operands, accumulate, dw, workspace);
        Ok(())
    }

    fn im2col(&self, geometry: &ConvGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col";
        geometry.check(OP, false)?;
        let planes = (geometry.batch * geometry.input_channels) as usize;
        let x = take(OP, "x", x, planes * geometry.input_pixels())?;
        let y = take_mut(OP, "y", y, planes * geometry.taps() * geometry.output_pixels())?;
        im2col::forward(self, geometry, x, y);
        Ok(())
    }

    fn im2col_backward(&self, geometry: &ConvGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col_backward";
        geometry.check(OP, false)?;
        let planes = (geometry.batch * geometry.input_channels) as usize;
        let dy = take(OP, "dy", dy, planes * geometry.taps() * geometry.output_pixels())?;
        im2col::backward(self, geometry, dy, take_mut(OP, "dx", dx, planes * geometry.input_pixels())?);
        Ok(())
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
        if geometry.method == PoolMethod::StochasticTrain && random.is_none() {
            return Err(Error::geometry(OP, "stochastic pooling in training needs random numbers"));
        }
        if mask.is_some() && !matches!(geometry.method, PoolMethod::Max | PoolMethod::StochasticTrain) {
            return Err(Error::geometry(OP, format!("{:?} pooling has no mask", geometry.method)));
        }
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
        let mask = take_if(OP, "mask", mask, geometry.output_len())?;
        let dy = take(OP, "dy", dy, geometry.output_len())?;
        pooling::backward(self, geometry, mask, dy, take_mut(OP, "dx", dx, geometry.input_len())?);
        Ok(())
    }

    fn lrn_forward(&self, geometry: &LrnGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_forward";
        if geometry.size.is_multiple_of(2) {
            return Err(Error::geometry(OP, format!("a window of {} has no middle", geometry.size)));
        }
        let x = take(OP, "x", x, geometry.len())?;
        lrn::forward(self, geometry, x, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn lrn_backward(&self, geometry: &LrnGeometry, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_backward";
        if geometry.size.is_multiple_of(2) {
            return Err(Error::geometry(OP, format!("a window of {} has no middle", geometry.size)));
        }
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        lrn::backward(self, geometry, operands, take_mut(OP, "dx", dx, geometry.len())?)
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
        let axis = geometry.axis as usize;
        let x = take_if(OP, "x", x, geometry.len())?;
        let terms = [take(OP, "mean", mean, axis)?, take(OP, "variance", variance, axis)?];
        let y = take_mut(OP, "y", y, geometry.len())?;
        let factor = channelwise::statistics_factor(take(OP, "weight", weight, 1)?[0]);
        channelwise::batch_normalization_inference(self, geometry, x, terms, [factor, eps], y);
        Ok(())
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
        let axis = geometry.axis as usize;
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, geometry.len())?;
        let terms = [take_mut(OP, "mean", mean, axis)?, take_mut(OP, "variance", variance, axis)?];
        channelwise::batch_normalization_training(self, geometry, x, eps, y, terms);
        Ok(())
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
        let axis = geometry.axis as usize;
        let x = take(OP, "x", x, geometry.len())?;
        let terms = [take(OP, "mean", mean, axis)?, take(OP, "variance", variance, axis)?];
        let dy = take(OP, "dy", dy, geometry.len())?;
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        channelwise::batch_normalization_backward(self, geometry, x, terms, eps, dy, dx);
        Ok(())
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
        let variance = take(OP, "variance", variance, geometry.axis as usize)?;
        let dy = take_if(OP, "dy", dy, geometry.len())?;
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        let factor = channelwise::statistics_factor(take(OP, "weight", weight, 1)?[0]);
        channelwise::batch_normalization_backward_inference(self, geometry, variance, [factor, eps], dy, dx);
        Ok(())
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
        let axis = geometry.axis as usize;
        let x = take_if(OP, "x", x, geometry.len())?;
        let (scale, bias) = (take_if(OP, "scale", scale, axis)?, take_if(OP, "bias", bias, axis)?);
        channelwise::scale(self, geometry, x, scale, bias, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn bias_backward(&self, geometry: &AxisGeometry, dy: &Buffer, db: &mut Buffer) -> Result<()> {
        const OP: &str = "bias_backward";
        let dy = take(OP, "dy", dy, geometry.len())?;
        let db = take_mut(OP, "db", db, geometry.axis as usize)?;
        sums::add_by_channel(self, geometry, [dy, dy], |dy, _| dy, db);
        Ok(())
    }

    fn scale_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "scale_backward";
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let dscale = take_mut(OP, "dscale", dscale, geometry.axis as usize)?;
        sums::add_by_channel(self, geometry, operands, |x, dy| x * dy, dscale);
        Ok(())
    }

    fn activation_forward(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "activation_forward";
        let x = take_if(OP, "x", x, len)?;
        activation::forward(self, activation, x, take_mut(OP, "y", y, len)?);
        Ok(())
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
        let source = take_if(OP, "the source", source, len)?.unwrap_or_default();
        let dy = take_if(OP, "dy", dy, len)?;
        activation::backward(self, activation, source, dy, take_mut(OP, "dx", dx, len)?);
        Ok(())
    }

    fn prelu_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        slope: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_forward";
        let x = take_if(OP, "x", x, geometry.len())?;
        let slope = take(OP, "slope", slope, geometry.axis as usize)?;
        channelwise::prelu(self, geometry, x, slope, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
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
        let x = take(OP, "x", x, geometry.len())?;
        let slope = take(OP, "slope", slope, geometry.axis as usize)?;
        let dy = take_if(OP, "dy", dy, geometry.len())?;
        channelwise::prelu_backward(self, geometry, x, slope, dy, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
    }

    fn prelu_backward_slope(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dslope: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_backward_slope";
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let dslope = take_mut(OP, "dslope", dslope, geometry.axis as usize)?;
        sums::add_by_channel(self, geometry, operands, |x, dy| if x > 0.0 { 0.0 } else { x * dy }, dslope);
        Ok(())
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
        // The slices live on the stack: no allocation.
        if !(1..=eltwise::MAX_INPUTS).contains(&x.len()) {
            let what = format!("{} inputs; 1 to {} are possible", x.len(), eltwise::MAX_INPUTS);
            return Err(Error::geometry(OP, what));
        }
        let mut slices: [&[f32]; eltwise::MAX_INPUTS] = [&[]; eltwise::MAX_INPUTS];
        for (slice, x) in slices.iter_mut().zip(x) {
            *slice = take(OP, "x", x, len)?;
        }
        eltwise::forward(self, op, &slices[..x.len()], take_mut(OP, "y", y, len)?);
        Ok(())
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
        let mut slices: [&[f32]; eltwise::MAX_INPUTS] = [&[]; eltwise::MAX_INPUTS];
        let plain = matches!(op, EltwiseOp::Sum(_));
        if !plain {
            if x.len() > eltwise::MAX_INPUTS || index >= x.len() {
                let what = format!("input {index} of {}; {} are possible", x.len(), eltwise::MAX_INPUTS);
                return Err(Error::geometry(OP, what));
            }
            for (slice, x) in slices.iter_mut().zip(x) {
                *slice = take(OP, "x", x, len)?;
            }
        }
        let count = if plain { 0 } else { x.len() };
        let (y, dy) = (take_if(OP, "y", y, len)?, take(OP, "dy", dy, len)?);
        eltwise::backward(self, op, index, &slices[..count], y, dy, take_mut(OP, "dx", dx, len)?);
        Ok(())
    }

    fn softmax_forward(&self, geometry: &AxisGeometry, x: Option<&Buffer>, y: &mut Buffer) -> Result<()> {
        const OP: &str = "softmax_forward";
        let (_, axis, inner) = geometry.sizes();
        let x = take_if(OP, "x", x, geometry.len())?;
        softmax::forward(self, axis, inner, x, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn softmax_backward(
        &self,
        geometry: &AxisGeometry,
        y: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "softmax_backward";
        let (_, axis, inner) = geometry.sizes();
        let (y, dy) = (take(OP, "y", y, geometry.len())?, take_if(OP, "dy", dy, geometry.len())?);
        softmax::backward(self, axis, inner, y, dy, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
    }

    fn transform_tensor(&self, geometry: &CopyGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "transform_tensor";
        geometry.check(OP)?;
        let (source, target) = geometry.reach();
        let (x, y) = (take(OP, "x", x, source)?, take_mut(OP, "y", y, target)?);
        if !y.is_empty() {
            transform::forward(self, geometry, x, y);
        }
        Ok(())
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
        let (dy, dx) = (take(OP, "dy", dy, target)?, take_mut(OP, "dx", dx, source)?);
        transform::backward(self, geometry, dy, accumulate, dx);
        Ok(())
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
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, outer * parts * top_k as usize * inner)?;
        argmax::forward(self, geometry, top_k as usize, output, x, y);
        Ok(())
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
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, geometry.rows as usize)?;
        rows::reduce(self, op, geometry.length as usize, coefficient, x, y);
        Ok(())
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
        let x = take_if(OP, "x", x, geometry.len())?.unwrap_or_default();
        let dy = take(OP, "dy", dy, geometry.rows as usize)?;
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        rows::reduce_backward(self, op, geometry.length as usize, coefficient, [x, dy], dx);
        Ok(())
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
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, geometry.len())?;
        rows::mvn(self, geometry.length as usize, normalize_variance, eps, x, y);
        Ok(())
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
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        rows::mvn_backward(self, geometry.length as usize, normalize_variance, eps, operands, dx);
        Ok(())
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
        const OP: &str = "embed_forward";
        let [count, rows, length] =
            [geometry.count, geometry.rows, geometry.length].map(|extent| extent as usize);
        let index = take(OP, "index", index, count)?;
        let table = take(OP, "table", table, rows * length)?;
        let bias = take_if(OP, "bias", bias, length)?;
        embed::forward(self, geometry, site, index, table, bias, take_mut(OP, "y", y, count * length)?)
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
        let [count, rows, length] =
            [geometry.count, geometry.rows, geometry.length].map(|extent| extent as usize);
        let operands = [take(OP, "index", index, count)?, take(OP, "dy", dy, count * length)?];
        embed::backward(self, geometry, site, operands, take_mut(OP, "dtable", dtable, rows * length)?)
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
        let gates = take(OP, "gates", gates, batch * 4 * hidden)?;
        let continuation = take(OP, "continuation", continuation, batch)?;
        let c = take_mut(OP, "c", c, batch * hidden)?;
        let h = take_mut(OP, "h", h, batch * hidden)?;
        lstm::unit(self, hidden, gates, continuation, c, h);
        Ok(())
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
        let gates = take(OP, "gates", gates, batch * 4 * hidden)?;
        let continuation = take(OP, "continuation", continuation, batch)?;
        let (c, dh) = (take(OP, "c", c, batch * hidden)?, take(OP, "dh", dh, batch * hidden)?);
        let dc = take_mut(OP, "dc", dc, batch * hidden)?;
        let dgates = take_mut(OP, "dgates", dgates, batch * 4 * hidden)?;
        lstm::unit_backward(self, hidden, gates, continuation, c, dh, dc, dgates);
        Ok(())
    }

    fn normalize_forward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_forward";
        let scales = geometry.scale_len();
        let x = take(OP, "x", x, geometry.len())?;
        let scale = take(OP, "scale", scale, scales)?;
        normalize::forward(self, geometry, x, scale, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
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
        let scales = geometry.scale_len();
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let scale = take(OP, "scale", scale, scales)?;
        normalize::backward(self, geometry, operands, scale, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
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
        let scales = geometry.scale_len();
        let operands = [take(OP, "y", y, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let scale = take(OP, "scale", scale, scales)?;
        normalize::backward_scale(self, geometry, operands, scale, take_mut(OP, "dscale", dscale, scales)?);
        Ok(())
    }

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
        let (numbers, x) = (numbers(OP, random)?, take_if(OP, "x", x, len)?);
        random::dropout(self, ratio, numbers, x, take_mut(OP, "y", y, len)?);
        Ok(())
    }

    fn loss_totals_len(&self) -> usize {
        1
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
        const OP: &str = "label_loss_forward";
        let operands = label_operands(OP, geometry, x, label, matrix)?;
        let (loss, totals) = (take_mut(OP, "loss", loss, 1)?, take_mut(OP, "totals", totals, 1)?);
        let (sum, counted) = label_loss::forward(geometry, site, operands)?;
        leave(sum, geometry.divided_by(counted), loss, totals);
        Ok(())
    }

    fn label_loss_backward(
        &self,
        geometry: &LabelLossGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "label_loss_backward";
        let operands = label_operands(OP, geometry, x, label, matrix)?;
        let factor = factor(take(OP, "dloss", dloss, 1)?, take(OP, "totals", totals, 1)?);
        let dx = take_mut(OP, "dx", dx, geometry.scores.len())?;
        label_loss::backward(self, geometry, site, operands, factor, dx)
    }

    fn accuracy_forward(
        &self,
        geometry: &AccuracyGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        share: &mut Buffer,
        by_class: Option<&mut Buffer>,
        _totals: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "accuracy_forward";
        let (outer, classes, inner) = geometry.scores.sizes();
        let operands = [take(OP, "x", x, geometry.scores.len())?, take(OP, "label", label, outer * inner)?];
        let by_class = by_class.map(|shares| take_mut(OP, "by_class", shares, classes)).transpose()?;
        let share = take_mut(OP, "share", share, 1)?;
        share[0] = label_loss::accuracy(geometry, site, operands, by_class)?;
        Ok(())
    }

    fn pair_loss_forward(
        &self,
        geometry: &PairLossGeometry,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "pair_loss_forward";
        let pair = pair_operands(OP, geometry, pair, extra)?;
        let (loss, totals) = (take_mut(OP, "loss", loss, 1)?, take_mut(OP, "totals", totals, 1)?);
        let (sum, counted) = pair_loss::forward(geometry, pair);
        leave(sum, geometry.divided_by(counted), loss, totals);
        Ok(())
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
        const OP: &str = "pair_loss_backward";
        geometry.check_backward(OP, which)?;
        let pair = pair_operands(OP, geometry, pair, extra)?;
        let factor = factor(take(OP, "dloss", dloss, 1)?, take(OP, "totals", totals, 1)?);
        let factor = if which == 0 { factor } else { -factor };
        pair_loss::backward(self, geometry, pair, factor, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
    }

    fn axpy(&self, alpha: f32, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "axpy";
        vector::axpy(self, alpha, take(OP, "x", x, len)?, take_mut(OP, "y", y, len)?);
        Ok(())
    }

    fn scale_tensor(&self, alpha: f32, len: usize, y: &mut Buffer) -> Result<()> {
        vector::scale(self, alpha, take_mut("scale_tensor", "y", y, len)?);
        Ok(())
    }

    fn sum_of_squares(&self, len: usize, x: &Buffer) -> Result<f64> {
        Ok(vector::sum_of_squares(self, take("sum_of_squares", "x", x, len)?))
    }
}

/// The product that takes dy to dx: inputs and outputs exchanged.
fn mirrored(geometry: &InnerProductGeometry) -> InnerProductGeometry {
    let InnerProductGeometry { batch, inputs, outputs, transpose } = *geometry;
    InnerProductGeometry { batch, inputs: outputs, outputs: inputs, transpose: !transpose }
}

/// The numbers of the pass that the clock says.
fn numbers(op: &'static str, random: &Random<'_>) -> Result<random::Numbers> {
    Ok(random::Numbers::new(random.key, take(op, "the clock", random.clock, CLOCK_LEN)?))
}

/// Scores, labels, and the matrix of an Infogain loss.
fn label_operands<'a>(
    op: &'static str,
    geometry: &LabelLossGeometry,
    x: &'a Buffer,
    label: &'a Buffer,
    matrix: Option<&'a Buffer>,
) -> Result<[&'a [f32]; 3]> {
    let matrix = take_if(op, "matrix", matrix, geometry.matrix_len(op, matrix.is_some())?)?;
    let label = take(op, "label", label, geometry.places())?;
    Ok([take(op, "x", x, geometry.scores.len())?, label, matrix.unwrap_or_default()])
}

fn pair_operands<'a>(
    op: &'static str,
    geometry: &PairLossGeometry,
    [a, b]: [&'a Buffer; 2],
    extra: [Option<&'a Buffer>; 2],
) -> Result<pair_loss::Pair<'a>> {
    geometry.check(op, extra.map(|extra| extra.is_some()))?;
    let [first, second] = extra.map(|extra| take_if(op, "extra", extra, geometry.extra_len()));
    let (a, b) = (take(op, "a", a, geometry.len())?, take(op, "b", b, geometry.len())?);
    Ok(pair_loss::Pair { a, b, extra: [first?, second?] })
}

/// What a loss's forward pass leaves.
fn leave(sum: f64, divisor: u32, loss: &mut [f32], totals: &mut [f32]) {
    loss[0] = (sum / f64::from(divisor)) as f32;
    totals[0] = f32::from_bits(divisor);
}

/// What a loss's gradient is multiplied by.
fn factor(dloss: &[f32], totals: &[f32]) -> f64 {
    f64::from(dloss[0]) / f64::from(totals[0].to_bits().max(1))
}

/// The first `needed` floats of an operand.
fn take<'a>(op: &'static str, operand: &'static str, buffer: &'a Buffer, needed: usize) -> Result<&'a [f32]> {
    let found = buffer.len();
    let floats = buffer.as_host().ok_or_else(|| buffer.refusal(op, operand, false))?;
    floats.get(..needed).ok_or(Error::TooShort { op, operand, needed, found })
}

/// The same of an operand that may lie anywhere.
fn take_anywhere<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: &'a Buffer,
    needed: usize,
) -> Result<Floats<'a>> {
    let floats = buffer.as_floats().ok_or_else(|| buffer.refusal(op, operand, false))?;
    if floats.len() < needed {
        return Err(Error::TooShort { op, operand, needed, found: buffer.len() });
    }
    Ok(floats.part(0..needed))
}

/// The same of an operand that may be absent.
fn take_if<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: Option<&'a Buffer>,
    needed: usize,
) -> Result<Option<&'a [f32]>> {
    buffer.map(|buffer| take(op, operand, buffer, needed)).transpose()
}

/// The same of an operand that is written.
fn take_mut<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: &'a mut Buffer,
    needed: usize,
) -> Result<&'a mut [f32]> {
    if buffer.as_host_mut().is_none() {
        return Err(buffer.refusal(op, operand, true));
    }
    let found = buffer.len();
    let floats = buffer.as_host_mut().unwrap_or_default();
    floats.get_mut(..needed).ok_or(Error::TooShort { op, operand, needed, found })
}
