//! A blob: Caffe's word for a host array as its files hold it.

use crate::{Error, Payload};

/// A shape and as many `f32` values, in C order.
///
/// Values that a file holds in another form (`double_data`, fp16 `raw_data`, floats with a tag each) are converted
/// while they are read, as real Caffe converts them when it loads them.
#[derive(Clone, Debug)]
pub struct Blob {
    shape: Vec<usize>,
    legacy: bool,
    absent: bool,
    values: Payload,
}

impl Blob {
    /// A blob of `shape` with `values`.
    ///
    /// # Panics
    /// When `values` are not as many as `shape` needs.
    pub fn new(shape: Vec<usize>, values: Payload) -> Self {
        let needed = shape.iter().product::<usize>() as u64 * 4;
        assert_eq!(values.len(), needed, "a blob of shape {shape:?}");
        Self { shape, legacy: false, absent: false, values }
    }

    /// In place of a blob that a file leaves out because an earlier layer, which shares it, owns it.
    pub fn absent() -> Self {
        Self { shape: vec![0], legacy: false, absent: true, values: Payload::from_f32(&[]) }
    }

    /// The same, with the file's legacy form of the shape: num × channels × height × width.
    pub(crate) fn legacy(self) -> Self {
        Self { legacy: true, ..self }
    }

    /// The extent of each axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the file gave the shape in the legacy form of four extents, which is compatible with any
    /// shape that equals it but for leading ones.
    pub fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// Whether the file leaves it out: see [`Blob::absent`].
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// How many values there are.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values: little-endian `f32`.
    pub fn values(&self) -> &Payload {
        &self.values
    }

    /// Gathers the values.
    ///
    /// # Errors
    /// When the bytes behind them cannot be decoded.
    pub fn to_vec(&self) -> Result<Vec<f32>, Error> {
        self.values.to_f32()
    }
}
