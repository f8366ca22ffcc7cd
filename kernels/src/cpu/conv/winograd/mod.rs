//! 3×3 convolution with stride 1 by minimal filtering, F(4×4, 3×3) (Lavin and Gray, 2015).
//!
//! A tile of 4×4 outputs depends on 6×6 inputs. Input, kernel and output are transformed so that the convolution
//! becomes 36 separate products over the channels: 36 multiplications where 144 were, for each pair of channels. The
//! sums over channels are matrix products, with tiles for columns.

mod points;
mod tiles;

use super::shape::Shape;
use super::{Filters, Operands};
use crate::buffer::Aligned;
use crate::cpu::CpuBackend;
use crate::cpu::gemm::{Blocked, Finish, Packed, Product, Split, TILE_VECTORS, scratch_len};
use crate::cpu::simd::{Simd, WithSimd};
use crate::cpu::threads::Disjoint;
use crate::error::Result;
use crate::geometry::ConvGeometry;
use points::{KERNELS, POINTS, transform_kernels};
use tiles::{Runs, Tiles};

/// Channels that one task transforms when a panel is shared among threads.
const CHANNELS: usize = 8;

/// Channels whose kernels are transformed before any is written.
const CHANNELS_AT_A_TIME: usize = 7;

/// Transformed weights: group after group, point after point, packed into panels of rows.
#[derive(Debug)]
pub(crate) struct Plan {
    shape: Shape,
    tiles: Tiles,
    rows: Split,
    weights: Aligned,
    /// Tiles in a full panel.
    width: usize,
    /// Whether each panel is one task, or all threads work on all panels.
    separate: bool,
    workspace: usize,
}

impl Plan {
    pub(crate) fn new(cpu: &CpuBackend, geometry: &ConvGeometry) -> Result<Self> {
        cpu.level.dispatch(Prepare { cpu, geometry })
    }

    pub(crate) fn repack(&mut self, cpu: &CpuBackend, filters: Filters<'_>) {
        let (rows, depth) = (self.shape.group_outputs, self.shape.group_inputs);
        let (groups, split) = (self.shape.group, self.rows);
        let packed = Disjoint::new(self.weights.as_mut_slice());
        cpu.threads.run(groups * split.parts(), |_, task| {
            let (group, part) = (task / split.parts(), split.part(task % split.parts()));
            let height = part.len();
            // A few channels at a time, so that there is something to write to each of the points' matrices.
            let mut transformed = [[[0.0; KERNELS]; POINTS]; CHANNELS_AT_A_TIME];
            for start in (0..depth).step_by(CHANNELS_AT_A_TIME) {
                let channels = start..(start + CHANNELS_AT_A_TIME).min(depth);
                for (channel, transformed) in channels.clone().zip(&mut transformed) {
                    // The kernels of all rows side by side.
                    let mut kernels = [[0.0; KERNELS]; 9];
                    for (lane, row) in part.clone().enumerate() {
                        for (tap, weight) in filters.kernel([group, row, channel]) {
                            kernels[tap][lane] = weight;
                        }
                    }
                    cpu.level.vectorize(
                        #[inline(always)]
                        || transform_kernels(&kernels, transformed),
                    );
                }
                for point in 0..POINTS {
                    let matrix = (group * POINTS + point) * rows * depth;
                    let panel = matrix + part.start * depth + start * height;
                    // SAFETY: the parts do not overlap, and each is one task's.
                    let target = unsafe { packed.slice(panel, channels.len() * height) };
                    for (target, transformed) in target.chunks_exact_mut(height).zip(&transformed) {
                        for (target, &value) in target.iter_mut().zip(&transformed[point]) {
                            *target = value;
                        }
                    }
                }
            }
        });
    }

    /// The transformed input and output of a panel for each thread, or of all panels.
    pub(crate) fn workspace_len(&self) -> usize {
        self.workspace
    }

    pub(crate) fn forward(&self, cpu: &CpuBackend, operands: Operands<'_>) {
        cpu.level.dispatch(Forward { cpu, plan: self, operands });
    }

    fn panels(&self) -> usize {
        self.tiles.count().div_ceil(self.width)
    }

    /// Floats of a panel's transformed input, and of input and output together.
    fn panel_len(shape: &Shape, width: usize) -> (usize, usize) {
        let input = POINTS * point_len(shape.group_inputs, width);
        (input, input + POINTS * point_len(shape.group_outputs, width))
    }
}

/// Floats from one point to the next. A transform touches all points of a channel: with a power of two between them
/// they would all fall into the same set of the cache, so a cache line is left free.
fn point_len(channels: usize, width: usize) -> usize {
    channels * width + 16
}

struct Prepare<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a ConvGeometry,
}

impl WithSimd for Prepare<'_> {
    type Output = Result<Plan>;

    fn run<S: Simd>(self, _: S) -> Result<Plan> {
        let shape = Shape::new(self.geometry);
        let tiles = Tiles::new(&shape);
        let rows = Split::new(shape.group_outputs, S::MAX_ROWS);
        let weights = Aligned::zeroed(shape.group * POINTS * shape.group_outputs * shape.group_inputs)?;
        let width = TILE_VECTORS * S::LANES;
        let panels = tiles.count().div_ceil(width);
        let threads = self.cpu.threads.count();
        // Apart, nothing goes from one thread's cache to another's; together, they are evenly busy.
        let tasks = panels * shape.group;
        let separate = tasks.is_multiple_of(threads) || tasks >= threads * 3;
        let slots = if separate { threads } else { panels };
        let workspace =
            slots * (Plan::panel_len(&shape, width).1 + scratch_len::<S>() * usize::from(separate));
        Ok(Plan { shape, tiles, rows, weights, width, separate, workspace })
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
        let (plan, shape, threads) = (self.plan, &self.plan.shape, &self.cpu.threads);
        let (y, workspace) = (Disjoint::new(y), Disjoint::new(workspace));
        let job = |group: usize, panel: usize| Panel {
            plan,
            x,
            bias: bias.map(|bias| &bias[group * shape.group_outputs..]),
            accumulate,
            finish,
            group,
            first: panel * plan.width,
            tiles: (plan.tiles.count() - panel * plan.width).min(plan.width),
        };
        let (len, panels) = (Plan::panel_len(shape, plan.width).1, plan.panels());
        if plan.separate {
            threads.run(shape.group * panels, |slot, task| {
                let panel = job(task / panels, task % panels);
                // SAFETY: a slot is one thread's at a time.
                let space = Disjoint::new(unsafe { workspace.slice(slot * len, len) });
                // SAFETY: the space is ours, and tasks have different elements of y.
                unsafe {
                    panel.transform_input(simd, 0..shape.group_inputs, &space);
                    (0..POINTS).for_each(|point| panel.multiply(simd, point, &space));
                    panel.transform_output(simd, 0..shape.group_outputs, &space, &y);
                }
            });
            return;
        }
        for group in 0..shape.group {
            let space = |panel: usize| {
                // SAFETY: panels do not overlap; within one, the tasks below write different parts.
                Disjoint::new(unsafe { workspace.slice(panel * len, len) })
            };
            let blocks = shape.group_inputs.div_ceil(CHANNELS);
            threads.run(panels * blocks, |_, task| {
                let (panel, start) = (task / blocks, task % blocks * CHANNELS);
                let channels = start..(start + CHANNELS).min(shape.group_inputs);
                // SAFETY: tasks write different channels of the transformed input.
                unsafe { job(group, panel).transform_input(simd, channels, &space(panel)) };
            });
            threads.run(panels * POINTS, |_, task| {
                // SAFETY: tasks write different points of the transformed output.
                unsafe { job(group, task / POINTS).multiply(simd, task % POINTS, &space(task / POINTS)) };
            });
            let blocks = shape.group_outputs.div_ceil(CHANNELS);
            threads.run(panels * blocks, |_, task| {
                let (panel, start) = (task / blocks, task % blocks * CHANNELS);
                let channels = start..(start + CHANNELS).min(shape.group_outputs);
                // SAFETY: tasks write different channels of y.
                unsafe { job(group, panel).transform_output(simd, channels, &space(panel), &y) };
            });
        }
    }
}

/// One panel of tiles of one group.
struct Panel<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    bias: Option<&'a [f32]>,
    accumulate: bool,
    finish: Finish,
    group: usize,
    /// The first tile, and how many.
    first: usize,
    tiles: usize,
}

impl Panel<'_> {
    /// Floats of one channel at one point: whole vectors.
    fn stride<S: Simd>(&self) -> usize {
        self.tiles.next_multiple_of(S::LANES)
    }

    /// # Safety
    /// No other thread may touch these channels of the transformed input in `space`.
    unsafe fn transform_input<S: Simd>(
        &self,
        simd: S,
        channels: std::ops::Range<usize>,
        space: &Disjoint<'_>,
    ) {
        let (shape, stride) = (&self.plan.shape, self.stride::<S>());
        for lane in (0..self.tiles).step_by(S::LANES) {
            let runs = self.runs::<S>(lane);
            for channel in channels.clone() {
                let absolute = self.group * shape.group_inputs + channel;
                simd.vectorize(
                    #[inline(always)]
                    || {
                        let transformed = runs.transform_input(simd, shape, self.x, absolute);
                        for (point, &value) in transformed.as_flattened().iter().enumerate() {
                            let start =
                                point * point_len(shape.group_inputs, stride) + channel * stride + lane;
                            // SAFETY: this channel is this call's alone.
                            let target = unsafe { space.slice(start, S::LANES) };
                            // SAFETY: the slice is a vector long.
                            unsafe { simd.store(target.as_mut_ptr(), value) };
                        }
                    },
                );
            }
        }
    }

    /// # Safety
    /// The transformed input in `space` must be done; no other thread may touch this point of the transformed output.
    unsafe fn multiply<S: Simd>(&self, simd: S, point: usize, space: &Disjoint<'_>) {
        let (shape, stride) = (&self.plan.shape, self.stride::<S>());
        let (rows, depth) = (shape.group_outputs, shape.group_inputs);
        let input_len = Plan::panel_len(shape, self.plan.width).0;
        // SAFETY: nobody writes the transformed input any more.
        let input = unsafe { space.slice(point * point_len(depth, stride), depth * stride) };
        let product = Product {
            a: &self.plan.weights.as_slice()[(self.group * POINTS + point) * rows * depth..][..rows * depth],
            b: &Packed { data: input, depth },
            rows: self.plan.rows,
            depth,
            columns: stride,
            offset: input_len + point * point_len(rows, stride),
            place: Blocked { block: stride, stride },
            row_stride: stride,
            row_bias: None,
            column_bias: None,
            accumulate: false,
            finish: Finish::Keep,
        };
        // SAFETY: this point of the output is this call's alone.
        unsafe { product.block(simd, 0..stride, 0..product.rows.parts(), space, &mut []) };
    }

    /// # Safety
    /// The transformed output in `space` must be done; no other thread may touch these channels of y in these tiles.
    unsafe fn transform_output<S: Simd>(
        &self,
        simd: S,
        channels: std::ops::Range<usize>,
        space: &Disjoint<'_>,
        y: &Disjoint<'_>,
    ) {
        let (shape, stride) = (&self.plan.shape, self.stride::<S>());
        let input_len = Plan::panel_len(shape, self.plan.width).0;
        let point_stride = point_len(shape.group_outputs, stride);
        // SAFETY: nobody writes the transformed output any more.
        let output = unsafe { space.slice(input_len, POINTS * point_stride) };
        for lane in (0..self.tiles).step_by(S::LANES) {
            let runs = self.runs::<S>(lane);
            for channel in channels.clone() {
                let absolute = self.group * shape.group_outputs + channel;
                let bias = self.bias.map_or(0.0, |bias| bias[channel]);
                let bias_lanes = simd.splat(bias);
                let sums = &output[channel * stride + lane..];
                let sums = &sums[..(POINTS - 1) * point_stride + S::LANES];
                simd.vectorize(
                    #[inline(always)]
                    || {
                        runs.transform_output(
                            simd,
                            shape,
                            absolute,
                            #[inline(always)]
                            |point| {
                                let sum = &sums[point * point_stride..][..S::LANES];
                                // SAFETY: the slice is a vector long.
                                unsafe { simd.load(sum.as_ptr()) }
                            },
                            #[inline(always)]
                            |value| {
                                if self.accumulate {
                                    value
                                } else {
                                    self.finish.vector(simd, simd.add(value, bias_lanes))
                                }
                            },
                            #[inline(always)]
                            |start, row| {
                                // SAFETY: these pixels are this call's alone.
                                let target = unsafe { y.slice(start, row.len()) };
                                if self.accumulate {
                                    self.add_row(bias, row, target);
                                } else {
                                    copy(simd, row, target);
                                }
                            },
                        );
                    },
                );
            }
        }
    }

    /// The tiles of one vector, the first of which is tile `lane` of this panel.
    fn runs<S: Simd>(&self, lane: usize) -> Runs {
        let start = self.first + lane;
        self.plan.tiles.runs(start..(self.first + self.tiles).min(start + S::LANES))
    }

    #[inline(always)]
    fn add_row(&self, bias: f32, row: &[f32], target: &mut [f32]) {
        for (target, &value) in target.iter_mut().zip(row) {
            *target = self.finish.apply(value + bias + *target);
        }
    }
}

/// A copy of a few vectors, without a call.
#[inline(always)]
fn copy<S: Simd>(simd: S, source: &[f32], target: &mut [f32]) {
    let count = source.len().min(target.len());
    for start in (0..count).step_by(S::LANES) {
        let (from, to) = (source[start..].as_ptr(), target[start..].as_mut_ptr());
        let mask = simd.mask(0, S::LANES.min(count - start));
        // SAFETY: the mask names the lanes that are left in both slices.
        unsafe { simd.store_masked(to, mask, simd.load_masked(simd.splat(0.0), mask, from)) };
    }
}
