//! Pooling, unpooling and local response normalization.

use kernels::{Backend, LrnGeometry, LrnRegion, PoolGeometry, PoolMethod, Random, Rounding, clock};
use proptest::prelude::*;

use crate::support::{PASS, buffer, check, check_op, drawn, numbers, output, values, wide};

/// One axis of a window, clipped to the image, and its extent with padding.
fn window(index: u32, [input, kernel, stride, pad]: [u32; 4]) -> (std::ops::Range<usize>, f64) {
    let [input, kernel, stride, pad] = [input, kernel, stride, pad].map(i64::from);
    let start = i64::from(index) * stride - pad;
    let end = (start + kernel).min(input + pad);
    let from = start.clamp(0, input);
    (from as usize..end.clamp(from, input) as usize, (end - start) as f64)
}

/// Values and places, by the definition.
fn reference(geometry: &PoolGeometry, x: &[f32], random: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let width = geometry.input[1] as usize;
    let plane_len = geometry.input[0] as usize * width;
    let axis = |a: usize| [geometry.input[a], geometry.kernel[a], geometry.stride[a], geometry.pad[a]];
    let (mut y, mut mask) = (Vec::new(), Vec::new());
    for plane in x.chunks_exact(plane_len) {
        for row in 0..geometry.output[0] {
            for column in 0..geometry.output[1] {
                let (rows, height) = window(row, axis(0));
                let (columns, span) = window(column, axis(1));
                let places: Vec<usize> =
                    rows.flat_map(|row| columns.clone().map(move |column| row * width + column)).collect();
                let at = |place: usize| f64::from(plane[place]);
                let sum: f64 = places.iter().map(|&place| at(place)).sum();
                let (value, place) = match geometry.method {
                    PoolMethod::Max => places.iter().fold((f64::from(f32::MIN), -1.0), |best, &place| {
                        if at(place) > best.0 { (at(place), place as f64) } else { best }
                    }),
                    PoolMethod::Average => (sum / (height * span), 0.0),
                    PoolMethod::StochasticTest => {
                        let squares: f64 = places.iter().map(|&place| at(place) * at(place)).sum();
                        (if sum > 0.0 { squares / sum } else { 0.0 }, 0.0)
                    }
                    PoolMethod::StochasticTrain => {
                        // As it is rounded; the sum is exact.
                        let threshold = f64::from(random[y.len()] * sum as f32);
                        let mut running = 0.0;
                        let chosen = places.iter().find(|&&place| {
                            running += at(place);
                            running >= threshold
                        });
                        let chosen = chosen.or(places.last());
                        chosen.map_or((0.0, -1.0), |&place| (at(place), place as f64))
                    }
                };
                y.push(value);
                mask.push(place);
            }
        }
    }
    (y, mask)
}

fn run(cpu: &dyn Backend, geometry: &PoolGeometry, x: &[f32], key: u64, masked: bool) -> [Vec<f32>; 2] {
    let len = (geometry.batch * geometry.channels * geometry.output[0] * geometry.output[1]) as usize;
    let (mut y, mut mask) = (output(cpu, len), output(cpu, len));
    let clock = buffer(cpu, &clock(PASS));
    let random = Random { key, clock: &clock };
    let x = buffer(cpu, x);
    cpu.pooling_forward(geometry, &x, &mut y, masked.then_some(&mut mask), Some(&random)).unwrap();
    [values(cpu, &y, len), values(cpu, &mask, len)]
}

fn pool() -> impl Strategy<Value = PoolGeometry> {
    let method = prop_oneof![
        Just(PoolMethod::Max),
        Just(PoolMethod::Average),
        Just(PoolMethod::StochasticTest),
        Just(PoolMethod::StochasticTrain)
    ];
    let axis = || (1..=30u32, 1..=5u32, 1..=6u32, 0..=4u32);
    (method, 1..=3u32, 1..=4u32, axis(), axis(), any::<bool>()).prop_filter_map(
        "the kernel is larger than the image or not larger than the padding",
        |(method, batch, channels, y, x, ceil)| {
            let rounding = if ceil { Rounding::Ceil } else { Rounding::Floor };
            let geometry = PoolGeometry::new(method, [batch, channels, y.0, x.0], [y.1, x.1]).with_steps(
                [y.2, x.2],
                [y.3, x.3],
                rounding,
            );
            let possible = y.3 < y.1 && x.3 < x.1 && geometry.output.iter().all(|&extent| extent > 0);
            possible.then_some(geometry)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_window(geometry in pool(), seed in any::<u64>()) {
        check_pooling(&geometry, seed);
    }

    #[test]
    fn lrn(
        shape in (1..=2u32, 1..=12u32, 1..=9u32, 1..=40u32),
        size in 0..=3u32,
        beta in prop_oneof![Just(0.75f32), Just(0.5), Just(1.0), 0.1..2.0f32],
        k in 0.5..3.0f32,
        within in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let region = if within { LrnRegion::WithinChannel } else { LrnRegion::AcrossChannels };
        let geometry =
            LrnGeometry { size: 2 * size + 1, alpha: 0.9, beta, k, region, ..LrnGeometry::new(shape.into()) };
        check_lrn(&geometry, seed);
    }
}

#[test]
fn wide_and_global_windows() {
    for geometry in [
        PoolGeometry::global(PoolMethod::Average, [2, 5, 7, 7]),
        PoolGeometry::global(PoolMethod::Max, [2, 5, 3, 1100]),
        PoolGeometry::new(PoolMethod::Max, [1, 2, 3, 1500], [3, 3]).with_steps(
            [2; 2],
            [1; 2],
            Rounding::Ceil,
        ),
        PoolGeometry::new(PoolMethod::Average, [1, 2, 3, 1500], [3, 3]).with_steps(
            [2; 2],
            [1; 2],
            Rounding::Ceil,
        ),
        PoolGeometry::new(PoolMethod::Max, [4, 16, 55, 55], [3, 3]).with_steps(
            [2; 2],
            [0; 2],
            Rounding::Ceil,
        ),
        // Windows that lie wholly outside: the stride is larger than the kernel.
        PoolGeometry::new(PoolMethod::Max, [1, 1, 6, 6], [1, 1]).with_steps([4; 2], [0; 2], Rounding::Ceil),
        PoolGeometry::new(PoolMethod::Average, [1, 1, 6, 6], [1, 1]).with_steps(
            [4; 2],
            [0; 2],
            Rounding::Ceil,
        ),
    ] {
        check_pooling(&geometry, 3);
    }
    check_lrn(&LrnGeometry::new([2, 16, 30, 41]), 5);
    let region = LrnRegion::WithinChannel;
    check_lrn(&LrnGeometry { region, ..LrnGeometry::new([1, 2, 9, 1300]) }, 5);
}

#[test]
fn not_a_number_never_wins_a_maximum() {
    let geometry = PoolGeometry::new(PoolMethod::Max, [1, 1, 1, 3], [1, 3]);
    check(&[2.0], 0.0, 0.0, |cpu| run(cpu, &geometry, &[f32::NAN, 2.0, f32::NAN], 0, false)[0].clone());
    check(&[1.0], 0.0, 0.0, |cpu| run(cpu, &geometry, &[f32::NAN, 2.0, 2.0], 0, true)[1].clone());
}

#[test]
fn unpooling_puts_the_maxima_back() {
    let mask = [3.0, 0.0, -1.0, 9.0, 1.0, 2.0];
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    check_op("unpool_forward", &[2.0, 0.0, 0.0, 1.0, 0.0, 5.0, 6.0, 0.0], 0.0, 0.0, |cpu| {
        let mut y = output(cpu, 8);
        cpu.unpool_forward(2, [3, 4], &buffer(cpu, &x), &buffer(cpu, &mask), &mut y).unwrap();
        values(cpu, &y, 8)
    });
}

fn check_pooling(geometry: &PoolGeometry, seed: u64) {
    let planes = (geometry.batch * geometry.channels) as usize;
    let mut x = numbers(seed, planes * (geometry.input[0] * geometry.input[1]) as usize);
    let random = drawn(seed, PASS, planes * (geometry.output[0] * geometry.output[1]) as usize);
    if matches!(geometry.method, PoolMethod::StochasticTest | PoolMethod::StochasticTrain) {
        // Multiples of 1/16, whose sums are exact: a draw is not decided by rounding.
        for x in &mut x {
            *x = (x.abs() * 16.0).floor() / 16.0;
        }
    }
    let (expected, places) = reference(geometry, &x, &random);
    check_op("pooling_forward", &expected, 1e-6, 1e-6, |cpu| run(cpu, geometry, &x, seed, false)[0].clone());
    if matches!(geometry.method, PoolMethod::Max | PoolMethod::StochasticTrain) {
        check(&places, 0.0, 0.0, |cpu| run(cpu, geometry, &x, seed, true)[1].clone());
        check(&expected, 0.0, 0.0, |cpu| run(cpu, geometry, &x, seed, true)[0].clone());
    }
}

fn check_lrn(geometry: &LrnGeometry, seed: u64) {
    let [batch, channels, height, width] =
        [geometry.batch, geometry.channels, geometry.height, geometry.width].map(|extent| extent as usize);
    let x = numbers(seed, batch * channels * height * width);
    let reach = (geometry.size as usize - 1) / 2;
    let near = |a: usize, b: usize| a.abs_diff(b) <= reach;
    let exact = wide(&x);
    let mut expected = Vec::new();
    for (index, value) in exact.iter().enumerate() {
        let (column, rest) = (index % width, index / width);
        let (row, plane) = (rest % height, rest / height);
        let (channel, image) = (plane % channels, plane / channels);
        let at = |c: usize, y: usize, x: usize| exact[((image * channels + c) * height + y) * width + x];
        let (sum, share, k) = match geometry.region {
            LrnRegion::AcrossChannels => {
                let sum: f64 =
                    (0..channels).filter(|&c| near(c, channel)).map(|c| at(c, row, column).powi(2)).sum();
                (sum, f64::from(geometry.size), f64::from(geometry.k))
            }
            LrnRegion::WithinChannel => {
                let rows = row.saturating_sub(reach)..(row + reach + 1).min(height);
                let columns = column.saturating_sub(reach)..(column + reach + 1).min(width);
                let sum = rows.flat_map(|y| columns.clone().map(move |x| (y, x)));
                let sum = sum.map(|(y, x)| at(channel, y, x).powi(2)).sum();
                (sum, f64::from(geometry.size).powi(2), 1.0)
            }
        };
        let term = k + f64::from(geometry.alpha) / share * sum;
        expected.push(value * term.powf(-f64::from(geometry.beta)));
    }
    check_op("lrn_forward", &expected, 1e-6, 2e-6, |cpu| {
        let mut y = output(cpu, x.len());
        cpu.lrn_forward(geometry, &buffer(cpu, &x), &mut y).unwrap();
        values(cpu, &y, x.len())
    });
}
