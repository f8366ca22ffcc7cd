//! Bilinear resizing, and unpooling by a mask.

use super::CpuBackend;
use crate::geometry::InterpGeometry;

/// Corners on corners: output row `i` lies at input row `i · (H − 1) / (H' − 1)`.
pub(crate) fn interp(cpu: &CpuBackend, geometry: &InterpGeometry, x: &[f32], y: &mut [f32]) {
    let [height, width] = geometry.input.map(|extent| extent as usize);
    let [out_height, out_width] = geometry.output.map(|extent| extent as usize);
    cpu.threads.chunks(y, out_width, 8, |index, y| {
        let (plane, row) = (index / out_height, index % out_height);
        let x = &x[plane * height * width..][..height * width];
        let (top, below, down) = position(row, height, out_height);
        let (upper, lower) = (&x[top * width..][..width], &x[below * width..][..width]);
        for (column, y) in y.iter_mut().enumerate() {
            let (left, right, across) = position(column, width, out_width);
            let above = (1.0 - across) * upper[left] + across * upper[right];
            let under = (1.0 - across) * lower[left] + across * lower[right];
            *y = (1.0 - down) * above + down * under;
        }
    });
}

/// Puts element i of each plane of x at place `mask[i]` of a plane of y, which is zero elsewhere.
pub(crate) fn unpool(cpu: &CpuBackend, [from, to]: [usize; 2], x: &[f32], mask: &[f32], y: &mut [f32]) {
    cpu.threads.chunks(y, to, 1, |plane, y| {
        y.fill(0.0);
        let start = plane * from;
        for (&x, &place) in x[start..start + from].iter().zip(&mask[start..start + from]) {
            if place >= 0.0 && (place as usize) < to {
                y[place as usize] = x;
            }
        }
    });
}

/// The gradient of [`interp`]: each output pixel's to the four that it lies between.
pub(crate) fn interp_backward(cpu: &CpuBackend, geometry: &InterpGeometry, dy: &[f32], dx: &mut [f32]) {
    let [height, width] = geometry.input.map(|extent| extent as usize);
    let [out_height, out_width] = geometry.output.map(|extent| extent as usize);
    let cost = 1 + 8 * out_height * out_width / (height * width);
    cpu.threads.chunks(dx, height * width, cost, |plane, dx| {
        dx.fill(0.0);
        let dy = &dy[plane * out_height * out_width..][..out_height * out_width];
        for (row, dy) in dy.chunks_exact(out_width.max(1)).enumerate() {
            let (top, below, down) = position(row, height, out_height);
            for (column, &dy) in dy.iter().enumerate() {
                let (left, right, across) = position(column, width, out_width);
                dx[top * width + left] += (1.0 - down) * (1.0 - across) * dy;
                dx[top * width + right] += (1.0 - down) * across * dy;
                dx[below * width + left] += down * (1.0 - across) * dy;
                dx[below * width + right] += down * across * dy;
            }
        }
    });
}

/// The gradient of [`unpool`]: element i gets that of place `mask[i]`.
pub(crate) fn unpool_backward(
    cpu: &CpuBackend,
    [from, to]: [usize; 2],
    mask: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    cpu.threads.chunks(dx, from, 1, |plane, dx| {
        let dy = &dy[plane * to..][..to];
        for (dx, &place) in dx.iter_mut().zip(&mask[plane * from..]) {
            *dx = if place >= 0.0 { dy.get(place as usize).copied().unwrap_or(0.0) } else { 0.0 };
        }
    });
}

/// The two neighbours of an output position, and the second's share.
fn position(index: usize, size: usize, out_size: usize) -> (usize, usize, f32) {
    if out_size < 2 {
        return (0, 0, 0.0);
    }
    let place = index as f32 * ((size - 1) as f32 / (out_size - 1) as f32);
    let first = (place as usize).min(size - 1);
    (first, (first + 1).min(size - 1), place - first as f32)
}
