use crate::error::{Error, Result};

/// Sizes of a bilinear resize of planes, corners on corners.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterpGeometry {
    /// N·C.
    pub planes: u32,
    /// Height, width.
    pub input: [u32; 2],
    /// Height, width.
    pub output: [u32; 2],
}

impl InterpGeometry {
    /// Floats of input and output, of which the input must have some.
    pub(crate) fn lens(&self, op: &'static str) -> Result<[usize; 2]> {
        let area = |[height, width]: [u32; 2]| height as usize * width as usize;
        if area(self.input) == 0 {
            return Err(Error::geometry(op, "there are no pixels between which to interpolate"));
        }
        Ok([self.input, self.output].map(|extents| self.planes as usize * area(extents)))
    }
}
