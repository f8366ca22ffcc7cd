//! The same values in another place.

use caffe_proto::net::params::{CropParams, SliceParams, TileParams};
use kernels::CopyGeometry;

use super::frame::{Frame, Of, Operation, one_top_with_gradient, with_gradient};
use super::make::Make;
use super::{axis, count, extents, image};
use crate::plan::Step;

/// Blobs side by side along an axis.
pub(super) fn concat(make: &Make<'_>, step: &Step, along: i32) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let top = extents(&shapes.tops[0]);
    let along = axis(along, top.len());
    let (outer, inner) = (top[..along].iter().product(), top[along + 1..].iter().product());
    let mut start = 0;
    let mut parts = Vec::with_capacity(shapes.bottoms.len());
    for bottom in &shapes.bottoms {
        let part = bottom[along] as u32;
        parts.push(CopyGeometry::concat(outer, top[along], inner, start, part));
        start += part;
    }
    with_gradient(
        parts,
        |parts, frame| {
            frame.produce(0, |inputs, top, _| {
                for (bottom, part) in parts.iter().enumerate() {
                    inputs.backend.transform_tensor(part, inputs.get(bottom), top)?;
                }
                Ok(())
            })
        },
        |parts, frame| {
            for (bottom, part) in parts.iter().enumerate() {
                take_back(frame, part, bottom)?;
            }
            Ok(())
        },
    )
}

/// A blob in parts along an axis.
pub(super) fn slice(make: &Make<'_>, step: &Step, p: &SliceParams) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let bottom = extents(&shapes.bottoms[0]);
    let along = axis(p.axis, bottom.len());
    let (outer, inner) = (bottom[..along].iter().product(), bottom[along + 1..].iter().product());
    let mut start = 0;
    let mut parts = Vec::with_capacity(shapes.tops.len());
    for top in &shapes.tops {
        let part = top[along] as u32;
        parts.push(CopyGeometry::slice(outer, bottom[along], inner, start, part));
        start += part;
    }
    with_gradient(
        parts,
        |parts, frame| {
            for (top, part) in parts.iter().enumerate() {
                frame.produce(top, |inputs, y, _| inputs.backend.transform_tensor(part, inputs.get(0), y))?;
            }
            Ok(())
        },
        |parts, frame| {
            frame.gradient(Of::Bottom(0), |inputs, dx, _, more| {
                parts.iter().enumerate().try_for_each(|(top, part)| {
                    inputs.backend.transform_tensor_backward(part, inputs.top_gradient(top), more, dx)
                })
            })
        },
    )
}

/// The first bottom, cut to the second's size from an axis on.
pub(super) fn crop(make: &Make<'_>, step: &Step, p: &CropParams) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let (bottom, top) = (extents(&shapes.bottoms[0]), extents(&shapes.tops[0]));
    let first = axis(p.axis, bottom.len());
    let offset: Vec<u32> = (0..bottom.len())
        .map(|at| match p.offsets.as_slice() {
            _ if at < first => 0,
            [] => 0,
            [one] => *one as u32,
            several => several[at - first] as u32,
        })
        .collect();
    let copy = CopyGeometry::crop(&bottom, &offset, &top);
    one_top_with_gradient(
        move |inputs, top| inputs.backend.transform_tensor(&copy, inputs.get(0), top),
        move |frame| {
            // What was cut off has no gradient, nor has the second bottom, whose size alone counts.
            frame.add(Of::Bottom(0), |inputs, dx| {
                inputs.backend.transform_tensor_backward(&copy, inputs.top_gradient(0), true, dx)
            })
        },
    )
}

/// Copies along an axis.
pub(super) fn tile(make: &Make<'_>, step: &Step, p: &TileParams) -> Box<dyn Operation> {
    let bottom = &make.shapes(step).bottoms[0];
    let along = axis(p.axis, bottom.len());
    let copy = CopyGeometry::tile(count(&bottom[..along]), count(&bottom[along..]), p.tiles as u32);
    copied(copy)
}

/// The axes in another order: those named, then the others as they were.
pub(super) fn permute(make: &Make<'_>, step: &Step, order: &[usize]) -> Box<dyn Operation> {
    let bottom = extents(&make.shapes(step).bottoms[0]);
    let mut axes = order.to_vec();
    axes.extend((0..bottom.len()).filter(|axis| !order.contains(axis)));
    let copy = CopyGeometry::permute(&bottom, &axes);
    copied(copy)
}

/// N×(group·rest)×H×W → N×(rest·group)×H×W.
pub(super) fn shuffle_channel(make: &Make<'_>, step: &Step, group: usize) -> Box<dyn Operation> {
    let [batch, channels, height, width] = image(&make.shapes(step).bottoms[0]);
    let copy = CopyGeometry::shuffle_channel(batch, channels, height * width, group as u32);
    copied(copy)
}

/// The first bottom, copied whole.
pub(super) fn copied(copy: CopyGeometry) -> Box<dyn Operation> {
    one_top_with_gradient(
        move |inputs, top| inputs.backend.transform_tensor(&copy, inputs.get(0), top),
        move |frame| take_back(frame, &copy, 0),
    )
}

/// The gradient of a bottom that went as a whole to the one top.
fn take_back(frame: &mut Frame<'_>, copy: &CopyGeometry, bottom: usize) -> kernels::Result<()> {
    frame.gradient(Of::Bottom(bottom), |inputs, dx, _, more| {
        inputs.backend.transform_tensor_backward(copy, inputs.top_gradient(0), more, dx)
    })
}
