//! Samples chosen by another blob.

use kernels::EmbedGeometry;

use super::count;
use super::frame::{Make, Operation, free_form, one_top};
use crate::error::Result;
use crate::plan::Step;

/// Samples of the first bottom in the order of the second's indices.
pub(super) fn batch_reindex(make: &Make<'_>, step: &Step) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let (bottom, indices) = (&shapes.bottoms[0], &shapes.bottoms[1]);
    let geometry = EmbedGeometry {
        count: count(indices),
        rows: bottom.first().map_or(1, |&rows| rows as u32),
        length: count(bottom.get(1..).unwrap_or(&[])),
    };
    one_top(move |inputs, top| {
        inputs.backend.embed_forward(&geometry, inputs.get(1), inputs.get(0), None, top)
    })
}

/// Samples of each bottom whose selector, the last bottom, is not 0.
pub(super) fn filter(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    let shapes = make.shapes(step);
    let samples = shapes.bottoms.last().map_or(0, |selector| count(selector) as usize);
    let selector = shapes.bottoms.len() - 1;
    let lengths: Vec<u32> = shapes.tops.iter().map(|top| count(&top[1..])).collect();
    let mut staging = Vec::new();
    let mut chosen: Vec<f32> = Vec::with_capacity(samples);
    let mut buffer = make.backend.allocate(samples)?;
    Ok(free_form(move |frame| {
        let inputs = frame.inputs();
        let marks = inputs.floats(selector, samples, &mut staging)?;
        chosen.clear();
        chosen.extend((0..samples).filter(|&at| marks[at] != 0.0).map(|at| at as f32));
        inputs.backend.write(&mut buffer, 0, &chosen)?;
        for (top, &length) in lengths.iter().enumerate() {
            frame.set_extent(top, 0, chosen.len());
            if chosen.is_empty() {
                continue;
            }
            let geometry = EmbedGeometry { count: chosen.len() as u32, rows: samples as u32, length };
            frame.produce(top, |inputs, y, _| {
                inputs.backend.embed_forward(&geometry, &buffer, inputs.get(top), None, y)
            })?;
        }
        Ok(())
    }))
}
