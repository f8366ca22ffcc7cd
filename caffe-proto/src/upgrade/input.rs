//! A net's `input`, with its shapes, made into an `Input` layer.

use super::Carried;
use crate::Blob;
use crate::proto::{BlobShape, InputParameter, LayerParameter, NetParameter};

/// Puts an `Input` layer in front of `layers` for the net's inputs; without dimensions, as old caffemodels have
/// them, inputs are only taken away.
///
/// # Errors
/// What is missing, when some inputs have their dimensions and others not: real Caffe reads past the end there.
pub(super) fn upgrade(
    net: &mut NetParameter,
    layers: &mut Vec<Carried<LayerParameter>>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    if net.input.is_empty() {
        return Ok(());
    }
    let inputs = std::mem::take(&mut net.input);
    let shapes = std::mem::take(&mut net.input_shape);
    let dims = std::mem::take(&mut net.input_dim);
    let count = inputs.len();
    let shapes = match (shapes.len(), dims.len()) {
        (0, 0) => {
            notes.push(format!("the net: its inputs {} have no dimensions and are dropped", list(&inputs)));
            return Ok(());
        }
        (0, given) if given < 4 * count => {
            return Err(format!(
                "{count} `input` need {} `input_dim`, four each, but there are {given}",
                4 * count
            ));
        }
        (0, given) => {
            if given > 4 * count {
                notes.push(format!("the net: {} `input_dim` too many are dropped", given - 4 * count));
            }
            let shape = |four: &[i32; 4]| BlobShape { dim: four.iter().copied().map(i64::from).collect() };
            dims.as_chunks().0[..count].iter().map(shape).collect()
        }
        (given, _) if given < count => {
            return Err(format!("{count} `input` need as many `input_shape`, but there are {given}"));
        }
        (given, old) => {
            if given > count {
                notes.push(format!("the net: {} `input_shape` too many are dropped", given - count));
            }
            if old > 0 {
                notes.push("the net: `input_dim` is dropped, since `input_shape` says the same".to_owned());
            }
            shapes.into_iter().take(count).collect()
        }
    };
    let layer = LayerParameter {
        name: Some("input".to_owned()),
        r#type: Some("Input".to_owned()),
        top: inputs,
        input_param: Some(Box::new(InputParameter { shape: shapes })),
        ..LayerParameter::default()
    };
    layers.insert(0, Carried { layer, blobs: Vec::<Blob>::new() });
    Ok(())
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
