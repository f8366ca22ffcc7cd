//! Strided copies: Concat, Slice, Crop, Permute, Tile, ShuffleChannel, Upsample.

use super::CpuBackend;
use super::threads::Disjoint;
use crate::geometry::{CopyGeometry, MAX_AXES};

/// Elements copied by one task, roughly.
const TASK: usize = 16 * 1024;

/// Copies the box. The geometry writes no element twice.
pub(crate) fn forward(cpu: &CpuBackend, geometry: &CopyGeometry, x: &[f32], y: &mut [f32]) {
    let mut axes = Axes::new(geometry);
    let Some(row) = axes.pop() else {
        y[geometry.target_offset as usize] = x[geometry.source_offset as usize];
        return;
    };
    let rows = axes.count();
    if rows * row.extent == 0 {
        return;
    }
    let per_task = (TASK / row.extent).clamp(1, rows);
    let y = Disjoint::new(y);
    cpu.threads.run(rows.div_ceil(per_task), |_, task| {
        for index in task * per_task..((task + 1) * per_task).min(rows) {
            let (source, target) = axes.offsets(index);
            let source = geometry.source_offset as usize + source;
            let target = geometry.target_offset as usize + target;
            if row.target == 1 {
                // SAFETY: rows do not overlap, and each is one task's.
                let y = unsafe { y.slice(target, row.extent) };
                match row.source {
                    0 => y.fill(x[source]),
                    1 => y.copy_from_slice(&x[source..source + row.extent]),
                    stride => {
                        for (y, &x) in y.iter_mut().zip(x[source..].iter().step_by(stride)) {
                            *y = x;
                        }
                    }
                }
            } else {
                for i in 0..row.extent {
                    // SAFETY: no element is written twice.
                    let y = unsafe { y.slice(target + i * row.target, 1) };
                    y[0] = x[source + i * row.source];
                }
            }
        }
    });
}

#[derive(Clone, Copy, Default)]
struct Axis {
    extent: usize,
    source: usize,
    target: usize,
}

/// The axes, outermost first, neighbours merged where both sides allow it.
struct Axes {
    axes: [Axis; MAX_AXES],
    count: usize,
}

impl Axes {
    fn new(geometry: &CopyGeometry) -> Self {
        let mut merged = Self { axes: [Axis::default(); MAX_AXES], count: 0 };
        for index in 0..geometry.rank as usize {
            let next = Axis {
                extent: geometry.extent[index] as usize,
                source: geometry.source_stride[index] as usize,
                target: geometry.target_stride[index] as usize,
            };
            if next.extent == 1 {
                continue;
            }
            match merged.axes[..merged.count].last_mut() {
                Some(last)
                    if last.source == next.extent * next.source
                        && last.target == next.extent * next.target =>
                {
                    *last = Axis { extent: last.extent * next.extent, ..next };
                }
                _ => {
                    merged.axes[merged.count] = next;
                    merged.count += 1;
                }
            }
        }
        merged
    }

    fn pop(&mut self) -> Option<Axis> {
        self.count = self.count.checked_sub(1)?;
        Some(self.axes[self.count])
    }

    fn count(&self) -> usize {
        self.axes[..self.count].iter().map(|axis| axis.extent).product()
    }

    fn offsets(&self, mut index: usize) -> (usize, usize) {
        let (mut source, mut target) = (0, 0);
        for axis in self.axes[..self.count].iter().rev() {
            let position = index % axis.extent;
            index /= axis.extent;
            source += position * axis.source;
            target += position * axis.target;
        }
        (source, target)
    }
}
