//! What a device must be able to do.

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::geometry::{
    AccuracyGeometry, AxisGeometry, ConvGeometry, CopyGeometry, EmbedGeometry, GemmGeometry,
    InnerProductGeometry, InterpGeometry, LabelLossGeometry, LrnGeometry, LstmGeometry, NormalizeGeometry,
    PairLossGeometry, PoolGeometry, RowsGeometry,
};
use crate::prepared::{BackwardData, Convolution, Deconvolution};
use crate::random::Random;
use crate::recording::Recording;
use crate::update::Updates;

/// Combines several arrays element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EltwiseOp<'a> {
    /// Σ coefficient · x: one coefficient an input, or none at all for a plain sum.
    Sum(&'a [f32]),
    /// Π x.
    Product,
    /// The largest.
    Max,
}

/// Reduces a row to one number (Caffe's ReductionParameter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// Σ x.
    Sum,
    /// Σ |x|.
    AbsoluteSum,
    /// Σ x².
    SumOfSquares,
    /// Σ x / length.
    Mean,
}

/// What happens to the sums of a convolution or an inner product on their way out, as in cuDNN's
/// `cudnnConvolutionBiasActivationForward`: `y = activation(sum + bias (+ y))`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One float an output channel.
    pub bias: Option<&'a Buffer>,
    /// Whether the output's old value is added: the shortcut of a residual block.
    pub accumulate: bool,
    /// What is done last.
    pub activation: Activation,
}

/// What ArgMax gives for each of the `top_k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgMaxOutput {
    /// Its place along the axis, as a float.
    Index,
    /// Its value.
    Value,
    /// The places of all, then the values of all: outer×2×top_k.
    IndexAndValue,
}

/// Who asks for an operation that can meet a value that it cannot work on, such as a label that names no class: any number. A device
/// reports such a value after the operation has returned, with the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Site(pub u32);

/// A device: memory, and coarse operations on it, with cuDNN's names where cuDNN has them.
///
/// Arrays are f32 in row-major order, images N×C×H×W. A buffer may be longer than the geometry needs; a shorter one
/// is refused before anything is written. An operation whose `x` is an `Option` works in place on `y` when it is
/// `None`. Operations may return before they are done: [`synchronize`](Backend::synchronize) waits, and so does
/// [`read`](Backend::read).
pub trait Backend: Send + Sync {
    /// The device, in words.
    fn name(&self) -> String;

    /// What decides the bits of results, in words: backends that say the same compute the same.
    fn arithmetic(&self) -> String;

    /// `len` zeros.
    fn allocate(&self, len: usize) -> Result<Buffer>;

    /// A buffer of zeros for each of `lens` lengths: on a device, parts of one allocation, which is given back when the last of
    /// them is dropped.
    fn allocate_all(&self, lens: &[usize]) -> Result<Vec<Buffer>> {
        lens.iter().map(|&len| self.allocate(len)).collect()
    }

    /// Says that what is in `buffer` will not be read before it is written again: where every access is checked, a read is an error.
    fn discard(&self, _buffer: &mut Buffer) -> Result<()> {
        Ok(())
    }

    /// Copies `values` into `buffer`, from float `start` on. They are the caller's again when it returns; on a device they may
    /// still be on their way, beside what is computed meanwhile.
    fn write(&self, buffer: &mut Buffer, start: usize, values: &[f32]) -> Result<()>;

    /// Copies from `buffer`, from float `start` on, into `values`.
    fn read(&self, buffer: &Buffer, start: usize, values: &mut [f32]) -> Result<()>;

    /// Sets the first `len` floats to `value`.
    fn fill(&self, buffer: &mut Buffer, len: usize, value: f32) -> Result<()>;

    /// Waits until every operation is done. It fails with the first value since the last call that an operation could not work on,
    /// where operations return before they know: [`Error::Label`](crate::Error::Label), [`Error::Index`](crate::Error::Index).
    fn synchronize(&self) -> Result<()>;

    /// Takes down what `body` gives to the device: kernels, and copies within its memory. None of that is done, now or on an
    /// error; [`replay`](Backend::replay) does all of it, as often as it is called, with the same sizes and numbers and in the same
    /// memory. What `body` does in the host's memory happens. Other threads wait with what they have for this device until `body`
    /// returns, so it must not wait for them.
    ///
    /// # Errors
    /// [`Error::Unrecordable`] where this backend records nothing, without a call of `body`; and where `body` has the device
    /// allocate, wait, read, be written from the host, record or replay, or use a kernel that was never used before: that
    /// operation has then returned the same error to `body`.
    fn record(&self, _body: &mut dyn FnMut()) -> Result<Recording> {
        Err(Error::Unrecordable { what: "a processor does at once what it is given" })
    }

    /// Does what a recording of this device's holds.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] for another device's; [`Error::Unrecordable`] within a recording.
    fn replay(&self, _recording: &Recording) -> Result<()> {
        Err(Error::Elsewhere { op: "replay", operand: "what was recorded" })
    }

    /// Runs `body` where the device's operations start fastest: the CPU backend runs it on one of its own threads,
    /// which saves waking them for every operation. Meant for a whole forward pass.
    fn enter(&self, body: &mut (dyn FnMut() + Send));

    /// Calls `body` with every number below `count`, on as many of the host's threads as the device may use: for preparing
    /// several things side by side.
    fn each(&self, count: usize, body: &(dyn Fn(usize) + Sync));

    /// Floats of workspace that [`gemm`](Backend::gemm) needs.
    fn gemm_workspace_len(&self, geometry: &GemmGeometry) -> usize;

    /// `c = α · op(a) · op(b) + β · c`.
    fn gemm(
        &self,
        geometry: &GemmGeometry,
        a: &Buffer,
        b: &Buffer,
        c: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Floats of workspace that [`inner_product_forward`](Backend::inner_product_forward) needs.
    fn inner_product_workspace_len(&self, geometry: &InnerProductGeometry) -> usize;

    /// `y = activation(x · Wᵀ + bias (+ y))`: x is batch×inputs, W outputs×inputs (inputs×outputs if `transpose`), y
    /// batch×outputs. W is read where it lies, once, and unless `transpose` may be shared memory of any alignment.
    fn inner_product_forward(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Floats of workspace that [`inner_product_backward_data`](Backend::inner_product_backward_data) needs.
    fn inner_product_backward_data_workspace_len(&self, geometry: &InnerProductGeometry) -> usize;

    /// `dx = dy · W`, or `dx += ` that.
    fn inner_product_backward_data(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Floats of workspace that [`inner_product_backward_filter`](Backend::inner_product_backward_filter) needs.
    fn inner_product_backward_filter_workspace_len(&self, geometry: &InnerProductGeometry) -> usize;

    /// `dw = dyᵀ · x` (its transpose if W is transposed), or `dw += ` that.
    fn inner_product_backward_filter(
        &self,
        geometry: &InnerProductGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Chooses an algorithm and packs the weights, O×(I/G)×kernel, for it; they are not needed afterwards.
    fn convolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Convolution>;

    /// Cross-correlation, as Caffe's Convolution: x is N×I×spatial, y N×O×spatial.
    fn convolution_forward(
        &self,
        prepared: &Convolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Packs other weights in place of those of before, without allocating: in training they change with every step.
    fn convolution_repack(&self, prepared: &mut Convolution, weights: &Buffer) -> Result<()>;

    /// Chooses an algorithm for the gradient of a convolution with respect to its input, and packs the forward weights,
    /// O×(I/G)×kernel, for it.
    fn convolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData>;

    /// Packs other weights in place of those of before, without allocating: of a convolution or a deconvolution.
    fn convolution_backward_data_repack(&self, prepared: &mut BackwardData, weights: &Buffer) -> Result<()>;

    /// `dx = ∂y/∂x · dy`, or `dx += ` that, of a convolution or a deconvolution: dy is N×O×spatial, dx N×I×spatial.
    fn convolution_backward_data(
        &self,
        prepared: &BackwardData,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Floats of workspace that [`convolution_backward_filter`](Backend::convolution_backward_filter) needs.
    fn convolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize;

    /// `dw = Σ dy · x`, or `dw += ` that, over all images and output pixels; dw is O×(I/G)×kernel.
    fn convolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Packs the weights, I×(O/G)×kernel, of a deconvolution; they are not needed afterwards.
    fn deconvolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Deconvolution>;

    /// The transpose of a convolution, as Caffe's Deconvolution: x is N×I×spatial, y N×O×spatial.
    fn deconvolution_forward(
        &self,
        prepared: &Deconvolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Packs other weights in place of those of before, without allocating.
    fn deconvolution_repack(&self, prepared: &mut Deconvolution, weights: &Buffer) -> Result<()>;

    /// [`convolution_backward_data_prepare`](Backend::convolution_backward_data_prepare) of a deconvolution: what it gives is
    /// used by the same operations.
    fn deconvolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData>;

    /// Floats of workspace that [`deconvolution_backward_filter`](Backend::deconvolution_backward_filter) needs.
    fn deconvolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize;

    /// `dw = Σ x · dy`, or `dw += ` that, of a deconvolution; dw is I×(O/G)×kernel.
    fn deconvolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Lays every window of x, N×C×spatial, out as a column: y is N×(C·taps)×output pixels (Caffe's Im2col; groups
    /// and output channels do not matter).
    fn im2col(&self, geometry: &ConvGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`im2col`](Backend::im2col), Caffe's col2im: each pixel of dx gets the sum of its copies'.
    fn im2col_backward(&self, geometry: &ConvGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()>;

    /// Pooling. `mask`, as long as y, receives the place of the chosen element within its plane, as a float (Max and
    /// StochasticTrain only; −1 where the window was empty). StochasticTrain draws number i of `random` for output i.
    fn pooling_forward(
        &self,
        geometry: &PoolGeometry,
        x: &Buffer,
        y: &mut Buffer,
        mask: Option<&mut Buffer>,
        random: Option<&Random<'_>>,
    ) -> Result<()>;

    /// The gradient of a pooling: Max and StochasticTrain give it to the element that the mask names, Average to all of the
    /// window alike. StochasticTest has none.
    fn pooling_backward(
        &self,
        geometry: &PoolGeometry,
        mask: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// Local response normalization: `y = x · (k + α/n · Σ x²)^−β`; within a channel the sum is over n×n pixels, its
    /// weight is α / n², and k is 1.
    fn lrn_forward(&self, geometry: &LrnGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`lrn_forward`](Backend::lrn_forward); the sums are computed again from x. Windows of more than 256
    /// channels, or 56 pixels a side, are refused.
    fn lrn_backward(&self, geometry: &LrnGeometry, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()>;

    /// `y = (x − mean·f) / √(variance·f + eps)` per channel of outer×channels×inner; f is one over `weight`, one float, and 0
    /// where that is 0 (Caffe's BatchNorm keeps sums, and their weight in its third blob).
    #[expect(clippy::too_many_arguments, reason = "cuDNN's own list")]
    fn batch_normalization_forward_inference(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        mean: &Buffer,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `y = (x − mean) / √(variance + eps)` with the batch's own mean and biased variance per channel, which are
    /// written to `mean` and `variance`.
    fn batch_normalization_forward_training(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        eps: f32,
        y: &mut Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`batch_normalization_forward_training`](Backend::batch_normalization_forward_training), through the
    /// statistics too: `dx = (dy − mean(dy) − y · mean(dy · y)) / √(variance + eps)`, y being computed again from x.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn batch_normalization_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        mean: &Buffer,
        variance: &Buffer,
        eps: f32,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`batch_normalization_forward_inference`](Backend::batch_normalization_forward_inference):
    /// `dx = dy / √(variance·f + eps)`.
    fn batch_normalization_backward_inference(
        &self,
        geometry: &AxisGeometry,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `y = x · scale + bias`, both broadcast along the axis of outer×axis×inner, either absent.
    fn scale_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        scale: Option<&Buffer>,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `db[c] += Σ dy` over the elements of entry c of the axis: of a bias, of whatever layer.
    fn bias_backward(&self, geometry: &AxisGeometry, dy: &Buffer, db: &mut Buffer) -> Result<()>;

    /// `dscale[c] += Σ dy · x` over the elements of entry c of the axis. (dx is [`scale_forward`](Backend::scale_forward) of dy,
    /// without bias; the bias has [`bias_backward`](Backend::bias_backward).)
    fn scale_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()>;

    /// `y = activation(x)` for the first `len` elements.
    fn activation_forward(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `dx = activation′ · dy` for the first `len` elements, `source` being what
    /// [`Activation::gradient_from`] names: x or y. Caffe's derivatives, at kinks too.
    fn activation_backward(
        &self,
        activation: Activation,
        len: usize,
        source: Option<&Buffer>,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `y = max(x, 0) + slope · min(x, 0)`, with a slope for each entry of the axis of outer×axis×inner.
    fn prelu_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        slope: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`prelu_forward`](Backend::prelu_forward): `dx = dy · (x > 0 ? 1 : slope)`.
    fn prelu_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        slope: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `dslope[c] += Σ dy · min(x, 0)` over the elements of entry c of the axis.
    fn prelu_backward_slope(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dslope: &mut Buffer,
    ) -> Result<()>;

    /// Combines the first `len` elements of the inputs.
    fn eltwise_forward(&self, op: EltwiseOp<'_>, len: usize, x: &[&Buffer], y: &mut Buffer) -> Result<()>;

    /// The gradient with respect to input `index`. Of a product it is `dy` times the other inputs, or where `y` is given the
    /// quotient `dy · y / x` (Caffe's `stable_prod_grad: false`). Of a maximum it goes to the winner, found again from x: of
    /// equals in the first pair the later. A sum does not look at x.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn eltwise_backward(
        &self,
        op: EltwiseOp<'_>,
        len: usize,
        index: usize,
        x: &[&Buffer],
        y: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `e^(x − max) / Σ e^(x − max)` along the axis of outer×axis×inner.
    fn softmax_forward(&self, geometry: &AxisGeometry, x: Option<&Buffer>, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`softmax_forward`](Backend::softmax_forward): `dx = y · (dy − Σ dy · y)`, the sum along the axis.
    fn softmax_backward(
        &self,
        geometry: &AxisGeometry,
        y: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// Copies a box of elements: Concat, Slice, Crop, Permute, Tile, ShuffleChannel, Upsample.
    fn transform_tensor(&self, geometry: &CopyGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of the copy that `geometry` describes, from its target, dy, to its source, dx: each element that was read
    /// receives the sum of where it went, or has it added; elements that were not read are left alone.
    fn transform_tensor_backward(
        &self,
        geometry: &CopyGeometry,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// The `top_k` largest along the axis of outer×axis×inner, largest first, of equals the later first, as
    /// Caffe sorts them. y is
    /// outer×top_k×inner, or outer×2×top_k×inner for [`ArgMaxOutput::IndexAndValue`].
    fn argmax_forward(
        &self,
        geometry: &AxisGeometry,
        top_k: u32,
        output: ArgMaxOutput,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// Reduces each row, times `coefficient`, to one float.
    fn reduce_forward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`reduce_forward`](Backend::reduce_forward); sums and means do without x.
    fn reduce_backward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// Takes each row's mean off, and divides by `√variance + eps` if `normalize_variance`: Caffe's MVN.
    fn mvn_forward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`mvn_forward`](Backend::mvn_forward), as Caffe has it:
    /// `dx = (dy − mean(dy) − y · mean(dy · y)) / (√variance + eps)`, or without the variance `dy − mean(dy)`.
    fn mvn_backward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// Row `index[i]` of `table` (plus `bias`) becomes row i of y: Embed, BatchReindex, Filter. Indices are floats; one
    /// that names no row is an error, at once or when the device is [synchronized](Backend::synchronize).
    fn embed_forward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        table: &Buffer,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `dtable[index[i]] += dy[i]`, row by row. (The bias has [`bias_backward`](Backend::bias_backward).)
    fn embed_backward(
        &self,
        geometry: &EmbedGeometry,
        site: Site,
        index: &Buffer,
        dy: &Buffer,
        dtable: &mut Buffer,
    ) -> Result<()>;

    /// One step of an LSTM (Caffe's LSTMUnit): gates is batch×4·hidden in the order i, f, o, g, before their
    /// functions; `continuation`, one float a sequence, 0 where a sequence starts; c is the cell's state, stepped in
    /// place; h receives the output. `c' = σ(f)·cont·c + σ(i)·tanh(g)`, `h = σ(o)·tanh(c')`.
    fn lstm_unit_forward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &mut Buffer,
        h: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`lstm_unit_forward`](Backend::lstm_unit_forward). `c` is the state *before* the step. dc holds the
    /// gradient of the state after it, and receives that of the state before; dgates receives the gates'.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn lstm_unit_backward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &Buffer,
        dh: &Buffer,
        dc: &mut Buffer,
        dgates: &mut Buffer,
    ) -> Result<()>;

    /// `y = x / √(Σ x² + eps) · scale`: SSD's Normalize.
    fn normalize_forward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`normalize_forward`](Backend::normalize_forward) with respect to x.
    fn normalize_backward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `dscale += Σ dy · y / scale` over each channel, or over all: the gradient of a normalization's scale, as SSD has it.
    fn normalize_backward_scale(
        &self,
        geometry: &NormalizeGeometry,
        y: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()>;

    /// Bilinear resize that maps corners to corners: DeepLab's Interp.
    fn interp_forward(&self, geometry: &InterpGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`interp_forward`](Backend::interp_forward).
    fn interp_backward(&self, geometry: &InterpGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()>;

    /// Puts each element of `planes` planes of `lengths[0]` floats, the output of a pooling, back where the pooling's
    /// mask says, into planes of `lengths[1]` floats that are zero elsewhere: SegNet's Upsample. A place that is no
    /// element of the plane is left out.
    fn unpool_forward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        x: &Buffer,
        mask: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`unpool_forward`](Backend::unpool_forward): element i gets that of the place where it went.
    fn unpool_backward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        mask: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `y = number < ratio ? 0 : x / (1 − ratio)` for the first `len` elements, number i of `random` being element i's. It is its
    /// own gradient: with the same numbers, from dy to dx.
    fn dropout(
        &self,
        ratio: f32,
        len: usize,
        random: &Random<'_>,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;

    /// Floats of the totals that a loss's forward pass leaves for its gradient.
    fn loss_totals_len(&self) -> usize;

    /// The loss of x, samples×classes×inner, and `label`, samples×inner, over the divisor: one float. `matrix`, classes×classes, is
    /// Infogain's. Labels are floats, rounded towards 0; one that names no class is an error, at once or when the device is
    /// [synchronized](Backend::synchronize).
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn label_loss_forward(
        &self,
        geometry: &LabelLossGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()>;

    /// The gradient that [`LabelLoss`](crate::LabelLoss) says, times `dloss`, one float. `totals` is as the forward pass of the same
    /// operands has left it.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
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
    ) -> Result<()>;

    /// The share of right labels: one float; 0 where none counts. `by_class` receives that of each class. `totals` is scratch memory
    /// of [`loss_totals_len`](Backend::loss_totals_len).
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn accuracy_forward(
        &self,
        geometry: &AccuracyGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        share: &mut Buffer,
        by_class: Option<&mut Buffer>,
        totals: &mut Buffer,
    ) -> Result<()>;

    /// The loss of two arrays, samples×length, over the divisor: one float. `extra` are SmoothL1's weights inside and outside, as
    /// long as the arrays, or Contrastive's marks of the samples that are alike.
    fn pair_loss_forward(
        &self,
        geometry: &PairLossGeometry,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`pair_loss_forward`](Backend::pair_loss_forward) with respect to one of the two, times `dloss`, one float. A
    /// cross entropy has one with respect to the first alone. `totals` is as the forward pass of the same operands has left it.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn pair_loss_backward(
        &self,
        geometry: &PairLossGeometry,
        which: usize,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `y += α · x` for the first `len` elements.
    fn axpy(&self, alpha: f32, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// `y = α · y` for the first `len` elements.
    fn scale_tensor(&self, alpha: f32, len: usize, y: &mut Buffer) -> Result<()>;

    /// Σ x² over the first `len` elements: what clipping by a global norm needs.
    fn sum_of_squares(&self, len: usize, x: &Buffer) -> Result<f64>;

    /// Updates of parameters where they are; `None` where that is main memory, which an optimizer works on itself.
    fn updates(&self) -> Option<Box<dyn Updates>> {
        None
    }
}
