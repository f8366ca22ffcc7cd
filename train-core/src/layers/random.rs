//! Layers that draw numbers.

use caffe_proto::net::Filler;
use caffe_proto::net::params::DummyDataParams;

use super::count;
use super::frame::{Of, Operation, free_form, with_gradient};
use super::make::Make;
use crate::error::Result;
use crate::params::{Stream, fill};
use crate::plan::Step;

/// In training: 0 with probability `ratio`, else x / (1 − ratio). In testing it is no step at all.
pub(super) fn dropout(make: &Make<'_>, step: &Step, ratio: f32) -> Result<Box<dyn Operation>> {
    let len = count(&make.shapes(step).tops[0]) as usize;
    let (seed, name) = (make.params.seed(), make.layer(step).name.clone());
    let kept = (vec![0.0; len], make.backend.allocate(len)?);
    Ok(with_gradient(
        kept,
        move |(drawn, random), frame| {
            // What is held as it is drops nothing.
            if frame.is_frozen() {
                return frame.produce(0, |inputs, top, _| inputs.copy(inputs.get(0), top));
            }
            // A pass's numbers depend on its number alone, so a run that goes on draws what an unbroken one would.
            let mut stream = Stream::new(seed, &name, frame.pass as usize);
            drawn.fill_with(|| stream.unit() as f32);
            frame.backend.write(random, 0, drawn)?;
            frame.produce(0, |inputs, top, _| {
                inputs.backend.dropout(ratio, len, random, Some(inputs.get(0)), top)
            })
        },
        move |(_, random), frame| {
            if frame.is_frozen() {
                return frame.pass_on(Of::Bottom(0));
            }
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                inputs.backend.dropout(ratio, len, random, Some(inputs.top_gradient(0)), dx)
            })
        },
    ))
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
