//! The little of protobuf's binary form that the parser writes.

use prost::encoding::{WireType, encode_key, encode_varint};

/// How many bytes are left for a nested message's length: enough for any length below 4 GiB, and a length
/// padded to it is read like a short one.
const LENGTH: usize = 5;

/// Fields in binary form.
#[derive(Debug, Default)]
pub(super) struct Wire {
    bytes: Vec<u8>,
}

impl Wire {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn varint(&mut self, number: u32, value: u64) {
        encode_key(number, WireType::Varint, &mut self.bytes);
        encode_varint(value, &mut self.bytes);
    }

    pub(super) fn float(&mut self, number: u32, value: f32) {
        encode_key(number, WireType::ThirtyTwoBit, &mut self.bytes);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn double(&mut self, number: u32, value: f64) {
        encode_key(number, WireType::SixtyFourBit, &mut self.bytes);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes_field(&mut self, number: u32, value: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.bytes);
        encode_varint(value.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }

    /// Begins a nested message, which [`Wire::close`] ends.
    pub(super) fn open(&mut self, number: u32) -> usize {
        encode_key(number, WireType::LengthDelimited, &mut self.bytes);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH]);
        start
    }

    /// Ends the nested message that began at `start`.
    pub(super) fn close(&mut self, start: usize) {
        let mut length = self.bytes.len() - start - LENGTH;
        for (index, byte) in self.bytes[start..start + LENGTH].iter_mut().enumerate() {
            let more = if index + 1 < LENGTH { 0x80 } else { 0 };
            *byte = (length & 0x7f) as u8 | more;
            length >>= 7;
        }
    }
}
