//! The same values in another place.

use caffe_proto::net::params::{CropParams, SliceParams, TileParams};
use kernels::CopyGeometry;

use super::frame::{Make, Operation, free_form, one_top};
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
    one_top(move |inputs, top| {
        for (bottom, part) in parts.iter().enumerate() {
            inputs.backend.transform_tensor(part, inputs.get(bottom), top)?;
        }
        Ok(())
    })
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
    free_form(move |frame| {
        for (top, part) in parts.iter().enumerate() {
            frame.produce(top, |inputs, y, _| inputs.backend.transform_tensor(part, inputs.get(0), y))?;
        }
        Ok(())
    })
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
    one_top(move |inputs, top| inputs.backend.transform_tensor(&copy, inputs.get(0), top))
}

/// Copies along an axis.
pub(super) fn tile(make: &Make<'_>, step: &Step, p: &TileParams) -> Box<dyn Operation> {
    let bottom = &make.shapes(step).bottoms[0];
    let along = axis(p.axis, bottom.len());
    let copy = CopyGeometry::tile(count(&bottom[..along]), count(&bottom[along..]), p.tiles as u32);
    one_top(move |inputs, top| inputs.backend.transform_tensor(&copy, inputs.get(0), top))
}

/// The axes in another order: those named, then the others as they were.
pub(super) fn permute(make: &Make<'_>, step: &Step, order: &[usize]) -> Box<dyn Operation> {
    let bottom = extents(&make.shapes(step).bottoms[0]);
    let mut axes = order.to_vec();
    axes.extend((0..bottom.len()).filter(|axis| !order.contains(axis)));
    let copy = CopyGeometry::permute(&bottom, &axes);
    one_top(move |inputs, top| inputs.backend.transform_tensor(&copy, inputs.get(0), top))
}

/// N×(group·rest)×H×W → N×(rest·group)×H×W.
pub(super) fn shuffle_channel(make: &Make<'_>, step: &Step, group: usize) -> Box<dyn Operation> {
    let [batch, channels, height, width] = image(&make.shapes(step).bottoms[0]);
    let copy = CopyGeometry::shuffle_channel(batch, channels, height * width, group as u32);
    one_top(move |inputs, top| inputs.backend.transform_tensor(&copy, inputs.get(0), top))
}
