//! Images made larger or smaller.

use caffe_proto::net::params::{InterpParams, UpsampleParams};
use kernels::{CopyGeometry, InterpGeometry};

use super::arrange::copied;
use super::frame::{Of, Operation, one_top_with_gradient, with_gradient};
use super::make::Make;
use super::{count, image};
use crate::error::Result;
use crate::plan::Step;

/// N×C×H×W → N×C×H'×W', bilinear; rows and columns at the borders are cut first where the layer says so.
pub(super) fn interp(make: &Make<'_>, step: &Step, p: &InterpParams) -> Result<Box<dyn Operation>> {
    let shapes = make.shapes(step);
    let [batch, channels, height, width] = image(&shapes.bottoms[0]);
    let [_, _, rows, columns] = image(&shapes.tops[0]);
    let (planes, start) = (batch * channels, p.pad[0].unsigned_abs());
    let cut = start + p.pad[1].unsigned_abs();
    let input = [height - cut, width - cut];
    let geometry = InterpGeometry { planes, input, output: [rows, columns] };
    if cut == 0 {
        return Ok(one_top_with_gradient(
            move |inputs, top| inputs.backend.interp_forward(&geometry, inputs.get(0), top),
            move |frame| {
                frame.overwrite(Of::Bottom(0), |inputs, dx| {
                    inputs.backend.interp_backward(&geometry, inputs.top_gradient(0), dx)
                })
            },
        ));
    }
    let crop =
        CopyGeometry::crop(&[planes, height, width], &[0, start, start], &[planes, input[0], input[1]]);
    let cropped = make.backend.allocate((planes * input[0] * input[1]) as usize)?;
    Ok(with_gradient(
        cropped,
        move |cropped, frame| {
            frame.produce(0, |inputs, top, _| {
                inputs.backend.transform_tensor(&crop, inputs.get(0), cropped)?;
                inputs.backend.interp_forward(&geometry, cropped, top)
            })
        },
        move |cropped, frame| {
            frame.add(Of::Bottom(0), |inputs, dx| {
                inputs.backend.interp_backward(&geometry, inputs.top_gradient(0), cropped)?;
                inputs.backend.transform_tensor_backward(&crop, cropped, true, dx)
            })
        },
    ))
}

/// …×H×W → …×H·scale×W·scale, every value repeated; or a pooling undone by its mask.
pub(super) fn upsample(make: &Make<'_>, step: &Step, p: &UpsampleParams) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let (bottom, top) = (&shapes.bottoms[0], &shapes.tops[0]);
    let axes = bottom.len();
    match p {
        UpsampleParams::Nearest { scale } => {
            let (height, width) = (bottom[axes - 2] as u32, bottom[axes - 1] as u32);
            let copy = CopyGeometry::upsample(count(&bottom[..axes - 2]), height, width, *scale as u32);
            copied(copy)
        }
        UpsampleParams::Unpool { .. } => {
            let planes = count(&bottom[..2]);
            let lengths = [count(&bottom[2..]), count(&top[2..])];
            one_top_with_gradient(
                move |inputs, top| {
                    inputs.backend.unpool_forward(planes, lengths, inputs.get(0), inputs.get(1), top)
                },
                move |frame| {
                    frame.overwrite(Of::Bottom(0), |inputs, dx| {
                        let (mask, dy) = (inputs.get(1), inputs.top_gradient(0));
                        inputs.backend.unpool_backward(planes, lengths, mask, dy, dx)
                    })
                },
            )
        }
    }
}
