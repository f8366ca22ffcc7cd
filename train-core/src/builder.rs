//! Nets written in Rust.

use caffe_proto::proto::{
    BatchNormParameter, BlobShape, ConcatParameter, ConvolutionParameter, DropoutParameter, EltwiseParameter,
    FillerParameter, InnerProductParameter, InputParameter, LayerParameter, LrnParameter, NetParameter,
    NetState, Phase, PoolingParameter, ReLuParameter, ScaleParameter, eltwise_parameter, pooling_parameter,
};

use crate::error::{Error, Result};
use crate::network::Network;

/// Writes a net layer by layer. Each layer reads the one before it; what a layer reads decides its input channels.
///
/// Layers that learn have names, by which they find their weights, and make blobs of the same name. Others are named after
/// their type and a number. [`NetBuilder::from`] goes back to a blob, for branches.
///
/// ```
/// use train_core::NetBuilder;
///
/// let net = NetBuilder::new("residual")
///     .input("data", [1, 3, 32, 32])
///     .convolution("conv1", 16, 3).pad(1).bias(false).batch_norm("bn1").relu()
///     .convolution("conv2", 16, 3).pad(1)
///     .eltwise_sum("conv1").relu()
///     .global_average_pool()
///     .inner_product("fc", 10)
///     .softmax()
///     .build()?;
/// assert_eq!(net.net().outputs, ["softmax1"]);
/// # Ok::<(), train_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NetBuilder {
    definition: NetParameter,
    /// The blob that the next layer reads.
    current: Option<String>,
    fault: Option<String>,
}

impl NetBuilder {
    /// An empty net.
    pub fn new(name: impl Into<String>) -> Self {
        let definition = NetParameter { name: Some(name.into()), ..NetParameter::default() };
        Self { definition, current: None, fault: None }
    }

    /// A blob that whoever runs the net gives.
    pub fn input<const AXES: usize>(mut self, name: &str, shape: [usize; AXES]) -> Self {
        let shape = BlobShape { dim: shape.iter().map(|&extent| extent as i64).collect() };
        self.definition.layer.push(LayerParameter {
            input_param: Some(Box::new(InputParameter { shape: vec![shape] })),
            top: vec![name.to_owned()],
            ..layer(name, "Input")
        });
        self.current = Some(name.to_owned());
        self
    }

    /// Goes back to a blob: the next layer reads it.
    pub fn from(mut self, blob: &str) -> Self {
        self.current = Some(blob.to_owned());
        self
    }

    /// A convolution with a square window. Its weights start by MSRA's filler, its bias at 0.
    pub fn convolution(self, name: &str, outputs: u32, kernel: u32) -> Self {
        self.convolve(name, "Convolution", outputs, kernel)
    }

    /// The transpose of a convolution, which enlarges.
    pub fn deconvolution(self, name: &str, outputs: u32, kernel: u32) -> Self {
        self.convolve(name, "Deconvolution", outputs, kernel)
    }

    /// Sets the step of the convolution or pooling before.
    pub fn stride(self, stride: u32) -> Self {
        self.window(
            "stride",
            |convolution| convolution.stride = vec![stride],
            |pooling| pooling.stride = Some(stride),
        )
    }

    /// Sets the padding, at both ends, of the convolution or pooling before.
    pub fn pad(self, pad: u32) -> Self {
        self.window("pad", |convolution| convolution.pad = vec![pad], |pooling| pooling.pad = Some(pad))
    }

    /// Sets how many parts the channels of the convolution before are cut in.
    pub fn group(self, group: u32) -> Self {
        self.convolution_only("group", |convolution| convolution.group = Some(group))
    }

    /// Sets the distance between neighbouring taps of the convolution before.
    pub fn dilation(self, dilation: u32) -> Self {
        self.convolution_only("dilation", |convolution| convolution.dilation = vec![dilation])
    }

    /// Sets whether the convolution or inner product before has a bias; without this it has.
    pub fn bias(mut self, bias: bool) -> Self {
        match self.definition.layer.last_mut() {
            Some(LayerParameter { convolution_param: Some(p), .. }) => p.bias_term = Some(bias),
            Some(LayerParameter { inner_product_param: Some(p), .. }) => p.bias_term = Some(bias),
            _ => return self.misplaced("bias", "a convolution or an inner product"),
        }
        self
    }

    /// max(x, 0), in place.
    pub fn relu(self) -> Self {
        self.unnamed("ReLU", "relu", true, |_| {})
    }

    /// max(x, 0) + slope · min(x, 0), in place.
    pub fn leaky_relu(self, negative_slope: f32) -> Self {
        self.unnamed("ReLU", "relu", true, |layer| {
            let params = ReLuParameter { negative_slope: Some(negative_slope), ..Default::default() };
            layer.relu_param = Some(Box::new(params));
        })
    }

    /// 1 / (1 + e⁻ˣ), in place.
    pub fn sigmoid(self) -> Self {
        self.unnamed("Sigmoid", "sigmoid", true, |_| {})
    }

    /// The hyperbolic tangent, in place.
    pub fn tanh(self) -> Self {
        self.unnamed("TanH", "tanh", true, |_| {})
    }

    /// The largest value of each window.
    pub fn max_pool(self, kernel: u32) -> Self {
        self.pool(pooling_parameter::PoolMethod::Max, Some(kernel))
    }

    /// The mean of each window.
    pub fn average_pool(self, kernel: u32) -> Self {
        self.pool(pooling_parameter::PoolMethod::Ave, Some(kernel))
    }

    /// The mean of each channel.
    pub fn global_average_pool(self) -> Self {
        self.pool(pooling_parameter::PoolMethod::Ave, None)
    }

    /// Local response normalization across `local_size` channels.
    pub fn lrn(self, local_size: u32, alpha: f32, beta: f32) -> Self {
        self.unnamed("LRN", "norm", false, |layer| {
            layer.lrn_param = Some(Box::new(LrnParameter {
                local_size: Some(local_size),
                alpha: Some(alpha),
                beta: Some(beta),
                ..Default::default()
            }));
        })
    }

    /// BatchNorm with the Scale that Caffe puts behind it, named `scale_` and the name, both in place.
    pub fn batch_norm(self, name: &str) -> Self {
        let normed = self.place(name, "BatchNorm", true, |layer| {
            layer.batch_norm_param = Some(Box::new(BatchNormParameter::default()));
        });
        normed.place(&format!("scale_{name}"), "Scale", true, |layer| {
            let params = ScaleParameter { bias_term: Some(true), ..Default::default() };
            layer.scale_param = Some(Box::new(params));
        })
    }

    /// A product with a matrix. Its weights start by MSRA's filler, its bias at 0.
    pub fn inner_product(self, name: &str, outputs: u32) -> Self {
        self.place(name, "InnerProduct", false, |layer| {
            layer.inner_product_param = Some(Box::new(InnerProductParameter {
                num_output: Some(outputs),
                weight_filler: Some(msra()),
                ..Default::default()
            }));
        })
    }

    /// In training, zero with probability `ratio`, in place.
    pub fn dropout(self, ratio: f32) -> Self {
        self.unnamed("Dropout", "drop", true, |layer| {
            let params = DropoutParameter { dropout_ratio: Some(ratio), ..Default::default() };
            layer.dropout_param = Some(Box::new(params));
        })
    }

    /// The sum with another blob of the same shape.
    pub fn eltwise_sum(self, other: &str) -> Self {
        self.unnamed("Eltwise", "add", false, |layer| {
            layer.bottom.push(other.to_owned());
            layer.eltwise_param = Some(Box::new(EltwiseParameter {
                operation: Some(eltwise_parameter::EltwiseOp::Sum.into()),
                ..Default::default()
            }));
        })
    }

    /// The channels of other blobs behind this one's.
    pub fn concat<const OTHERS: usize>(self, others: [&str; OTHERS]) -> Self {
        self.unnamed("Concat", "concat", false, |layer| {
            layer.bottom.extend(others.iter().map(|&other| other.to_owned()));
            layer.concat_param = Some(Box::new(ConcatParameter { axis: Some(1), ..Default::default() }));
        })
    }

    /// eˣ / Σ eˣ over the channels.
    pub fn softmax(self) -> Self {
        self.unnamed("Softmax", "softmax", false, |_| {})
    }

    /// The loss of scores, by the classes that another blob has.
    pub fn softmax_with_loss(self, labels: &str) -> Self {
        self.unnamed("SoftmaxWithLoss", "loss", false, |layer| layer.bottom.push(labels.to_owned()))
    }

    /// Any other layer, as a prototxt would have it; its bottoms and tops too. The next layer reads its first top.
    pub fn layer(mut self, layer: LayerParameter) -> Self {
        self.current = layer.top.first().cloned().or(self.current);
        self.definition.layer.push(layer);
        self
    }

    /// The net, in the TEST phase.
    ///
    /// # Errors
    /// [`Error::Builder`] for what was asked of a layer that does not have it; those of [`Network::new`], and of
    /// [`Network::shapes`].
    pub fn build(self) -> Result<Network> {
        self.build_in(Phase::Test)
    }

    /// The net, in the TRAIN phase.
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    pub fn build_for_training(self) -> Result<Network> {
        self.build_in(Phase::Train)
    }

    fn build_in(self, phase: Phase) -> Result<Network> {
        if let Some(what) = self.fault {
            return Err(Error::Builder { net: self.definition.name().to_owned(), what });
        }
        let state = NetState { phase: Some(phase.into()), ..NetState::default() };
        let network = Network::new(self.definition, &state)?;
        network.shapes()?;
        Ok(network)
    }

    fn convolve(self, name: &str, kind: &str, outputs: u32, kernel: u32) -> Self {
        self.place(name, kind, false, |layer| {
            layer.convolution_param = Some(Box::new(ConvolutionParameter {
                num_output: Some(outputs),
                kernel_size: vec![kernel],
                weight_filler: Some(msra()),
                ..Default::default()
            }));
        })
    }

    fn pool(self, method: pooling_parameter::PoolMethod, kernel: Option<u32>) -> Self {
        self.unnamed("Pooling", "pool", false, |layer| {
            layer.pooling_param = Some(Box::new(PoolingParameter {
                pool: Some(method.into()),
                kernel_size: kernel,
                global_pooling: kernel.is_none().then_some(true),
                ..Default::default()
            }));
        })
    }

    fn unnamed(
        self,
        kind: &str,
        stem: &str,
        in_place: bool,
        change: impl FnOnce(&mut LayerParameter),
    ) -> Self {
        let number = 1 + self.definition.layer.iter().filter(|layer| layer.r#type() == kind).count();
        self.place(&format!("{stem}{number}"), kind, in_place, change)
    }

    fn place(
        mut self,
        name: &str,
        kind: &str,
        in_place: bool,
        change: impl FnOnce(&mut LayerParameter),
    ) -> Self {
        let Some(bottom) = self.current.take() else {
            return self.wrong(format!("`{name}` has nothing to read: begin with an input"));
        };
        let top = if in_place { bottom.clone() } else { name.to_owned() };
        let mut layer = LayerParameter { bottom: vec![bottom], top: vec![top.clone()], ..layer(name, kind) };
        change(&mut layer);
        self.definition.layer.push(layer);
        self.current = Some(top);
        self
    }

    fn window(
        mut self,
        what: &str,
        convolution: impl FnOnce(&mut ConvolutionParameter),
        pooling: impl FnOnce(&mut PoolingParameter),
    ) -> Self {
        match self.definition.layer.last_mut() {
            Some(LayerParameter { convolution_param: Some(p), .. }) => convolution(p),
            Some(LayerParameter { pooling_param: Some(p), .. }) => pooling(p),
            _ => return self.misplaced(what, "a convolution or a pooling"),
        }
        self
    }

    fn convolution_only(mut self, what: &str, change: impl FnOnce(&mut ConvolutionParameter)) -> Self {
        match self.definition.layer.last_mut() {
            Some(LayerParameter { convolution_param: Some(p), .. }) => change(p),
            _ => return self.misplaced(what, "a convolution"),
        }
        self
    }

    fn misplaced(self, what: &str, owner: &str) -> Self {
        let last = self.definition.layer.last().map_or("nothing", |layer| layer.name()).to_owned();
        self.wrong(format!(
            "`{what}` stands behind `{last}`, and belongs to {owner}: write it directly behind one"
        ))
    }

    /// The first fault is told; those that follow may be of its making.
    fn wrong(mut self, what: String) -> Self {
        self.fault.get_or_insert(what);
        self
    }
}

fn layer(name: &str, kind: &str) -> LayerParameter {
    LayerParameter { name: Some(name.to_owned()), r#type: Some(kind.to_owned()), ..LayerParameter::default() }
}

fn msra() -> FillerParameter {
    FillerParameter { r#type: Some("msra".to_owned()), ..FillerParameter::default() }
}
