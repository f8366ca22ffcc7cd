//! The type of a dataset's values (HDF5 File Format Specification 3.0, IV.A.2.d).

use std::fmt;

use super::cursor::Cursor;
use super::error::Problem;

/// The type of a dataset's values, byte order aside: payloads are always little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Signed, 8 bits; also how h5py keeps booleans.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Text of a fixed or of any length.
    Text,
    /// Something that is not read, in words.
    Other(String),
}

/// How the values lie in the file.
#[derive(Debug, Clone)]
pub(super) struct Datatype {
    pub(super) dtype: Dtype,
    /// Bytes a value takes in the file.
    pub(super) size: u32,
    pub(super) big_endian: bool,
    pub(super) text: Option<Text>,
}

/// How text lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// In place, up to the first zero byte.
    NullEnded,
    /// In place, filled up with zero bytes.
    NullPadded,
    /// In place, filled up with spaces.
    SpacePadded,
    /// In the global heap.
    Variable,
}

impl Dtype {
    /// How many bytes a value takes; `None` for text and what is not read.
    pub fn size(&self) -> Option<usize> {
        match self {
            Dtype::I8 | Dtype::U8 => Some(1),
            Dtype::F16 | Dtype::I16 | Dtype::U16 => Some(2),
            Dtype::F32 | Dtype::I32 | Dtype::U32 => Some(4),
            Dtype::F64 | Dtype::I64 | Dtype::U64 => Some(8),
            Dtype::Text | Dtype::Other(_) => None,
        }
    }

    /// The message that states this type in little-endian; `None` for text and what is not read.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let size = self.size()? as u32;
        let layout = IEEE.iter().find(|layout| layout.dtype == *self);
        let mut message = match (layout, self) {
            (Some(layout), _) => vec![0x11, 0x20, layout.sign, 0],
            (None, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64) => vec![0x10, 0x08, 0, 0],
            (None, _) => vec![0x10, 0, 0, 0],
        };
        message.extend(size.to_le_bytes());
        message.extend([0, 0]);
        message.extend((size as u16 * 8).to_le_bytes());
        if let Some(layout) = layout {
            message.extend(layout.fields);
            message.extend(layout.bias.to_le_bytes());
        }
        Some(message)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F16 => "float16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::I8 => "int8",
            Dtype::I16 => "int16",
            Dtype::I32 => "int32",
            Dtype::I64 => "int64",
            Dtype::U8 => "uint8",
            Dtype::U16 => "uint16",
            Dtype::U32 => "uint32",
            Dtype::U64 => "uint64",
            Dtype::Text => "text",
            Dtype::Other(words) => words,
        })
    }
}

pub(super) fn read(message: &Cursor<'_>) -> Result<Datatype, Problem> {
    let mut cursor = message.named("datatype");
    let Head { class, bits, size } = head(&mut cursor)?;
    let mut datatype = Datatype { dtype: Dtype::Text, size, big_endian: bits & 1 == 1, text: None };
    match class {
        0 => datatype.dtype = integer(&mut cursor, bits, size)?,
        1 => datatype.dtype = float(&mut cursor, bits, size)?,
        3 => {
            datatype.text = match bits & 15 {
                0 => Some(Text::NullEnded),
                1 => Some(Text::NullPadded),
                2 => Some(Text::SpacePadded),
                other => return Err(Problem::Invalid(format!("text is padded in unknown way {other}"))),
            }
        }
        8 => {
            let base = head(&mut cursor)?;
            if base.class == 0 {
                datatype.big_endian = base.bits & 1 == 1;
                datatype.dtype = integer(&mut cursor, base.bits, base.size)?;
            }
            if datatype.dtype.size() != Some(size as usize) {
                datatype.dtype = Dtype::Other("an enumeration of unusual integers".into());
            }
        }
        9 if bits & 15 == 1 => datatype.text = Some(Text::Variable),
        _ => {
            let name = CLASSES.get(usize::from(class)).copied();
            datatype.dtype = Dtype::Other(match name {
                Some(name) => format!("a {name} of {size} bytes"),
                None => format!("a type of unknown class {class}"),
            });
        }
    }
    if datatype.size == 0 {
        return Err(Problem::Invalid("a value takes no bytes".into()));
    }
    Ok(datatype)
}

const CLASSES: [&str; 13] = [
    "number",
    "float",
    "time",
    "string",
    "bit field",
    "blob",
    "compound",
    "reference",
    "enumeration",
    "variable-length array",
    "fixed array",
    "complex number",
    "type",
];

struct Head {
    class: u8,
    bits: u32,
    size: u32,
}

/// The bits of an IEEE number: the sign's place; the exponent's place and size, the mantissa's place and size.
struct Ieee {
    dtype: Dtype,
    sign: u8,
    fields: [u8; 4],
    bias: u32,
}

const IEEE: [Ieee; 3] = [
    Ieee { dtype: Dtype::F16, sign: 15, fields: [10, 5, 0, 10], bias: 15 },
    Ieee { dtype: Dtype::F32, sign: 31, fields: [23, 8, 0, 23], bias: 127 },
    Ieee { dtype: Dtype::F64, sign: 63, fields: [52, 11, 0, 52], bias: 1023 },
];

fn head(cursor: &mut Cursor<'_>) -> Result<Head, Problem> {
    let first = cursor.u8()?;
    if !(1..=5).contains(&(first >> 4)) {
        return Err(Problem::Version { what: "datatype", found: u64::from(first >> 4) });
    }
    Ok(Head { class: first & 15, bits: cursor.uint(3)? as u32, size: cursor.u32()? })
}

fn integer(cursor: &mut Cursor<'_>, bits: u32, size: u32) -> Result<Dtype, Problem> {
    let (offset, precision) = (cursor.u16()?, cursor.u16()?);
    let signed = bits & 8 != 0;
    Ok(match (offset, precision, size, signed) {
        (0, 8, 1, true) => Dtype::I8,
        (0, 16, 2, true) => Dtype::I16,
        (0, 32, 4, true) => Dtype::I32,
        (0, 64, 8, true) => Dtype::I64,
        (0, 8, 1, false) => Dtype::U8,
        (0, 16, 2, false) => Dtype::U16,
        (0, 32, 4, false) => Dtype::U32,
        (0, 64, 8, false) => Dtype::U64,
        _ => Dtype::Other(format!("an integer of {precision} bits in {size} bytes")),
    })
}

fn float(cursor: &mut Cursor<'_>, bits: u32, size: u32) -> Result<Dtype, Problem> {
    let (offset, precision) = (cursor.u16()?, cursor.u16()?);
    let fields = [cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?];
    let bias = cursor.u32()?;
    let (vax, normalization, sign) = (bits >> 6 & 1, bits >> 4 & 3, (bits >> 8) as u8);
    let plain =
        offset == 0 && u32::from(precision) == size.saturating_mul(8) && vax == 0 && normalization == 2;
    let known = IEEE.iter().find(|known| {
        plain
            && known.dtype.size() == Some(size as usize)
            && (known.sign, known.fields, known.bias) == (sign, fields, bias)
    });
    Ok(match known {
        Some(known) => known.dtype.clone(),
        None => Dtype::Other(format!("a float of {precision} bits in {size} bytes that is not IEEE's")),
    })
}
