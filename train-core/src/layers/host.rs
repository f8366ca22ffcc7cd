//! Layers that are computed in main memory, by one thread: they make a number or a few out of a blob, or go by the data in
//! ways that a device has no coarse operation for, and are no part of what a pass costs.

use super::frame::{Inputs, Of, Operation, free_form, with_gradient};
use super::make::Make;
use crate::plan::Step;

/// What such a layer does: bottoms in, tops out. An error says which value it cannot work on.
pub(super) trait Function:
    FnMut(&[&[f32]], &mut [Vec<f32>]) -> Result<(), String> + Send + 'static
{
}

impl<F: FnMut(&[&[f32]], &mut [Vec<f32>]) -> Result<(), String> + Send + 'static> Function for F {}

/// What such a layer's gradient is.
pub(super) trait Gradient:
    FnMut(&[&[f32]], usize, f64, &mut [f32]) -> Result<(), String> + Send + 'static
{
}

impl<F: FnMut(&[&[f32]], usize, f64, &mut [f32]) -> Result<(), String> + Send + 'static> Gradient for F {}

/// A step that `function` computes. It takes four bottoms at most.
pub(super) fn on_host(
    make: &Make<'_>,
    step: &Step,
    op: &'static str,
    mut function: impl Function,
) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let lens: Vec<usize> = shapes.bottoms.iter().map(|bottom| bottom.iter().product()).collect();
    let mut tops: Vec<Vec<f32>> = shapes.tops.iter().map(|top| vec![0.0; top.iter().product()]).collect();
    let mut staging = Default::default();
    free_form(move |frame| {
        let inputs = frame.inputs();
        let bottoms = all_floats(&inputs, &lens, &mut staging)?;
        function(&bottoms[..lens.len()], &mut tops).map_err(|what| kernels::Error::Geometry { op, what })?;
        for (top, values) in tops.iter().enumerate() {
            frame.produce(top, |inputs, y, _| inputs.backend.write(y, 0, values))?;
        }
        Ok(())
    })
}

/// A loss that `function` computes, and the gradient of each bottom that `gradient` computes: from the bottoms, which of
/// them, and the gradient of the loss, into an array as long as the bottom.
pub(super) fn loss_on_host(
    make: &Make<'_>,
    step: &Step,
    op: &'static str,
    mut function: impl Function,
    mut gradient: impl Gradient,
) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let lens: Vec<usize> = shapes.bottoms.iter().map(|bottom| bottom.iter().product()).collect();
    let tops: Vec<Vec<f32>> = shapes.tops.iter().map(|top| vec![0.0; top.iter().product()]).collect();
    let backward_lens = lens.clone();
    with_gradient(
        (tops, Default::default(), Vec::new()),
        move |(tops, staging, _), frame| {
            let inputs = frame.inputs();
            let bottoms = all_floats(&inputs, &lens, staging)?;
            function(&bottoms[..lens.len()], tops).map_err(|what| kernels::Error::Geometry { op, what })?;
            for (top, values) in tops.iter().enumerate() {
                frame.produce(top, |inputs, y, _| inputs.backend.write(y, 0, values))?;
            }
            Ok(())
        },
        move |(_, staging, dx), frame| {
            let lens = &backward_lens;
            for (index, &len) in lens.iter().enumerate() {
                frame.overwrite(Of::Bottom(index), |inputs, out| {
                    let mut scale = [0.0];
                    inputs.backend.read(inputs.top_gradient(0), 0, &mut scale)?;
                    let bottoms = all_floats(inputs, lens, staging)?;
                    dx.clear();
                    dx.resize(len, 0.0);
                    gradient(&bottoms[..lens.len()], index, f64::from(scale[0]), dx)
                        .map_err(|what| kernels::Error::Geometry { op, what })?;
                    inputs.backend.write(out, 0, dx)
                })?;
            }
            Ok(())
        },
    )
}

/// A label as an index below `classes`.
pub(super) fn label(value: f32, classes: usize) -> Result<usize, String> {
    let index = value as i64;
    match usize::try_from(index) {
        Ok(index) if index < classes && !value.is_nan() => Ok(index),
        _ => Err(format!(
            "a label is {value}, and there are {classes} classes: 0 to {}",
            classes.saturating_sub(1)
        )),
    }
}

/// Whether a label is the one that counts for nothing.
pub(super) fn is_ignored(value: f32, ignore_label: Option<i32>) -> bool {
    ignore_label.is_some_and(|ignored| value as i32 == ignored)
}

fn all_floats<'s>(
    inputs: &'s Inputs<'_>,
    lens: &[usize],
    staging: &'s mut [Vec<f32>; 4],
) -> kernels::Result<[&'s [f32]; 4]> {
    let mut bottoms: [&[f32]; 4] = [&[]; 4];
    for (((index, &len), staging), bottom) in lens.iter().enumerate().zip(staging).zip(&mut bottoms) {
        *bottom = inputs.floats(index, len, staging)?;
    }
    Ok(bottoms)
}
