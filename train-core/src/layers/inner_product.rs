//! Products with a matrix, and rows of one.

use caffe_proto::net::params::{EmbedParams, InnerProductParams};
use kernels::{Activation, Backend, Buffer, EmbedGeometry, Epilogue, InnerProductGeometry};

use super::convolution::folded;
use super::frame::{Frame, Make, Operation, one_top};
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
        (weights, Some(bias))
    } else {
        let bias = p.bias_term.then(|| make.param(step.layer, 1)).transpose()?;
        (matrix(make, step.layer, 0, p.transpose)?, bias)
    };
    Ok(Box::new(Product {
        linear: Linear::new(make.backend, geometry, weights),
        bias,
        accumulate: step.accumulate.is_some(),
        activation: step.activation,
    }))
}

/// Indices of any shape → the same shape ×N.
pub(super) fn embed(make: &Make<'_>, step: &Step, p: &EmbedParams) -> Result<Box<dyn Operation>> {
    let table = make.param(step.layer, 0)?;
    let bias = p.bias_term.then(|| make.param(step.layer, 1)).transpose()?;
    let geometry = EmbedGeometry {
        count: count(&make.shapes(step).bottoms[0]),
        rows: p.input_dim as u32,
        length: p.num_output as u32,
    };
    Ok(one_top(move |inputs, top| {
        inputs.backend.embed_forward(&geometry, inputs.get(0), &table, bias.as_ref(), top)
    }))
}

/// The values of a matrix to multiply with: a file's own pages, wherever the kernels take them.
fn matrix(make: &Make<'_>, layer: usize, index: usize, transpose: bool) -> Result<Buffer> {
    if transpose { make.param(layer, index) } else { make.matrix(layer, index) }
}

/// A matrix to multiply with.
pub(super) struct Linear {
    geometry: InnerProductGeometry,
    weights: Buffer,
    workspace: usize,
}

impl Linear {
    pub(super) fn new(backend: &dyn Backend, geometry: InnerProductGeometry, weights: Buffer) -> Self {
        Self { workspace: backend.inner_product_workspace_len(&geometry), geometry, weights }
    }

    pub(super) fn workspace_len(&self) -> usize {
        self.workspace
    }

    pub(super) fn forward(
        &self,
        backend: &dyn Backend,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> kernels::Result<()> {
        backend.inner_product_forward(&self.geometry, &self.weights, x, epilogue, y, workspace)
    }
}

struct Product {
    linear: Linear,
    bias: Option<Buffer>,
    accumulate: bool,
    activation: Activation,
}

impl Operation for Product {
    fn workspace_len(&self) -> usize {
        self.linear.workspace_len()
    }

    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let epilogue =
            Epilogue { bias: self.bias.as_ref(), accumulate: self.accumulate, activation: self.activation };
        frame.produce(0, |inputs, y, workspace| {
            self.linear.forward(inputs.backend, inputs.get(0), &epilogue, y, workspace)
        })
    }
}
