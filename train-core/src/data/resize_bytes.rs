//! Images of bytes in another size, as OpenCV does it for Caffe: `cv::resize` with INTER_LINEAR.
//!
//! Weights are whole numbers, of 2048. An image of exactly twice the size in both directions is averaged instead.

use super::pixels::{Layout, Pixels};

/// One is this much.
const ONE: f32 = 2048.0;

/// The two pixels that a new one lies between on one axis.
#[derive(Clone, Copy)]
struct Taps {
    pixels: [usize; 2],
    weights: [i32; 2],
}

/// The image, kept pixel by pixel, with `dims` rows and columns.
///
/// # Panics
/// When it is kept channel by channel.
pub(super) fn resized(image: Pixels<'static>, dims: [usize; 2]) -> Pixels<'static> {
    assert_eq!(image.layout, Layout::Interleaved, "layout of the image");
    let [channels, height, width] = image.shape;
    let bytes = if [height, width] == dims {
        return image;
    } else if [height, width] == dims.map(|size| 2 * size) {
        halved(&image.bytes, width * channels, channels)
    } else {
        linear(&image, dims)
    };
    Pixels { shape: [channels, dims[0], dims[1]], bytes: bytes.into(), layout: Layout::Interleaved }
}

fn halved(bytes: &[u8], row: usize, channels: usize) -> Vec<u8> {
    let mut halved = Vec::with_capacity(bytes.len() / 4);
    for rows in bytes.chunks_exact(2 * row) {
        let (upper, lower) = rows.split_at(row);
        for (upper, lower) in upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels)) {
            for channel in 0..channels {
                let four =
                    [upper[channel], upper[channel + channels], lower[channel], lower[channel + channels]];
                halved.push(((four.into_iter().map(u32::from).sum::<u32>() + 2) >> 2) as u8);
            }
        }
    }
    halved
}

fn linear(image: &Pixels<'_>, dims: [usize; 2]) -> Vec<u8> {
    let [channels, height, width] = image.shape;
    let columns = taps(width, dims[1], true);
    let across = |row: usize| {
        let row = &image.bytes[row * width * channels..][..width * channels];
        let mut values = Vec::with_capacity(dims[1] * channels);
        for Taps { pixels: [first, second], weights } in &columns {
            for channel in 0..channels {
                let [first, second] = [first, second].map(|at| i32::from(row[at * channels + channel]));
                values.push(first * weights[0] + second * weights[1]);
            }
        }
        values
    };
    let mut bytes = Vec::with_capacity(dims[0] * dims[1] * channels);
    // The rows that were made last, as most are needed again.
    let mut kept: [(usize, Vec<i32>); 2] = [(usize::MAX, Vec::new()), (usize::MAX, Vec::new())];
    for Taps { pixels: [first, second], weights } in taps(height, dims[0], false) {
        if kept[1].0 == first {
            kept.swap(0, 1);
        }
        for (kept, row) in kept.iter_mut().zip([first, second]) {
            if kept.0 != row {
                *kept = (row, across(row));
            }
        }
        let between = kept[0].1.iter().zip(&kept[1].1).map(|(&upper, &lower)| {
            let parts = ((weights[0] * (upper >> 4)) >> 16) + ((weights[1] * (lower >> 4)) >> 16);
            ((parts + 2) >> 2).clamp(0, 255) as u8
        });
        bytes.extend(between);
    }
    bytes
}

/// Outside the first and last pixels' centres, OpenCV takes those once on the way across, and both times on the way down:
/// the weights are rounded, so that it makes a difference.
fn taps(from: usize, to: usize, across: bool) -> Vec<Taps> {
    let step = from as f64 / to as f64;
    let last = from - 1;
    let tap = |at: usize| {
        let place = ((at as f64 + 0.5) * step - 0.5) as f32;
        let first = place.floor();
        let is_outside = first < 0.0 || first as usize >= last;
        let weight = if across && is_outside { 0.0 } else { place - first };
        let weights = [1.0 - weight, weight].map(|weight| (weight * ONE).round_ties_even() as i32);
        let pixel = |at: f32| (at.max(0.0) as usize).min(last);
        Taps { pixels: [pixel(first), pixel(first + 1.0)], weights }
    };
    (0..to).map(tap).collect()
}
