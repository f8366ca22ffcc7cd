//! Products with a matrix, and rows of one.

use caffe_proto::net::params::{EmbedParams, InnerProductParams};
use kernels::{Activation, AxisGeometry, Backend, Buffer, EmbedGeometry, Epilogue, InnerProductGeometry};

use super::convolution::folded;
use super::frame::{Frame, Inputs, Of, Operation, Weight, at_least, one_top_with_gradient};
use super::loss::site;
use super::make::Make;
use super::{axis, count};
use crate::error::Result;
use crate::plan::Step;

/// M…×K… → M…×N: rows of everything before the axis.
pub(super) fn inner_product(
    make: &Make<'_>,
    step: &Step,
    p: &InnerProductParams,
) -> Result<Box<dyn Operation>> {
    let bottom = &make.shapes(step).bottoms[0];
    let axis = axis(p.axis, bottom.len());
    let geometry = InnerProductGeometry {
        batch: count(&bottom[..axis]),
        inputs: count(&bottom[axis..]),
        outputs: p.num_output as u32,
        transpose: p.transpose,
    };
    let outputs = p.num_output;
    let folded = folded(make, step, outputs, p.bias_term, &|affine, weights| {
        let inputs = (weights.len() / outputs).max(1);
        for (at, weight) in weights.iter_mut().enumerate() {
            let output = if p.transpose { at % outputs } else { at / inputs };
            *weight = (f64::from(*weight) * affine.factor[output]) as f32;
        }
    })?;
    let (weights, bias) = if let Some((weights, bias)) = folded {
        (Weight::Own(weights), Some(Weight::Own(bias)))
    } else {
        let bias = p.bias_term.then(|| make.weight(step.layer, 1)).transpose()?;
        let weights = if make.training {
            Weight::Trained(0)
        } else {
            Weight::Own(matrix(make, step.layer, 0, p.transpose)?)
        };
        (weights, bias)
    };
    Ok(Box::new(Product {
        geometry,
        weights,
        workspace: make.backend.inner_product_workspace_len(&geometry),
        bias,
        accumulate: step.accumulate.is_some(),
        activation: step.activation,
    }))
}

/// Indices of any shape → the same shape ×N.
pub(super) fn embed(make: &Make<'_>, step: &Step, p: &EmbedParams) -> Result<Box<dyn Operation>> {
    let table = make.weight(step.layer, 0)?;
    let bias = p.bias_term.then(|| make.weight(step.layer, 1)).transpose()?;
    let geometry = EmbedGeometry {
        count: count(&make.shapes(step).bottoms[0]),
        rows: p.input_dim as u32,
        length: p.num_output as u32,
    };
    let site = site(step);
    Ok(one_top_with_gradient(
        move |inputs, top| {
            let bias = bias.as_ref().map(|bias| bias.get(inputs));
            inputs.backend.embed_forward(&geometry, site, inputs.get(0), table.get(inputs), bias, top)
        },
        move |frame| {
            frame.add(Of::Param(0), |inputs, dtable| {
                inputs.backend.embed_backward(&geometry, site, inputs.get(0), inputs.top_gradient(0), dtable)
            })?;
            let columns = AxisGeometry { outer: geometry.count, axis: geometry.length, inner: 1 };
            frame.add(Of::Param(1), |inputs, dbias| {
                inputs.backend.bias_backward(&columns, inputs.top_gradient(0), dbias)
            })
        },
    ))
}

/// The values of a matrix to multiply with: a file's own pages, wherever the kernels take them.
fn matrix(make: &Make<'_>, layer: usize, index: usize, transpose: bool) -> Result<Buffer> {
    if transpose { make.param(layer, index) } else { make.matrix(layer, index) }
}

/// A matrix to multiply with.
pub(super) struct Linear {
    pub(super) geometry: InnerProductGeometry,
    weights: Weight,
    workspace: usize,
}

impl Linear {
    pub(super) fn new(backend: &dyn Backend, geometry: InnerProductGeometry, weights: Weight) -> Self {
        Self { workspace: backend.inner_product_workspace_len(&geometry), geometry, weights }
    }

    pub(super) fn workspace_len(&self) -> usize {
        self.workspace
    }

    pub(super) fn forward(
        &self,
        inputs: &Inputs<'_>,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> kernels::Result<()> {
        let weights = self.weights.get(inputs);
        inputs.backend.inner_product_forward(&self.geometry, weights, x, epilogue, y, workspace)
    }

    /// The gradient of x: of as many rows as there are at once, or of another number.
    pub(super) fn backward_data(
        &self,
        inputs: &Inputs<'_>,
        batch: u32,
        dy: &Buffer,
        more: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> kernels::Result<()> {
        let (backend, geometry) = (inputs.backend, InnerProductGeometry { batch, ..self.geometry });
        at_least(backend, workspace, backend.inner_product_backward_data_workspace_len(&geometry))?;
        let weights = self.weights.get(inputs);
        backend.inner_product_backward_data(&geometry, weights, dy, more, dx, workspace)
    }

    /// The gradient of the matrix.
    pub(super) fn backward_filter(
        &self,
        backend: &dyn Backend,
        batch: u32,
        [x, dy]: [&Buffer; 2],
        more: bool,
        dweights: &mut Buffer,
        workspace: &mut Buffer,
    ) -> kernels::Result<()> {
        let geometry = InnerProductGeometry { batch, ..self.geometry };
        at_least(backend, workspace, backend.inner_product_backward_filter_workspace_len(&geometry))?;
        backend.inner_product_backward_filter(&geometry, x, dy, more, dweights, workspace)
    }
}

struct Product {
    geometry: InnerProductGeometry,
    weights: Weight,
    workspace: usize,
    bias: Option<Weight>,
    accumulate: bool,
    activation: Activation,
}

impl Operation for Product {
    fn workspace_len(&self) -> usize {
        self.workspace
    }

    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        frame.produce(0, |inputs, y, workspace| {
            let epilogue = Epilogue {
                bias: self.bias.as_ref().map(|bias| bias.get(inputs)),
                accumulate: self.accumulate,
                activation: self.activation,
            };
            let (weights, x) = (self.weights.get(inputs), inputs.get(0));
            inputs.backend.inner_product_forward(&self.geometry, weights, x, &epilogue, y, workspace)
        })
    }

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let geometry = &self.geometry;
        let columns = AxisGeometry { outer: geometry.batch, axis: geometry.outputs, inner: 1 };
        frame.add(Of::Param(1), |inputs, dbias| {
            inputs.backend.bias_backward(&columns, inputs.top_gradient(0), dbias)
        })?;
        frame.gradient(Of::Param(0), |inputs, dweights, workspace, more| {
            let (backend, x, dy) = (inputs.backend, inputs.get(0), inputs.top_gradient(0));
            at_least(backend, workspace, backend.inner_product_backward_filter_workspace_len(geometry))?;
            backend.inner_product_backward_filter(geometry, x, dy, more, dweights, workspace)
        })?;
        frame.gradient(Of::Bottom(0), |inputs, dx, workspace, more| {
            let (backend, dy) = (inputs.backend, inputs.top_gradient(0));
            at_least(backend, workspace, backend.inner_product_backward_data_workspace_len(geometry))?;
            backend.inner_product_backward_data(geometry, inputs.param(0), dy, more, dx, workspace)
        })
    }
}
