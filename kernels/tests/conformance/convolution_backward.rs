//! Gradients of convolution and deconvolution, and packing other weights in place of the old.

use kernels::prelude::*;
use kernels::{ConvAlgorithm, ConvGeometry, CpuBackend, Epilogue};
use proptest::prelude::*;

use crate::convolution::{axis, deconvolution_geometry, geometry, not_images, pairs, pixels, square};
use crate::support::{buffer, check, check_op, numbers, output, values, wide};

/// A convolution's operands, and the gradients by the definition.
struct Case {
    geometry: ConvGeometry,
    x: Vec<f32>,
    dy: Vec<f32>,
    weights: Vec<f32>,
    /// What dx and dw hold before.
    old: [Vec<f32>; 2],
}

impl Case {
    fn new(geometry: ConvGeometry, seed: u64) -> Self {
        let (batch, taps) = (geometry.batch as usize, pixels(&geometry.kernel));
        let (i, o) = (geometry.input_channels as usize, geometry.output_channels as usize);
        let (x_len, w_len) = (batch * i * pixels(&geometry.input), o * i / geometry.group as usize * taps);
        Self {
            geometry,
            x: numbers(seed, x_len),
            dy: numbers(seed + 1, batch * o * pixels(&geometry.output())),
            weights: numbers(seed + 2, w_len),
            old: [numbers(seed + 3, x_len), numbers(seed + 4, w_len)],
        }
    }

    /// `(∂/∂x, ∂/∂w) Σ dy · y`, and the most terms in a sum.
    fn reference(&self) -> ([Vec<f64>; 2], f64) {
        let g = &self.geometry;
        let (inputs, outputs) =
            ((g.input_channels / g.group) as usize, (g.output_channels / g.group) as usize);
        let (in_pixels, out_pixels) = (pixels(&g.input), pixels(&g.output()));
        let taps = pixels(&g.kernel);
        let pairs = pairs(g);
        let (x, dy, weights) = (wide(&self.x), wide(&self.dy), wide(&self.weights));
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
        for image in 0..g.batch as usize {
            for o in 0..g.output_channels as usize {
                let plane = (image * g.output_channels as usize + o) * out_pixels;
                for c in 0..inputs {
                    let channel = image * g.input_channels as usize + o / outputs * inputs + c;
                    for &(pixel, tap, seen) in &pairs {
                        let weight = (o * inputs + c) * taps + tap;
                        let place = channel * in_pixels + seen;
                        dx[place] += weights[weight] * dy[plane + pixel];
                        dw[weight] += x[place] * dy[plane + pixel];
                    }
                }
            }
        }
        ([dx, dw], (outputs * taps).max(g.batch as usize * out_pixels) as f64)
    }

    fn data(&self, cpu: &dyn Backend, accumulate: bool) -> Vec<f32> {
        // Packed for other weights first.
        let other = buffer(cpu, &vec![f32::NAN; self.weights.len()]);
        let mut prepared = cpu.convolution_backward_data_prepare(&self.geometry, &other).unwrap();
        cpu.convolution_backward_data_repack(&mut prepared, &buffer(cpu, &self.weights)).unwrap();
        let mut dx = if accumulate { buffer(cpu, &self.old[0]) } else { output(cpu, self.x.len()) };
        let mut workspace = output(cpu, prepared.workspace_len());
        let dy = buffer(cpu, &self.dy);
        cpu.convolution_backward_data(&prepared, &dy, accumulate, &mut dx, &mut workspace).unwrap();
        values(cpu, &dx, self.x.len())
    }

    fn filter(&self, cpu: &dyn Backend, accumulate: bool) -> Vec<f32> {
        let mut dw = if accumulate { buffer(cpu, &self.old[1]) } else { output(cpu, self.weights.len()) };
        let len = cpu.convolution_backward_filter_workspace_len(&self.geometry);
        let (x, dy, mut workspace) = (buffer(cpu, &self.x), buffer(cpu, &self.dy), output(cpu, len));
        cpu.convolution_backward_filter(&self.geometry, &x, &dy, accumulate, &mut dw, &mut workspace)
            .unwrap();
        values(cpu, &dw, self.weights.len())
    }

    fn check_all(&self) {
        let ([dx, dw], terms) = self.reference();
        let absolute = 4e-6 * (1.0 + terms.sqrt());
        check_op("convolution_backward_data", &dx, absolute, 2e-6, |cpu| self.data(cpu, false));
        check_op("convolution_backward_data", &sum(&dx, &self.old[0]), absolute, 2e-6, |cpu| {
            self.data(cpu, true)
        });
        check_op("convolution_backward_filter", &dw, absolute, 2e-6, |cpu| self.filter(cpu, false));
        check_op("convolution_backward_filter", &sum(&dw, &self.old[1]), absolute, 2e-6, |cpu| {
            self.filter(cpu, true)
        });
    }
}

fn sum(a: &[f64], b: &[f32]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, &b)| a + f64::from(b)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn images(
        batch in 1..=3u32,
        channels in (1..=3u32, 1..=20u32, 1..=20u32),
        axes in (axis(20), axis(20)),
        seed in any::<u64>(),
    ) {
        let shape = geometry(batch, channels.into(), &[axes.0, axes.1]);
        prop_assume!(shape.is_some());
        Case::new(shape.unwrap(), seed).check_all();
    }

    #[test]
    fn stride_one(
        batch in 1..=3u32,
        channels in (1..=2u32, 1..=20u32, 1..=20u32),
        size in (1..=20u32, 1..=20u32),
        kernel in 1..=3u32,
        pad in 0..=2u32,
        seed in any::<u64>(),
    ) {
        let axes = [[size.0, kernel, 1, pad, 1], [size.1, kernel, 1, pad, 1]];
        let shape = geometry(batch, channels.into(), &axes);
        prop_assume!(shape.is_some());
        Case::new(shape.unwrap(), seed).check_all();
    }

    /// Steps with and without a divisor in common with the dilation, kernels and images smaller than a step: pixels that meet
    /// some taps, or none.
    #[test]
    fn strides(
        batch in 1..=2u32,
        channels in (1..=2u32, 1..=9u32, 1..=9u32),
        axes in prop::collection::vec((1..=15u32, 1..=5u32, 1..=9u32, 0..=9u32, 1..=6u32), 1..=3),
        seed in any::<u64>(),
    ) {
        let small = axes.len() > 2;
        let axes: Vec<_> =
            axes.into_iter().map(|(i, k, s, p, d)| if small { [i.min(6), k.min(3), s, p, d] } else { [i, k, s, p, d] }).collect();
        let shape = geometry(batch, channels.into(), &axes);
        prop_assume!(shape.is_some());
        Case::new(shape.unwrap(), seed).check_all();
    }

    #[test]
    fn one_by_one(
        batch in 1..=4u32,
        channels in (1..=3u32, 1..=100u32, 1..=40u32),
        size in (1..=20u32, 1..=20u32),
        stride in 1..=2u32,
        seed in any::<u64>(),
    ) {
        let shape = geometry(batch, channels.into(), &[[size.0, 1, stride, 0, 1], [size.1, 1, stride, 0, 1]]);
        Case::new(shape.unwrap(), seed).check_all();
    }

    #[test]
    fn depthwise(
        batch in 1..=2u32,
        channels in (1..=8u32, 1..=3u32),
        axes in (axis(20), axis(40)),
        seed in any::<u64>(),
    ) {
        let shape = geometry(batch, [channels.0, 1, channels.1], &[axes.0, axes.1]);
        prop_assume!(shape.is_some());
        Case::new(shape.unwrap(), seed).check_all();
    }

    #[test]
    fn other_ranks(
        batch in 1..=2u32,
        channels in (1..=2u32, 1..=3u32, 1..=8u32),
        axes in prop::collection::vec(axis(6), 1..=4),
        seed in any::<u64>(),
    ) {
        let shape = geometry(batch, channels.into(), &not_images(axes));
        prop_assume!(shape.is_some());
        Case::new(shape.unwrap(), seed).check_all();
    }

    #[test]
    fn deconvolution(
        batch in 1..=2u32,
        channels in (1..=3u32, 1..=5u32, 1..=6u32),
        axes in prop::collection::vec(axis(6), 1..=3),
        seed in any::<u64>(),
    ) {
        let shape = deconvolution_geometry(batch, channels.into(), &axes);
        prop_assume!(shape.is_some());
        check_deconvolution(&shape.unwrap(), seed);
    }

    #[test]
    fn other_weights(
        channels in (1..=2u32, 1..=14u32, 1..=14u32),
        axes in (axis(12), axis(12)),
        square in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let axes = if square { [[9, 3, 1, 1, 1]; 2] } else { [axes.0, axes.1] };
        let shape = geometry(1, channels.into(), &axes);
        prop_assume!(shape.is_some());
        check_repacking(&Case::new(shape.unwrap(), seed));
    }
}

/// Several panels, blocks of rows, pieces of the sums, and images laid out at several times.
#[test]
fn large_shapes() {
    for (batch, channels, axes) in [
        (2, [1, 3, 40], square(67, 11, 4, 0)),
        (2, [2, 48, 40], square(27, 5, 1, 2)),
        (3, [1, 70, 50], square(13, 3, 1, 1)),
        (10, [1, 64, 8], square(33, 3, 1, 1)),
        (2, [1, 300, 30], square(17, 1, 1, 0)),
        (2, [1, 20, 130], square(17, 1, 1, 0)),
        (1, [1, 40, 30], square(29, 3, 2, 1)),
        (1, [1, 40, 30], square(29, 1, 2, 0)),
        // Large tiles of phases, and sums that are cut into parts.
        (2, [2, 70, 90], [[23, 4, 2, 1, 1], [24, 3, 2, 2, 1]]),
        (1, [1, 9, 200], square(14, 7, 2, 3)),
        // Sums over the pixels of several images, in several parts.
        (5, [2, 70, 66], square(9, 1, 1, 0)),
        (33, [1, 12, 80], square(7, 1, 1, 0)),
        (40, [2, 7, 8], square(1, 1, 1, 0)),
        (300, [1, 8, 68], square(1, 1, 1, 0)),
        // A tap that no output finds inside the image.
        (1, [2, 1, 1], [[2, 1, 2, 0, 1], [7, 5, 1, 3, 3]]),
        // Rows long enough, and outputs few enough, for channels last.
        (2, [1, 20, 40], square(17, 5, 1, 2)),
    ] {
        Case::new(geometry(batch, channels, &axes).unwrap(), 7).check_all();
    }
}

/// The gradients are those of the convolution with x and dy exchanged.
fn check_deconvolution(shape: &ConvGeometry, seed: u64) {
    let case = Case::new(shape.transposed(), seed);
    let ([_, dw], terms) = case.reference();
    let absolute = 4e-6 * (1.0 + terms.sqrt());
    check_op("deconvolution_backward_filter", &dw, absolute, 2e-6, |cpu| {
        let mut dw = output(cpu, case.weights.len());
        let mut workspace = output(cpu, cpu.deconvolution_backward_filter_workspace_len(shape));
        let (x, dy) = (buffer(cpu, &case.dy), buffer(cpu, &case.x));
        cpu.deconvolution_backward_filter(shape, &x, &dy, false, &mut dw, &mut workspace).unwrap();
        values(cpu, &dw, case.weights.len())
    });
    // What a convolution gives, its own test checks.
    for accumulate in [false, true] {
        let expected = wide(&convolution(&CpuBackend::new(1).unwrap(), &case, accumulate));
        check(&expected, absolute, 2e-6, |cpu| {
            let other = output(cpu, case.weights.len());
            let mut prepared = cpu.deconvolution_backward_data_prepare(shape, &other).unwrap();
            cpu.convolution_backward_data_repack(&mut prepared, &buffer(cpu, &case.weights)).unwrap();
            let mut workspace = output(cpu, prepared.workspace_len());
            let (dy, mut dx) = (buffer(cpu, &case.x), buffer(cpu, &case.dy));
            cpu.convolution_backward_data(&prepared, &dy, accumulate, &mut dx, &mut workspace).unwrap();
            values(cpu, &dx, case.dy.len())
        });
    }
}

fn convolution(cpu: &CpuBackend, case: &Case, accumulate: bool) -> Vec<f32> {
    let weights = buffer(cpu, &case.weights);
    let prepared =
        cpu.convolution_prepare_with(ConvAlgorithm::ImplicitGemm, &case.geometry, &weights).unwrap();
    let (x, mut y) = (buffer(cpu, &case.x), buffer(cpu, &case.dy));
    let mut workspace = output(cpu, prepared.workspace_len());
    let epilogue = Epilogue { accumulate, ..Epilogue::default() };
    cpu.convolution_forward(&prepared, &x, &epilogue, &mut y, &mut workspace).unwrap();
    values(cpu, &y, case.dy.len())
}

/// Packed again, a convolution has the bits of one packed anew.
fn check_repacking(case: &Case) {
    for algorithm in ConvAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.supports(&case.geometry)) {
        let run = |cpu: &CpuBackend, first: &[f32]| {
            let first = buffer(cpu, first);
            let mut prepared = cpu.convolution_prepare_with(algorithm, &case.geometry, &first).unwrap();
            cpu.convolution_repack(&mut prepared, &buffer(cpu, &case.weights)).unwrap();
            let (x, mut y) = (buffer(cpu, &case.x), output(cpu, case.dy.len()));
            let mut workspace = output(cpu, prepared.workspace_len());
            cpu.convolution_forward(&prepared, &x, &Epilogue::default(), &mut y, &mut workspace).unwrap();
            values(cpu, &y, case.dy.len())
        };
        let other = vec![f32::NAN; case.weights.len()];
        for threads in [1, 3] {
            let cpu = CpuBackend::new(threads).unwrap();
            assert_eq!(run(&cpu, &case.weights), run(&cpu, &other), "{algorithm:?}");
        }
    }
}
