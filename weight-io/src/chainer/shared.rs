//! Blobs that a file leaves out since another layer owns them.

use std::borrow::Cow;

use caffe_proto::net::Layer;
use caffe_proto::{Blob, Model};

/// The model with a copy of the owner's blob wherever a sharer has none. A `.caffemodel.h5` holds shared blobs once.
pub(crate) fn filled<'m>(layers: &[Layer], model: &'m Model) -> Cow<'m, Model> {
    let mut filled = Cow::Borrowed(model);
    for (at, own) in model.layers.iter().enumerate() {
        let Some(layer) = layers.iter().find(|layer| layer.name == own.name) else { continue };
        for (number, spec) in layer.params.iter().enumerate() {
            let missing = own.blobs.get(number).is_none_or(Blob::is_absent);
            let Some(shared) = spec.name.as_deref().filter(|_| missing) else { continue };
            let Some(blob) = owned(layers, model, shared) else { continue };
            let blobs = &mut filled.to_mut().layers[at].blobs;
            while blobs.len() <= number {
                blobs.push(Blob::absent());
            }
            blobs[number] = blob.clone();
        }
    }
    filled
}

/// The first blob of the parameter that is shared under this name.
fn owned<'m>(layers: &[Layer], model: &'m Model, shared: &str) -> Option<&'m Blob> {
    let places = layers.iter().flat_map(|layer| {
        let numbered = layer.params.iter().enumerate();
        numbered
            .filter(|(_, spec)| spec.name.as_deref() == Some(shared))
            .map(|(number, _)| (&layer.name, number))
    });
    places.into_iter().find_map(|(layer, number)| {
        let own = model.layers.iter().find(|own| own.name == *layer)?;
        own.blobs.get(number).filter(|blob| !blob.is_absent())
    })
}

#[cfg(test)]
mod tests {
    use caffe_proto::net::Net;
    use caffe_proto::proto::{InnerProductParameter, LayerParameter, NetParameter, ParamSpec};
    use caffe_proto::{LayerBlobs, Payload};

    use super::*;

    fn inner_product(name: &str) -> LayerParameter {
        let spec = |name: &str| ParamSpec { name: Some(name.to_owned()), ..ParamSpec::default() };
        LayerParameter {
            name: Some(name.to_owned()),
            r#type: Some("InnerProduct".to_owned()),
            param: vec![spec("w"), ParamSpec::default()],
            inner_product_param: Some(Box::new(InnerProductParameter {
                num_output: Some(2),
                ..InnerProductParameter::default()
            })),
            ..LayerParameter::default()
        }
    }

    fn blob(shape: &[usize], value: f32) -> Blob {
        Blob::new(shape.to_vec(), Payload::from_f32(&vec![value; shape.iter().product()]))
    }

    #[test]
    fn a_sharer_gets_its_owners_blob_and_keeps_its_own() {
        let definition =
            NetParameter { layer: vec![inner_product("a"), inner_product("b")], ..NetParameter::default() };
        let layers = Net::unfiltered(&definition).unwrap().layers;
        let model = Model {
            layers: vec![
                LayerBlobs { name: "a".to_owned(), blobs: vec![blob(&[2, 3], 1.0), blob(&[2], 2.0)] },
                LayerBlobs { name: "b".to_owned(), blobs: vec![Blob::absent(), blob(&[2], 3.0)] },
            ],
            ..Model::default()
        };
        let filled = filled(&layers, &model);
        let b = &filled.layers[1].blobs;
        assert_eq!((b[0].shape(), b[0].to_vec().unwrap()), (&[2, 3][..], vec![1.0; 6]));
        assert_eq!(b[1].to_vec().unwrap(), [3.0, 3.0]);
    }
}
