//! For tests of choosing: a clock that shows what it is told to, and cuBLAS's product as loops over the emulator's memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::DeviceBackend;
use super::algorithm::Means;
use super::blas::{Blas, Sgemm};
use super::driver::{Address, Driver};
use super::measure::Clock;
use crate::error::Result;

/// An emulated device with the stand-ins.
pub(super) fn backend(clock: &Arc<FakeClock>, folder: Option<&Path>) -> DeviceBackend {
    let backend = DeviceBackend::emulated().unwrap();
    let means = Means {
        clock: Some(Box::new(clock.clone())),
        blas: Some(Box::new(Loops(backend.driver.clone()))),
        folder: folder.map(Path::to_owned),
    };
    DeviceBackend { means, ..backend }
}

/// Shows the times that it is told for its readings, counted from 0.
pub(super) struct FakeClock {
    pub(super) environment: &'static str,
    times: Box<dyn Fn(usize) -> f32 + Send + Sync>,
    readings: AtomicUsize,
}

impl FakeClock {
    pub(super) fn new(times: impl Fn(usize) -> f32 + Send + Sync + 'static) -> Arc<Self> {
        Self::elsewhere("a device", times)
    }

    pub(super) fn elsewhere(
        environment: &'static str,
        times: impl Fn(usize) -> f32 + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { environment, times: Box::new(times), readings: AtomicUsize::new(0) })
    }

    /// One on which one of `count` is twice as fast as the others.
    pub(super) fn favouring(index: usize, count: usize) -> Arc<Self> {
        Self::new(move |reading| if reading % count == index { 1.0 } else { 2.0 })
    }

    pub(super) fn readings(&self) -> usize {
        self.readings.load(Ordering::Relaxed)
    }
}

impl Clock for Arc<FakeClock> {
    fn environment(&self) -> Result<String> {
        Ok(self.environment.to_owned())
    }

    fn time(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<f32> {
        work()?;
        Ok((self.times)(self.readings.fetch_add(1, Ordering::Relaxed)))
    }
}

struct Loops(Arc<dyn Driver>);

impl Loops {
    /// `columns` columns of `rows` floats.
    fn matrix(&self, at: Address, [rows, columns]: [usize; 2], leading: usize) -> Vec<Vec<f32>> {
        let column = |j: usize| {
            let mut column = vec![0.0; rows];
            self.0.read(at + (j * leading * 4) as Address, &mut column).unwrap();
            column
        };
        (0..columns).map(column).collect()
    }
}

impl Blas for Loops {
    fn version(&self) -> Option<String> {
        Some("of loops".to_owned())
    }

    fn sgemm(&self, call: &Sgemm) -> Result<()> {
        let [m, n, k] = call.sizes.map(|extent| extent as usize);
        let [lda, ldb, ldc] = call.leading.map(|leading| leading as usize);
        let [transpose_a, transpose_b] = call.transpose;
        let [alpha, beta] = call.scales;
        for product in 0..i64::from(call.count) {
            let [a, b, c] =
                [0, 1, 2].map(|which| call.at[which] + (product * call.strides[which] * 4) as Address);
            let a = self.matrix(a, if transpose_a { [k, m] } else { [m, k] }, lda);
            let b = self.matrix(b, if transpose_b { [n, k] } else { [k, n] }, ldb);
            for (j, mut column) in self.matrix(c, [m, n], ldc).into_iter().enumerate() {
                for (i, c) in column.iter_mut().enumerate() {
                    let sum: f32 = (0..k)
                        .map(|l| {
                            (if transpose_a { a[i][l] } else { a[l][i] })
                                * if transpose_b { b[l][j] } else { b[j][l] }
                        })
                        .sum();
                    *c = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *c };
                }
                self.0.write(c + (j * ldc * 4) as Address, &column)?;
            }
        }
        Ok(())
    }
}
