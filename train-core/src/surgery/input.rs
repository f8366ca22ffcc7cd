//! The input for images, and what the old data layers say of it.

use caffe_proto::net::{LayerKind as K, Net, params};

use super::graph::{Graph, Value};
use super::{Error, Result};

/// Where images go into a net.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInput {
    /// The blob.
    pub blob: String,
    /// The blob of the labels beside it, or what it will be called.
    pub label: String,
    /// The shape of one sample, where the definition tells it: channels, height, width.
    pub shape: Option<Vec<usize>>,
    /// The channels, where the definition or the weights tell them.
    pub channels: Option<usize>,
    /// How the data layer of the phase TRAIN reads images; none where there is none.
    pub train: Option<Reading>,
    /// The same of TEST.
    pub test: Option<Reading>,
    /// The layer that it came from.
    pub(super) layer: String,
}

/// How a data layer reads images.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The layer's name.
    pub layer: String,
    /// What is done to an image.
    pub transform: params::Transform,
    /// The height and width that images are resized to first.
    pub resize: Option<[usize; 2]>,
}

/// The input that leads to `heads`, in the net of the phase TRAIN; `test` is the other.
pub(super) fn of(graph: &Graph<'_>, test: &Net, heads: &[Value]) -> Result<ImageInput> {
    let behind = graph.behind(heads);
    let mut values: Vec<Value> = Vec::new();
    for index in (0..behind.len()).filter(|&index| behind[index]) {
        let given = graph.makers[index].iter().filter(|&&value| graph.is_given(value));
        for &value in given {
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    let &[(layer, top)] = values.as_slice() else {
        let names = values.iter().map(|&value| graph.blob(value).to_owned()).collect::<Vec<_>>();
        return Err(if names.is_empty() { Error::NoInput } else { Error::Inputs(names) });
    };
    let source = graph.layer(layer);
    let blob = graph.blob((layer, top)).to_owned();
    let shape = match &source.kind {
        K::Input(input) => of_top(&input.shapes, top).and_then(|shape| {
            shape.get(1..)?.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size > 0)).collect()
        }),
        K::MemoryData(memory) => Some(memory.shape[1..].to_vec()),
        _ => None,
    };
    let is_color = match &source.kind {
        K::ImageData(list) => Some(list.is_color),
        _ => None,
    };
    let train = reading(source);
    let channels = match (&shape, is_color, &train) {
        (Some(shape), ..) if shape.len() == 3 => Some(shape[0]),
        (_, Some(color), _) => Some(if color { 3 } else { 1 }),
        (.., Some(reading)) => match &reading.transform.mean {
            _ if reading.transform.force_color => Some(3),
            _ if reading.transform.force_gray => Some(1),
            params::Mean::Values(values) if values.len() > 1 => Some(values.len()),
            _ => None,
        },
        _ => None,
    };
    let test = test.layers.iter().find(|layer| layer.is_given() && layer.tops.contains(&blob));
    // A net that was saved, or has one data layer for both phases.
    let is_other = test.is_some_and(|test| test.kind != source.kind);
    let mut label =
        source.tops.iter().find(|&top| *top != blob).cloned().unwrap_or_else(|| "label".to_owned());
    if label == blob {
        label.push_str("_of_class");
    }
    Ok(ImageInput {
        label,
        shape: shape.filter(|shape| !shape.is_empty()),
        channels,
        test: if is_other { test.and_then(reading) } else { train.clone().map(unmirrored) },
        train,
        layer: source.name.clone(),
        blob,
    })
}

/// The channels that the first layer behind an input takes, by its weights.
pub(super) fn channels_by_weights(
    graph: &Graph<'_>,
    input: &str,
    shape_of: &dyn Fn(&str) -> Option<Vec<usize>>,
) -> Option<usize> {
    let source = (0..graph.net.layers.len()).find(|&index| {
        graph.layer(index).is_given() && graph.layer(index).tops.iter().any(|top| top == input)
    })?;
    let ahead = graph.ahead(source);
    let layers = (0..ahead.len()).filter(|&index| ahead[index]).map(|index| graph.layer(index));
    layers.filter(|layer| !layer.params.is_empty()).find_map(|layer| {
        let shape = shape_of(&layer.name)?;
        match &layer.kind {
            K::Convolution(conv) if shape.len() == 4 => Some(shape[1] * conv.group),
            K::BatchNorm(_) | K::Scale(_) => shape.last().copied(),
            _ => None,
        }
    })
}

fn reading(layer: &caffe_proto::net::Layer) -> Option<Reading> {
    let (transform, resize) = match &layer.kind {
        K::Data(data) => {
            let mut transform = data.transform.clone();
            transform.force_color |= data.force_encoded_color;
            (transform, None)
        }
        K::ImageData(list) => (list.transform.clone(), list.new_size),
        K::MemoryData(memory) => (memory.transform.clone(), None),
        _ => return None,
    };
    Some(Reading { layer: layer.name.clone(), transform, resize })
}

/// For judging, images are taken as they are.
fn unmirrored(mut reading: Reading) -> Reading {
    reading.transform.mirror = false;
    reading
}

fn of_top(shapes: &[Vec<i64>], top: usize) -> Option<&Vec<i64>> {
    if shapes.len() == 1 { shapes.first() } else { shapes.get(top) }
}
