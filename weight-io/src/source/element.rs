//! The number types that values are converted to.

use half::f16;

use crate::Dtype;

/// A number that little-endian bytes decode to, and that every [`Dtype`] converts to.
pub(crate) trait Element: Copy {
    /// What it is in a file.
    const DTYPE: Dtype;

    /// The numbers in `bytes`, which are a whole number of them.
    fn decode(bytes: &[u8]) -> impl Iterator<Item = Self>;

    /// Appends the number's bytes.
    fn encode(self, bytes: &mut Vec<u8>);

    /// Appends elements of `dtype`, converted.
    fn convert(dtype: Dtype, bytes: &[u8], out: &mut Vec<u8>);
}

macro_rules! element {
    ($number:ty, $dtype:expr, $size:literal, $half:ident) => {
        impl Element for $number {
            const DTYPE: Dtype = $dtype;

            fn decode(bytes: &[u8]) -> impl Iterator<Item = Self> {
                bytes.as_chunks::<$size>().0.iter().map(|&value| <$number>::from_le_bytes(value))
            }

            fn encode(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn convert(dtype: Dtype, bytes: &[u8], out: &mut Vec<u8>) {
                macro_rules! each {
                    ($from:ty, $from_size:literal) => {
                        for &value in bytes.as_chunks::<$from_size>().0 {
                            (<$from>::from_le_bytes(value) as $number).encode(out);
                        }
                    };
                }
                match dtype {
                    Dtype::Bool => bytes.iter().for_each(|&value| <$number>::from(value != 0).encode(out)),
                    Dtype::I8 => each!(i8, 1),
                    Dtype::I16 => each!(i16, 2),
                    Dtype::I32 => each!(i32, 4),
                    Dtype::I64 => each!(i64, 8),
                    Dtype::U8 => each!(u8, 1),
                    Dtype::U16 => each!(u16, 2),
                    Dtype::U32 => each!(u32, 4),
                    Dtype::U64 => each!(u64, 8),
                    Dtype::F16 => {
                        for &value in bytes.as_chunks::<2>().0 {
                            f16::from_le_bytes(value).$half().encode(out);
                        }
                    }
                    Dtype::F32 => each!(f32, 4),
                    Dtype::F64 => each!(f64, 8),
                }
            }
        }
    };
}

element!(f32, Dtype::F32, 4, to_f32);
element!(f64, Dtype::F64, 8, to_f64);
