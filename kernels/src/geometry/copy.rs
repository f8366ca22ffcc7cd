use crate::error::{Error, Result};

/// The most axes that a copy can have.
pub const MAX_AXES: usize = 8;

/// A copy of a box of elements from one place of one array to one place of another, with free strides on both sides:
/// what Concat, Slice, Crop, Permute, Tile, ShuffleChannel and nearest-neighbour Upsample have in common (cuDNN's
/// `cudnnTransformTensor`).
///
/// Element (i₀, i₁, …) goes from `source_offset + Σ i·source_stride` to `target_offset + Σ i·target_stride`, for all
/// i below `extent`. Only the first `rank` entries count.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyGeometry {
    /// Axes.
    pub rank: u32,
    /// Elements along each axis.
    pub extent: [u32; MAX_AXES],
    /// Floats from an element to the next in the source; 0 repeats it.
    pub source_stride: [u32; MAX_AXES],
    /// Floats from an element to the next in the target; never 0 where the extent is more than 1.
    pub target_stride: [u32; MAX_AXES],
    /// Where the box starts in the source.
    pub source_offset: u32,
    /// Where the box starts in the target.
    pub target_offset: u32,
}

impl CopyGeometry {
    /// Into outer×axis×inner, from `start` on along the axis, comes the whole of outer×part×inner: one bottom of a
    /// Concat.
    pub fn concat(outer: u32, axis: u32, inner: u32, start: u32, part: u32) -> Self {
        Self::new(&[outer, part * inner], &[part * inner, 1], &[axis * inner, 1]).at(0, start * inner)
    }

    /// Out of outer×axis×inner, from `start` on along the axis, comes outer×part×inner: one top of a Slice.
    pub fn slice(outer: u32, axis: u32, inner: u32, start: u32, part: u32) -> Self {
        Self::new(&[outer, part * inner], &[axis * inner, 1], &[part * inner, 1]).at(start * inner, 0)
    }

    /// Out of an array of `shape` comes the box of `extent` that starts at `offset`: Crop.
    ///
    /// # Panics
    /// If the three have different lengths, or more than [`MAX_AXES`].
    pub fn crop(shape: &[u32], offset: &[u32], extent: &[u32]) -> Self {
        assert!(shape.len() == offset.len() && shape.len() == extent.len(), "one entry an axis");
        let strides = row_major(shape);
        let start = offset.iter().zip(&strides).map(|(offset, stride)| offset * stride).sum();
        Self::new(extent, &strides[..shape.len()], &row_major(extent)[..shape.len()]).at(start, 0)
    }

    /// Axis `i` of the output is axis `order[i]` of an array of `shape`: Permute.
    ///
    /// # Panics
    /// If `order` names an axis that `shape` has not.
    pub fn permute(shape: &[u32], order: &[usize]) -> Self {
        let strides = row_major(shape);
        let extent: [u32; MAX_AXES] = std::array::from_fn(|i| order.get(i).map_or(1, |&axis| shape[axis]));
        let source: [u32; MAX_AXES] = std::array::from_fn(|i| order.get(i).map_or(0, |&axis| strides[axis]));
        let rank = order.len();
        Self::new(&extent[..rank], &source[..rank], &row_major(&extent[..rank])[..rank])
    }

    /// outer×(axis·inner) becomes outer×`tiles`×(axis·inner): Tile.
    pub fn tile(outer: u32, length: u32, tiles: u32) -> Self {
        Self::new(&[outer, tiles, length], &[length, 0, 1], &[tiles * length, length, 1])
    }

    /// The channels of N×C×inner, C = group·rest, change from group-major to rest-major: ShuffleChannel.
    pub fn shuffle_channel(batch: u32, channels: u32, inner: u32, group: u32) -> Self {
        let rest = channels / group.max(1);
        Self::permute(&[batch, group, rest, inner], &[0, 2, 1, 3])
    }

    /// Each pixel of `planes` planes becomes a `scale` × `scale` square: nearest-neighbour Upsample.
    pub fn upsample(planes: u32, height: u32, width: u32, scale: u32) -> Self {
        let extent = [planes, height, scale, width, scale];
        Self::new(&extent, &[height * width, width, 0, 1, 0], &row_major(&extent)[..5])
    }

    fn new(extent: &[u32], source: &[u32], target: &[u32]) -> Self {
        let rank = extent.len();
        assert!(rank <= MAX_AXES, "{rank} axes; at most {MAX_AXES}");
        let spread =
            |values: &[u32], rest| std::array::from_fn(|axis| values.get(axis).copied().unwrap_or(rest));
        Self {
            rank: rank as u32,
            extent: spread(extent, 1),
            source_stride: spread(source, 0),
            target_stride: spread(target, 0),
            source_offset: 0,
            target_offset: 0,
        }
    }

    fn at(self, source_offset: u32, target_offset: u32) -> Self {
        Self { source_offset, target_offset, ..self }
    }

    /// Elements copied.
    pub(crate) fn count(&self) -> usize {
        self.extent[..self.rank as usize].iter().map(|&extent| extent as usize).product()
    }

    /// Floats that source and target must at least have.
    pub(crate) fn reach(&self) -> (usize, usize) {
        if self.count() == 0 {
            return (0, 0);
        }
        let mut reach = (self.source_offset as usize + 1, self.target_offset as usize + 1);
        for axis in 0..self.rank as usize {
            let last = self.extent[axis] as usize - 1;
            reach.0 += last * self.source_stride[axis] as usize;
            reach.1 += last * self.target_stride[axis] as usize;
        }
        reach
    }

    /// That targets do not overlap.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        if self.rank as usize > MAX_AXES {
            return Err(Error::geometry(op, format!("{} axes; at most {MAX_AXES}", self.rank)));
        }
        let strides = &self.target_stride[..self.rank as usize];
        match overlap(strides.iter().zip(&self.extent)) {
            Some(stride) => Err(Error::geometry(op, format!("target stride {stride} writes elements twice"))),
            None => Ok(()),
        }
    }

    /// That on the way back, where sources are written, those do not overlap either, but for those that are repeated.
    pub(crate) fn check_backward(&self, op: &'static str) -> Result<()> {
        self.check(op)?;
        let strides = self.source_stride[..self.rank as usize].iter().zip(&self.extent);
        match overlap(strides.filter(|&(&stride, _)| stride > 0)) {
            Some(stride) => Err(Error::geometry(op, format!("source stride {stride} reads elements twice"))),
            None => Ok(()),
        }
    }
}

/// The stride, if there is one, that does not step over all that the smaller ones cover.
fn overlap<'a>(axes: impl Iterator<Item = (&'a u32, &'a u32)>) -> Option<usize> {
    let mut sorted = [(0, 1); MAX_AXES];
    for (entry, (&stride, &extent)) in sorted.iter_mut().zip(axes.filter(|&(_, &extent)| extent > 1)) {
        *entry = (stride as usize, extent as usize);
    }
    sorted.sort_unstable();
    let mut covered = 1;
    for (stride, extent) in sorted.into_iter().filter(|&(_, extent)| extent > 1) {
        if stride < covered {
            return Some(stride);
        }
        covered += stride * (extent - 1);
    }
    None
}

fn row_major(shape: &[u32]) -> [u32; MAX_AXES] {
    assert!(shape.len() <= MAX_AXES, "{} axes; at most {MAX_AXES}", shape.len());
    let mut strides = [0; MAX_AXES];
    let mut stride = 1;
    for (axis, &extent) in shape.iter().enumerate().rev() {
        strides[axis] = stride;
        stride *= extent;
    }
    strides
}
