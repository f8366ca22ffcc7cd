//! Deconvolution: a product with the transposed weights gives each input pixel's contribution to every tap; each
//! output pixel then gathers its own.

use super::CpuBackend;
use super::conv::{Operands, Shape};
use super::gemm::{Blocked, Finish, Matrix, Product, Split, pack_row_panel, scratch_len};
use super::simd::{Simd, WithSimd};
use super::threads::Disjoint;
use crate::buffer::Aligned;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// Transposed weights packed into panels of rows, group after group.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Of the convolution that this transposes: its input is our output.
    shape: Shape,
    rows: Split,
    weights: Aligned,
    columns_len: usize,
    workspace: usize,
}

impl Plan {
    /// `geometry` and `weights`, O×(I/G)×kernel, are those of the convolution that is transposed.
    pub(crate) fn new(cpu: &CpuBackend, geometry: &ConvGeometry, weights: &[f32]) -> Result<Self> {
        let mut plan = cpu.level.dispatch(Prepare { cpu, geometry })?;
        plan.repack(cpu, weights);
        Ok(plan)
    }

    /// Packs other weights in place of the old.
    pub(crate) fn repack(&mut self, cpu: &CpuBackend, weights: &[f32]) {
        let (rows, depth) = (self.shape.group_inputs * self.shape.taps, self.shape.group_outputs);
        let split = self.rows;
        let packed = Disjoint::new(self.weights.as_mut_slice());
        cpu.threads.run(self.shape.group * split.parts(), |_, task| {
            let (group, part) = (task / split.parts(), split.part(task % split.parts()));
            let source = Matrix::new(&weights[group * rows * depth..][..rows * depth], rows, true);
            // SAFETY: the parts do not overlap, and each is one task's.
            let panel = unsafe { packed.slice((group * rows + part.start) * depth, part.len() * depth) };
            pack_row_panel(source, part, 1.0, panel);
        });
    }

    /// The contributions of one group of one image, and a panel for each thread.
    pub(crate) fn workspace_len(&self) -> usize {
        self.workspace
    }

    pub(crate) fn forward(&self, cpu: &CpuBackend, operands: Operands<'_>) {
        cpu.level.dispatch(Forward { cpu, plan: self, operands });
    }
}

struct Prepare<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a ConvGeometry,
}

impl WithSimd for Prepare<'_> {
    type Output = Result<Plan>;

    fn run<S: Simd>(self, _: S) -> Result<Plan> {
        let shape = Shape::new(self.geometry);
        let rows = shape.group_inputs * shape.taps;
        let weights = Aligned::zeroed(self.geometry.weight_len())?;
        let columns_len = (rows * shape.output_pixels).next_multiple_of(16);
        let workspace = columns_len + self.cpu.threads.count() * scratch_len::<S>();
        Ok(Plan { shape, rows: Split::new(rows, S::MAX_ROWS), weights, columns_len, workspace })
    }
}

struct Forward<'a> {
    cpu: &'a CpuBackend,
    plan: &'a Plan,
    operands: Operands<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let Operands { x, bias, accumulate, finish, y, workspace } = self.operands;
        let shape = &self.plan.shape;
        let (rows, depth, pixels) =
            (shape.group_inputs * shape.taps, shape.group_outputs, shape.output_pixels);
        let (columns, scratch) = workspace.split_at_mut(self.plan.columns_len);
        let columns = &mut columns[..rows * pixels];
        let group_len = shape.group_inputs * shape.input_pixels;
        for (index, y) in y.chunks_exact_mut(group_len).enumerate() {
            let group = index % shape.group;
            let product = Product {
                a: &self.plan.weights.as_slice()[group * rows * depth..][..rows * depth],
                b: &Matrix::new(&x[index * depth * pixels..][..depth * pixels], pixels, false),
                rows: self.plan.rows,
                depth,
                columns: pixels,
                offset: 0,
                place: Blocked { block: pixels, stride: pixels },
                row_stride: pixels,
                row_bias: None,
                column_bias: None,
                accumulate: false,
                finish: Finish::Keep,
            };
            product.run(simd, &self.cpu.threads, columns, scratch);
            let columns = &*columns;
            self.cpu.threads.chunks(y, shape.input_pixels, 2 * shape.taps, |channel, y| {
                let bias = bias.map_or(0.0, |bias| bias[group * shape.group_inputs + channel]);
                if accumulate {
                    for y in y.iter_mut() {
                        *y += bias;
                    }
                } else {
                    y.fill(bias);
                }
                for tap in 0..shape.taps {
                    let row = &columns[(channel * shape.taps + tap) * pixels..][..pixels];
                    scatter(shape, tap, row, y);
                }
                super::activation::finish_in_place(finish, y);
            });
        }
    }
}

/// Adds one tap's contributions to the pixels they belong to.
pub(crate) fn scatter(shape: &Shape, tap: usize, contributions: &[f32], y: &mut [f32]) {
    let offsets = shape.coordinates(&shape.kernel, tap);
    let row_axis = shape.row_axis();
    let (width, step) = (shape.output[row_axis], shape.stride[row_axis]);
    let (pad, reach) = (shape.pad[row_axis], shape.input[row_axis]);
    let shift = offsets[row_axis] * shape.dilation[row_axis];
    // Contribution i of a row goes to pixel i · step + shift − pad.
    let first = pad.saturating_sub(shift).div_ceil(step);
    for (index, row) in contributions.chunks_exact(width).enumerate() {
        let Some(line) = shape.seen_row(index, &offsets) else { continue };
        let Some(row) = row.get(first..) else { continue };
        let Some(y) = y[line * reach..(line + 1) * reach].get_mut(first * step + shift - pad..) else {
            continue;
        };
        for (y, &contribution) in y.iter_mut().step_by(step).zip(row) {
            *y += contribution;
        }
    }
}
