//! How an array is cut into chunks, and chunks put together into bands.
//!
//! A band is the smallest run of whole chunks that is also a run of the array in C order: it fixes every
//! leading axis along which a chunk holds one value, and spans one chunk along the next axis and the whole
//! of all others. Reading and writing hold one band at a time.

use super::error::Problem;

/// An array cut into chunks.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    dims: Vec<u64>,
    chunk: Vec<u64>,
    /// Chunks along each axis.
    counts: Vec<u64>,
    /// The axis along which a band spans one chunk.
    axis: usize,
}

/// A run of values that a chunk and its band share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) in_band: usize,
    pub(super) in_chunk: usize,
    pub(super) values: usize,
}

/// The most chunks of one dataset: an index of so many takes tens of MiB.
pub(super) const MAX_CHUNKS: u64 = 1 << 20;
const MAX_CHUNK_BYTES: u64 = 1 << 25;
/// The most bytes of a band.
pub(super) const MAX_BAND_BYTES: u64 = 1 << 26;

impl Grid {
    /// Cuts `dims`, in values of `element` bytes, into chunks. Within the limits that make every other
    /// number here fit a `usize`.
    pub(super) fn new(dims: &[u64], chunk: &[u64], element: usize) -> Result<Self, Problem> {
        if dims.is_empty() || dims.len() != chunk.len() || chunk.contains(&0) {
            return Err(Problem::Invalid(format!("chunks of shape {chunk:?} in an array of shape {dims:?}")));
        }
        let counts = dims.iter().zip(chunk).map(|(dim, chunk)| dim.div_ceil(*chunk)).collect::<Vec<_>>();
        let axis = chunk.iter().position(|&chunk| chunk > 1).unwrap_or(chunk.len() - 1);
        let grid = Self { dims: dims.to_vec(), chunk: chunk.to_vec(), counts, axis };
        let within = |what, found: Option<u64>, limit| match found {
            Some(found) if found <= limit => Ok(()),
            found => Err(Problem::Limit { what, found: found.unwrap_or(u64::MAX), limit }),
        };
        within("chunks of a dataset", product(&grid.counts), MAX_CHUNKS)?;
        let bytes = |values: Option<u64>| values?.checked_mul(element as u64);
        within("bytes of a chunk", bytes(product(chunk)), MAX_CHUNK_BYTES)?;
        within("bytes of a band of chunks", bytes(grid.band_values_checked()), MAX_BAND_BYTES)?;
        Ok(grid)
    }

    pub(super) fn dims(&self) -> &[u64] {
        &self.dims
    }

    pub(super) fn chunk(&self) -> &[u64] {
        &self.chunk
    }

    /// How many chunks there are.
    pub(super) fn len(&self) -> u64 {
        self.counts.iter().product()
    }

    pub(super) fn chunk_values(&self) -> usize {
        self.chunk.iter().product::<u64>() as usize
    }

    pub(super) fn bands(&self) -> u64 {
        if self.len() == 0 { 0 } else { self.counts[..=self.axis].iter().product() }
    }

    /// The numbers of a band's chunks, which follow one another.
    pub(super) fn band_chunks(&self, band: u64) -> std::ops::Range<u64> {
        let each: u64 = self.counts[self.axis + 1..].iter().product();
        band * each..(band + 1) * each
    }

    /// The values in a band.
    pub(super) fn band_values(&self, band: u64) -> usize {
        (self.rows(band) * self.row_values()) as usize
    }

    /// A chunk's place in the grid, counted in chunks.
    pub(super) fn coordinates(&self, mut number: u64) -> Vec<u64> {
        let mut coordinates = vec![0; self.counts.len()];
        for (coordinate, count) in coordinates.iter_mut().zip(&self.counts).rev() {
            *coordinate = number % count;
            number /= count;
        }
        coordinates
    }

    /// The number of the chunk at a place counted in chunks; `None` outside.
    pub(super) fn number(&self, coordinates: &[u64]) -> Option<u64> {
        let mut number = 0;
        for (&coordinate, &count) in coordinates.iter().zip(&self.counts) {
            if coordinate >= count {
                return None;
            }
            number = number * count + coordinate;
        }
        Some(number)
    }

    /// Whether the chunk reaches beyond the array.
    pub(super) fn is_partial(&self, number: u64) -> bool {
        let ends = self.coordinates(number).into_iter().zip(&self.chunk).map(|(at, chunk)| (at + 1) * chunk);
        ends.zip(&self.dims).any(|(end, &dim)| end > dim)
    }

    /// The runs of values that chunk `number` and its band share.
    pub(super) fn runs(&self, number: u64, mut each: impl FnMut(Run)) {
        let coordinates = self.coordinates(number);
        let axes = self.axis..self.dims.len();
        let start = |k: usize| coordinates[k] * self.chunk[k];
        let extent = |k: usize| self.chunk[k].min(self.dims[k] - start(k));
        // Axes that a chunk spans as the array does are parts of one run.
        let whole = |k: usize| self.chunk[k] == self.dims[k];
        let inner = axes.clone().rev().find(|&k| !whole(k)).unwrap_or(self.axis);
        let below: u64 = self.dims[inner + 1..].iter().product();

        let (mut band_stride, mut chunk_stride) = (below, below);
        let mut first = 0;
        // For each outer axis: its extent and its strides in the band and in the chunk.
        let mut outer = Vec::new();
        for k in axes.rev().filter(|&k| k <= inner) {
            if k < inner {
                outer.push((extent(k), band_stride, chunk_stride));
            }
            if k > self.axis {
                first += start(k) * band_stride;
            }
            band_stride *= self.dims[k];
            chunk_stride *= self.chunk[k];
        }
        let values = (extent(inner) * below) as usize;
        let mut at = vec![0; outer.len()];
        loop {
            let (mut in_band, mut in_chunk) = (first, 0);
            for (at, (_, band, chunk)) in at.iter().zip(&outer) {
                in_band += at * band;
                in_chunk += at * chunk;
            }
            each(Run { in_band: in_band as usize, in_chunk: in_chunk as usize, values });
            let mut axis = 0;
            loop {
                let Some(&(extent, ..)) = outer.get(axis) else { return };
                at[axis] += 1;
                if at[axis] < extent {
                    break;
                }
                at[axis] = 0;
                axis += 1;
            }
        }
    }

    /// Values along the band's axis.
    fn rows(&self, band: u64) -> u64 {
        let (dim, chunk) = (self.dims[self.axis], self.chunk[self.axis]);
        let start = band % self.counts[self.axis] * chunk;
        chunk.min(dim - start)
    }

    fn row_values(&self) -> u64 {
        self.dims[self.axis + 1..].iter().product()
    }

    fn band_values_checked(&self) -> Option<u64> {
        let rows = self.chunk[self.axis].min(self.dims[self.axis]);
        product(&self.dims[self.axis + 1..])?.checked_mul(rows)
    }
}

/// The product, unless it overflows.
pub(super) fn product(sizes: &[u64]) -> Option<u64> {
    if sizes.contains(&0) {
        return Some(0);
    }
    sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_each_value_of_each_band_once() {
        let shapes: [(&[u64], &[u64]); 6] = [
            (&[5], &[2]),
            (&[7, 5], &[3, 5]),
            (&[4, 7, 5], &[1, 3, 2]),
            (&[3, 4, 5], &[2, 4, 5]),
            (&[3, 4, 5, 3], &[2, 3, 5, 3]),
            (&[2, 3], &[1, 1]),
        ];
        for (dims, chunk) in shapes {
            let grid = Grid::new(dims, chunk, 4).unwrap();
            let mut total = 0;
            for band in 0..grid.bands() {
                let mut seen = vec![0; grid.band_values(band)];
                for number in grid.band_chunks(band) {
                    assert_eq!(grid.number(&grid.coordinates(number)), Some(number));
                    grid.runs(number, |run| {
                        assert!(run.in_chunk + run.values <= grid.chunk_values());
                        seen[run.in_band..run.in_band + run.values].iter_mut().for_each(|seen| *seen += 1);
                    });
                }
                assert!(seen.iter().all(|&seen| seen == 1), "{dims:?} in {chunk:?}: {seen:?}");
                total += seen.len() as u64;
            }
            assert_eq!(total, dims.iter().product());
        }
    }
}
