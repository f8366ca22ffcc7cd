//! Blobs that lie inside a definition, as text files and generated messages hold them.

use half::f16;

use crate::proto::{BlobProto, Type};
use crate::{Blob, Error, Payload};

/// The blobs of the layer of this name and type.
///
/// # Errors
/// When one does not hold as many values as its shape needs.
pub(super) fn from_proto(
    blobs: &[BlobProto],
    (layer, kind): (&str, &str),
    notes: &mut Vec<String>,
) -> Result<Vec<Blob>, Error> {
    if blobs
        .iter()
        .any(|blob| !blob.diff.is_empty() || !blob.double_diff.is_empty() || blob.raw_diff.is_some())
    {
        notes.push(format!("{}: gradients (`diff`) of its blobs are not kept", super::label(layer, kind)));
    }
    let convert = |(index, blob)| {
        convert(blob).map_err(|what| Error::Layer {
            layer: layer.to_owned(),
            kind: kind.to_owned(),
            what: format!("blob {index} {what}"),
        })
    };
    blobs.iter().enumerate().map(convert).collect()
}

fn convert(blob: &BlobProto) -> Result<Blob, String> {
    let legacy = [blob.num, blob.channels, blob.height, blob.width];
    let is_legacy = legacy.iter().any(Option::is_some);
    let dims: Vec<i64> = if is_legacy {
        legacy.iter().map(|extent| extent.unwrap_or(0).into()).collect()
    } else {
        blob.shape.as_ref().map(|shape| shape.dim.clone()).unwrap_or_default()
    };
    let shape = dims.iter().map(|&extent| usize::try_from(extent)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| format!("has a negative extent in its shape {dims:?}"))?;
    let values = values(blob)?;
    let needed = shape.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent));
    if needed != Some(values.len()) {
        let needed = needed.map_or("more than fit any machine".to_owned(), |count| count.to_string());
        return Err(format!("holds {} values, its shape {shape:?} needs {needed}", values.len()));
    }
    let converted = Blob::new(shape, Payload::from_f32(&values));
    Ok(if is_legacy { converted.legacy() } else { converted })
}

fn values(blob: &BlobProto) -> Result<Vec<f32>, String> {
    if !blob.double_data.is_empty() {
        return Ok(blob.double_data.iter().map(|&value| value as f32).collect());
    }
    let (true, Some(raw)) = (blob.data.is_empty(), blob.raw_data.as_deref()) else {
        return Ok(blob.data.clone());
    };
    match blob.raw_data_type() {
        Type::Float16 => Ok(whole(raw)?.iter().map(|&value| f16::from_le_bytes(value).to_f32()).collect()),
        Type::Float => Ok(whole(raw)?.iter().map(|&value| f32::from_le_bytes(value)).collect()),
        Type::Double => Ok(whole(raw)?.iter().map(|&value| f64::from_le_bytes(value) as f32).collect()),
        other => Err(format!("holds raw values of type {}, which no weights are", other.as_str_name())),
    }
}

fn whole<const SIZE: usize>(raw: &[u8]) -> Result<&[[u8; SIZE]], String> {
    match raw.as_chunks() {
        (values, []) => Ok(values),
        _ => Err(format!("holds {} raw bytes, not a whole number of values of {SIZE} bytes", raw.len())),
    }
}
