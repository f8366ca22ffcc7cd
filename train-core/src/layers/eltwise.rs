//! Several values into one: across blobs, or along an axis.

use caffe_proto::net::Layer;
use caffe_proto::net::params::{
    ArgMaxParams, EltwiseOperation, EltwiseParams, ReductionOperation, ReductionParams,
};
use kernels::{ArgMaxOutput, AxisGeometry, Buffer, EltwiseOp, ReduceOp, RowsGeometry};

use super::frame::{Make, Operation, one_top};
use super::{axis, count, extents};
use crate::plan::Step;

/// Blobs of one shape → the same.
pub(super) fn eltwise(make: &Make<'_>, step: &Step, p: &EltwiseParams) -> Box<dyn Operation> {
    let len = count(&make.shapes(step).tops[0]) as usize;
    let Terms { bottoms, coefficients } = Terms::new(make.layer(step), p);
    let operation = p.operation;
    one_top(move |inputs, top| {
        let op = match operation {
            EltwiseOperation::Product => EltwiseOp::Product,
            EltwiseOperation::Sum => EltwiseOp::Sum(&coefficients),
            EltwiseOperation::Max => EltwiseOp::Max,
        };
        // On the stack: a pass allocates nothing, unless an Eltwise has more bottoms than any known net's.
        let mut few: [&Buffer; FEW] = [inputs.get(0); FEW];
        if bottoms.len() <= FEW {
            few.iter_mut().zip(&bottoms).for_each(|(term, &bottom)| *term = inputs.get(bottom));
            return inputs.backend.eltwise_forward(op, len, &few[..bottoms.len()], top);
        }
        let many: Vec<&Buffer> = bottoms.iter().map(|&bottom| inputs.get(bottom)).collect();
        inputs.backend.eltwise_forward(op, len, &many, top)
    })
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
    one_top(move |inputs, top| inputs.backend.reduce_forward(op, &geometry, coefficient, inputs.get(0), top))
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
