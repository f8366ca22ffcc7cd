//! Gradients against the slopes of f64 forward passes, taken by central differences.

mod activation;
mod copies;
mod elementwise;
mod normalization;
mod planes;
mod products;
mod rows;

use kernels::prelude::*;
use kernels::{
    AxisGeometry, Buffer, CopyGeometry, CpuBackend, EmbedGeometry, InnerProductGeometry, LrnGeometry,
    LrnRegion, PoolGeometry, PoolMethod, Site,
};
use proptest::prelude::*;

use crate::support::{buffer, check, check_op, numbers, output, values, wide};
use planes::check_pooling;
use products::check_inner_product;

/// `∂/∂x Σ dy · forward(x)`.
fn slopes(x: &[f32], dy: &[f32], forward: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut x = wide(x);
    let total = |x: &[f64]| -> f64 { forward(x).iter().zip(dy).map(|(y, &dy)| y * f64::from(dy)).sum() };
    (0..x.len())
        .map(|i| {
            let middle = x[i];
            x[i] = middle + STEP;
            let above = total(&x);
            x[i] = middle - STEP;
            let below = total(&x);
            x[i] = middle;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// Moves numbers away from zero and from each other, as slopes by differences need it where there are kinks.
fn apart(x: Vec<f32>) -> Vec<f32> {
    let offset = |i: usize| (i % 300 + 1) as f32 * 5e-5;
    x.into_iter().enumerate().map(|(i, x)| (x * 64.0).floor() / 64.0 + offset(i)).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// That one thread and several, and all instruction sets, give the same for sizes that a slow reference is no good for.
#[track_caller]
fn check_agreement(operation: impl Fn(&dyn Backend) -> Vec<f32>) {
    let expected = wide(&operation(&CpuBackend::new(1).unwrap()));
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    check(&expected, 1e-5 * largest, 1e-5, operation);
}

/// In place on dy, or from it.
fn start(cpu: &dyn Backend, dy: &[f32], in_place: bool) -> (Option<Buffer>, Buffer) {
    if in_place { (None, buffer(cpu, dy)) } else { (Some(buffer(cpu, dy)), output(cpu, dy.len())) }
}

fn axis() -> impl Strategy<Value = AxisGeometry> {
    (1..=3u32, 1..=5u32, prop_oneof![Just(1u32), 1..=40u32]).prop_map(|(outer, axis, inner)| AxisGeometry {
        outer,
        axis,
        inner,
    })
}

#[test]
fn large_shapes() {
    let geometry = AxisGeometry { outer: 8, axis: 70, inner: 60 };
    let len = 8 * 70 * 60;
    let (x, dy, slope) = (numbers(1, len), numbers(2, len), numbers(3, 70));
    check_agreement(|cpu| {
        let (x, dy, slope) = (buffer(cpu, &x), buffer(cpu, &dy), buffer(cpu, &slope));
        let (mut dx, mut sums) = (output(cpu, len), cpu.allocate(70).unwrap());
        let mut found = Vec::new();
        for geometry in [geometry, AxisGeometry { outer: 480, inner: 1, ..geometry }] {
            cpu.bias_backward(&geometry, &dy, &mut sums).unwrap();
            cpu.scale_backward(&geometry, &x, &dy, &mut sums).unwrap();
            cpu.prelu_backward_slope(&geometry, &x, &dy, &mut sums).unwrap();
            cpu.prelu_backward(&geometry, &x, &slope, Some(&dy), &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
            cpu.softmax_backward(&geometry, &x, None, &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
            let (mut mean, mut variance) = (output(cpu, 70), output(cpu, 70));
            cpu.batch_normalization_forward_training(&geometry, &x, 0.1, &mut dx, &mut mean, &mut variance)
                .unwrap();
            cpu.batch_normalization_backward(&geometry, &x, &mean, &variance, 0.1, &dy, &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
        }
        found.extend(values(cpu, &sums, 70));
        for region in [LrnRegion::AcrossChannels, LrnRegion::WithinChannel] {
            let geometry = LrnGeometry { region, ..LrnGeometry::new([2, 7, 3, 800]) };
            cpu.lrn_backward(&geometry, &x, &dy, &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
        }
        let geometry = EmbedGeometry { count: 480, rows: 300, length: 70 };
        let index: Vec<f32> = numbers(4, 480).iter().map(|x| ((x + 1.0) * 150.0).floor()).collect();
        let mut dtable = cpu.allocate(300 * 70).unwrap();
        cpu.embed_backward(&geometry, Site::default(), &buffer(cpu, &index), &dy, &mut dtable).unwrap();
        found.extend(values(cpu, &dtable, 300 * 70));
        found
    });
    for transpose in [false, true] {
        check_inner_product(
            &InnerProductGeometry { batch: 32, inputs: 2100, outputs: 40, transpose },
            true,
            5,
        );
    }
    check_pooling(&PoolGeometry::new(PoolMethod::Average, [1, 1, 1, 300], [1, 3]), 1);
    check_pooling(&PoolGeometry::global(PoolMethod::Average, [2, 3, 5, 5]), 1);
}

#[test]
fn what_has_no_gradient() {
    let cpu = CpuBackend::new(1).unwrap();
    let x = cpu.allocate(100).unwrap();
    let mut dx = cpu.allocate(100).unwrap();
    let overlapping = CopyGeometry { source_stride: [1; 8], ..CopyGeometry::tile(2, 3, 2) };
    let refused = cpu.transform_tensor_backward(&overlapping, &x, false, &mut dx).unwrap_err().to_string();
    assert_eq!(refused, "transform_tensor_backward: source stride 1 reads elements twice");
    let pool = PoolGeometry::new(PoolMethod::Max, [1, 1, 4, 4], [2, 2]);
    let refused = cpu.pooling_backward(&pool, None, &x, &mut dx).unwrap_err().to_string();
    assert_eq!(refused, "pooling_backward: Max pooling needs its mask");
}

/// A linear operation's gradient is its transpose: `Σ dy · forward(x) = Σ backward(dy) · x`, for each unit vector x.
fn check_transpose(
    op: &'static str,
    [x_len, y_len]: [usize; 2],
    seed: u64,
    forward: impl Fn(&dyn Backend, &Buffer, &mut Buffer),
    backward: impl Fn(&dyn Backend, &Buffer, &mut Buffer),
) {
    let dy = numbers(seed, y_len);
    let cpu = CpuBackend::new(1).unwrap();
    let (mut x, mut y) = (cpu.allocate(x_len).unwrap(), cpu.allocate(y_len).unwrap());
    let expected: Vec<f64> = (0..x_len)
        .map(|i| {
            cpu.write(&mut x, i, &[1.0]).unwrap();
            forward(&cpu, &x, &mut y);
            cpu.write(&mut x, i, &[0.0]).unwrap();
            let y = values(&cpu, &y, y_len);
            y.iter().zip(&dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
        })
        .collect();
    check_op(op, &expected, 1e-5, 1e-5, |cpu| {
        let mut dx = output(cpu, x_len);
        backward(cpu, &buffer(cpu, &dy), &mut dx);
        values(cpu, &dx, x_len)
    });
}
