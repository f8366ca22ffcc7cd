//! Copies, ArgMax and resizing.

use kernels::{ArgMaxOutput, AxisGeometry, CopyGeometry, InterpGeometry};
use proptest::prelude::*;

use crate::support::{buffer, check_op, numbers, output, values, wide};

/// Copies numbers by `geometry` into `len` floats.
fn check_copy(geometry: &CopyGeometry, x: &[f32], expected: &[f64]) {
    check_op("transform_tensor", expected, 0.0, 0.0, |cpu| {
        let mut y = output(cpu, expected.len());
        cpu.transform_tensor(geometry, &buffer(cpu, x), &mut y).unwrap();
        values(cpu, &y, expected.len())
    });
}

fn shuffled(rank: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..rank).collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn concat_then_slice(
        outer in 1..=5u32,
        parts in prop::collection::vec(1..=7u32, 1..=4),
        inner in 1..=40u32,
        seed in any::<u64>(),
    ) {
        let axis: u32 = parts.iter().sum();
        let inputs: Vec<Vec<f32>> =
            (0..).zip(&parts).map(|(i, part)| numbers(seed.wrapping_add(i), (outer * part * inner) as usize)).collect();
        let mut expected = Vec::new();
        for row in 0..outer as usize {
            for (input, part) in inputs.iter().zip(&parts) {
                let len = (part * inner) as usize;
                expected.extend(wide(&input[row * len..][..len]));
            }
        }
        check_op("transform_tensor", &expected, 0.0, 0.0, |cpu| {
            let mut y = output(cpu, expected.len());
            let mut start = 0;
            for (input, &part) in inputs.iter().zip(&parts) {
                let geometry = CopyGeometry::concat(outer, axis, inner, start, part);
                cpu.transform_tensor(&geometry, &buffer(cpu, input), &mut y).unwrap();
                start += part;
            }
            let mut start = 0;
            for (input, &part) in inputs.iter().zip(&parts) {
                let mut back = output(cpu, input.len());
                let geometry = CopyGeometry::slice(outer, axis, inner, start, part);
                cpu.transform_tensor(&geometry, &y, &mut back).unwrap();
                assert_eq!(&values(cpu, &back, input.len()), input);
                start += part;
            }
            values(cpu, &y, expected.len())
        });
    }

    #[test]
    fn permute(
        (shape, order) in prop::collection::vec(1..=7u32, 1..=5)
            .prop_flat_map(|shape| { let rank = shape.len(); (Just(shape), shuffled(rank)) }),
        seed in any::<u64>(),
    ) {
        let len: u32 = shape.iter().product();
        let x = numbers(seed, len as usize);
        let target: Vec<u32> = order.iter().map(|&axis| shape[axis]).collect();
        let expected: Vec<f64> = (0..len)
            .map(|mut index| {
                let mut position = vec![0; shape.len()];
                for (place, &axis) in order.iter().enumerate().rev() {
                    position[axis] = index % target[place];
                    index /= target[place];
                }
                let source = shape.iter().zip(&position).fold(0, |source, (extent, at)| source * extent + at);
                f64::from(x[source as usize])
            })
            .collect();
        check_copy(&CopyGeometry::permute(&shape, &order), &x, &expected);
    }

    #[test]
    fn crop(axes in prop::collection::vec((0..=3u32, 1..=6u32, 0..=3u32), 1..=4), seed in any::<u64>()) {
        let shape: Vec<u32> = axes.iter().map(|&(before, kept, after)| before + kept + after).collect();
        let offset: Vec<u32> = axes.iter().map(|axis| axis.0).collect();
        let extent: Vec<u32> = axes.iter().map(|axis| axis.1).collect();
        let x = numbers(seed, shape.iter().product::<u32>() as usize);
        let expected: Vec<f64> = (0..extent.iter().product::<u32>())
            .map(|mut index| {
                let (mut source, mut stride) = (0, 1);
                for axis in (0..shape.len()).rev() {
                    source += (index % extent[axis] + offset[axis]) * stride;
                    index /= extent[axis];
                    stride *= shape[axis];
                }
                f64::from(x[source as usize])
            })
            .collect();
        check_copy(&CopyGeometry::crop(&shape, &offset, &extent), &x, &expected);
    }

    #[test]
    fn tile(outer in 1..=5u32, length in 1..=40u32, tiles in 1..=4u32, seed in any::<u64>()) {
        let x = numbers(seed, (outer * length) as usize);
        let expected: Vec<f64> =
            x.chunks_exact(length as usize).flat_map(|row| wide(row).repeat(tiles as usize)).collect();
        check_copy(&CopyGeometry::tile(outer, length, tiles), &x, &expected);
    }

    #[test]
    fn shuffle_channel(batch in 1..=2u32, group in 1..=4u32, rest in 1..=4u32, inner in 1..=30u32, seed in any::<u64>()) {
        let x = numbers(seed, (batch * group * rest * inner) as usize);
        let [group, rest, inner] = [group, rest, inner].map(|extent| extent as usize);
        let channels = group * rest;
        let expected: Vec<f64> = (0..x.len())
            .map(|i| {
                let (image, channel) = (i / inner / channels, i / inner % channels);
                let source = channel % group * rest + channel / group;
                f64::from(x[(image * channels + source) * inner + i % inner])
            })
            .collect();
        let geometry = CopyGeometry::shuffle_channel(batch, channels as u32, inner as u32, group as u32);
        check_copy(&geometry, &x, &expected);
    }

    #[test]
    fn upsample(planes in 1..=3u32, height in 1..=6u32, width in 1..=6u32, scale in 1..=3u32, seed in any::<u64>()) {
        let x = numbers(seed, (planes * height * width) as usize);
        let [wide_row, tall] = [width * scale, height * scale];
        let expected: Vec<f64> = (0..planes * tall * wide_row)
            .map(|i| {
                let (plane, row, column) = (i / wide_row / tall, i / wide_row % tall, i % wide_row);
                f64::from(x[((plane * height + row / scale) * width + column / scale) as usize])
            })
            .collect();
        check_copy(&CopyGeometry::upsample(planes, height, width, scale), &x, &expected);
    }

    #[test]
    fn argmax(outer in 1..=3u32, axis in 1..=12u32, inner in 1..=5u32, top_k in 1..=12u32, seed in any::<u64>()) {
        prop_assume!(top_k <= axis);
        let geometry = AxisGeometry { outer, axis, inner };
        let [outer, axis, inner, top] = [outer, axis, inner, top_k].map(|extent| extent as usize);
        // Few different values, so that there are ties.
        let x: Vec<f32> = numbers(seed, outer * axis * inner).into_iter().map(|x| (x * 3.0).round()).collect();
        let (mut index, mut value) = (vec![0.0; outer * top * inner], vec![0.0; outer * top * inner]);
        for o in 0..outer {
            for i in 0..inner {
                let mut order: Vec<usize> = (0..axis).collect();
                let at = |a: usize| x[(o * axis + a) * inner + i];
                order.sort_by(|&a, &b| at(b).partial_cmp(&at(a)).unwrap().then(b.cmp(&a)));
                for (rank, &a) in order.iter().take(top).enumerate() {
                    index[(o * top + rank) * inner + i] = a as f64;
                    value[(o * top + rank) * inner + i] = f64::from(at(a));
                }
            }
        }
        let both: Vec<f64> = (0..outer)
            .flat_map(|o| [&index[o * top * inner..][..top * inner], &value[o * top * inner..][..top * inner]].concat())
            .collect();
        for (kind, expected) in
            [(ArgMaxOutput::Index, &index), (ArgMaxOutput::Value, &value), (ArgMaxOutput::IndexAndValue, &both)]
        {
            check_op("argmax_forward", expected, 0.0, 0.0, |cpu| {
                let mut y = output(cpu, expected.len());
                cpu.argmax_forward(&geometry, top_k, kind, &buffer(cpu, &x), &mut y).unwrap();
                values(cpu, &y, expected.len())
            });
        }
    }

    #[test]
    fn interp(
        planes in 1..=3u32,
        input in (1..=9u32, 1..=9u32),
        target in (1..=20u32, 1..=20u32),
        seed in any::<u64>(),
    ) {
        let geometry = InterpGeometry { planes, input: input.into(), output: target.into() };
        let x = numbers(seed, (planes * input.0 * input.1) as usize);
        let place = |i: u32, size: u32, out: u32| {
            let at = if out > 1 { f64::from(i) * f64::from(size - 1) / f64::from(out - 1) } else { 0.0 };
            // Where the position falls on a pixel, which neighbour is the first does not matter.
            let first = (at.floor() as u32).min(size - 1);
            (first, (first + 1).min(size - 1), at - f64::from(first))
        };
        let mut expected = Vec::new();
        for plane in 0..planes {
            for row in 0..target.0 {
                for column in 0..target.1 {
                    let (top, bottom, v) = place(row, input.0, target.0);
                    let (left, right, h) = place(column, input.1, target.1);
                    let at = |y: u32, x_: u32| f64::from(x[((plane * input.0 + y) * input.1 + x_) as usize]);
                    expected.push(
                        (1.0 - v) * ((1.0 - h) * at(top, left) + h * at(top, right))
                            + v * ((1.0 - h) * at(bottom, left) + h * at(bottom, right)),
                    );
                }
            }
        }
        check_op("interp_forward", &expected, 1e-5, 1e-6, |cpu| {
            let mut y = output(cpu, expected.len());
            cpu.interp_forward(&geometry, &buffer(cpu, &x), &mut y).unwrap();
            values(cpu, &y, expected.len())
        });
    }
}
