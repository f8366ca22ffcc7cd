//! Layers that draw numbers.

use caffe_proto::net::Filler;
use caffe_proto::net::params::DummyDataParams;

use super::count;
use super::frame::{Frame, Of, Operation, with_gradient};
use super::make::Make;
use crate::error::Result;
use crate::params::{Stream, fill, fnv_1a};
use crate::plan::Step;

/// In training: 0 with probability `ratio`, else x / (1 − ratio). In testing it is no step at all. A pass's numbers depend on the
/// seed, the layer's name and the pass's number alone, so a run that goes on draws what an unbroken one would, and none are kept.
pub(super) fn dropout(make: &Make<'_>, step: &Step, ratio: f32) -> Box<dyn Operation> {
    let len = count(&make.shapes(step).tops[0]) as usize;
    let key = key(make, step);
    with_gradient(
        (),
        move |(), frame| {
            // What is held as it is drops nothing.
            let drops = !frame.is_frozen();
            frame.produce(0, |inputs, top, _| {
                if !drops {
                    return inputs.copy(inputs.get(0), top);
                }
                inputs.backend.dropout(ratio, len, &inputs.random(key), Some(inputs.get(0)), top)
            })
        },
        move |(), frame| {
            if frame.is_frozen() {
                return frame.pass_on(Of::Bottom(0));
            }
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let dy = Some(inputs.top_gradient(0));
                inputs.backend.dropout(ratio, len, &inputs.random(key), dy, dx)
            })
        },
    )
}

/// What a layer's numbers are drawn for: the FNV-1a hash of the seed and the layer's name.
pub(super) fn key(make: &Make<'_>, step: &Step) -> u64 {
    fnv_1a(make.params.seed().to_le_bytes().into_iter().chain(make.layer(step).name.bytes()))
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
    Ok(Box::new(DummyData(tops)))
}

/// Tops with what fills them, and the numbers that it draws.
struct DummyData(Vec<(Filler, Vec<usize>, Stream, Vec<f32>)>);

impl Operation for DummyData {
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        for (top, (filler, shape, random, values)) in self.0.iter_mut().enumerate() {
            fill(filler, shape, random, values)
                .map_err(|what| kernels::Error::Geometry { op: "dummy data", what })?;
            frame.produce(top, |inputs, y, _| inputs.backend.write(y, 0, values))?;
        }
        Ok(())
    }

    fn is_steady(&self) -> bool {
        false
    }
}
