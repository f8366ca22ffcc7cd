//! Layers that draw numbers.

use caffe_proto::net::Filler;
use caffe_proto::net::params::DummyDataParams;
use kernels::EltwiseOp;

use super::count;
use super::frame::{Make, Operation, free_form, one_top};
use crate::error::Result;
use crate::params::{Stream, fill};
use crate::plan::Step;

/// In training: 0 with probability `ratio`, else x / (1 − ratio). In testing it is no step at all.
pub(super) fn dropout(make: &Make<'_>, step: &Step, ratio: f32) -> Result<Box<dyn Operation>> {
    let len = count(&make.shapes(step).tops[0]) as usize;
    let mut random = Stream::new(make.params.seed(), &make.layer(step).name, 0);
    let mut drawn = vec![0.0; len];
    let mut mask = make.backend.allocate(len)?;
    let kept = 1.0 / (1.0 - ratio);
    Ok(one_top(move |inputs, top| {
        drawn.fill_with(|| if random.unit() < f64::from(ratio) { 0.0 } else { kept });
        inputs.backend.write(&mut mask, 0, &drawn)?;
        inputs.backend.eltwise_forward(EltwiseOp::Product, len, &[inputs.get(0), &mask], top)
    }))
}

/// Tops that fillers fill: once when all are constants, else anew in every pass.
pub(super) fn dummy_data(make: &Make<'_>, step: &Step, p: &DummyDataParams) -> Result<Box<dyn Operation>> {
    let layer = make.layer(step);
    let shapes = make.shapes(step).tops.clone();
    let mut tops = Vec::with_capacity(shapes.len());
    for (top, shape) in shapes.into_iter().enumerate() {
        let filler = match p.fillers.as_slice() {
            [] => &Filler::Constant(0.0),
            [one] => one,
            several => &several[top],
        };
        let values = vec![0.0; shape.iter().product()];
        tops.push((filler.clone(), shape, Stream::new(make.params.seed(), &layer.name, top), values));
    }
    Ok(free_form(move |frame| {
        for (top, (filler, shape, random, values)) in tops.iter_mut().enumerate() {
            fill(filler, shape, random, values)
                .map_err(|what| kernels::Error::Geometry { op: "dummy data", what })?;
            frame.produce(top, |inputs, y, _| inputs.backend.write(y, 0, values))?;
        }
        Ok(())
    }))
}
