//! A tensor as files hold it: a type of element, a shape and little-endian bytes.

use std::fmt;

use caffe_proto::Payload;

use crate::source::{Element, Widened};
use crate::{Error, Shape};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// One byte, 0 or 1.
    Bool,
    /// Signed, one byte.
    I8,
    /// Signed, two bytes.
    I16,
    /// Signed, four bytes.
    I32,
    /// Signed, eight bytes.
    I64,
    /// Unsigned, one byte.
    U8,
    /// Unsigned, two bytes.
    U16,
    /// Unsigned, four bytes.
    U32,
    /// Unsigned, eight bytes.
    U64,
    /// IEEE half precision.
    F16,
    /// IEEE single precision: what Caffe and Chainer compute in.
    F32,
    /// IEEE double precision.
    F64,
}

impl Dtype {
    /// How many bytes one element takes.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::I8 | Dtype::U8 => 1,
            Dtype::I16 | Dtype::U16 | Dtype::F16 => 2,
            Dtype::I32 | Dtype::U32 | Dtype::F32 => 4,
            Dtype::I64 | Dtype::U64 | Dtype::F64 => 8,
        }
    }

    /// Whether the elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::F32 | Dtype::F64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Dtype::Bool => "bool",
            Dtype::I8 => "int8",
            Dtype::I16 => "int16",
            Dtype::I32 => "int32",
            Dtype::I64 => "int64",
            Dtype::U8 => "uint8",
            Dtype::U16 => "uint16",
            Dtype::U32 => "uint32",
            Dtype::U64 => "uint64",
            Dtype::F16 => "float16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
        })
    }
}

/// Elements of one type in a shape, in C order. Cloning it copies no elements.
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    values: Payload,
}

impl Tensor {
    /// A tensor of `shape`.
    ///
    /// # Errors
    /// [`Error::Count`] when `values` are not as many bytes as the shape needs.
    pub fn new(dtype: Dtype, shape: Vec<usize>, values: Payload) -> Result<Self, Error> {
        let needed = byte_count(dtype, &shape);
        if needed == Some(values.len()) {
            Ok(Self { dtype, shape, values })
        } else {
            Err(Error::Count { dtype, shape, bytes: values.len() })
        }
    }

    /// A tensor of `f32` held in memory.
    ///
    /// # Errors
    /// [`Error::Count`] when `values` are not as many as the shape needs.
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Result<Self, Error> {
        Self::new(Dtype::F32, shape, Payload::from_f32(values))
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The extent of each axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many elements there are.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements as little-endian bytes.
    pub fn values(&self) -> &Payload {
        &self.values
    }

    /// The elements as little-endian `f32`, converted while they are read where the tensor holds another type.
    pub fn f32_values(&self) -> Payload {
        Widened::payload::<f32>(self.dtype, &self.values)
    }

    /// The elements as little-endian `f64`, converted while they are read where the tensor holds another type.
    pub(crate) fn f64_values(&self) -> Payload {
        Widened::payload::<f64>(self.dtype, &self.values)
    }

    /// Gathers the elements as `f32`; those of other types are converted, wide ones rounded to nearest.
    ///
    /// # Errors
    /// When the bytes behind them cannot be decoded.
    pub fn to_f32(&self) -> Result<Vec<f32>, Error> {
        Ok(self.f32_values().to_f32()?)
    }

    /// Whether every element is zero of either sign.
    pub(crate) fn is_zero(&self) -> Result<bool, Error> {
        let mut zero = true;
        self.f64_values().read(&mut |bytes| {
            zero = zero && f64::decode(bytes).all(|value| value == 0.0);
            Ok(())
        })?;
        Ok(zero)
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Shape(&self.shape), self.dtype)
    }
}

/// How many bytes a tensor takes; `None` when no number holds it.
pub(crate) fn byte_count(dtype: Dtype, shape: &[usize]) -> Option<u64> {
    // An extent of zero makes the whole empty, however large the others are.
    if shape.contains(&0) {
        return Some(0);
    }
    let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent))?;
    u64::try_from(count.checked_mul(dtype.size())?).ok()
}
