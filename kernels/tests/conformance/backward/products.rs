//! Inner products, and the step of an LSTM behind them.

use kernels::prelude::*;
use kernels::{InnerProductGeometry, LstmGeometry};
use proptest::prelude::*;

use super::slopes;
use crate::support::{buffer, check_op, numbers, output, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn inner_product(
        size in (1..=40u32, 1..=150u32, 1..=90u32),
        transpose in any::<bool>(),
        accumulate in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (batch, inputs, outputs) = size;
        let geometry = InnerProductGeometry { batch, inputs, outputs, transpose };
        check_inner_product(&geometry, accumulate, seed);
    }

    #[test]
    fn lstm(batch in 1..=3u32, hidden in 1..=20u32, seed in any::<u64>()) {
        let len = (batch * hidden) as usize;
        let d = hidden as usize;
        let (gates, c) = (numbers(seed, 4 * len), numbers(seed + 1, len));
        // Of the state after the step, and of the output.
        let dy = numbers(seed + 2, 2 * len);
        let continuation: Vec<f32> =
            numbers(seed + 3, batch as usize).iter().map(|&x| f32::from(u8::from(x > 0.0))).collect();
        let forward = |input: &[f64]| -> Vec<f64> {
            let (gates, c) = input.split_at(4 * len);
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let gate = |i: usize, which: usize| gates[(i / d * 4 + which) * d + i % d];
            let after = |i: usize| {
                sigmoid(gate(i, 1)) * c[i] * f64::from(continuation[i / d])
                    + sigmoid(gate(i, 0)) * gate(i, 3).tanh()
            };
            (0..len).map(after).chain((0..len).map(|i| sigmoid(gate(i, 2)) * after(i).tanh())).collect()
        };
        let expected = slopes(&[gates.clone(), c.clone()].concat(), &dy, forward);
        check_op("lstm_unit_backward", &expected, 1e-5, 1e-5, |cpu| {
            let (mut dc, mut dgates) = (buffer(cpu, &dy[..len]), output(cpu, 4 * len));
            let (gates, continuation) = (buffer(cpu, &gates), buffer(cpu, &continuation));
            let (c, dh) = (buffer(cpu, &c), buffer(cpu, &dy[len..]));
            let geometry = LstmGeometry { batch, hidden };
            cpu.lstm_unit_backward(&geometry, &gates, &continuation, &c, &dh, &mut dc, &mut dgates).unwrap();
            [values(cpu, &dgates, 4 * len), values(cpu, &dc, len)].concat()
        });
    }
}

pub(super) fn check_inner_product(geometry: &InnerProductGeometry, accumulate: bool, seed: u64) {
    let [batch, inputs, outputs] =
        [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
    let (x, dy) = (numbers(seed, batch * inputs), numbers(seed + 1, batch * outputs));
    let (weights, old) = (numbers(seed + 2, inputs * outputs), numbers(seed + 3, inputs * (outputs + batch)));
    let place = |o: usize, i: usize| if geometry.transpose { i * outputs + o } else { o * inputs + i };
    let start = |index: usize| if accumulate { f64::from(old[index]) } else { 0.0 };
    let mut dx: Vec<f64> = (0..x.len()).map(start).collect();
    let mut dw: Vec<f64> = (0..weights.len()).map(start).collect();
    for n in 0..batch {
        for o in 0..outputs {
            let dy = f64::from(dy[n * outputs + o]);
            for i in 0..inputs {
                dx[n * inputs + i] += dy * f64::from(weights[place(o, i)]);
                dw[place(o, i)] += dy * f64::from(x[n * inputs + i]);
            }
        }
    }
    let first =
        |cpu: &dyn Backend, len: usize| if accumulate { buffer(cpu, &old[..len]) } else { output(cpu, len) };
    check_op("inner_product_backward_data", &dx, 3e-5, 2e-6, |cpu| {
        let mut workspace = output(cpu, cpu.inner_product_backward_data_workspace_len(geometry));
        let (weights, dy, mut dx) = (buffer(cpu, &weights), buffer(cpu, &dy), first(cpu, x.len()));
        cpu.inner_product_backward_data(geometry, &weights, &dy, accumulate, &mut dx, &mut workspace)
            .unwrap();
        values(cpu, &dx, x.len())
    });
    check_op("inner_product_backward_filter", &dw, 3e-5, 2e-6, |cpu| {
        let mut workspace = output(cpu, cpu.inner_product_backward_filter_workspace_len(geometry));
        let (x, dy, mut dw) = (buffer(cpu, &x), buffer(cpu, &dy), first(cpu, weights.len()));
        cpu.inner_product_backward_filter(geometry, &x, &dy, accumulate, &mut dw, &mut workspace).unwrap();
        values(cpu, &dw, weights.len())
    });
}
