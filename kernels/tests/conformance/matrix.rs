//! Products, inner products, look-ups and the LSTM's step.

use std::sync::Arc;

use kernels::prelude::*;
use kernels::{
    Activation, Buffer, EmbedGeometry, Epilogue, GemmGeometry, HostBuffer, InnerProductGeometry,
    LstmGeometry, Site,
};
use proptest::prelude::*;

use crate::support::{buffer, check_cpu, check_op, numbers, output, values, wide};

/// `op(a) · op(b)`.
fn product(geometry: &GemmGeometry, a: &[f32], b: &[f32]) -> Vec<f64> {
    let [m, n, k] = [geometry.m, geometry.n, geometry.k].map(|extent| extent as usize);
    let (a, b) = (wide(a), wide(b));
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k)
                .map(|l| {
                    let a = if geometry.transpose_a { a[l * m + i] } else { a[i * k + l] };
                    a * if geometry.transpose_b { b[j * k + l] } else { b[l * n + j] }
                })
                .sum();
        }
    }
    c
}

fn check_gemm(geometry: &GemmGeometry, seed: u64) {
    let [m, n, k] = [geometry.m, geometry.n, geometry.k].map(|extent| extent as usize);
    let (a, b, old) = (numbers(seed, m * k), numbers(seed + 1, k * n), numbers(seed + 2, m * n));
    let expected: Vec<f64> = product(geometry, &a, &b)
        .into_iter()
        .zip(&old)
        .map(|(sum, &old)| f64::from(geometry.alpha) * sum + f64::from(geometry.beta) * f64::from(old))
        .collect();
    check_op("gemm", &expected, 1e-6 * (1.0 + k as f64).sqrt(), 2e-6, |cpu| {
        let mut c = if geometry.beta == 0.0 { output(cpu, m * n) } else { buffer(cpu, &old) };
        let mut workspace = output(cpu, cpu.gemm_workspace_len(geometry));
        cpu.gemm(geometry, &buffer(cpu, &a), &buffer(cpu, &b), &mut c, &mut workspace).unwrap();
        values(cpu, &c, m * n)
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn gemm(
        size in (1..=60u32, 1..=90u32, 0..=80u32),
        transpose in any::<(bool, bool)>(),
        alpha in prop_oneof![Just(1.0f32), -2.0..2.0f32],
        beta in prop_oneof![Just(0.0f32), Just(1.0), -2.0..2.0f32],
        seed in any::<u64>(),
    ) {
        let (m, n, k) = size;
        check_gemm(&GemmGeometry { m, n, k, transpose_a: transpose.0, transpose_b: transpose.1, alpha, beta }, seed);
    }

    #[test]
    fn inner_product(
        size in (1..=40u32, 1..=300u32, 1..=90u32),
        transpose in any::<bool>(),
        activation in prop_oneof![
            Just(Activation::Identity),
            Just(Activation::LeakyRelu { slope: 0.5 }),
            Just(Activation::Tanh)
        ],
        accumulate in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (batch, inputs, outputs) = size;
        let geometry = InnerProductGeometry { batch, inputs, outputs, transpose };
        let [n, o] = [batch, outputs].map(|extent| extent as usize);
        let x = numbers(seed, n * inputs as usize);
        let weights = numbers(seed + 1, o * inputs as usize);
        let (bias, old) = (numbers(seed + 2, o), numbers(seed + 3, n * o));
        let plain = GemmGeometry { transpose_b: !transpose, ..GemmGeometry::new(batch, outputs, inputs) };
        let expected: Vec<f64> = product(&plain, &x, &weights)
            .into_iter()
            .enumerate()
            .map(|(i, sum)| {
                let y = sum + f64::from(bias[i % o]) + if accumulate { f64::from(old[i]) } else { 0.0 };
                match activation {
                    Activation::Tanh => y.tanh(),
                    Activation::LeakyRelu { slope } => y.max(0.0) + f64::from(slope) * y.min(0.0),
                    _ => y,
                }
            })
            .collect();
        check_op("inner_product_forward", &expected, 3e-5, 2e-6, |cpu| {
            let weights = buffer(cpu, &weights);
            let mut y = if accumulate { buffer(cpu, &old) } else { output(cpu, n * o) };
            let mut workspace = output(cpu, cpu.inner_product_workspace_len(&geometry));
            let bias = buffer(cpu, &bias);
            let epilogue = Epilogue { bias: Some(&bias), accumulate, activation };
            let x = buffer(cpu, &x);
            cpu.inner_product_forward(&geometry, &weights, &x, &epilogue, &mut y, &mut workspace).unwrap();
            values(cpu, &y, n * o)
        });
    }

    #[test]
    fn embed(size in (1..=20u32, 1..=9u32, 1..=30u32), with_bias in any::<bool>(), seed in any::<u64>()) {
        let (count, rows, length) = size;
        let geometry = EmbedGeometry { count, rows, length };
        let index: Vec<f32> =
            numbers(seed, count as usize).iter().map(|x| ((x + 1.0) / 2.0 * rows as f32).floor()).collect();
        let (table, bias) = (numbers(seed + 1, (rows * length) as usize), numbers(seed + 2, length as usize));
        let length = length as usize;
        let expected: Vec<f64> = (0..index.len() * length)
            .map(|i| {
                let bias = if with_bias { f64::from(bias[i % length]) } else { 0.0 };
                f64::from(table[index[i / length] as usize * length + i % length]) + bias
            })
            .collect();
        check_op("embed_forward", &expected, 1e-7, 1e-7, |cpu| {
            let mut y = output(cpu, expected.len());
            let bias = with_bias.then(|| buffer(cpu, &bias));
            let (index, table) = (buffer(cpu, &index), buffer(cpu, &table));
            cpu.embed_forward(&geometry, Site::default(), &index, &table, bias.as_ref(), &mut y).unwrap();
            values(cpu, &y, expected.len())
        });
    }

    #[test]
    fn lstm(batch in 1..=5u32, hidden in 1..=70u32, seed in any::<u64>()) {
        let len = (batch * hidden) as usize;
        let (gates, c) = (numbers(seed, 4 * len), numbers(seed + 1, len));
        let continuation: Vec<f32> =
            numbers(seed + 2, batch as usize).iter().map(|&x| f32::from(u8::from(x > 0.0))).collect();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
        let d = hidden as usize;
        let (mut cells, mut outputs) = (Vec::new(), Vec::new());
        for i in 0..len {
            let gate = |which: usize| gates[(i / d * 4 + which) * d + i % d];
            let cell = sigmoid(gate(1)) * f64::from(c[i]) * f64::from(continuation[i / d])
                + sigmoid(gate(0)) * f64::from(gate(3)).tanh();
            cells.push(cell);
            outputs.push(sigmoid(gate(2)) * cell.tanh());
        }
        check_op("lstm_unit_forward", &[cells, outputs].concat(), 5e-7, 2e-6, |cpu| {
            let (mut c, mut h) = (buffer(cpu, &c), output(cpu, len));
            let geometry = LstmGeometry { batch, hidden };
            let (gates, continuation) = (buffer(cpu, &gates), buffer(cpu, &continuation));
            cpu.lstm_unit_forward(&geometry, &gates, &continuation, &mut c, &mut h).unwrap();
            [values(cpu, &c, len), values(cpu, &h, len)].concat()
        });
    }
}

/// Weights of a mapped file may begin at any byte.
#[test]
fn weights_of_any_alignment() {
    for batch in [1, 3, 9, 40] {
        let geometry = InnerProductGeometry { batch, inputs: 70, outputs: 30, transpose: false };
        let x = numbers(1, 70 * batch as usize);
        let weights = numbers(2, 70 * 30);
        let gemm = GemmGeometry { transpose_b: true, ..GemmGeometry::new(batch, 30, 70) };
        let expected = product(&gemm, &x, &weights);
        for offset in 0..4 {
            let bytes = weights.iter().flat_map(|weight| weight.to_ne_bytes());
            let shared = Arc::new(Mapped(std::iter::repeat_n(0, offset).chain(bytes).collect(), offset));
            check_cpu(&expected, 1e-5, 2e-6, |cpu| {
                let mut y = output(cpu, expected.len());
                let mut workspace = output(cpu, cpu.inner_product_workspace_len(&geometry));
                let (x, plain) = (buffer(cpu, &x), Epilogue::default());
                let weights = Buffer::Host(HostBuffer::shared(shared.clone()));
                cpu.inner_product_forward(&geometry, &weights, &x, &plain, &mut y, &mut workspace).unwrap();
                values(cpu, &y, expected.len())
            });
        }
    }
}

/// Bytes behind others.
struct Mapped(Vec<u8>, usize);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0[self.1..]
    }
}

/// Several blocks of rows, columns and depth.
#[test]
fn large_products() {
    for (m, n, k) in [(130, 600, 520), (300, 40, 300), (7, 2000, 30), (1, 700, 900)] {
        for (transpose_a, transpose_b) in [(false, false), (true, true)] {
            check_gemm(&GemmGeometry { transpose_a, transpose_b, ..GemmGeometry::new(m, n, k) }, 11);
        }
    }
}
