//! What the layers of a `.caffemodel.h5` are, told by the shapes of their blobs: the file says nothing else.
//!
//! Only what cannot be anything else is taken. One array of one axis may be a Scale's, a PReLU's or a Bias's, whose
//! names differ, and is refused.

use caffe_proto::proto::{
    ConvolutionParameter, InnerProductParameter, LayerParameter, NetParameter, ScaleParameter,
};
use caffe_proto::{Blob, LayerBlobs, Model};

use crate::error::list;
use crate::{Error, Note};

/// A definition that names the blobs of `model`, and the note that says it was a guess.
///
/// # Errors
/// [`Error::Layer`] with the first layer whose blobs may be of several types.
pub(crate) fn definition(model: &Model) -> Result<(NetParameter, Note), Error> {
    let layer = model.layers.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
    let without = model.layers.iter().filter(|own| own.blobs.is_empty()).map(|own| own.name.clone());
    let without = without.collect::<Vec<_>>();
    let mut note = "the file holds no layer types: they were told by the shapes of the blobs, and convolutions are left \
                    grouped as they are; --definition makes sure"
        .to_owned();
    if !without.is_empty() {
        note += "; without blobs in the file, as they have no parameters or share another layer's: ";
        note += &list(&without);
    }
    Ok((NetParameter { layer, ..NetParameter::default() }, Note::Reader(note)))
}

fn layer(own: &LayerBlobs) -> Result<LayerParameter, Error> {
    if let Some(number) = own.blobs.iter().position(Blob::is_absent) {
        let what = format!(
            "its blob {number} is another layer's, shared: give the net's definition with --definition"
        );
        return Err(Error::Layer { layer: own.name.clone(), kind: "of a type not told".to_owned(), what });
    }
    let mut layer = LayerParameter { name: Some(own.name.clone()), ..LayerParameter::default() };
    let shapes = own.blobs.iter().map(Blob::shape).collect::<Vec<_>>();
    let kind = match shapes[..] {
        [] => "Split",
        [w, ref bias @ ..] if w.len() >= 3 && fits(bias, w[0]) => {
            layer.convolution_param = Some(convolution(w, w[0], 1, !bias.is_empty()));
            "Convolution"
        }
        // A grouped deconvolution has its inputs first: outputs are as many as its bias has.
        [w, [outputs]]
            if w.len() >= 3 && outputs.is_multiple_of(w[1]) && w[0].is_multiple_of(outputs / w[1]) =>
        {
            layer.convolution_param = Some(convolution(w, *outputs, outputs / w[1], true));
            "Deconvolution"
        }
        // Without a bias nothing tells rows from columns, which `transpose` turns round.
        [w @ [outputs, inputs], bias @ [_]] if outputs != inputs && bias[0] == *outputs => {
            layer.inner_product_param = Some(Box::new(InnerProductParameter {
                num_output: Some(w[0] as u32),
                bias_term: Some(true),
                ..InnerProductParameter::default()
            }));
            "InnerProduct"
        }
        [[mean], [variance], [1]] if mean == variance => "BatchNorm",
        [[scale], [bias]] if scale == bias => {
            layer.scale_param =
                Some(Box::new(ScaleParameter { bias_term: Some(true), ..ScaleParameter::default() }));
            "Scale"
        }
        _ => {
            let blobs = match shapes.len() {
                1 => "its one blob".to_owned(),
                count => format!("its {count} blobs"),
            };
            let what = format!(
                "{blobs} may be of several types of layers: give the net's definition with --definition"
            );
            return Err(Error::Layer {
                layer: own.name.clone(),
                kind: "of a type not told".to_owned(),
                what,
            });
        }
    };
    layer.r#type = Some(kind.to_owned());
    Ok(layer)
}

/// No bias, or one of as many values as there are outputs.
fn fits(bias: &[&[usize]], outputs: usize) -> bool {
    matches!(bias, [] | [[_]]) && bias.iter().all(|bias| bias[0] == outputs)
}

fn convolution(w: &[usize], outputs: usize, group: usize, bias: bool) -> Box<ConvolutionParameter> {
    Box::new(ConvolutionParameter {
        num_output: Some(outputs as u32),
        group: Some(group as u32),
        kernel_size: w[2..].iter().map(|&extent| extent as u32).collect(),
        bias_term: Some(bias),
        ..ConvolutionParameter::default()
    })
}

#[cfg(test)]
mod tests {
    use caffe_proto::Payload;

    use super::*;

    fn kind(shapes: &[&[usize]]) -> Result<String, String> {
        let blobs = shapes.iter().map(|shape| {
            let zeros = vec![0.0; shape.iter().product()];
            Blob::new(shape.to_vec(), Payload::from_f32(&zeros))
        });
        let own = LayerBlobs { name: "x".to_owned(), blobs: blobs.collect() };
        layer(&own).map(|layer| layer.r#type().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_cannot_be_anything_else_is_taken() {
        assert_eq!(kind(&[]).as_deref(), Ok("Split"));
        assert_eq!(kind(&[&[8, 3, 5, 5], &[8]]).as_deref(), Ok("Convolution"));
        assert_eq!(kind(&[&[8, 3, 5, 5]]).as_deref(), Ok("Convolution"));
        assert_eq!(kind(&[&[8, 2, 5, 5], &[4]]).as_deref(), Ok("Deconvolution"));
        assert_eq!(kind(&[&[10, 64], &[10]]).as_deref(), Ok("InnerProduct"));
        assert_eq!(kind(&[&[4], &[4], &[1]]).as_deref(), Ok("BatchNorm"));
        assert_eq!(kind(&[&[4], &[4]]).as_deref(), Ok("Scale"));
        for shapes in [
            &[&[4][..]][..],
            &[&[10, 64]],
            &[&[64, 10], &[10]],
            &[&[10, 10], &[10]],
            &[&[8, 3], &[8], &[8, 2]],
        ] {
            assert!(kind(shapes).unwrap_err().contains("may be of several types of layers"), "{shapes:?}");
        }
    }
}
