//! Protobuf's wire format, one field at a time, without decoding what the field holds.
//!
//! A message is a run of fields; a field is a varint key (`number << 3 | wire type`) and a value of that wire type
//! (protobuf.dev, "Encoding"). Walking it by hand is what lets a blob's values stay where they are in the file.

use std::ops::Range;

/// What breaks the wire format, and where: an offset counted from the start of the walked bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) what: String,
    pub(crate) offset: usize,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Key and value together.
    pub(crate) whole: Range<usize>,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64(Range<usize>),
    /// A string, bytes, a message or packed numbers: the content, without its length.
    Bytes(Range<usize>),
    Fixed32(Range<usize>),
    /// The deprecated group form, kept only so that it can be passed over.
    Group,
}

/// Walks the fields of the message that lies at `range` of `bytes`.
pub(crate) fn fields(bytes: &[u8], range: Range<usize>) -> Fields<'_> {
    Fields { bytes: &bytes[..range.end], at: range.start }
}

#[derive(Clone)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

impl Fields<'_> {
    fn field(&mut self) -> Result<Field, Malformed> {
        let start = self.at;
        let (number, wire_type) = self.key()?;
        let value = self.value(wire_type, start)?;
        Ok(Field { number, whole: start..self.at, value })
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let start = self.at;
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, (key & 7) as u8)),
            _ => Err(malformed("a field number out of range", start)),
        }
    }

    fn value(&mut self, wire_type: u8, start: usize) -> Result<Value, Malformed> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => self.take(8).map(Value::Fixed64),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                self.take(len).map(Value::Bytes)
            }
            3 => self.skip_group().map(|()| Value::Group),
            5 => self.take(4).map(Value::Fixed32),
            4 => Err(malformed("the end of a group that never began", start)),
            _ => Err(malformed("a wire type that does not exist", start)),
        }
    }

    /// Groups nest; a counter instead of recursion, so that depth costs nothing.
    fn skip_group(&mut self) -> Result<(), Malformed> {
        let mut depth = 1usize;
        while depth > 0 {
            let start = self.at;
            match self.key()?.1 {
                3 => depth += 1,
                4 => depth -= 1,
                wire_type => {
                    self.value(wire_type, start)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<Range<usize>, Malformed> {
        let range = self.at..self.at.saturating_add(len);
        if range.end > self.bytes.len() {
            let left = self.bytes.len() - self.at;
            return Err(malformed(format!("a field of {len} bytes where {left} are left"), self.at));
        }
        self.at = range.end;
        Ok(range)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(malformed("the end in the middle of a number", start));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed("a number of more than 64 bits", start))
    }
}

fn malformed(what: impl Into<String>, offset: usize) -> Malformed {
    Malformed { what: what.into(), offset }
}

/// Walks packed varints.
pub(crate) fn varints(
    bytes: &[u8],
    range: Range<usize>,
) -> impl Iterator<Item = Result<u64, Malformed>> + '_ {
    let mut fields = fields(bytes, range);
    std::iter::from_fn(move || (fields.at < fields.bytes.len()).then(|| fields.varint())).scan(
        false,
        |failed, item| {
            if *failed {
                None
            } else {
                *failed = item.is_err();
                Some(item)
            }
        },
    )
}

/// Appends a key.
pub(crate) fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// Appends a key of a length-delimited field and the length; the content is to follow.
pub(crate) fn put_length(out: &mut Vec<u8>, number: u32, len: u64) {
    put_key(out, number, 2);
    put_varint(out, len);
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
