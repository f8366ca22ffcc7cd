//! Forks that gave their own messages numbers which mainline uses for something else.
//!
//! The schema holds those fields under numbers of its own; here a layer's bytes are brought to them, by the layer's type.

use std::borrow::Cow;

use prost::Message;

use crate::proto::LayerParameter;
use crate::wire::{self, Value};

/// Layer type, the number on the wire, the number in the schema.
///
/// Interp: PSPNet, DeepLab. Upsample: caffe-segnet. BN: PSPNet and caffe-windows (caffe-segnet's is the schema's own).
/// Permute and ROIPooling: caffe-windows.
const NUMBERS: [(&str, u32, u32); 6] = [
    ("Interp", 143, 20011),
    ("Upsample", 137, 150),
    ("BN", 152, 45),
    ("BN", 200, 45),
    ("Permute", 224, 202),
    ("ROIPooling", 204, 8_266_711),
];
/// Parameters of the layer types; below it stand the fields that every layer has.
const FIRST_PARAMETER: u32 = 12;
const TYPE: u32 = 2;
const NAME: u32 = 1;

/// Renumbers a fork's parameter field, and drops, with a note, parameter fields of other types that do not decode
/// as the schema's: a fork's message under a number that is taken.
pub(super) fn translate(layer: &[u8]) -> (Cow<'_, [u8]>, Vec<String>) {
    let kind = text(layer, TYPE);
    let moved = NUMBERS.iter().filter(|(of, ..)| *of == kind).collect::<Vec<_>>();
    let decodes = LayerParameter::decode(layer).is_ok();
    if moved.is_empty() && decodes {
        return (Cow::Borrowed(layer), Vec::new());
    }
    let mut out = Vec::with_capacity(layer.len() + 8);
    let mut notes = Vec::new();
    // The caller has walked these bytes before: none of the fields is malformed.
    for field in wire::fields(layer, 0..layer.len()).flatten() {
        let whole = &layer[field.whole];
        if let Value::Bytes(content) = field.value
            && let Some((.., to)) = moved.iter().find(|(_, from, _)| *from == field.number)
        {
            wire::put_length(&mut out, *to, content.len() as u64);
            out.extend_from_slice(&layer[content]);
        } else if decodes || field.number < FIRST_PARAMETER || LayerParameter::decode(whole).is_ok() {
            out.extend_from_slice(whole);
        } else {
            notes.push(format!(
                "layer `{}` ({kind}): field {} is not what mainline Caffe has under that number; it was passed over",
                text(layer, NAME),
                field.number
            ));
        }
    }
    (Cow::Owned(out), notes)
}

fn text(layer: &[u8], number: u32) -> String {
    let last = wire::fields(layer, 0..layer.len()).flatten().filter(|field| field.number == number).last();
    match last.map(|field| field.value) {
        Some(Value::Bytes(range)) => String::from_utf8_lossy(&layer[range]).into_owned(),
        _ => String::new(),
    }
}
