//! Samples chosen by another blob.

use kernels::{Buffer, EmbedGeometry};

use super::count;
use super::frame::{Of, Operation, one_top_with_gradient, with_gradient};
use super::loss::site;
use super::make::Make;
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
    let site = site(step);
    one_top_with_gradient(
        move |inputs, top| {
            inputs.backend.embed_forward(&geometry, site, inputs.get(1), inputs.get(0), None, top)
        },
        move |frame| {
            frame.add(Of::Bottom(0), |inputs, dx| {
                inputs.backend.embed_backward(&geometry, site, inputs.get(1), inputs.top_gradient(0), dx)
            })
        },
    )
}

/// Samples of each bottom whose selector, the last bottom, is not 0.
pub(super) fn filter(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    let shapes = make.shapes(step);
    let samples = shapes.bottoms.last().map_or(0, |selector| count(selector) as usize);
    let selector = shapes.bottoms.len() - 1;
    let lengths: Vec<u32> = shapes.tops.iter().map(|top| count(&top[1..])).collect();
    let chosen = Chosen {
        staging: Vec::new(),
        places: Vec::with_capacity(samples),
        buffer: make.backend.allocate(samples)?,
    };
    let site = site(step);
    let geometry = move |chosen: &Chosen, length| EmbedGeometry {
        count: chosen.places.len() as u32,
        rows: samples as u32,
        length,
    };
    Ok(with_gradient(
        (chosen, lengths),
        move |(chosen, lengths), frame| {
            let inputs = frame.inputs();
            let marks = inputs.floats(selector, samples, &mut chosen.staging)?;
            chosen.places.clear();
            chosen.places.extend((0..samples).filter(|&at| marks[at] != 0.0).map(|at| at as f32));
            inputs.backend.write(&mut chosen.buffer, 0, &chosen.places)?;
            for (top, &length) in lengths.iter().enumerate() {
                frame.set_extent(top, 0, chosen.places.len());
                if chosen.places.is_empty() {
                    continue;
                }
                let geometry = geometry(chosen, length);
                frame.produce(top, |inputs, y, _| {
                    inputs.backend.embed_forward(&geometry, site, &chosen.buffer, inputs.get(top), None, y)
                })?;
            }
            Ok(())
        },
        move |(chosen, lengths), frame| {
            for (top, &length) in lengths.iter().enumerate() {
                frame.add(Of::Bottom(top), |inputs, dx| {
                    if chosen.places.is_empty() {
                        return Ok(());
                    }
                    let dy = inputs.top_gradient(top);
                    inputs.backend.embed_backward(&geometry(chosen, length), site, &chosen.buffer, dy, dx)
                })?;
            }
            Ok(())
        },
    ))
}

/// The samples that a Filter lets pass.
struct Chosen {
    staging: Vec<f32>,
    places: Vec<f32>,
    buffer: Buffer,
}
