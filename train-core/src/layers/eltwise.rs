//! Several values into one: across blobs, or along an axis.

use caffe_proto::net::Layer;
use caffe_proto::net::params::{
    ArgMaxParams, EltwiseOperation, EltwiseParams, ReductionOperation, ReductionParams,
};
use kernels::{ArgMaxOutput, AxisGeometry, Buffer, EltwiseOp, ReduceOp, RowsGeometry};

use super::frame::{Inputs, Of, Operation, one_top, one_top_with_gradient, with_gradient};
use super::make::Make;
use super::{axis, count, extents};
use crate::plan::Step;

/// Blobs of one shape → the same.
pub(super) fn eltwise(make: &Make<'_>, step: &Step, p: &EltwiseParams) -> Box<dyn Operation> {
    let len = count(&make.shapes(step).tops[0]) as usize;
    let Terms { bottoms, coefficients } = Terms::new(make.layer(step), p);
    let (operation, stable) = (p.operation, p.stable_product_gradient);
    with_gradient(
        (bottoms, coefficients),
        move |(bottoms, coefficients), frame| {
            let op = op(operation, coefficients);
            frame.produce(0, |inputs, top, _| {
                with_terms(inputs, bottoms, |terms| inputs.backend.eltwise_forward(op, len, terms, top))
            })
        },
        move |(bottoms, coefficients), frame| {
            let op = op(operation, coefficients);
            for index in 0..bottoms.len() {
                frame.overwrite(Of::Bottom(index), |inputs, dx| {
                    let y = (!stable).then(|| inputs.top(0));
                    let dy = inputs.top_gradient(0);
                    with_terms(inputs, bottoms, |terms| {
                        inputs.backend.eltwise_backward(op, len, index, terms, y, dy, dx)
                    })
                })?;
            }
            Ok(())
        },
    )
}

/// M…×K… → M…: everything from the axis on into one value.
pub(super) fn reduction(make: &Make<'_>, step: &Step, p: &ReductionParams) -> Box<dyn Operation> {
    let bottom = &make.shapes(step).bottoms[0];
    let first = axis(p.axis, bottom.len());
    let geometry = RowsGeometry { rows: count(&bottom[..first]), length: count(&bottom[first..]) };
    let coefficient = p.coefficient;
    let op = match p.operation {
        ReductionOperation::Sum => ReduceOp::Sum,
        ReductionOperation::AbsoluteSum => ReduceOp::AbsoluteSum,
        ReductionOperation::SquareSum => ReduceOp::SumOfSquares,
        ReductionOperation::Mean => ReduceOp::Mean,
    };
    one_top_with_gradient(
        move |inputs, top| inputs.backend.reduce_forward(op, &geometry, coefficient, inputs.get(0), top),
        move |frame| {
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let (x, dy) = (inputs.get(0), inputs.top_gradient(0));
                inputs.backend.reduce_backward(op, &geometry, coefficient, Some(x), dy, dx)
            })
        },
    )
}

/// The places, or values, of the largest: along an axis, or of a whole sample.
pub(super) fn arg_max(make: &Make<'_>, step: &Step, p: &ArgMaxParams) -> Box<dyn Operation> {
    let bottom = extents(&make.shapes(step).bottoms[0]);
    let (geometry, output) = if let Some(along) = p.axis {
        let along = axis(along, bottom.len());
        let output = if p.out_max_val { ArgMaxOutput::Value } else { ArgMaxOutput::Index };
        (AxisGeometry::around(&bottom, along, along + 1), output)
    } else {
        let output = if p.out_max_val { ArgMaxOutput::IndexAndValue } else { ArgMaxOutput::Index };
        (AxisGeometry::around(&bottom, 1, bottom.len()), output)
    };
    let top_k = p.top_k as u32;
    one_top(move |inputs, top| inputs.backend.argmax_forward(&geometry, top_k, output, inputs.get(0), top))
}

const FEW: usize = 16;

fn op(operation: EltwiseOperation, coefficients: &[f32]) -> EltwiseOp<'_> {
    match operation {
        EltwiseOperation::Product => EltwiseOp::Product,
        EltwiseOperation::Sum => EltwiseOp::Sum(coefficients),
        EltwiseOperation::Max => EltwiseOp::Max,
    }
}

/// Calls `body` with the terms: from the stack, for a pass allocates nothing, unless an Eltwise has more bottoms than any
/// known net's.
fn with_terms(
    inputs: &Inputs<'_>,
    bottoms: &[usize],
    body: impl FnOnce(&[&Buffer]) -> kernels::Result<()>,
) -> kernels::Result<()> {
    let mut few: [&Buffer; FEW] = [inputs.get(0); FEW];
    if bottoms.len() <= FEW {
        few.iter_mut().zip(bottoms).for_each(|(term, &bottom)| *term = inputs.get(bottom));
        return body(&few[..bottoms.len()]);
    }
    let many: Vec<&Buffer> = bottoms.iter().map(|&bottom| inputs.get(bottom)).collect();
    body(&many)
}

/// What an Eltwise combines, in order.
struct Terms {
    /// Indices of bottoms.
    bottoms: Vec<usize>,
    /// One a term, or none at all.
    coefficients: Vec<f32>,
}

impl Terms {
    /// Caffe writes the top while it reads the bottoms, so an Eltwise in place sees its own partial results in the place
    /// of the bottom that it rewrites (eltwise_layer.cpp). These terms have the same outcome from the old values.
    fn new(layer: &Layer, p: &EltwiseParams) -> Self {
        let mut bottoms: Vec<usize> = (0..layer.bottoms.len()).collect();
        let mut coefficients = p.coefficients.clone();
        let Some(rewritten) = layer.bottoms.iter().position(|bottom| Some(bottom) == layer.tops.first())
        else {
            return Self { bottoms, coefficients };
        };
        match p.operation {
            // The top is cleared first; when its turn as a bottom comes, the sum of those before it is added again.
            EltwiseOperation::Sum => {
                coefficients.resize(bottoms.len(), 1.0);
                let again = 1.0 + coefficients[rewritten];
                coefficients[..rewritten].iter_mut().for_each(|coefficient| *coefficient *= again);
                coefficients.remove(rewritten);
                bottoms.remove(rewritten);
            }
            // The top starts at the lowest number.
            EltwiseOperation::Max => {
                bottoms.remove(rewritten);
            }
            // The first two are multiplied at once; a later one meets the product of those before it.
            EltwiseOperation::Product if rewritten >= 2 => {
                bottoms.splice(rewritten..=rewritten, 0..rewritten);
            }
            EltwiseOperation::Product => {}
        }
        Self { bottoms, coefficients }
    }
}
