//! One image of a data base: the message `Datum`.

use std::borrow::Cow;

use crate::wire::{Value, fields};

/// An image and its label, as Caffe's `convert_imageset` and other programs put them into LMDB and LevelDB. The bytes stay
/// where they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Datum<'a> {
    /// Channels, height and width. Encoded images have them in their own header, and often not here.
    pub shape: [usize; 3],
    /// Pixels of one byte each, channel by channel, or an encoded image.
    pub data: Cow<'a, [u8]>,
    /// Values, channel by channel, when there are no `data`.
    pub float_data: Vec<f32>,
    /// The class.
    pub label: i32,
    /// Whether `data` is a file of its own: a JPEG, a PNG.
    pub encoded: bool,
}

impl<'a> Datum<'a> {
    /// Reads the message that `bytes` are. Fields that are not known are passed over.
    ///
    /// # Errors
    /// In words: what breaks protobuf's rules, or a size that is negative.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut datum = Self::default();
        for field in fields(bytes, 0..bytes.len()) {
            let field =
                field.map_err(|bad| format!("{} (at byte {} of the record)", bad.what, bad.offset))?;
            match (field.number, field.value) {
                (number @ 1..=3, Value::Varint(size)) => {
                    datum.shape[number as usize - 1] = usize::try_from(size as i32)
                        .map_err(|_| format!("the record says a size of {}", size as i32))?;
                }
                (4, Value::Bytes(range)) => datum.data = Cow::Borrowed(&bytes[range]),
                (5, Value::Varint(label)) => datum.label = label as i32,
                (6, Value::Bytes(range)) => {
                    let (values, rest) = bytes[range].as_chunks::<4>();
                    if !rest.is_empty() {
                        return Err(format!("{} bytes too many after the record's float_data", rest.len()));
                    }
                    datum.float_data.extend(values.iter().map(|&value| f32::from_le_bytes(value)));
                }
                (6, Value::Fixed32(range)) => {
                    let (values, _) = bytes[range].as_chunks::<4>();
                    datum.float_data.extend(values.iter().map(|&value| f32::from_le_bytes(value)));
                }
                (7, Value::Varint(encoded)) => datum.encoded = encoded != 0,
                _ => {}
            }
        }
        Ok(datum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use prost::Message as _;

    #[test]
    fn what_protobuf_writes_is_read() {
        let message = proto::Datum {
            channels: Some(1),
            height: Some(2),
            width: Some(3),
            data: Some(vec![1, 2, 3, 4, 5, 6]),
            label: Some(-7),
            float_data: vec![0.5, -1.0],
            encoded: Some(true),
            record_id: Some(9),
        };
        let bytes = message.encode_to_vec();
        let datum = Datum::read(&bytes).unwrap();
        assert_eq!((datum.shape, datum.label, datum.encoded), ([1, 2, 3], -7, true));
        assert_eq!((&*datum.data, &*datum.float_data), (&[1, 2, 3, 4, 5, 6][..], &[0.5, -1.0][..]));
        // Both ways of writing repeated numbers.
        let packed = [0x32, 4, 0, 0, 0, 0x3f];
        assert_eq!(Datum::read(&packed).unwrap().float_data, [0.5]);
        assert_eq!(Datum::read(&[]).unwrap(), Datum::default());
    }

    #[test]
    fn any_bytes_are_a_datum_or_an_error() {
        let negative = proto::Datum { height: Some(-1), ..Default::default() }.encode_to_vec();
        assert_eq!(Datum::read(&negative).unwrap_err(), "the record says a size of -1");
        assert_eq!(
            Datum::read(&[0x22, 9, 0]).unwrap_err(),
            "a field of 9 bytes where 1 are left (at byte 2 of the record)"
        );
        assert_eq!(Datum::read(&[0x32, 1, 0]).unwrap_err(), "1 bytes too many after the record's float_data");
    }
}
