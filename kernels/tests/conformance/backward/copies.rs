//! What goes elsewhere: boxes and rows.

use kernels::prelude::*;
use kernels::{CopyGeometry, CpuBackend, EmbedGeometry, Site};
use proptest::prelude::*;

use crate::support::{buffer, check_op, numbers, values, wide};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn copies(which in 0..6usize, a in 1..=4u32, b in 1..=4u32, c in 1..=5u32, seed in any::<u64>()) {
        let geometry = match which {
            0 => CopyGeometry::concat(a, b + 3, c, 2, b),
            1 => CopyGeometry::slice(a, b + 3, c, 2, b),
            2 => CopyGeometry::crop(&[a + 1, b + 2, c + 1], &[1, 1, 0], &[a, b, c]),
            3 => CopyGeometry::permute(&[a, b, c], &[2, 0, 1]),
            4 => CopyGeometry::tile(a, b, c),
            _ => CopyGeometry::upsample(a, b, c, 3),
        };
        check_copy(&geometry, seed);
    }

    #[test]
    fn embed(size in (1..=20u32, 1..=200u32, 1..=30u32), seed in any::<u64>()) {
        let (count, rows, length) = size;
        let geometry = EmbedGeometry { count, rows, length };
        let index: Vec<f32> =
            numbers(seed, count as usize).iter().map(|x| ((x + 1.0) / 2.0 * rows as f32).floor()).collect();
        let (dy, old) = (numbers(seed + 1, (count * length) as usize), numbers(seed + 2, (rows * length) as usize));
        let mut expected = wide(&old);
        for (i, dy) in dy.iter().enumerate() {
            let length = length as usize;
            expected[index[i / length] as usize * length + i % length] += f64::from(*dy);
        }
        check_op("embed_backward", &expected, 3e-6, 1e-6, |cpu| {
            let mut dtable = buffer(cpu, &old);
            cpu.embed_backward(&geometry, Site::default(), &buffer(cpu, &index), &buffer(cpu, &dy), &mut dtable).unwrap();
            values(cpu, &dtable, old.len())
        });
    }
}

fn check_copy(geometry: &CopyGeometry, seed: u64) {
    // More than any of the copies reaches.
    let len = 2000;
    let (dy, old) = (numbers(seed, len), numbers(seed + 1, len));
    let cpu = CpuBackend::new(1).unwrap();
    // Where each element went: copies of their places.
    let places: Vec<f32> = (0..len).map(|place| place as f32).collect();
    let mut targets = buffer(&cpu, &vec![-1.0; len]);
    cpu.transform_tensor(geometry, &buffer(&cpu, &places), &mut targets).unwrap();
    let mut gathered: Vec<Option<f64>> = vec![None; len];
    for (target, source) in values(&cpu, &targets, len).into_iter().enumerate() {
        if source >= 0.0 {
            *gathered[source as usize].get_or_insert(0.0) += f64::from(dy[target]);
        }
    }
    for accumulate in [false, true] {
        let expected: Vec<f64> = gathered
            .iter()
            .zip(&old)
            .map(|(sum, &old)| match sum {
                Some(sum) if !accumulate => *sum,
                sum => f64::from(old) + sum.unwrap_or_default(),
            })
            .collect();
        check_op("transform_tensor_backward", &expected, 2e-6, 1e-6, |cpu| {
            let mut dx = buffer(cpu, &old);
            cpu.transform_tensor_backward(geometry, &buffer(cpu, &dy), accumulate, &mut dx).unwrap();
            values(cpu, &dx, len)
        });
    }
}
