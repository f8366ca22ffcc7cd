//! Layers that bring values in or take them out.

use super::{given, positive, size};
use crate::net::params::{
    AnnotatedDataParams, Backend, DataParams, DummyDataParams, Hdf5DataParams, ImageDataParams, InputParams,
    Mean, MemoryDataParams, Transform, WindowDataParams,
};
use crate::net::{Filler, LayerKind};
use crate::proto::{DummyDataParameter, LayerParameter, data_parameter};

/// The kind, when it is one of these.
pub(super) fn kind(layer: &LayerParameter) -> Result<Option<LayerKind>, String> {
    Ok(Some(match layer.r#type() {
        "Input" => {
            let p = given(layer.input_param.as_deref());
            per_top("shape", p.shape.len(), layer.top.len(), true)?;
            LayerKind::Input(InputParams { shapes: p.shape.into_iter().map(|shape| shape.dim).collect() })
        }
        "Data" => LayerKind::Data(data(layer)?),
        "AnnotatedData" => LayerKind::AnnotatedData(AnnotatedDataParams {
            data: data(layer)?,
            label_map_file: given(layer.annotated_data_param.as_deref()).label_map_file,
        }),
        "ImageData" => LayerKind::ImageData(image_data(layer)?),
        "HDF5Data" => {
            if layer.transform_param.is_some() {
                return Err("HDF5 data are not transformed: remove `transform_param`".to_owned());
            }
            let p = given(layer.hdf5_data_param.as_deref());
            LayerKind::Hdf5Data(Hdf5DataParams {
                source: p.source().to_owned(),
                batch_size: size("batch_size", p.batch_size())?,
                shuffle: p.shuffle(),
            })
        }
        "HDF5Output" => LayerKind::Hdf5Output {
            file_name: given(layer.hdf5_output_param.as_deref()).file_name().to_owned(),
        },
        "WindowData" => {
            let p = given(layer.window_data_param.as_deref());
            let transform = transform(layer)?;
            if transform.crop.is_none() {
                return Err("`crop_size` is missing: it is the size of the windows".to_owned());
            }
            LayerKind::WindowData(WindowDataParams {
                source: p.source().to_owned(),
                root_folder: p.root_folder().to_owned(),
                batch_size: size("batch_size", p.batch_size())?,
                transform,
            })
        }
        "MemoryData" => {
            let p = given(layer.memory_data_param.as_deref());
            LayerKind::MemoryData(MemoryDataParams {
                shape: [
                    positive("batch_size", p.batch_size())?,
                    positive("channels", p.channels())?,
                    positive("height", p.height())?,
                    positive("width", p.width())?,
                ],
                transform: transform(layer)?,
            })
        }
        "DummyData" => LayerKind::DummyData(dummy_data(layer)?),
        _ => return Ok(None),
    }))
}

fn data(layer: &LayerParameter) -> Result<DataParams, String> {
    let p = given(layer.data_param.as_deref());
    Ok(DataParams {
        source: p.source().to_owned(),
        backend: match p.backend() {
            data_parameter::Db::Leveldb => Backend::LevelDb,
            data_parameter::Db::Lmdb => Backend::Lmdb,
        },
        batch_size: size("batch_size", p.batch_size())?,
        rand_skip: size("rand_skip", p.rand_skip())?,
        force_encoded_color: p.force_encoded_color(),
        transform: transform(layer)?,
    })
}

fn image_data(layer: &LayerParameter) -> Result<ImageDataParams, String> {
    let p = given(layer.image_data_param.as_deref());
    let new_size = [size("new_height", p.new_height())?, size("new_width", p.new_width())?];
    if (new_size[0] == 0) != (new_size[1] == 0) {
        return Err(format!(
            "new_height is {} and new_width {}: give both, or neither",
            new_size[0], new_size[1]
        ));
    }
    Ok(ImageDataParams {
        source: p.source().to_owned(),
        root_folder: p.root_folder().to_owned(),
        batch_size: positive("batch_size", p.batch_size())?,
        new_size: (new_size[0] != 0).then_some(new_size),
        is_color: p.is_color(),
        shuffle: p.shuffle(),
        rand_skip: size("rand_skip", p.rand_skip())?,
        transform: transform(layer)?,
    })
}

/// Shapes in today's spelling, or in the older one of four lists.
fn dummy_data(layer: &LayerParameter) -> Result<DummyDataParams, String> {
    let p = given(layer.dummy_data_param.as_deref());
    let tops = layer.top.len();
    per_top("data_filler", p.data_filler.len(), tops, true)?;
    let mut fillers = p
        .data_filler
        .iter()
        .map(|filler| Filler::resolve(Some(filler), Filler::zero()))
        .collect::<Result<Vec<_>, _>>()?;
    if fillers.is_empty() {
        fillers.push(Filler::zero());
    }
    let is_legacy = [&p.num, &p.channels, &p.height, &p.width].iter().any(|list| !list.is_empty());
    let shapes = match (is_legacy, p.shape.is_empty()) {
        (true, false) => {
            return Err("both `shape` and num, channels, height, width are given: remove one".to_owned());
        }
        (true, true) => legacy_shapes(&p, tops)?,
        (false, _) => {
            per_top("shape", p.shape.len(), tops, false)?;
            p.shape.into_iter().map(|shape| shape.dim).collect()
        }
    };
    Ok(DummyDataParams { shapes, fillers })
}

fn legacy_shapes(p: &DummyDataParameter, tops: usize) -> Result<Vec<Vec<i64>>, String> {
    let lists = [("num", &p.num), ("channels", &p.channels), ("height", &p.height), ("width", &p.width)];
    for (name, list) in lists {
        per_top(name, list.len(), tops, false)?;
    }
    // One of a field that is given once serves all tops.
    let count = lists.iter().map(|(_, list)| list.len()).max().unwrap_or(0);
    let at = |list: &[u32], top: usize| i64::from(list.get(top).or(list.first()).copied().unwrap_or(0));
    Ok((0..count).map(|top| lists.iter().map(|(_, list)| at(list, top)).collect()).collect())
}

fn per_top(field: &str, count: usize, tops: usize, may_be_none: bool) -> Result<(), String> {
    if count == 1 || count == tops || (count == 0 && may_be_none) {
        return Ok(());
    }
    Err(format!(
        "`{field}` is given {count} times for {tops} tops: give it once, or once a top{}",
        if may_be_none { ", or not at all" } else { "" }
    ))
}

/// `crop_size` is a square; SSD's crop_h and crop_w are not.
fn transform(layer: &LayerParameter) -> Result<Transform, String> {
    let p = given(layer.transform_param.as_deref());
    let crop = match (p.crop_size(), p.crop_h(), p.crop_w()) {
        (0, 0, 0) => None,
        (side, 0, 0) => Some([size("crop_size", side)?; 2]),
        (0, height, width) if height != 0 && width != 0 => {
            Some([size("crop_h", height)?, size("crop_w", width)?])
        }
        (side, height, width) => {
            return Err(format!(
                "crop_size is {side}, crop_h {height} and crop_w {width}: give crop_size alone, or both others"
            ));
        }
    };
    let mean = match (&p.mean_file, p.mean_value.is_empty()) {
        (None, true) => Mean::None,
        (Some(file), true) => Mean::File(file.clone()),
        (None, false) => Mean::Values(p.mean_value.clone()),
        (Some(file), false) => {
            return Err(format!(
                "both `mean_file: \"{file}\"` and `mean_value: {:?}` are given: remove one",
                p.mean_value
            ));
        }
    };
    Ok(Transform {
        scale: p.scale(),
        mirror: p.mirror(),
        crop,
        mean,
        force_color: p.force_color(),
        force_gray: p.force_gray(),
    })
}
