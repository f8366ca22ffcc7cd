/// An array seen as outer × axis × inner: everything before the axis that an operation works along, the axis, and
/// everything after it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AxisGeometry {
    /// Product of the extents before.
    pub outer: u32,
    /// Extent of the axis, or product of the extents of several neighbouring ones.
    pub axis: u32,
    /// Product of the extents after.
    pub inner: u32,
}

impl AxisGeometry {
    /// `shape` seen around the axes `first..end`.
    ///
    /// # Panics
    /// If `shape` has fewer axes than `end`.
    pub fn around(shape: &[u32], first: usize, end: usize) -> Self {
        Self {
            outer: shape[..first].iter().product(),
            axis: shape[first..end].iter().product(),
            inner: shape[end..].iter().product(),
        }
    }

    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.outer as usize, self.axis as usize, self.inner as usize)
    }

    pub(crate) fn len(&self) -> usize {
        let (outer, axis, inner) = self.sizes();
        outer * axis * inner
    }
}

/// An array seen as rows, each of which is worked on by itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowsGeometry {
    /// How many rows.
    pub rows: u32,
    /// Floats in a row.
    pub length: u32,
}

impl RowsGeometry {
    pub(crate) fn len(self) -> usize {
        self.rows as usize * self.length as usize
    }
}

/// Sizes of an L2 normalization (SSD's Normalize layer) of N×C×inner.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalizeGeometry {
    /// N.
    pub batch: u32,
    /// C.
    pub channels: u32,
    /// H·W.
    pub inner: u32,
    /// Whether one norm is taken over the whole image, or one over the channels of each pixel.
    pub across_spatial: bool,
    /// Whether there is one scale for all channels.
    pub channel_shared: bool,
    /// Added to the sum of squares.
    pub eps: f32,
}

impl NormalizeGeometry {
    pub(crate) fn len(&self) -> usize {
        (self.batch * self.channels) as usize * self.inner as usize
    }

    /// How many scales there are.
    pub(crate) fn scale_len(&self) -> usize {
        if self.channel_shared { 1 } else { self.channels as usize }
    }
}
