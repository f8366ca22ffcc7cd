//! Convolution with one input channel a group: each output row is a sum of shifted input rows.

use std::ops::Range;

use super::shape::Shape;
use super::{Filters, Operands};
use crate::buffer::Aligned;
use crate::cpu::CpuBackend;
use crate::cpu::activation::finish_in_place;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// The weights as they are: O×kernel.
#[derive(Debug)]
pub(crate) struct Plan {
    weights: Aligned,
}

impl Plan {
    pub(crate) fn new(geometry: &ConvGeometry) -> Result<Self> {
        Ok(Self { weights: Aligned::zeroed(geometry.weight_len())? })
    }

    pub(crate) fn repack(&mut self, geometry: &ConvGeometry, filters: Filters<'_>) {
        let (taps, rows) = (geometry.taps(), geometry.group_outputs());
        for (output, target) in self.weights.as_mut_slice().chunks_exact_mut(taps).enumerate() {
            for (tap, weight) in filters.kernel([output / rows, output % rows, 0]) {
                target[tap] = weight;
            }
        }
    }

    pub(crate) fn forward(&self, cpu: &CpuBackend, geometry: &ConvGeometry, operands: Operands<'_>) {
        let Operands { x, bias, accumulate, finish, y, .. } = operands;
        let shape = Shape::new(geometry);
        let level = cpu.level;
        cpu.threads.chunks(y, shape.output_pixels, shape.taps, |plane, y| {
            let (image, output) = (plane / shape.output_channels, plane % shape.output_channels);
            let input = image * shape.input_channels + output / shape.group_outputs;
            let x = &x[input * shape.input_pixels..][..shape.input_pixels];
            let weights = &self.weights.as_slice()[output * shape.taps..][..shape.taps];
            let bias = bias.map_or(0.0, |bias| bias[output]);
            level.vectorize(
                #[inline(always)]
                || {
                    if accumulate {
                        for value in y.iter_mut() {
                            *value += bias;
                        }
                    } else {
                        y.fill(bias);
                    }
                    let square = shape.kernel[0] == shape.kernel[1]
                        && shape.stride[0] == shape.stride[1]
                        && shape.dilation[..2] == [1, 1];
                    match (shape.kernel[1], shape.stride[1]) {
                        (3, 1) if square && fits(&shape) => by_blocks::<3, 1>(&shape, x, weights, y),
                        (3, 2) if square && fits(&shape) => by_blocks::<3, 2>(&shape, x, weights, y),
                        (5, 1) if square && fits(&shape) => by_blocks::<5, 1>(&shape, x, weights, y),
                        _ => by_taps(&shape, x, weights, y),
                    }
                    finish_in_place(finish, y);
                },
            );
        });
    }

    /// The gradient with respect to the image: `dx (+)= Σ w · dy`, each output pixel's share going to the pixels it saw.
    pub(crate) fn backward_data(
        &self,
        cpu: &CpuBackend,
        geometry: &ConvGeometry,
        dy: &[f32],
        accumulate: bool,
        dx: &mut [f32],
    ) {
        let shape = Shape::new(geometry);
        let cost = shape.taps * shape.group_outputs;
        cpu.threads.chunks(dx, shape.input_pixels, cost, |plane, dx| {
            let (image, input) = (plane / shape.input_channels, plane % shape.input_channels);
            if !accumulate {
                dx.fill(0.0);
            }
            for output in input * shape.group_outputs..(input + 1) * shape.group_outputs {
                let dy = &dy[(image * shape.output_channels + output) * shape.output_pixels..];
                let weights = &self.weights.as_slice()[output * shape.taps..][..shape.taps];
                cpu.level.vectorize(
                    #[inline(always)]
                    || {
                        for (tap, &weight) in weights.iter().enumerate() {
                            for_each_row(&shape, tap, |outputs, pixels| {
                                let dx = dx[pixels].iter_mut().step_by(shape.stride[1]);
                                dx.zip(&dy[outputs]).for_each(|(dx, dy)| *dx += weight * dy);
                            });
                        }
                    },
                );
            }
        });
    }
}

/// `dw (+)= Σ dy · x`: for each tap of each output channel the sum, over the images, of dy's rows times the rows that the tap
/// sees.
pub(crate) fn backward_filter(
    cpu: &CpuBackend,
    geometry: &ConvGeometry,
    [x, dy]: [&[f32]; 2],
    accumulate: bool,
    dw: &mut [f32],
) {
    let shape = Shape::new(geometry);
    let cost = 2 * shape.batch * shape.output_pixels;
    cpu.threads.chunks(dw, shape.taps, cost, |output, dw| {
        let input = output / shape.group_outputs;
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for (tap, dw) in dw.iter_mut().enumerate() {
                    let mut sums = [0.0; BLOCK];
                    for image in 0..shape.batch {
                        let (plane, seen) =
                            (image * shape.output_channels + output, image * shape.input_channels + input);
                        let dy = &dy[plane * shape.output_pixels..][..shape.output_pixels];
                        let x = &x[seen * shape.input_pixels..][..shape.input_pixels];
                        for_each_row(&shape, tap, |rows, columns| {
                            multiply(&dy[rows], &x[columns], shape.stride[1], &mut sums);
                        });
                    }
                    let sum: f32 = sums.iter().sum();
                    *dw = if accumulate { *dw + sum } else { sum };
                }
            },
        );
    });
}

/// Calls `body` with the outputs of a row that one tap finds inside the image, and the pixels that the tap sees, the first
/// of which is the first's.
#[inline(always)]
fn for_each_row(shape: &Shape, tap: usize, mut body: impl FnMut(Range<usize>, Range<usize>)) {
    let [height, width, ..] = shape.input;
    let (line, shift) =
        (tap / shape.kernel[1] * shape.dilation[0], tap % shape.kernel[1] * shape.dilation[1]);
    let step = shape.stride[1];
    // Output pixel i sees x[i · step + shift − pad].
    let first = shape.pad[1].saturating_sub(shift).div_ceil(step);
    let start = first * step + shift - shape.pad[1].min(first * step + shift);
    if start >= width {
        return;
    }
    let count = (width - start).div_ceil(step).min(shape.output[1].saturating_sub(first));
    if count == 0 {
        return;
    }
    for row in 0..shape.output[0] {
        let seen = (row * shape.stride[0] + line).checked_sub(shape.pad[0]);
        let Some(seen) = seen.filter(|&seen| seen < height) else { continue };
        let output = row * shape.output[1] + first;
        body(output..output + count, seen * width + start..(seen + 1) * width);
    }
}

/// Adds a · b to the sums, b's elements `step` apart.
#[inline(always)]
fn multiply(a: &[f32], b: &[f32], step: usize, sums: &mut [f32; BLOCK]) {
    if step == 1 {
        let b = &b[..a.len()];
        let (blocks, rest) = a.as_chunks::<BLOCK>();
        let (others, other_rest) = b.as_chunks::<BLOCK>();
        for (a, b) in blocks.iter().zip(others) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(rest).zip(other_rest) {
            *sum += a * b;
        }
        return;
    }
    for (index, (a, b)) in a.iter().zip(b.iter().step_by(step)).enumerate() {
        sums[index % BLOCK] += a * b;
    }
}

/// Output pixels whose sums are formed side by side in registers.
const BLOCK: usize = 16;

/// Floats of a padded line, with room for a last block that reaches over its end.
const LINE: usize = 512;

/// Lines held at a time: those that an output row sees, and those that the next one adds. A line that was only just
/// written is slow to read at other offsets.
const LINES: usize = 8;

/// Whether a padded row fits a line.
fn fits(shape: &Shape) -> bool {
    let reach = shape.output[1].next_multiple_of(BLOCK) * shape.stride[1] + shape.kernel[1];
    reach.max(shape.pad[1] + shape.input[1]) <= LINE
}

/// Every tap at once: the rows that an output row sees are copied into padded lines, and no tap needs a border.
#[inline(always)]
fn by_blocks<const KERNEL: usize, const STEP: usize>(
    shape: &Shape,
    x: &[f32],
    weights: &[f32],
    y: &mut [f32],
) {
    let mut lines = [[0.0; LINE]; LINES];
    // Line `i` holds row `i − pad` of the image.
    let fill = |lines: &mut [[f32; LINE]; LINES], range: Range<usize>| {
        let [height, width, ..] = shape.input;
        for index in range {
            let line = &mut lines[index % LINES][shape.pad[1]..shape.pad[1] + width];
            match index.checked_sub(shape.pad[0]).filter(|&row| row < height) {
                Some(row) => line.copy_from_slice(&x[row * width..(row + 1) * width]),
                None => line.fill(0.0),
            }
        }
    };
    fill(&mut lines, 0..KERNEL);
    for (row, y) in y.chunks_exact_mut(shape.output[1]).enumerate() {
        let first = row * STEP;
        fill(&mut lines, first + KERNEL..first + KERNEL + STEP);
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let mut sums = [0.0; BLOCK];
            for (ky, weights) in weights.chunks_exact(KERNEL).enumerate() {
                let line = &lines[(first + ky) % LINES];
                for (kx, &weight) in weights.iter().enumerate() {
                    let seen = &line[block * BLOCK * STEP + kx..][..=(BLOCK - 1) * STEP];
                    for (sum, pixels) in sums.iter_mut().zip(seen.chunks(STEP)) {
                        *sum += weight * pixels[0];
                    }
                }
            }
            for (y, sum) in y.iter_mut().zip(&sums) {
                *y += sum;
            }
        }
    }
}

/// Any shape: adds one tap's share after the other to each row of `y`.
#[inline(always)]
fn by_taps(shape: &Shape, x: &[f32], weights: &[f32], y: &mut [f32]) {
    let [height, width, ..] = shape.input;
    let [step_y, step_x, ..] = shape.stride;
    for (row, y) in y.chunks_exact_mut(shape.output[1]).enumerate() {
        for (ky, weights) in weights.chunks_exact(shape.kernel[1]).enumerate() {
            let line = row * step_y + ky * shape.dilation[0];
            let Some(line) = line.checked_sub(shape.pad[0]).filter(|&line| line < height) else { continue };
            let x = &x[line * width..(line + 1) * width];
            for (kx, &weight) in weights.iter().enumerate() {
                let shift = kx * shape.dilation[1];
                // Output pixel i sees x[i · step + shift − pad].
                let first = shape.pad[1].saturating_sub(shift).div_ceil(step_x);
                let Some(y) = y.get_mut(first..) else { continue };
                let Some(x) = x.get(first * step_x + shift - shape.pad[1]..) else { continue };
                for (y, &x) in y.iter_mut().zip(x.iter().step_by(step_x)) {
                    *y += weight * x;
                }
            }
        }
    }
}
