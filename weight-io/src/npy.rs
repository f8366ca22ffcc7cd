//! numpy's `.npy`: one array.

use std::path::Path;

use caffe_proto::{FileKind, Payload, Storage};

use crate::source::{Permuted, Swapped};
use crate::{Dtype, Error, Shape, Tensor, tensor};

/// The bytes every array begins with.
pub(crate) const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// A longer header than any array of numbers has.
pub(crate) const LONGEST: usize = 1 << 16;

/// What a header says.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) dtype: Dtype,
    pub(crate) big_endian: bool,
    /// The first axis runs fastest.
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Where the values begin.
    pub(crate) len: usize,
}

/// Opens a single array of any order and numeric type.
///
/// # Errors
/// When the file is no `.npy`, holds no numbers, or is damaged.
pub fn open_npy(path: impl AsRef<Path>) -> Result<Tensor, Error> {
    let storage = Storage::open(path)?;
    let refused = |what| caffe_proto::Error::NotAModel { path: storage.path().to_path_buf(), what };
    let kind = FileKind::of(&storage);
    if kind != FileKind::Npy {
        return Err(refused(format!("expected an .npy array, but this is {kind}")).into());
    }
    let header = parse(&storage).map_err(refused)?;
    let there = (storage.len() - header.len) as u64;
    header.fits(there).map_err(refused)?;
    let values = Payload::Borrowed(storage.slice(header.len..storage.len()));
    header.tensor(values)
}

impl Header {
    /// Whether `there` bytes are the values that it tells of, or what is wrong.
    pub(crate) fn fits(&self, there: u64) -> Result<(), String> {
        let needed = tensor::byte_count(self.dtype, &self.shape);
        if needed == Some(there) {
            return Ok(());
        }
        let needed = needed.map_or_else(|| "more than any file holds".to_owned(), |bytes| bytes.to_string());
        let shape = Shape(&self.shape);
        Err(format!("{there} bytes of values, its header's shape {shape} of {} needs {needed}", self.dtype))
    }

    /// The array whose values are these, in C order and little-endian.
    pub(crate) fn tensor(self, mut values: Payload) -> Result<Tensor, Error> {
        let size = self.dtype.size();
        if self.big_endian {
            values = Swapped::payload(size, values);
        }
        if self.fortran_order && self.shape.len() > 1 {
            values = Permuted::from_fortran(size, &self.shape, values);
        }
        Tensor::new(self.dtype, self.shape, values)
    }
}

/// The header of a C-order array, byte for byte what numpy (before 1.24, which added spare spaces) writes.
pub(crate) fn write(dtype: Dtype, shape: &[usize]) -> Vec<u8> {
    const ALIGN: usize = 64;
    let shape = match shape {
        [] => "()".to_owned(),
        [only] => format!("({only},)"),
        all => format!("({})", all.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let dict = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", descr(dtype));
    // A header that ends on the border already is padded by another whole line, as numpy does.
    let padding = |prefix: usize| ALIGN - (prefix + dict.len() + 1) % ALIGN;
    let mut header = MAGIC.to_vec();
    let mut spaces = padding(10);
    if let Ok(len) = u16::try_from(dict.len() + spaces + 1) {
        header.extend([1, 0]);
        header.extend(len.to_le_bytes());
    } else {
        spaces = padding(12);
        header.extend([2, 0]);
        header.extend(((dict.len() + spaces + 1) as u32).to_le_bytes());
    }
    header.extend(dict.as_bytes());
    header.resize(header.len() + spaces, b' ');
    header.push(b'\n');
    header
}

/// How many bytes the header takes, told by its first twelve.
pub(crate) fn len(head: &[u8]) -> Result<usize, String> {
    if !head.starts_with(MAGIC) {
        return Err("it does not begin as an .npy array does".to_owned());
    }
    let len = match *head {
        [_, _, _, _, _, _, 1, _, low, high, ..] => 10 + usize::from(u16::from_le_bytes([low, high])),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => 12 + u32::from_le_bytes([a, b, c, d]) as usize,
        [_, _, _, _, _, _, major, minor, ..] => {
            return Err(format!("version {major}.{minor} of .npy is not known"));
        }
        _ => return Err("it ends within its header".to_owned()),
    };
    if len > LONGEST {
        return Err(format!("its header claims {len} bytes, no array's header takes more than {LONGEST}"));
    }
    Ok(len)
}

/// Reads a header of the length that [`len`] tells.
pub(crate) fn parse(head: &[u8]) -> Result<Header, String> {
    let len = len(head)?;
    let start = if head[6] == 1 { 10 } else { 12 };
    let dict = head.get(start..len).ok_or("it ends within its header")?;
    let dict = std::str::from_utf8(dict).map_err(|_| "its header is not text")?;
    let mut parser = Parser { rest: dict };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    parser.expect('{')?;
    while !parser.take('}') {
        let key = parser.string()?;
        parser.expect(':')?;
        match key {
            "descr" => descr = Some(parser.descr()?),
            "fortran_order" => fortran_order = Some(parser.boolean()?),
            "shape" => shape = Some(parser.shape()?),
            other => return Err(format!("its header has a key `{other}`, which no .npy has")),
        }
        if !parser.take(',') {
            parser.expect('}')?;
            break;
        }
    }
    let missing = |key| format!("its header does not give `{key}`");
    let (dtype, big_endian) = descr.ok_or_else(|| missing("descr"))?;
    let fortran_order = fortran_order.ok_or_else(|| missing("fortran_order"))?;
    let shape = shape.ok_or_else(|| missing("shape"))?;
    Ok(Header { dtype, big_endian, fortran_order, shape, len })
}

fn descr(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "|b1",
        Dtype::I8 => "|i1",
        Dtype::U8 => "|u1",
        Dtype::I16 => "<i2",
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::U16 => "<u2",
        Dtype::U32 => "<u4",
        Dtype::U64 => "<u8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
    }
}

/// A reader of the one Python literal that a header is.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected(&format!("`{wanted}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found = self.rest.chars().take(20).collect::<String>();
        format!("its header has `{}` where {wanted} belongs", found.escape_debug())
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.take('\'') {
            '\''
        } else if self.take('"') {
            '"'
        } else {
            return Err(self.unexpected("a string"));
        };
        let (string, rest) = self.rest.split_once(quote).ok_or("a string in its header has no end")?;
        self.rest = rest;
        Ok(string)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.unexpected("True or False"))
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        const MOST_AXES: usize = 32;
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.take(')') {
            self.rest = self.rest.trim_start();
            let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let extent = self.rest[..digits].parse().map_err(|_| self.unexpected("an extent"))?;
            self.rest = &self.rest[digits..];
            shape.push(extent);
            // Python 2 wrote its long integers so.
            self.take('L');
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        if shape.len() > MOST_AXES {
            return Err(format!("it has {} axes, numpy knows no more than {MOST_AXES}", shape.len()));
        }
        Ok(shape)
    }

    fn descr(&mut self) -> Result<(Dtype, bool), String> {
        if self.rest.trim_start().starts_with('[') {
            return Err("it is an array of records, not of numbers".to_owned());
        }
        let descr = self.string()?;
        let (order, kind) = match descr.split_at_checked(1) {
            Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
            _ => ("=", descr),
        };
        let dtype = match kind {
            "b1" | "?" => Dtype::Bool,
            "i1" => Dtype::I8,
            "i2" => Dtype::I16,
            "i4" => Dtype::I32,
            "i8" => Dtype::I64,
            "u1" => Dtype::U8,
            "u2" => Dtype::U16,
            "u4" => Dtype::U32,
            "u8" => Dtype::U64,
            "f2" => Dtype::F16,
            "f4" => Dtype::F32,
            "f8" => Dtype::F64,
            "O" => {
                return Err(
                    "it holds Python objects, not numbers: a Chainer parameter that was not initialised \
                            when it was saved is stored so"
                        .to_owned(),
                );
            }
            _ => return Err(format!("numpy's type `{descr}` is none that weights have")),
        };
        Ok((dtype, order == ">"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(dict: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((dict.len() as u16).to_le_bytes());
        bytes.extend(dict.as_bytes());
        bytes
    }

    #[test]
    fn numpys_own_bytes() {
        let bytes = write(Dtype::F32, &[64, 3, 7, 7]);
        assert_eq!(bytes.len(), 128);
        assert_eq!(
            &bytes[..76],
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (64, 3, 7, 7), }"
                .as_slice()
        );
        assert!(write(Dtype::I64, &[]).windows(13).any(|part| part == b"'shape': (), "));
        assert!(write(Dtype::F32, &[5]).windows(15).any(|part| part == b"'shape': (5,), "));
    }

    #[test]
    fn the_forms_that_numpy_has_written_over_the_years() {
        let old = parse(&header("{\"shape\": (3L, 4L), 'fortran_order': True, 'descr': '>f8'}")).unwrap();
        assert_eq!((old.dtype, old.big_endian, old.fortran_order), (Dtype::F64, true, true));
        assert_eq!(old.shape, [3, 4]);
    }

    #[test]
    fn what_is_no_array_of_numbers_is_named() {
        for (dict, what) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (), }", "it holds Python objects"),
            ("{'descr': '<U5', 'fortran_order': False, 'shape': (), }", "numpy's type `<U5` is none"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (), }", "an array of records"),
            ("{'descr': '<f4', 'shape': (), }", "does not give `fortran_order`"),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
                "`-1,), }` where an extent belongs",
            ),
            ("{'descr': '<f4', 'fortran_order': 1}", "where True or False belongs"),
        ] {
            let error = parse(&header(dict)).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_header_reads_back(shape in prop::collection::vec(0usize..1_000_000, 0..32)) {
            let bytes = write(Dtype::F16, &shape);
            prop_assert_eq!(bytes.len() % 64, 0);
            let header = parse(&bytes).unwrap();
            prop_assert_eq!((header.shape, header.len), (shape, bytes.len()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(dict in ".{0,80}", head in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&head);
            let _ = parse(&header(&dict));
            let _ = parse(&[MAGIC.as_slice(), &head].concat());
        }
    }
}
