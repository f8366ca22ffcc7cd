//! Pooling, by the rules of Caffe's pooling_layer.cpp (and, for the stochastic kinds, pooling_layer.cu).

use super::CpuBackend;
use super::math;
use super::random::{Drawn, Numbers};
use super::threads::Disjoint;
use crate::geometry::{PoolGeometry, PoolMethod};

/// Floats of a row, padding included, that the fast path can hold.
const ROW: usize = 1024;

/// Pools x, N×C×H×W, into y.
pub(crate) fn forward(
    cpu: &CpuBackend,
    geometry: &PoolGeometry,
    x: &[f32],
    y: &mut [f32],
    mask: Option<&mut [f32]>,
    random: Option<Numbers>,
) {
    let (input, output) = (geometry.input_plane(), geometry.output_plane());
    let window = (geometry.kernel[0] * geometry.kernel[1]) as usize;
    let rule = Rule::new(geometry);
    let mask = mask.map(Disjoint::new);
    cpu.threads.chunks(y, output, window, |plane, y| {
        let x = &x[plane * input..][..input];
        // SAFETY: a plane is one task's.
        let mask = mask.as_ref().map(|mask| unsafe { mask.slice(plane * output, output) });
        cpu.level.vectorize(
            #[inline(always)]
            || match (geometry.method, mask) {
                (PoolMethod::Max, Some(mask)) if rule.reach[1] <= ROW => {
                    rule.max_with_mask_by_rows(x, y, mask);
                }
                (PoolMethod::Max, Some(mask)) => rule.max_with_mask(x, y, mask),
                (PoolMethod::Max | PoolMethod::Average, _) if rule.is_global() => rule.global(x, y),
                (PoolMethod::Max | PoolMethod::Average, _) if rule.reach[1] <= ROW => rule.by_rows(x, y),
                (PoolMethod::Max | PoolMethod::Average, _) => rule.by_windows(x, y),
                (PoolMethod::StochasticTest, _) => rule.expectation(x, y),
                (PoolMethod::StochasticTrain, mask) => {
                    if let Some(numbers) = random {
                        rule.draw(x, &mut Drawn::from(numbers, plane * output), y, mask);
                    }
                }
            },
        );
    });
}

/// The gradient: to the element that the mask names, or in equal shares to the window (divided as the mean was).
pub(crate) fn backward(
    cpu: &CpuBackend,
    geometry: &PoolGeometry,
    mask: Option<&[f32]>,
    dy: &[f32],
    dx: &mut [f32],
) {
    let (input, output) = (geometry.input_plane(), geometry.output_plane());
    let window = (geometry.kernel[0] * geometry.kernel[1]) as usize;
    let rule = Rule::new(geometry);
    let cost = 1 + window * output / input.max(1);
    cpu.threads.chunks(dx, input, cost, |plane, dx| {
        let dy = &dy[plane * output..][..output];
        if let Some(mask) = mask {
            dx.fill(0.0);
            for (&place, dy) in mask[plane * output..][..output].iter().zip(dy) {
                // −1 where the window was empty.
                if place >= 0.0
                    && let Some(dx) = dx.get_mut(place as usize)
                {
                    *dx += dy;
                }
            }
            return;
        }
        cpu.level.vectorize(
            #[inline(always)]
            || rule.spread(dy, dx),
        );
    });
}

struct Rule {
    maximum: bool,
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    /// Positions that windows cover, padding included.
    reach: [usize; 2],
}

/// One axis' share of a window.
struct Extent {
    /// Clipped to the image.
    from: usize,
    to: usize,
    /// With padding, for the divisor.
    full: isize,
}

impl Rule {
    fn new(geometry: &PoolGeometry) -> Self {
        let wide = |values: [u32; 2]| values.map(|value| value as usize);
        let [input, output, kernel, stride, pad] =
            [geometry.input, geometry.output, geometry.kernel, geometry.stride, geometry.pad].map(wide);
        let reach = std::array::from_fn(|axis| {
            ((output[axis] - 1) * stride[axis] + kernel[axis]).max(pad[axis] + input[axis])
        });
        Self { maximum: geometry.method == PoolMethod::Max, input, output, kernel, stride, pad, reach }
    }

    fn is_global(&self) -> bool {
        self.kernel == self.input && self.output == [1, 1] && self.pad == [0, 0]
    }

    #[inline(always)]
    fn extent(&self, axis: usize, index: usize) -> Extent {
        let start = (index * self.stride[axis]) as isize - self.pad[axis] as isize;
        let size = self.input[axis] as isize;
        let end = (start + self.kernel[axis] as isize).min(size + self.pad[axis] as isize);
        let from = start.clamp(0, size);
        Extent { from: from as usize, to: end.clamp(from, size) as usize, full: end - start }
    }

    #[inline(always)]
    fn start(&self) -> f32 {
        if self.maximum { f32::MIN } else { 0.0 }
    }

    #[inline(always)]
    fn combine(&self, a: f32, b: f32) -> f32 {
        if self.maximum { if b > a { b } else { a } } else { a + b }
    }

    #[inline(always)]
    fn global(&self, x: &[f32], y: &mut [f32]) {
        y[0] = if self.maximum {
            x.iter().fold(f32::MIN, |a, &b| if b > a { b } else { a })
        } else {
            (math::sum(x, |x| x) / x.len() as f64) as f32
        };
    }

    /// First down the columns, whole rows at a time, then along the row.
    #[inline(always)]
    fn by_rows(&self, x: &[f32], y: &mut [f32]) {
        let (width, pad) = (self.input[1], self.pad[1]);
        let mut row = [self.start(); ROW];
        for (index, y) in y.chunks_exact_mut(self.output[1]).enumerate() {
            let rows = self.extent(0, index);
            row[pad..pad + width].fill(self.start());
            for x in x[rows.from * width..rows.to * width].chunks_exact(width.max(1)) {
                for (sum, &x) in row[pad..pad + width].iter_mut().zip(x) {
                    *sum = self.combine(*sum, x);
                }
            }
            match (self.kernel[1], self.stride[1]) {
                (2, 2) => self.along::<2, 2>(&row, y),
                (3, 2) => self.along::<3, 2>(&row, y),
                (3, 1) => self.along::<3, 1>(&row, y),
                (kernel, stride) => {
                    for (i, y) in y.iter_mut().enumerate() {
                        let window = &row[i * stride..i * stride + kernel];
                        *y = window.iter().fold(self.start(), |a, &b| self.combine(a, b));
                    }
                }
            }
            if !self.maximum {
                for (i, y) in y.iter_mut().enumerate() {
                    *y /= (rows.full * self.extent(1, i).full) as f32;
                }
            }
        }
    }

    #[inline(always)]
    fn along<const KERNEL: usize, const STRIDE: usize>(&self, row: &[f32; ROW], y: &mut [f32]) {
        let row = &row[..(y.len() - 1) * STRIDE + KERNEL];
        for (i, y) in y.iter_mut().enumerate() {
            let mut value = self.start();
            for k in 0..KERNEL {
                value = self.combine(value, row[i * STRIDE + k]);
            }
            *y = value;
        }
    }

    /// As [`by_rows`](Self::by_rows), each maximum with its place. Of equals it is the first of the window, row after row.
    #[inline(always)]
    fn max_with_mask_by_rows(&self, x: &[f32], y: &mut [f32], mask: &mut [f32]) {
        let (width, pad) = (self.input[1], self.pad[1]);
        let (mut row, mut places) = ([f32::MIN; ROW], [NOWHERE; ROW]);
        let lines = y.chunks_exact_mut(self.output[1]).zip(mask.chunks_exact_mut(self.output[1]));
        for (index, (y, mask)) in lines.enumerate() {
            let rows = self.extent(0, index);
            row[pad..pad + width].fill(f32::MIN);
            places[pad..pad + width].fill(NOWHERE);
            for line in rows.from..rows.to {
                let x = &x[line * width..(line + 1) * width];
                let best = row[pad..pad + width].iter_mut().zip(&mut places[pad..pad + width]);
                for (column, ((best, place), &x)) in best.zip(x).enumerate() {
                    let wins = x > *best;
                    *best = if wins { x } else { *best };
                    *place = if wins { (line * width + column) as f32 } else { *place };
                }
            }
            match (self.kernel[1], self.stride[1]) {
                (2, 2) => self.along_with_places::<2, 2>(&row, &places, y, mask),
                (3, 2) => self.along_with_places::<3, 2>(&row, &places, y, mask),
                (3, 1) => self.along_with_places::<3, 1>(&row, &places, y, mask),
                (kernel, stride) => {
                    for (i, (y, mask)) in y.iter_mut().zip(&mut *mask).enumerate() {
                        let window = i * stride..i * stride + kernel;
                        *y = row[window.clone()].iter().fold(f32::MIN, |a, &b| self.combine(a, b));
                        *mask = window.fold(NOWHERE, |first, at| first_place(first, *y, row[at], places[at]));
                    }
                }
            }
            for place in mask {
                *place = if *place < NOWHERE { *place } else { -1.0 };
            }
        }
    }

    #[inline(always)]
    fn along_with_places<const KERNEL: usize, const STRIDE: usize>(
        &self,
        row: &[f32; ROW],
        places: &[f32; ROW],
        y: &mut [f32],
        mask: &mut [f32],
    ) {
        self.along::<KERNEL, STRIDE>(row, y);
        let reach = (y.len() - 1) * STRIDE + KERNEL;
        let (row, places) = (&row[..reach], &places[..reach]);
        for (i, (&y, mask)) in y.iter().zip(mask).enumerate() {
            let mut first = NOWHERE;
            for k in 0..KERNEL {
                first = first_place(first, y, row[i * STRIDE + k], places[i * STRIDE + k]);
            }
            *mask = first;
        }
    }

    #[inline(always)]
    fn by_windows(&self, x: &[f32], y: &mut [f32]) {
        self.windows(x, |index, rows, columns, window| {
            let value = window.fold(self.start(), |a, (_, b)| self.combine(a, b));
            y[index] = if self.maximum { value } else { value / (rows.full * columns.full) as f32 };
        });
    }

    /// Each mean's gradient, in equal shares.
    #[inline(always)]
    fn spread(&self, dy: &[f32], dx: &mut [f32]) {
        if self.is_global() {
            let share = dy[0] / dx.len() as f32;
            return dx.fill(share);
        }
        dx.fill(0.0);
        let width = self.input[1];
        for (row, dy) in dy.chunks_exact(self.output[1]).enumerate() {
            let rows = self.extent(0, row);
            for (column, dy) in dy.iter().enumerate() {
                let columns = self.extent(1, column);
                let share = dy / (rows.full * columns.full) as f32;
                for row in rows.from..rows.to {
                    for dx in &mut dx[row * width + columns.from..row * width + columns.to] {
                        *dx += share;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn max_with_mask(&self, x: &[f32], y: &mut [f32], mask: &mut [f32]) {
        self.windows(x, |index, _, _, window| {
            let (mut best, mut place) = (f32::MIN, -1.0);
            for (position, value) in window {
                if value > best {
                    (best, place) = (value, position as f32);
                }
            }
            (y[index], mask[index]) = (best, place);
        });
    }

    #[inline(always)]
    fn expectation(&self, x: &[f32], y: &mut [f32]) {
        self.windows(x, |index, _, _, window| {
            let (sum, squares) = window.fold((0.0, 0.0), |(sum, squares), (_, x)| (sum + x, squares + x * x));
            y[index] = if sum > 0.0 { squares / sum } else { 0.0 };
        });
    }

    #[inline(always)]
    fn draw(&self, x: &[f32], random: &mut Drawn, y: &mut [f32], mut mask: Option<&mut [f32]>) {
        self.windows(x, |index, rows, columns, window| {
            let width = self.input[1];
            let line = |row: usize| &x[row * width + columns.from..row * width + columns.to];
            let total: f32 = (rows.from..rows.to).flat_map(line).sum();
            let threshold = random.next() * total;
            let (mut sum, mut chosen) = (0.0, (-1.0, 0.0));
            for (position, value) in window {
                sum += value;
                chosen = (position as f32, value);
                if sum >= threshold {
                    break;
                }
            }
            y[index] = chosen.1;
            if let Some(mask) = &mut mask {
                mask[index] = chosen.0;
            }
        });
    }

    /// Calls `body(output index, rows, columns, (place, value) of each element)` for every window.
    #[inline(always)]
    fn windows(
        &self,
        x: &[f32],
        mut body: impl FnMut(usize, &Extent, &Extent, &mut dyn Iterator<Item = (usize, f32)>),
    ) {
        let width = self.input[1];
        for row in 0..self.output[0] {
            let rows = self.extent(0, row);
            for column in 0..self.output[1] {
                let columns = self.extent(1, column);
                let mut window = (rows.from..rows.to).flat_map(|row| {
                    (row * width + columns.from..row * width + columns.to).map(|place| (place, x[place]))
                });
                body(row * self.output[1] + column, &rows, &columns, &mut window);
            }
        }
    }
}

/// After every place.
const NOWHERE: f32 = f32::MAX;

/// The smaller of two places, of which the second counts where the value is the maximum.
#[inline(always)]
fn first_place(first: f32, maximum: f32, value: f32, place: f32) -> f32 {
    let place = if value < maximum { NOWHERE } else { place };
    if place < first { place } else { first }
}
