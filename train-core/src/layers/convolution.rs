//! Convolution, its transpose and its unfolding.

use caffe_proto::net::LayerShapes;
use caffe_proto::net::params::ConvolutionParams;
use kernels::{Activation, AxisGeometry, Backend, BackwardData, Buffer, ConvGeometry, Epilogue};

use super::folding::Affine;
use super::frame::{Frame, Of, Operation, Weight, at_least, one_top_with_gradient};
use super::make::Make;
use super::{axis, count, extents};
use crate::error::Result;
use crate::plan::Step;

/// N×I×spatial → N×O×spatial, bottom by bottom.
pub(super) fn convolution(
    make: &Make<'_>,
    step: &Step,
    p: &ConvolutionParams,
    depthwise: bool,
) -> Result<Box<dyn Operation>> {
    let geometry = geometry(p, make.shapes(step), depthwise);
    let (weights, bias) = parameters(make, step, p, &|affine, weights| {
        let row = weights.len() / affine.factor.len();
        for (row, &factor) in weights.chunks_mut(row.max(1)).zip(&affine.factor) {
            for weight in row {
                *weight = (f64::from(*weight) * factor) as f32;
            }
        }
    })?;
    let prepared = make.backend.convolution_prepare(&geometry, &weights);
    make.release(step.layer, 0)?;
    Ok(Box::new(Product {
        prepared: Prepared::Convolution(prepared.map_err(|error| make.refused(step, error))?),
        bias,
        accumulate: step.accumulate.is_some(),
        activation: step.activation,
        packed: 0,
        data: None,
    }))
}

/// N×I×spatial → N×O×spatial, larger.
pub(super) fn deconvolution(
    make: &Make<'_>,
    step: &Step,
    p: &ConvolutionParams,
) -> Result<Box<dyn Operation>> {
    let geometry = geometry(p, make.shapes(step), false);
    let shape = make.shapes(step).params[0].clone();
    let (weights, bias) = parameters(make, step, p, &|affine, weights| {
        // I×(O/G)×taps: the output channel follows from the input channel's group and the second axis.
        let (outputs, taps) = (shape[1], shape[2..].iter().product::<usize>());
        let group_inputs = shape[0] / p.group;
        for (at, taps) in weights.chunks_mut(taps.max(1)).enumerate() {
            let channel = at / outputs / group_inputs * outputs + at % outputs;
            let factor = affine.factor[channel];
            for weight in taps {
                *weight = (f64::from(*weight) * factor) as f32;
            }
        }
    })?;
    let prepared = make.backend.deconvolution_prepare(&geometry, &weights);
    make.release(step.layer, 0)?;
    Ok(Box::new(Product {
        prepared: Prepared::Deconvolution(prepared.map_err(|error| make.refused(step, error))?),
        bias,
        accumulate: step.accumulate.is_some(),
        activation: step.activation,
        packed: 0,
        data: None,
    }))
}

/// N×C×spatial → N×(C·taps)×spatial.
pub(super) fn im2col(make: &Make<'_>, step: &Step, p: &ConvolutionParams) -> Box<dyn Operation> {
    let geometry = geometry(p, make.shapes(step), false);
    one_top_with_gradient(
        move |inputs, top| inputs.backend.im2col(&geometry, inputs.get(0), top),
        move |frame| {
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                inputs.backend.im2col_backward(&geometry, inputs.top_gradient(0), dx)
            })
        },
    )
}

/// A convolution of either kind with what happens on the results' way out.
struct Product {
    prepared: Prepared,
    bias: Option<Weight>,
    accumulate: bool,
    activation: Activation,
    /// The version of the weights that are packed: in training they change.
    packed: u64,
    /// The gradient of the bottoms, made when it is first wanted, and the version of its weights.
    data: Option<(BackwardData, u64)>,
}

enum Prepared {
    Convolution(kernels::Convolution),
    Deconvolution(kernels::Deconvolution),
}

impl Operation for Product {
    fn workspace_len(&self) -> usize {
        match &self.prepared {
            Prepared::Convolution(prepared) => prepared.workspace_len(),
            Prepared::Deconvolution(prepared) => prepared.workspace_len(),
        }
    }

    fn algorithm(&self) -> Option<&'static str> {
        match &self.prepared {
            Prepared::Convolution(prepared) => Some(prepared.algorithm()),
            Prepared::Deconvolution(_) => None,
        }
    }

    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        if frame.training.is_some() {
            self.repack(frame)?;
        }
        for top in 0..frame.step.tops.len() {
            frame.produce(top, |inputs, y, workspace| {
                let x = inputs.get(top);
                let epilogue = Epilogue {
                    bias: self.bias.as_ref().map(|bias| bias.get(inputs)),
                    accumulate: self.accumulate,
                    activation: self.activation,
                };
                match &self.prepared {
                    Prepared::Convolution(prepared) => {
                        inputs.backend.convolution_forward(prepared, x, &epilogue, y, workspace)
                    }
                    Prepared::Deconvolution(prepared) => {
                        inputs.backend.deconvolution_forward(prepared, x, &epilogue, y, workspace)
                    }
                }
            })?;
        }
        Ok(())
    }

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let tops = 0..frame.step.tops.len();
        if tops.clone().any(|top| frame.wants(Of::Bottom(top))) {
            self.prepare_data(frame)?;
        }
        for top in tops {
            frame.add(Of::Param(1), |inputs, dbias| {
                inputs.backend.bias_backward(&self.prepared.outputs(), inputs.top_gradient(top), dbias)
            })?;
            frame.gradient(Of::Param(0), |inputs, dweights, workspace, more| {
                let (x, dy) = (inputs.get(top), inputs.top_gradient(top));
                // The second top's comes on top of the first's.
                self.prepared.filter_gradient(inputs.backend, x, dy, more || top > 0, dweights, workspace)
            })?;
            frame.gradient(Of::Bottom(top), |inputs, dx, workspace, more| {
                let Some((data, _)) = &self.data else { unreachable!("it was made before") };
                at_least(inputs.backend, workspace, data.workspace_len())?;
                inputs.backend.convolution_backward_data(data, inputs.top_gradient(top), more, dx, workspace)
            })?;
        }
        Ok(())
    }
}

impl Product {
    /// Packs the weights again if they were changed.
    fn repack(&mut self, frame: &Frame<'_>) -> kernels::Result<()> {
        let inputs = frame.inputs();
        let version = inputs.version(0);
        if self.packed != version {
            self.packed = version;
            match &mut self.prepared {
                Prepared::Convolution(prepared) => {
                    inputs.backend.convolution_repack(prepared, inputs.param(0))?;
                }
                Prepared::Deconvolution(prepared) => {
                    inputs.backend.deconvolution_repack(prepared, inputs.param(0))?;
                }
            }
        }
        Ok(())
    }

    /// Packs the weights for the gradient of the bottoms, if they were changed.
    fn prepare_data(&mut self, frame: &Frame<'_>) -> kernels::Result<()> {
        let inputs = frame.inputs();
        let (backend, version, weights) = (inputs.backend, inputs.version(0), inputs.param(0));
        match &mut self.data {
            Some((_, packed)) if *packed == version => {}
            Some((data, packed)) => {
                backend.convolution_backward_data_repack(data, weights)?;
                *packed = version;
            }
            None => {
                let data = match &self.prepared {
                    Prepared::Convolution(prepared) => {
                        backend.convolution_backward_data_prepare(prepared.geometry(), weights)?
                    }
                    Prepared::Deconvolution(prepared) => {
                        backend.deconvolution_backward_data_prepare(prepared.geometry(), weights)?
                    }
                };
                self.data = Some((data, version));
            }
        }
        Ok(())
    }
}

impl Prepared {
    /// The tops' channels.
    fn outputs(&self) -> AxisGeometry {
        let (geometry, output) = match self {
            Self::Convolution(prepared) => (prepared.geometry(), prepared.geometry().output()),
            Self::Deconvolution(prepared) => {
                (prepared.geometry(), prepared.geometry().deconvolution_output())
            }
        };
        let inner = output.iter().product();
        AxisGeometry { outer: geometry.batch, axis: geometry.output_channels, inner }
    }

    fn filter_gradient(
        &self,
        backend: &dyn Backend,
        x: &Buffer,
        dy: &Buffer,
        more: bool,
        dweights: &mut Buffer,
        workspace: &mut Buffer,
    ) -> kernels::Result<()> {
        match self {
            Self::Convolution(prepared) => {
                let geometry = prepared.geometry();
                let len = backend.convolution_backward_filter_workspace_len(geometry);
                at_least(backend, workspace, len)?;
                backend.convolution_backward_filter(geometry, x, dy, more, dweights, workspace)
            }
            Self::Deconvolution(prepared) => {
                let geometry = prepared.geometry();
                let len = backend.deconvolution_backward_filter_workspace_len(geometry);
                at_least(backend, workspace, len)?;
                backend.deconvolution_backward_filter(geometry, x, dy, more, dweights, workspace)
            }
        }
    }
}

/// Weights and bias with the folded layers in them; `None` where nothing is folded.
pub(super) fn folded(
    make: &Make<'_>,
    step: &Step,
    channels: usize,
    bias_term: bool,
    multiply: &dyn Fn(&Affine, &mut [f32]),
) -> Result<Option<(Buffer, Buffer)>> {
    if step.folded.is_empty() {
        return Ok(None);
    }
    let mut affine = Affine::identity(channels);
    if bias_term {
        affine.term = make.values(step.layer, 1)?.into_iter().map(f64::from).collect();
    }
    for &layer in &step.folded {
        affine.then(make, layer)?;
    }
    let mut weights = make.values(step.layer, 0)?;
    multiply(&affine, &mut weights);
    Ok(Some((make.buffer(weights)?, make.buffer(affine.terms())?)))
}

fn parameters(
    make: &Make<'_>,
    step: &Step,
    p: &ConvolutionParams,
    multiply: &dyn Fn(&Affine, &mut [f32]),
) -> Result<(Buffer, Option<Weight>)> {
    if let Some((weights, bias)) = folded(make, step, p.num_output, p.bias_term, multiply)? {
        return Ok((weights, Some(Weight::Own(bias))));
    }
    let bias = p.bias_term.then(|| make.weight(step.layer, 1)).transpose()?;
    Ok((make.param(step.layer, 0)?, bias))
}

fn geometry(p: &ConvolutionParams, shapes: &LayerShapes, depthwise: bool) -> ConvGeometry {
    let bottom = &shapes.bottoms[0];
    let axis = axis(p.axis, bottom.len());
    let axes = bottom.len() - axis - 1;
    let channels = bottom[axis] as u32;
    let spread = |values: &[usize], default: u32| -> Vec<u32> {
        let all = match values {
            [] => vec![default; axes],
            [one] => vec![*one as u32; axes],
            several => extents(several),
        };
        at_least_one(&all, default)
    };
    let input = at_least_one(&extents(&bottom[axis + 1..]), 1);
    let outputs = if p.num_output == 0 { channels } else { p.num_output as u32 };
    ConvGeometry::new(count(&bottom[..axis]), [channels, outputs], &input, &spread(&p.kernel, 1))
        .with_stride(&spread(&p.stride, 1))
        .with_pad(&spread(&p.pad, 0))
        .with_dilation(&spread(&p.dilation, 1))
        .with_group(if depthwise { channels } else { p.group as u32 })
}

/// A convolution over no spatial axes is one over a single axis of one place.
fn at_least_one(values: &[u32], rest: u32) -> Vec<u32> {
    if values.is_empty() { vec![rest] } else { values.to_vec() }
}
