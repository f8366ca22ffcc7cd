//! A padded copy of the image, its rows taken apart by the remainder of x modulo the stride.
//!
//! In such a copy every tap of the kernel sees neighbouring output pixels at neighbouring addresses, whatever the
//! stride, and no tap falls outside. It is worth its price where the stride is more than 1, and where there are so few
//! channels that working out the borders for each tap would cost more than the copy.

use super::shape::Shape;
use crate::cpu::threads::Threads;
use crate::geometry::MAX_SPATIAL;

/// Channels below which a padded image is copied even with stride 1.
const FEW_CHANNELS: usize = 8;

/// The layout of the copy: N×I×leading extents×phases×`phase_len`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staging {
    /// Extents of the leading axes, padded; the row axis holds `phases · phase_len`.
    pub(crate) extents: [usize; MAX_SPATIAL],
    /// Remainders that some tap needs.
    pub(crate) phases: usize,
    /// Positions of one remainder in a row.
    pub(crate) phase_len: usize,
    /// Floats of a channel.
    pub(crate) plane: usize,
}

impl Staging {
    /// `None` where the image can be read as it lies.
    pub(crate) fn new(shape: &Shape) -> Option<Self> {
        let row = shape.row_axis();
        let stride = shape.stride[row];
        let padded = shape.pad[..shape.rank].iter().any(|&pad| pad > 0);
        if stride == 1 && !(padded && shape.group_inputs < FEW_CHANNELS) {
            return None;
        }
        let reach = |axis: usize| {
            (shape.output[axis] - 1) * shape.stride[axis]
                + shape.dilation[axis] * (shape.kernel[axis] - 1)
                + 1
        };
        let phases = if shape.dilation[row] == 1 { shape.kernel[row].min(stride) } else { stride };
        let phase_len = reach(row).div_ceil(stride);
        let mut extents = [1; MAX_SPATIAL];
        for (axis, extent) in extents.iter_mut().enumerate().take(row) {
            *extent = reach(axis);
        }
        extents[row] = phases * phase_len;
        Some(Self { extents, phases, phase_len, plane: extents.iter().product() })
    }

    /// Copies all of x, N×I×spatial, into `staged`.
    pub(crate) fn fill(&self, shape: &Shape, threads: &Threads, x: &[f32], staged: &mut [f32]) {
        let row = shape.row_axis();
        let rows = self.plane / self.extents[row];
        let width = shape.input[row];
        let planes = shape.batch * shape.input_channels;
        threads.chunks(&mut staged[..planes * self.plane], self.plane, 2, |plane, target| {
            let x = &x[plane * shape.input_pixels..][..shape.input_pixels];
            for (index, target) in target.chunks_exact_mut(self.extents[row]).enumerate().take(rows) {
                match self.source_row(shape, index) {
                    Row::Unused => {}
                    Row::Padding => target.fill(0.0),
                    Row::Image(source) => self.split(shape, &x[source * width..][..width], target),
                }
            }
        });
    }

    /// What row `index` of a staged plane is made from.
    fn source_row(&self, shape: &Shape, mut index: usize) -> Row {
        let (mut source, mut stride) = (0, 1);
        for axis in (0..shape.row_axis()).rev() {
            let position = index % self.extents[axis];
            index /= self.extents[axis];
            if shape.dilation[axis] == 1 && position % shape.stride[axis] >= shape.kernel[axis] {
                return Row::Unused;
            }
            match position.checked_sub(shape.pad[axis]) {
                Some(inside) if inside < shape.input[axis] => source += inside * stride,
                _ => return Row::Padding,
            }
            stride *= shape.input[axis];
        }
        Row::Image(source)
    }

    /// Takes one row apart.
    fn split(&self, shape: &Shape, source: &[f32], target: &mut [f32]) {
        let (row, stride) = (shape.row_axis(), shape.stride[shape.row_axis()]);
        for (phase, target) in target.chunks_exact_mut(self.phase_len).enumerate().take(self.phases) {
            // Position i of this phase is pixel i · stride + phase − pad.
            let first = shape.pad[row].saturating_sub(phase).div_ceil(stride).min(target.len());
            let start = first * stride + phase - shape.pad[row].min(first * stride + phase);
            let pixels = source.get(start..).unwrap_or_default();
            let (before, rest) = target.split_at_mut(first);
            let count = pixels.len().div_ceil(stride).min(rest.len());
            before.fill(0.0);
            rest[count..].fill(0.0);
            match stride {
                1 => rest[..count].copy_from_slice(&pixels[..count]),
                2 => every::<2>(pixels, &mut rest[..count]),
                4 => every::<4>(pixels, &mut rest[..count]),
                _ => {
                    for (target, &value) in rest.iter_mut().zip(pixels.iter().step_by(stride)) {
                        *target = value;
                    }
                }
            }
        }
    }
}

enum Row {
    /// No tap reads it.
    Unused,
    /// It lies in the padding.
    Padding,
    /// It is this row of the image.
    Image(usize),
}

/// Every `STEP`-th pixel, the step known to the compiler.
fn every<const STEP: usize>(pixels: &[f32], target: &mut [f32]) {
    let (whole, rest) = pixels.as_chunks::<STEP>();
    for (target, chunk) in target.iter_mut().zip(whole) {
        *target = chunk[0];
    }
    if let (Some(&last), true) = (rest.first(), target.len() > whole.len()) {
        target[whole.len()] = last;
    }
}
