//! Writing a dataset's object header, and text.

use std::io::{self, Write};

use super::Out;

/// What is to be said about a dataset.
pub(super) struct Header<'a> {
    /// `None` for a null dataspace.
    pub(super) shape: Option<&'a [u64]>,
    /// The datatype message.
    pub(super) dtype: Vec<u8>,
    pub(super) layout: Layout,
}

pub(super) enum Layout {
    /// The address and the bytes of the values.
    Contiguous(u64, u64),
    Deflated {
        tree: u64,
        chunk: Vec<u64>,
        element: usize,
    },
}

/// A message says that it never changes.
const CONSTANT: u8 = 1;

impl Header<'_> {
    /// Writes the object header and returns its address.
    pub(super) fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<u64> {
        out.align()?;
        let address = out.position;
        let mut messages = vec![(0x01, 0, self.dataspace()), (0x03, CONSTANT, self.dtype.clone())];
        // The fill value (IV.A.2.f) is the default, zero. Chunks are allocated as they are written and filled
        // then, what is in one piece is allocated late and filled when a value is set: h5py's choices.
        match &self.layout {
            Layout::Contiguous(address, bytes) => {
                messages.push((0x05, CONSTANT, vec![2, 2, 2, 1, 0, 0, 0, 0]));
                let mut layout = vec![3, 1];
                layout.extend(address.to_le_bytes());
                layout.extend(bytes.to_le_bytes());
                messages.push((0x08, 0, layout));
            }
            Layout::Deflated { tree, chunk, element } => {
                messages.push((0x05, CONSTANT, vec![2, 3, 0, 1, 0, 0, 0, 0]));
                messages.push((0x0b, CONSTANT, deflate_4()));
                let mut layout = vec![3, 2, chunk.len() as u8 + 1];
                layout.extend(tree.to_le_bytes());
                for &size in chunk.iter().chain([&(*element as u64)]) {
                    layout.extend((size as u32).to_le_bytes());
                }
                messages.push((0x08, 0, layout));
            }
        }
        out.write(&object_header(&messages))?;
        Ok(address)
    }

    fn dataspace(&self) -> Vec<u8> {
        let Some(shape) = self.shape else { return vec![2, 0, 0, 2] };
        // A scalar has no largest shape to state.
        let mut message = vec![1, shape.len() as u8, u8::from(!shape.is_empty()), 0, 0, 0, 0, 0];
        for size in shape.iter().chain(shape) {
            message.extend(size.to_le_bytes());
        }
        message
    }
}

/// Version 1 of an object header (IV.A.1.a) with messages of these kinds, flags and bytes.
pub(super) fn object_header(messages: &[(u16, u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, flags, message) in messages {
        let padded = message.len().next_multiple_of(8);
        body.extend(kind.to_le_bytes());
        body.extend((padded as u16).to_le_bytes());
        body.extend([*flags, 0, 0, 0]);
        body.extend_from_slice(message);
        body.resize(body.len() + padded - message.len(), 0);
    }
    let mut header = vec![1, 0];
    header.extend((messages.len() as u16).to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend((body.len() as u32).to_le_bytes());
    header.extend([0; 4]);
    header.extend(body);
    header
}

/// The datatype of text of a fixed length, ended by a zero byte.
pub(super) fn fixed_text(size: u32, ascii: bool) -> Vec<u8> {
    let mut message = vec![0x13, if ascii { 0 } else { 0x10 }, 0, 0];
    message.extend(size.to_le_bytes());
    message
}

/// The datatype of UTF-8 text of any length: a reference of 16 bytes to a sequence of bytes.
pub(super) fn variable_text() -> Vec<u8> {
    vec![0x19, 0x01, 0x01, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0]
}

/// Writes texts to global heap collections (III.E) and returns the references to them.
pub(super) fn global_heap<W: Write>(out: &mut Out<W>, texts: &[&str]) -> io::Result<Vec<u8>> {
    /// Objects of a collection are numbered in 16 bits.
    const MAX_OBJECTS: usize = 1 << 15;
    const MIN_LEN: usize = 4096;
    let mut references = Vec::with_capacity(texts.len() * 16);
    for texts in texts.chunks(MAX_OBJECTS) {
        out.align()?;
        let address = out.position;
        let mut objects = Vec::new();
        for (number, text) in (1_u32..).zip(texts) {
            if text.is_empty() {
                references.extend([0; 16]);
                continue;
            }
            references.extend((text.len() as u32).to_le_bytes());
            references.extend(address.to_le_bytes());
            references.extend(number.to_le_bytes());
            objects.extend((number as u16).to_le_bytes());
            objects.extend([0; 6]);
            objects.extend((text.len() as u64).to_le_bytes());
            objects.extend_from_slice(text.as_bytes());
            objects.resize(objects.len().next_multiple_of(8), 0);
        }
        if objects.is_empty() {
            continue;
        }
        // The rest, at least its own header of 16 bytes, is one free object.
        let len = (16 + objects.len() + 16).max(MIN_LEN);
        let free = len - 16 - objects.len();
        let mut collection = b"GCOL\x01\0\0\0".to_vec();
        collection.extend((len as u64).to_le_bytes());
        collection.extend(objects);
        collection.extend([0; 8]);
        collection.extend((free as u64).to_le_bytes());
        collection.resize(len, 0);
        out.write(&collection)?;
    }
    Ok(references)
}

/// The filter pipeline (IV.A.2.l, version 1) that h5py writes for `compression=4`.
fn deflate_4() -> Vec<u8> {
    let mut message = vec![1, 1, 0, 0, 0, 0, 0, 0];
    // Filter 1, a name of 8 bytes, optional, one parameter, and room for an even number of them.
    for value in [1_u16, 8, 1, 1] {
        message.extend(value.to_le_bytes());
    }
    message.extend(b"deflate\0");
    message.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    message
}
