//! SSD's PriorBox.

use caffe_proto::net::params::PriorBoxParams;

use super::frame::{Operation, free_form};
use super::image;
use super::make::Make;
use crate::plan::Step;

/// Boxes around every place of a map, as shares of the image, then their variances: 1×2×(H·W·boxes·4). They depend on
/// shapes alone.
pub(super) fn prior_box(make: &Make<'_>, step: &Step, p: &PriorBoxParams) -> Box<dyn Operation> {
    let shapes = make.shapes(step);
    let [_, _, rows, columns] = image(&shapes.bottoms[0]);
    let [_, _, height, width] = image(&shapes.bottoms[1]);
    let [height, width] =
        p.image.map_or([height as f32, width as f32], |image| image.map(|side| side as f32));
    let [step_y, step_x] = p.step.unwrap_or([height / rows as f32, width / columns as f32]);
    let sides = sides(p);
    let mut values: Vec<f32> = Vec::with_capacity(shapes.tops[0].iter().product());
    for row in 0..rows {
        for column in 0..columns {
            let (x, y) = ((column as f32 + p.offset) * step_x, (row as f32 + p.offset) * step_y);
            for &[wide, high] in &sides {
                values.extend([
                    (x - wide / 2.0) / width,
                    (y - high / 2.0) / height,
                    (x + wide / 2.0) / width,
                    (y + high / 2.0) / height,
                ]);
            }
        }
    }
    if p.clip {
        for value in &mut values {
            *value = value.clamp(0.0, 1.0);
        }
    }
    let boxes = values.len() / 4;
    for _ in 0..boxes {
        match p.variances.as_slice() {
            [] => values.extend([0.1; 4]),
            [one] => values.extend([*one; 4]),
            four => values.extend(four),
        }
    }
    free_form(move |frame| frame.produce(0, |inputs, top, _| inputs.backend.write(top, 0, &values)))
}

/// Width and height of the boxes of one place, in pixels, in SSD's order.
fn sides(p: &PriorBoxParams) -> Vec<[f32; 2]> {
    let mut sides = Vec::with_capacity(p.boxes());
    for (at, &smaller) in p.min_sizes.iter().enumerate() {
        // prior_box_layer.cpp keeps both sizes in integers.
        let smaller = smaller.trunc();
        sides.push([smaller; 2]);
        if let Some(larger) = p.max_sizes.get(at) {
            sides.push([(smaller * larger.trunc()).sqrt(); 2]);
        }
        for ratio in p.aspect_ratios.iter().filter(|&ratio| (ratio - 1.0).abs() >= 1e-6) {
            sides.push([smaller * ratio.sqrt(), smaller / ratio.sqrt()]);
        }
    }
    sides
}
