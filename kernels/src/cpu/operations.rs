//! [`Backend`] for the CPU: each method checks its operands, takes the slices it needs and calls the operation.

use super::conv::{ConvAlgorithm, Operands, Plan};
use super::gemm::Finish;
use super::{
    CpuBackend, activation, argmax, channelwise, deconv, eltwise, embed, gemm, im2col, inner_product, lrn,
    lstm, normalize, pooling, resize, rows, softmax, transform,
};
use crate::activation::Activation;
use crate::backend::{ArgMaxOutput, Backend, EltwiseOp, Epilogue, ReduceOp};
use crate::buffer::{Buffer, Floats, HostBuffer};
use crate::error::{Error, Result};
use crate::geometry::{
    AxisGeometry, ConvGeometry, CopyGeometry, EmbedGeometry, GemmGeometry, InnerProductGeometry,
    InterpGeometry, LrnGeometry, LstmGeometry, NormalizeGeometry, PoolGeometry, PoolMethod, RowsGeometry,
};
use crate::prepared::{Convolution, ConvolutionPlan, Deconvolution, DeconvolutionPlan};

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
        let plan = self.threads.enter(|| Plan::new(self, algorithm, geometry, weights))?;
        Ok(Convolution { geometry: *geometry, plan: ConvolutionPlan::Host(plan) })
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> String {
        format!("CPU, {:?}, {} threads", self.isa(), self.threads())
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
        let ConvolutionPlan::Host(plan) = &prepared.plan;
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

    fn deconvolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Deconvolution> {
        const OP: &str = "deconvolution_prepare";
        geometry.check(OP, true)?;
        let weights = take(OP, "weights", weights, geometry.transposed().weight_len())?;
        let plan = self.threads.enter(|| deconv::Plan::new(self, geometry, weights))?;
        Ok(Deconvolution { geometry: *geometry, plan: DeconvolutionPlan::Host(Box::new(plan)) })
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
        let DeconvolutionPlan::Host(plan) = &prepared.plan;
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

    fn im2col(&self, geometry: &ConvGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col";
        geometry.check(OP, false)?;
        let planes = (geometry.batch * geometry.input_channels) as usize;
        let x = take(OP, "x", x, planes * geometry.input_pixels())?;
        let y = take_mut(OP, "y", y, planes * geometry.taps() * geometry.output_pixels())?;
        im2col::forward(self, geometry, x, y);
        Ok(())
    }

    fn pooling_forward(
        &self,
        geometry: &PoolGeometry,
        x: &Buffer,
        y: &mut Buffer,
        mask: Option<&mut Buffer>,
        random: Option<&Buffer>,
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
        let random = take_if(OP, "random", random, len)?;
        let mask = mask.map(|mask| take_mut(OP, "mask", mask, len)).transpose()?;
        pooling::forward(self, geometry, x, take_mut(OP, "y", y, len)?, mask, random);
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

    fn batch_normalization_forward_inference(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        mean: &Buffer,
        variance: &Buffer,
        factor: f32,
        eps: f32,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_forward_inference";
        let axis = geometry.axis as usize;
        let x = take_if(OP, "x", x, geometry.len())?;
        let terms = [take(OP, "mean", mean, axis)?, take(OP, "variance", variance, axis)?];
        let y = take_mut(OP, "y", y, geometry.len())?;
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

    fn softmax_forward(&self, geometry: &AxisGeometry, x: Option<&Buffer>, y: &mut Buffer) -> Result<()> {
        const OP: &str = "softmax_forward";
        let (_, axis, inner) = geometry.sizes();
        let x = take_if(OP, "x", x, geometry.len())?;
        softmax::forward(self, axis, inner, x, take_mut(OP, "y", y, geometry.len())?);
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

    fn embed_forward(
        &self,
        geometry: &EmbedGeometry,
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
        embed::forward(self, geometry, index, table, bias, take_mut(OP, "y", y, count * length)?)
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

    fn normalize_forward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_forward";
        let scales = if geometry.channel_shared { 1 } else { geometry.channels as usize };
        let x = take(OP, "x", x, geometry.len())?;
        let scale = take(OP, "scale", scale, scales)?;
        normalize::forward(self, geometry, x, scale, take_mut(OP, "y", y, geometry.len())?);
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
}

/// The first `needed` floats of an operand.
fn take<'a>(op: &'static str, operand: &'static str, buffer: &'a Buffer, needed: usize) -> Result<&'a [f32]> {
    let found = buffer.len();
    let floats = buffer.as_host().ok_or(Error::Unaligned { op, operand })?;
    floats.get(..needed).ok_or(Error::TooShort { op, operand, needed, found })
}

/// The same of an operand that may lie anywhere.
fn take_anywhere<'a>(
    op: &'static str,
    operand: &'static str,
    buffer: &'a Buffer,
    needed: usize,
) -> Result<Floats<'a>> {
    let floats = buffer.as_floats().filter(|floats| floats.len() >= needed);
    let floats = floats.ok_or(Error::TooShort { op, operand, needed, found: buffer.len() })?;
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
    let found = buffer.len();
    let floats = buffer.as_host_mut().ok_or(Error::ReadOnly { op, operand })?;
    floats.get_mut(..needed).ok_or(Error::TooShort { op, operand, needed, found })
}
