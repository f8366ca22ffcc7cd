//! Convolution by every algorithm that takes a shape, deconvolution and im2col.

use kernels::{
    Activation, Backend, ConvAlgorithm, ConvGeometry, Convolution, CpuBackend, Epilogue, MAX_SPATIAL,
};
use proptest::prelude::*;

use crate::support::{buffer, check_cpu, check_op, numbers, output, values, wide};

/// A convolution's shape with channels as (groups, inputs a group, outputs a group) and axes as (input, kernel, stride, pad,
/// dilation); `None` if the kernel has no place.
pub(crate) fn geometry(batch: u32, channels: [u32; 3], axes: &[[u32; 5]]) -> Option<ConvGeometry> {
    // Past the padded image by less than a stride is one place (Caffe).
    let fits = axes.iter().all(|&[i, k, s, p, d]| i + 2 * p + s > d * (k - 1) + 1);
    fits.then(|| unchecked(batch, channels, axes))
}

/// The same for a deconvolution; `None` if the padding leaves nothing.
pub(crate) fn deconvolution_geometry(
    batch: u32,
    channels: [u32; 3],
    axes: &[[u32; 5]],
) -> Option<ConvGeometry> {
    let fits = axes.iter().all(|&[i, k, s, p, d]| s * (i - 1) + d * (k - 1) + 1 > 2 * p);
    fits.then(|| unchecked(batch, channels, axes))
}

fn unchecked(batch: u32, [group, inputs, outputs]: [u32; 3], axes: &[[u32; 5]]) -> ConvGeometry {
    let column = |entry: usize| axes.iter().map(|axis| axis[entry]).collect::<Vec<_>>();
    ConvGeometry::new(batch, [group * inputs, group * outputs], &column(0), &column(1))
        .with_group(group)
        .with_stride(&column(2))
        .with_pad(&column(3))
        .with_dilation(&column(4))
}

/// One axis, or more than two, small enough for the many taps of several.
pub(crate) fn not_images(axes: Vec<[u32; 5]>) -> Vec<[u32; 5]> {
    let axes = if axes.len() == 2 { vec![axes[0]] } else { axes };
    axes.into_iter().map(|[i, k, s, p, d]| [i, k.min(3), s, p.min(1), d]).collect()
}

/// Two equal axes.
pub(crate) fn square(size: u32, kernel: u32, stride: u32, pad: u32) -> [[u32; 5]; 2] {
    [[size, kernel, stride, pad, 1]; 2]
}

/// Every (output position, tap) pair with the input position it sees.
pub(crate) fn pairs(geometry: &ConvGeometry) -> Vec<(usize, usize, usize)> {
    let rank = geometry.rank as usize;
    let output = geometry.output();
    let all = |extents: [u32; MAX_SPATIAL]| -> Vec<Vec<i64>> {
        let mut positions = vec![vec![]];
        for &extent in &extents[..rank] {
            positions = positions
                .into_iter()
                .flat_map(|position| {
                    (0..extent).map(move |next| {
                        let mut longer: Vec<i64> = position.clone();
                        longer.push(i64::from(next));
                        longer
                    })
                })
                .collect();
        }
        positions
    };
    let taps = all(geometry.kernel);
    let mut found = Vec::new();
    for (o, position) in all(output).iter().enumerate() {
        for (t, tap) in taps.iter().enumerate() {
            let seen = (0..rank).try_fold(0, |address, axis| {
                let place = position[axis] * i64::from(geometry.stride[axis])
                    + tap[axis] * i64::from(geometry.dilation[axis])
                    - i64::from(geometry.pad[axis]);
                let extent = i64::from(geometry.input[axis]);
                (0..extent).contains(&place).then_some(address * extent + place)
            });
            if let Some(seen) = seen {
                found.push((o, t, seen as usize));
            }
        }
    }
    found
}

pub(crate) fn pixels(extents: &[u32; MAX_SPATIAL]) -> usize {
    extents.iter().map(|&extent| extent as usize).product()
}

struct Case {
    geometry: ConvGeometry,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    old: Vec<f32>,
}

impl Case {
    fn new(geometry: ConvGeometry, seed: u64) -> Self {
        let (i, o) = (geometry.input_channels as usize, geometry.output_channels as usize);
        let batch = geometry.batch as usize;
        let taps = pixels(&geometry.kernel);
        Self {
            geometry,
            x: numbers(seed, batch * i * pixels(&geometry.input)),
            weights: numbers(seed + 1, o * i / geometry.group as usize * taps),
            bias: numbers(seed + 2, o),
            old: numbers(seed + 3, batch * o * pixels(&geometry.output())),
        }
    }

    /// `relu(conv(x) + bias + old)`, and the largest sum of the products' magnitudes.
    fn reference(&self) -> (Vec<f64>, f64) {
        let g = &self.geometry;
        let (inputs, outputs) =
            ((g.input_channels / g.group) as usize, (g.output_channels / g.group) as usize);
        let (in_pixels, out_pixels) = (pixels(&g.input), pixels(&g.output()));
        let taps = pixels(&g.kernel);
        let pairs = pairs(g);
        let mut y: Vec<f64> = wide(&self.old);
        let mut size = vec![0.0; y.len()];
        for image in 0..g.batch as usize {
            for o in 0..g.output_channels as usize {
                let start = (image * g.output_channels as usize + o) * out_pixels;
                y[start..start + out_pixels].iter_mut().for_each(|y| *y += f64::from(self.bias[o]));
                for c in 0..inputs {
                    let channel = image * g.input_channels as usize + o / outputs * inputs + c;
                    for &(pixel, tap, seen) in &pairs {
                        let product = f64::from(self.x[channel * in_pixels + seen])
                            * f64::from(self.weights[(o * inputs + c) * taps + tap]);
                        y[start + pixel] += product;
                        size[start + pixel] += product.abs();
                    }
                }
            }
        }
        (y.into_iter().map(|y| y.max(0.0)).collect(), size.into_iter().fold(1.0, f64::max))
    }

    fn run_by(&self, cpu: &CpuBackend, algorithm: ConvAlgorithm) -> Vec<f32> {
        let weights = buffer(cpu, &self.weights);
        self.forward(cpu, &cpu.convolution_prepare_with(algorithm, &self.geometry, &weights).unwrap())
    }

    fn run(&self, cpu: &dyn Backend) -> Vec<f32> {
        let weights = buffer(cpu, &self.weights);
        self.forward(cpu, &cpu.convolution_prepare(&self.geometry, &weights).unwrap())
    }

    fn forward(&self, cpu: &dyn Backend, prepared: &Convolution) -> Vec<f32> {
        let mut y = buffer(cpu, &self.old);
        let mut workspace = output(cpu, prepared.workspace_len());
        let bias = buffer(cpu, &self.bias);
        let epilogue = Epilogue { bias: Some(&bias), accumulate: true, activation: Activation::Relu };
        cpu.convolution_forward(prepared, &buffer(cpu, &self.x), &epilogue, &mut y, &mut workspace).unwrap();
        values(cpu, &y, self.old.len())
    }

    fn check_all(&self) {
        let (expected, size) = self.reference();
        for algorithm in ConvAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.supports(&self.geometry))
        {
            // Winograd's transforms amplify rounding.
            let unit = if algorithm == ConvAlgorithm::Winograd { 2e-6 } else { 2e-7 };
            check_cpu(&expected, unit * size, 2e-6, |cpu| self.run_by(cpu, algorithm));
        }
        check_op("convolution_forward", &expected, 2e-6 * size, 2e-6, |cpu| self.run(cpu));
    }
}

pub(crate) fn axis(largest: u32) -> impl Strategy<Value = [u32; 5]> {
    (1..=largest, 1..=5u32, 1..=4u32, 0..=3u32, 1..=3u32)
        .prop_map(|(input, kernel, stride, pad, dilation)| [input, kernel, stride, pad, dilation])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn images(
        batch in 1..=3u32,
        channels in (1..=3u32, 1..=6u32, 1..=14u32),
        axes in (axis(20), axis(20)),
        seed in any::<u64>(),
    ) {
        let shape = geometry(batch, channels.into(), &[axes.0, axes.1]);
        prop_assume!(shape.is_some());
        Case::new(shape.unwrap(), seed).check_all();
    }

    #[test]
    fn three_by_three(
        batch in 1..=3u32,
        channels in (1..=2u32, 1..=20u32, 1..=20u32),
        size in (1..=30u32, 1..=30u32),
        pad in 0..=2u32,
        seed in any::<u64>(),
    ) {
        let shape = geometry(batch, channels.into(), &[[size.0, 3, 1, pad, 1], [size.1, 3, 1, pad, 1]]);
        prop_assume!(shape.is_some());
        Case::new(shape.unwrap(), seed).check_all();
    }

    #[test]
    fn one_by_one(
        batch in 1..=4u32,
        channels in (1..=3u32, 1..=300u32, 1..=40u32),
        size in (1..=9u32, 1..=9u32),
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
    fn im2col(batch in 1..=2u32, channels in 1..=3u32, axes in (axis(9), axis(9)), seed in any::<u64>()) {
        let shape = geometry(batch, [1, channels, 1], &[axes.0, axes.1]);
        prop_assume!(shape.is_some());
        check_im2col(&shape.unwrap(), seed);
    }
}

/// Large enough for several blocks of rows, columns and depth.
#[test]
fn large_shapes() {
    for (batch, channels, axes) in [
        (1, [1, 3, 96], square(67, 11, 4, 0)),
        (1, [2, 48, 64], square(27, 5, 1, 2)),
        (3, [1, 70, 50], square(13, 3, 1, 1)),
        (1, [1, 64, 96], square(14, 3, 1, 1)),
        (2, [1, 300, 130], square(7, 1, 1, 0)),
        (1, [1, 16, 24], square(64, 3, 1, 1)),
        (1, [1, 40, 30], square(29, 3, 2, 1)),
        (1, [1, 40, 30], square(29, 1, 2, 0)),
    ] {
        Case::new(geometry(batch, channels, &axes).unwrap(), 7).check_all();
    }
}

fn check_deconvolution(shape: &ConvGeometry, seed: u64) {
    let (inputs, outputs) =
        ((shape.input_channels / shape.group) as usize, (shape.output_channels / shape.group) as usize);
    let mirror = ConvGeometry {
        input_channels: shape.output_channels,
        output_channels: shape.input_channels,
        input: shape.deconvolution_output(),
        ..*shape
    };
    let (in_pixels, out_pixels, taps) = (pixels(&shape.input), pixels(&mirror.input), pixels(&shape.kernel));
    let batch = shape.batch as usize;
    let x = numbers(seed, batch * shape.input_channels as usize * in_pixels);
    let weights = numbers(seed + 1, shape.input_channels as usize * outputs * taps);
    let bias = numbers(seed + 2, shape.output_channels as usize);
    let len = batch * shape.output_channels as usize * out_pixels;
    let pairs = pairs(&mirror);
    let mut expected = vec![0.0; len];
    for image in 0..batch {
        for o in 0..shape.output_channels as usize {
            let y = &mut expected[(image * shape.output_channels as usize + o) * out_pixels..][..out_pixels];
            y.fill(f64::from(bias[o]));
            for c in 0..inputs {
                let channel = o / outputs * inputs + c;
                let x = &x[(image * shape.input_channels as usize + channel) * in_pixels..][..in_pixels];
                for &(from, tap, to) in &pairs {
                    let weight = weights[(channel * outputs + o % outputs) * taps + tap];
                    y[to] += f64::from(x[from]) * f64::from(weight);
                }
            }
        }
    }
    check_op("deconvolution_forward", &expected, 1e-5, 1e-6, |cpu| {
        let prepared = cpu.deconvolution_prepare(shape, &buffer(cpu, &weights)).unwrap();
        let (mut y, mut workspace) = (output(cpu, len), output(cpu, prepared.workspace_len()));
        let bias = buffer(cpu, &bias);
        let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
        cpu.deconvolution_forward(&prepared, &buffer(cpu, &x), &epilogue, &mut y, &mut workspace).unwrap();
        values(cpu, &y, len)
    });
}

fn check_im2col(shape: &ConvGeometry, seed: u64) {
    let planes = (shape.batch * shape.input_channels) as usize;
    let (in_pixels, out_pixels, taps) =
        (pixels(&shape.input), pixels(&shape.output()), pixels(&shape.kernel));
    let x = numbers(seed, planes * in_pixels);
    let mut expected = vec![0.0; planes * taps * out_pixels];
    for plane in 0..planes {
        for (pixel, tap, seen) in pairs(shape) {
            expected[(plane * taps + tap) * out_pixels + pixel] = f64::from(x[plane * in_pixels + seen]);
        }
    }
    check_op("im2col", &expected, 0.0, 0.0, |cpu| {
        let mut y = output(cpu, expected.len());
        cpu.im2col(shape, &buffer(cpu, &x), &mut y).unwrap();
        values(cpu, &y, expected.len())
    });
}

/// Blobs must agree with real Caffe's within 1e-5 of their size: Winograd's rounding, on weights and activations of the
/// size that nets have, stays well below that.
#[test]
fn winograd_is_accurate_enough() {
    for channels in [32, 256] {
        let mut case = Case::new(geometry(1, [1, channels, 16], &[[14, 3, 1, 1, 1]; 2]).unwrap(), 3);
        // The spread of He's initialisation, and inputs that are not negative.
        let scale = (6.0 / (9.0 * channels as f32)).sqrt();
        case.weights = case.weights.iter().map(|weight| weight * scale).collect();
        case.x = case.x.iter().map(|x| x.max(0.0)).collect();
        case.bias.fill(0.0);
        case.old.fill(0.0);
        let (expected, _) = case.reference();
        let largest = expected.iter().copied().fold(0.0, f64::max);
        let error = |algorithm| {
            let found = case.run_by(&CpuBackend::new(1).unwrap(), algorithm);
            let differences =
                found.iter().zip(&expected).map(|(&found, expected)| (f64::from(found) - expected).abs());
            differences.fold(0.0, f64::max) / largest
        };
        let [winograd, plain] = [ConvAlgorithm::Winograd, ConvAlgorithm::ImplicitGemm].map(error);
        println!(
            "{channels} channels: largest error / largest value {winograd:.1e}, implicit GEMM {plain:.1e}"
        );
        assert!(winograd < 4e-6 && plain < 5e-7);
    }
}
