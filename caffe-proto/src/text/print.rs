//! A message as prototxt.

use std::fmt::Write as _;
use std::ops::Range;

use super::Root;
use super::schema::{Field, Kind, Message};
use crate::wire::{self, Value};

/// Spaces a level.
const INDENT: usize = 2;
/// A message of few plain fields stays on one line of so many characters.
const LINE: usize = 100;

/// Writes a message in the text form that [`parse`](super::parse) reads: reading it gives the same message, but for fields
/// that the schema does not have, and the bits of NaNs.
///
/// Messages without messages in them stand on a line of their own where they fit: `param { lr_mult: 1 decay_mult: 1 }`.
pub fn print<M: Root>(message: &M) -> String {
    let bytes = message.encode_to_vec();
    let schema = Message::named(M::MESSAGE).unwrap_or_else(|| unreachable!("roots are in the schema"));
    let mut printer = Printer { bytes: &bytes, text: String::new() };
    printer.fields(schema, 0..bytes.len(), 0);
    printer.text
}

struct Printer<'a> {
    bytes: &'a [u8],
    text: String,
}

impl Printer<'_> {
    /// Each field on a line, or several for a message with messages in it.
    fn fields(&mut self, message: &Message, range: Range<usize>, depth: usize) {
        for (field, value) in known(self.bytes, message, range) {
            let margin = depth * INDENT;
            let Kind::Message(index) = field.kind else {
                for text in values(self.bytes, field, &value) {
                    let _ = writeln!(self.text, "{:margin$}{}: {text}", "", field.name);
                }
                continue;
            };
            let Value::Bytes(inner) = value else { continue };
            let inside = Message::at(index);
            // A layer has a paragraph to itself, however short.
            let short = if inside.is_layer { None } else { one_line(self.bytes, inside, inner.clone()) };
            if let Some(text) = short.filter(|text| margin + field.name.len() + text.len() < LINE) {
                let _ = writeln!(self.text, "{:margin$}{} {text}", "", field.name);
            } else {
                let _ = writeln!(self.text, "{:margin$}{} {{", "", field.name);
                self.fields(inside, inner, depth + 1);
                let _ = writeln!(self.text, "{:margin$}}}", "");
            }
        }
    }
}

/// A message in braces, if it has plain fields only.
fn one_line(bytes: &[u8], message: &Message, range: Range<usize>) -> Option<String> {
    let mut text = "{ ".to_owned();
    for (field, value) in known(bytes, message, range) {
        if matches!(field.kind, Kind::Message(_)) {
            return None;
        }
        for value in values(bytes, field, &value) {
            if text.len() > LINE {
                return None;
            }
            let _ = write!(text, "{}: {value} ", field.name);
        }
    }
    text.push('}');
    Some(text)
}

/// The fields of a message that the schema has, in their order.
fn known<'a>(
    bytes: &'a [u8],
    message: &'a Message,
    range: Range<usize>,
) -> impl Iterator<Item = (&'a Field, Value)> {
    // What prost has encoded is not malformed.
    wire::fields(bytes, range).flatten().filter_map(|found| {
        let field = message.fields.iter().find(|field| field.number == found.number)?;
        Some((field, found.value))
    })
}

/// What stands behind the field's name: one text, or one each of packed numbers.
fn values(bytes: &[u8], field: &Field, value: &Value) -> Vec<String> {
    match (value, &field.kind) {
        (Value::Bytes(range), Kind::String | Kind::Bytes) => vec![quoted(&bytes[range.clone()])],
        (Value::Varint(number), _) => vec![integer(&field.kind, *number)],
        (Value::Fixed32(range), _) | (Value::Bytes(range), Kind::Float) => singles(&bytes[range.clone()]),
        (Value::Fixed64(range), _) | (Value::Bytes(range), Kind::Double) => doubles(&bytes[range.clone()]),
        (Value::Bytes(range), _) => {
            let numbers = wire::varints(bytes, range.clone()).flatten();
            numbers.map(|number| integer(&field.kind, number)).collect()
        }
        (Value::Group, _) => Vec::new(),
    }
}

fn integer(kind: &Kind, number: u64) -> String {
    match kind {
        Kind::Bool => (number != 0).to_string(),
        Kind::Int32 => (number as i32).to_string(),
        Kind::Int64 => (number as i64).to_string(),
        Kind::Enum(names) => {
            let name = names.iter().find(|(_, value)| *value == number as i32);
            name.map_or_else(|| (number as i32).to_string(), |(name, _)| name.clone())
        }
        _ => number.to_string(),
    }
}

fn singles(bytes: &[u8]) -> Vec<String> {
    let (values, _) = bytes.as_chunks::<4>();
    values.iter().map(|&value| decimal(f32::from_le_bytes(value))).collect()
}

fn doubles(bytes: &[u8]) -> Vec<String> {
    let (values, _) = bytes.as_chunks::<8>();
    values.iter().map(|&value| decimal(f64::from_le_bytes(value))).collect()
}

/// The shortest decimal that is read as the same number.
fn decimal<F: Copy + Into<f64> + std::fmt::Display + std::fmt::LowerExp>(value: F) -> String {
    let wide: f64 = value.into();
    if wide.is_nan() {
        return if wide.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    let size = wide.abs();
    if size == 0.0 || size.is_infinite() || (1e-4..1e9).contains(&size) {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = "\"".to_owned();
    match std::str::from_utf8(bytes) {
        Ok(valid) => {
            for letter in valid.chars() {
                match letter {
                    '"' | '\\' => text.extend(['\\', letter]),
                    '\n' => text.push_str("\\n"),
                    letter if letter.is_control() && letter.is_ascii() => {
                        let _ = write!(text, "\\{:03o}", letter as u32);
                    }
                    letter => text.push(letter),
                }
            }
        }
        Err(_) => {
            for byte in bytes {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text.push('"');
    text
}
