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

/// The gradient of [`forward`], whose geometry it takes: each element that was read gets the sum of where it went, or has it
/// added; the others stay as they are.
pub(crate) fn backward(
    cpu: &CpuBackend,
    geometry: &CopyGeometry,
    dy: &[f32],
    accumulate: bool,
    dx: &mut [f32],
) {
    // Axes along which an element was repeated are summed over; the others say which element it is.
    let (kept, repeated) = Axes::new(geometry).apart();
    let mut axes = kept;
    let row = axes.pop().unwrap_or(Axis { extent: 1, source: 1, target: 1 });
    let (rows, copies) = (axes.count(), repeated.count());
    if rows * row.extent * copies == 0 {
        return;
    }
    let per_task = (TASK / (row.extent * copies)).clamp(1, rows);
    let dx = Disjoint::new(dx);
    cpu.threads.run(rows.div_ceil(per_task), |_, task| {
        for index in task * per_task..((task + 1) * per_task).min(rows) {
            let (source, target) = axes.offsets(index);
            let source = geometry.source_offset as usize + source;
            for copy in 0..copies {
                let add = accumulate || copy > 0;
                let target = geometry.target_offset as usize + target + repeated.offsets(copy).1;
                if row.source == 1 && row.target == 1 {
                    // SAFETY: no element is another row's, and each row is one task's.
                    let dx = unsafe { dx.slice(source, row.extent) };
                    let dy = &dy[target..target + row.extent];
                    if add {
                        dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
                    } else {
                        dx.copy_from_slice(dy);
                    }
                    continue;
                }
                for i in 0..row.extent {
                    // SAFETY: no element is another row's, and each row is one task's.
                    let dx = unsafe { dx.slice(source + i * row.source, 1) };
                    let old = if add { dx[0] } else { 0.0 };
                    dx[0] = old + dy[target + i * row.target];
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

    /// Those that have steps in the source, and those that have not.
    fn apart(self) -> (Self, Self) {
        let mut parts = [(); 2].map(|()| Self { axes: [Axis::default(); MAX_AXES], count: 0 });
        for axis in &self.axes[..self.count] {
            let part = &mut parts[usize::from(axis.source == 0)];
            part.axes[part.count] = *axis;
            part.count += 1;
        }
        parts.into()
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
