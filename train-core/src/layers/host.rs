//! Layers that are computed in main memory, by one thread: they make a number or a few out of a blob, or go by the data in
//! ways that a device has no coarse operation for, and are no part of what a pass costs.

use super::frame::{Make, Operation, free_form};
use crate::plan::Step;

/// What such a layer does: bottoms in, tops out. An error says which value it cannot work on.
pub(super) trait Function:
    FnMut(&[&[f32]], &mut [Vec<f32>]) -> Result<(), String> + Send + 'static
{
}

impl<F: FnMut(&[&[f32]], &mut [Vec<f32>]) -> Result<(), String> + Send + 'static> Function for F {}

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
    let mut staging: [Vec<f32>; 4] = Default::default();
    free_form(move |frame| {
        let inputs = frame.inputs();
        let mut bottoms: [&[f32]; 4] = [&[]; 4];
        for (((index, &len), staging), bottom) in lens.iter().enumerate().zip(&mut staging).zip(&mut bottoms)
        {
            *bottom = inputs.floats(index, len, staging)?;
        }
        function(&bottoms[..lens.len()], &mut tops).map_err(|what| kernels::Error::Geometry { op, what })?;
        for (top, values) in tops.iter().enumerate() {
            frame.produce(top, |inputs, y, _| inputs.backend.write(y, 0, values))?;
        }
        Ok(())
    })
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
