//! Windows laid out as columns, for whoever wants to see them: convolution does without.

use super::CpuBackend;
use super::conv::Shape;
use super::deconv::scatter;
use crate::geometry::ConvGeometry;

/// y is N×(C·taps)×output pixels; row `c · taps + tap` is channel c as one tap sees it.
pub(crate) fn forward(cpu: &CpuBackend, geometry: &ConvGeometry, x: &[f32], y: &mut [f32]) {
    let shape = Shape::new(geometry);
    cpu.threads.chunks(y, shape.output_pixels, 4, |index, y| {
        let (plane, tap) = (index / shape.taps, index % shape.taps);
        let x = &x[plane * shape.input_pixels..][..shape.input_pixels];
        let offsets = shape.coordinates(&shape.kernel, tap);
        for (pixel, y) in y.iter_mut().enumerate() {
            *y = shape.seen(&shape.coordinates(&shape.output, pixel), &offsets).map_or(0.0, |seen| x[seen]);
        }
    });
}

/// The gradient of [`forward`], Caffe's col2im: each pixel gets the sum of its copies'.
pub(crate) fn backward(cpu: &CpuBackend, geometry: &ConvGeometry, dy: &[f32], dx: &mut [f32]) {
    let shape = Shape::new(geometry);
    cpu.threads.chunks(dx, shape.input_pixels, shape.taps, |plane, dx| {
        dx.fill(0.0);
        for tap in 0..shape.taps {
            let copies = &dy[(plane * shape.taps + tap) * shape.output_pixels..][..shape.output_pixels];
            scatter(&shape, tap, copies, dx);
        }
    });
}
