//! The axes of an array in another order.

use std::sync::Arc;

use caffe_proto::{Error, Payload, Sink, Slice, Source};

use super::Gather;

/// How much of the result is held at a time where what is behind it can only be read in order.
const PANEL: usize = 16 << 20;

/// An array with its axes permuted.
///
/// Values that lie in a file are picked from it where they lie. Values that can only be read in order are
/// read once for every [`PANEL`] bytes of the result: time instead of memory.
#[derive(Debug)]
pub(crate) struct Permuted {
    size: usize,
    /// The extents of the result.
    shape: Vec<usize>,
    /// How far apart, in elements of what is behind it, the steps of each axis of the result are.
    strides: Vec<usize>,
    values: Payload,
}

impl Permuted {
    /// An array of `shape` with elements of `size` bytes, its axes taken in the order that `axes` lists them.
    pub(crate) fn payload(size: usize, shape: &[usize], axes: &[usize], values: Payload) -> Payload {
        let strides = strides(shape);
        Payload::Made(Arc::new(Self {
            size,
            shape: axes.iter().map(|&axis| shape[axis]).collect(),
            strides: axes.iter().map(|&axis| strides[axis]).collect(),
            values,
        }))
    }

    /// A matrix of `rows` × `columns`, transposed.
    pub(crate) fn transposed(size: usize, rows: usize, columns: usize, values: Payload) -> Payload {
        Self::payload(size, &[rows, columns], &[1, 0], values)
    }

    /// An array of `shape` that is stored with the first axis fastest.
    pub(crate) fn from_fortran(size: usize, shape: &[usize], values: Payload) -> Payload {
        let reversed = shape.iter().rev().copied().collect::<Vec<_>>();
        let axes = (0..shape.len()).rev().collect::<Vec<_>>();
        Self::payload(size, &reversed, &axes, values)
    }

    fn pick(&self, slice: &Slice, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut gather = Gather::new(sink);
        // An innermost axis that stays in place is copied in one run.
        let (run, outer) = match self.strides.last() {
            Some(1) => (self.shape[self.shape.len() - 1], self.shape.len() - 1),
            _ => (1, self.shape.len()),
        };
        let mut odometer = Odometer::new(&self.shape[..outer], &self.strides[..outer]);
        for _ in 0..self.shape[..outer].iter().product::<usize>() {
            let start = odometer.offset * self.size;
            gather.push(&slice[start..start + run * self.size])?;
            odometer.step();
        }
        gather.flush()
    }

    fn gather_panels(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let target = self.inverse();
        let total = self.shape.iter().product::<usize>();
        let panel_count = PANEL / self.size;
        let mut panel = vec![0; total.min(panel_count) * self.size];
        for start in (0..total).step_by(panel_count) {
            let end = total.min(start + panel_count);
            let mut odometer = Odometer::new(&target.shape, &target.strides);
            self.values.read(&mut |bytes| {
                for element in bytes.chunks_exact(self.size) {
                    if (start..end).contains(&odometer.offset) {
                        let at = (odometer.offset - start) * self.size;
                        panel[at..at + self.size].copy_from_slice(element);
                    }
                    odometer.step();
                }
                Ok(())
            })?;
            let mut gather = Gather::new(sink);
            gather.push(&panel[..(end - start) * self.size])?;
            gather.flush()?;
        }
        Ok(())
    }

    /// The extents of what is behind this, in its order, and how far apart its steps are in the result.
    fn inverse(&self) -> Strided {
        let ours = strides(&self.shape);
        let mut axes = (0..self.shape.len()).collect::<Vec<_>>();
        // Axes of one step may share a stride with a neighbour; they contribute nothing, wherever they go.
        axes.retain(|&axis| self.shape[axis] != 1);
        axes.sort_by_key(|&axis| std::cmp::Reverse(self.strides[axis]));
        Strided {
            shape: axes.iter().map(|&axis| self.shape[axis]).collect(),
            strides: axes.iter().map(|&axis| ours[axis]).collect(),
        }
    }
}

impl Source for Permuted {
    fn len(&self) -> u64 {
        self.values.len()
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        match &self.values {
            _ if self.values.is_empty() => Ok(()),
            Payload::Borrowed(slice) => self.pick(slice, sink),
            Payload::Made(_) => self.gather_panels(sink),
        }
    }
}

struct Strided {
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// Counts through an array in C order and keeps the offset of its place in another.
struct Odometer<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    index: Vec<usize>,
    offset: usize,
}

impl<'a> Odometer<'a> {
    fn new(shape: &'a [usize], strides: &'a [usize]) -> Self {
        Self { shape, strides, index: vec![0; shape.len()], offset: 0 }
    }

    fn step(&mut self) {
        for axis in (0..self.shape.len()).rev() {
            self.index[axis] += 1;
            self.offset += self.strides[axis];
            if self.index[axis] < self.shape[axis] {
                return;
            }
            self.offset -= self.index[axis] * self.strides[axis];
            self.index[axis] = 0;
        }
    }
}

/// How many elements apart the steps of each axis of a C-order array are.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Zeros;
    use super::*;

    /// The same values behind a source that can only be read in order.
    #[derive(Debug)]
    struct InOrder(Payload);

    impl Source for InOrder {
        fn len(&self) -> u64 {
            self.0.len()
        }

        fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
            self.0.read(sink)
        }
    }

    #[test]
    fn a_matrix_is_transposed() {
        let matrix = Payload::from_f32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let transposed = Permuted::transposed(4, 2, 3, matrix).to_f32().unwrap();
        assert_eq!(transposed, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn what_is_larger_than_a_panel_is_read_more_than_once() {
        let (rows, columns) = (5, PANEL / 16);
        let values = (0..rows * columns).map(|value| value as f32).collect::<Vec<_>>();
        let matrix = Payload::Made(Arc::new(InOrder(Payload::from_f32(&values))));
        let there = Permuted::transposed(4, rows, columns, matrix);
        let back = Permuted::transposed(4, columns, rows, there).to_f32().unwrap();
        assert!(back == values);
    }

    #[test]
    fn an_empty_array_stays_empty() {
        assert!(Permuted::from_fortran(4, &[0, 7], Zeros::payload(0)).to_f32().unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn fortran_order_is_undone(shape in prop::collection::vec(1usize..6, 0..5), in_order: bool) {
            let count = shape.iter().product::<usize>();
            let c_order = (0..count).map(|value| value as f32).collect::<Vec<_>>();
            // Fortran order by its definition: the first index runs fastest.
            let mut fortran = vec![0.0; count];
            for (flat, &value) in c_order.iter().enumerate() {
                let (mut rest, mut index) = (flat, vec![0; shape.len()]);
                for axis in (0..shape.len()).rev() {
                    index[axis] = rest % shape[axis];
                    rest /= shape[axis];
                }
                let place = shape.iter().zip(&index).rev().fold(0, |place, (extent, at)| place * extent + at);
                fortran[place] = value;
            }
            let mut payload = Payload::from_f32(&fortran);
            if in_order {
                payload = Payload::Made(Arc::new(InOrder(payload)));
            }
            prop_assert_eq!(Permuted::from_fortran(4, &shape, payload).to_f32().unwrap(), c_order);
        }
    }
}
