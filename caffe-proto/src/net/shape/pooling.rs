//! Pooling and pyramids of it.

use super::dims::{self, text};
use super::{Found, tops};
use crate::net::params::{PoolingParams, Rounding, SppParams};
use crate::net::resolve::check_pad;

/// N×C×H×W → N×C×H'×W' with H' = ⌈(H + 2p − k) / s⌉ + 1, or ⌊…⌋; with padding, a last window that would begin behind
/// the image is dropped.
pub(super) fn pooling(p: &PoolingParams, bottom: &[usize], top_count: usize) -> Found {
    tops(vec![pooled(p, bottom)?; top_count])
}

/// N×C×H×W → N×(C·bins), level by level 1×1, 2×2, 4×4… bins; a pyramid of one level is a global pooling, N×C×1×1.
pub(super) fn spp(p: &SppParams, bottom: &[usize]) -> Found {
    let [_, _, height, width] = dims::image(bottom)?;
    dims::some_values(&[height, width], bottom)?;
    let mut columns: usize = 0;
    for level in 0..p.pyramid_height {
        let params = level_params(p, level, [height, width]);
        let fault = |what| format!("level {level} of its pyramid does not fit {height}×{width}: {what}");
        check_pad(&params).map_err(fault)?;
        let top = pooled(&params, bottom).map_err(fault)?;
        if p.pyramid_height == 1 {
            return tops(vec![top]);
        }
        columns = columns.saturating_add(dims::count(&top[1..]));
    }
    tops(vec![vec![bottom[0], columns]])
}

/// The pooling that cuts an image into 2^level × 2^level bins: the smallest window that reaches over it, padded.
fn level_params(p: &SppParams, level: usize, image: [usize; 2]) -> PoolingParams {
    // A level past 2³¹ bins fails like this one, its pad being no smaller than its window.
    let bins = 1_usize << level.min(32);
    let kernel = image.map(|extent| extent.div_ceil(bins));
    let pad = [0, 1].map(|axis| (kernel[axis] * bins - image[axis]).div_ceil(2));
    PoolingParams { method: p.method, kernel: Some(kernel), stride: kernel, pad, rounding: Rounding::Ceil }
}

fn pooled(p: &PoolingParams, bottom: &[usize]) -> Result<Vec<usize>, String> {
    let [num, channels, height, width] = dims::image(bottom)?;
    let image = [height, width];
    let kernel = p.kernel.unwrap_or(image);
    if kernel.contains(&0) {
        return Err(format!("its bottom of shape {} has no values to pool", text(bottom)));
    }
    let padded = p.pad != [0, 0];
    let mut top = vec![num, channels];
    for axis in [0, 1] {
        let [input, window, stride, pad] =
            [image[axis], kernel[axis], p.stride[axis], p.pad[axis]].map(|value| value as i64);
        // In 32-bit floats, as Caffe does it: exact for images of up to 2²⁴.
        let steps = (input + 2 * pad - window) as f32 / stride as f32;
        let steps = match p.rounding {
            Rounding::Ceil => steps.ceil(),
            Rounding::Floor => steps.floor(),
        };
        let mut output = steps as i64 + 1;
        if padded && (output - 1) * stride >= input + pad {
            output -= 1;
        }
        if padded && (output - 1) * stride >= input + pad {
            return Err(format!("a stride of {stride} steps over its bottom of shape {}", text(bottom)));
        }
        top.push(dims::from_signed(output, || {
            format!("its window spans {window} of axis {}, where the bottom has {input} and {pad} of padding on each side", axis + 2)
        })?);
    }
    Ok(top)
}
