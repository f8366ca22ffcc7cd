//! Which algorithm computes which product or convolution: ours or cuBLAS's, with which tiles. Measured once for each shape and
//! remembered, as by `cudnnFind`; or decided by sizes alone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::DeviceBackend;
use super::blas::Blas;
use super::call::Target;
use super::candidates::{Candidate, ProductShape};
use super::choices::Choices;
use super::convolution::{Operands, Pass, Plan, result_len};
use super::gemm::{Cut, Epilogue, ProductPlan};
use super::measure::{Clock, measure};
use super::memory::DeviceBuffer;
use crate::error::{Error, Result};
use crate::geometry::{ConvGeometry, GemmGeometry};
use crate::open::Choice;

/// What there is to choose with.
#[derive(Default)]
pub(crate) struct Means {
    pub(crate) clock: Option<Box<dyn Clock>>,
    pub(crate) blas: Option<Box<dyn Blas>>,
    /// Where choices are kept from one run to the next.
    pub(crate) folder: Option<PathBuf>,
}

/// What was chosen.
#[derive(Default)]
pub(crate) struct Chosen {
    plans: Mutex<Plans>,
    /// What is kept from one run to the next, read when first needed. Who holds it measures, and nobody who records waits for it:
    /// the device would wait for both.
    kept: Mutex<Option<Choices>>,
}

/// Whatever happens, a shape keeps its plan as long as the device is open, since workspaces depend on it.
#[derive(Default)]
pub(crate) struct Plans {
    pub(crate) products: HashMap<ProductShape, ProductPlan>,
    pub(crate) passes: HashMap<(ConvGeometry, Pass, bool), Plan>,
}

impl DeviceBackend {
    /// How a product is computed. The first time, this may measure.
    pub(crate) fn product_plan(&self, geometry: &GemmGeometry) -> ProductPlan {
        let shape = ProductShape::new(geometry, self.uses_tf32());
        match self.choice {
            Choice::Cublas => return ProductPlan::Blas,
            Choice::Measured if self.means.clock.is_some() => {}
            _ => return self.product_plan_by_sizes(&shape),
        }
        if let Some(&plan) = self.plans().products.get(&shape) {
            return plan;
        }
        let candidates = self.product_candidates(&shape);
        let plan = self.fastest(&shape.to_string(), &candidates, || {
            let [a_len, b_len, c_len] = shape.lens();
            let (a, b) = (self.filled(a_len)?, self.filled(b_len)?);
            let mut c = DeviceBuffer::zeroed(&self.driver, c_len)?;
            let mut workspace = self.largest(candidates.iter().map(|plan| plan.workspace_len(c_len)))?;
            let geometry = shape.geometry();
            Ok(move |plan: &ProductPlan| {
                let (c, workspace) = (Target::new(&mut c), Target::new(&mut workspace));
                self.product(&geometry, plan, [&a, &b], Epilogue::adding(false), &c, &workspace)
            })
        });
        *self.plans().products.entry(shape).or_insert(plan)
    }

    /// How a convolution's pass is computed. The first time, this may measure.
    pub(crate) fn convolution_plan(&self, geometry: &ConvGeometry, pass: Pass) -> Plan {
        let measures = self.means.clock.is_some() && self.algorithm.is_none();
        match self.choice {
            Choice::Cublas => return self.convolution_plan_by_blas(geometry, pass),
            Choice::Measured if measures && geometry.check("", false).is_ok() => {}
            _ => return self.convolution_plan_by_sizes(geometry, pass),
        }
        let key = (*geometry, pass, self.uses_tf32());
        if let Some(&plan) = self.plans().passes.get(&key) {
            return plan;
        }
        let candidates = self.convolution_candidates(geometry, pass);
        let shape = super::candidates::convolution_shape(geometry, pass, self.uses_tf32());
        let plan = self.fastest(&shape, &candidates, || {
            let (input, output) = (geometry.input_len(), geometry.output_len());
            let len = result_len(geometry, pass);
            let rows = if pass == Pass::Filter {
                output
            } else {
                candidates.iter().map(|plan| plan.weight_len(geometry)).max().unwrap_or(0)
            };
            let rows = self.filled(rows)?;
            let image = self.filled(if pass == Pass::Data { output } else { input })?;
            let mut result = DeviceBuffer::zeroed(&self.driver, len)?;
            let mut workspace = self.largest(candidates.iter().map(|plan| plan.workspace_len(len)))?;
            Ok(move |plan: &Plan| {
                let operands = Operands {
                    rows: &rows,
                    image: &image,
                    epilogue: Epilogue::adding(false),
                    result: &Target::new(&mut result),
                    workspace: &Target::new(&mut workspace),
                };
                self.convolution_pass(geometry, pass, *plan, &operands)
            })
        });
        *self.plans().passes.entry(key).or_insert(plan)
    }

    /// A product by our kernels, cut by sizes alone.
    pub(crate) fn product_plan_by_sizes(&self, shape: &ProductShape) -> ProductPlan {
        ProductPlan::Tiles(Cut::new(shape.extents(), 1, shape.tf32, self.driver.multiprocessors()))
    }

    pub(crate) fn plans(&self) -> MutexGuard<'_, Plans> {
        lock(&self.chosen.plans)
    }

    /// The candidate that is known to be fastest, or is found to be: `prepare` gives what runs one, on memory of its own. Where
    /// nothing can be measured, as within a recording, it is the first.
    fn fastest<P: Candidate, R: FnMut(&P) -> Result<()>>(
        &self,
        shape: &str,
        candidates: &[P],
        prepare: impl FnOnce() -> Result<R>,
    ) -> P {
        let first = candidates[0];
        let Some(clock) = self.means.clock.as_deref().filter(|_| candidates.len() > 1) else { return first };
        if self.driver.recorder().turn().is_recording() {
            return first;
        }
        let mut kept = lock(&self.chosen.kept);
        let kept = if let Some(kept) = &mut *kept {
            kept
        } else {
            let Ok(environment) = clock.environment() else { return first };
            let blas = self.blas().and_then(Blas::version).unwrap_or_else(|| "none".to_owned());
            let environment = format!("{environment}, cuBLAS {blas}");
            kept.insert(Choices::open(self.means.folder.as_deref(), &environment))
        };
        let known = kept.get(shape);
        if let Some(&known) = candidates.iter().find(|plan| known == Some(&*plan.name())) {
            return known;
        }
        let Ok(mut run) = prepare() else { return first };
        let Some(best) = measure(clock, candidates.len(), &mut |index| run(&candidates[index])) else {
            return first;
        };
        kept.insert(shape, &candidates[best].name());
        candidates[best]
    }

    /// Memory with numbers of all kinds in it: with zeros a device would use less power, and run faster, than in earnest.
    fn filled(&self, len: usize) -> Result<DeviceBuffer> {
        const PIECE: usize = 1 << 16;
        let buffer = DeviceBuffer::zeroed(&self.driver, within_reach(len)?)?;
        // A linear congruential generator's (Knuth's MMIX) upper bits, between −1 and 1.
        let mut state = 1_u64;
        let numbers: Vec<f32> = (0..len.min(PIECE))
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
            })
            .collect();
        self.driver.write(buffer.address(), &numbers)?;
        let mut done = numbers.len();
        while done < len {
            let count = done.min(len - done);
            let to = buffer.address() + (done * size_of::<f32>()) as u64;
            self.driver.copy(buffer.address(), to, count)?;
            done += count;
        }
        Ok(buffer)
    }

    /// A workspace for whoever needs most.
    fn largest(&self, lens: impl Iterator<Item = usize>) -> Result<DeviceBuffer> {
        DeviceBuffer::zeroed(&self.driver, within_reach(lens.max().unwrap_or(0))?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What kernels can count.
fn within_reach(len: usize) -> Result<usize> {
    if len <= super::MOST_FLOATS {
        return Ok(len);
    }
    Err(Error::geometry("choosing an algorithm", format!("{len} floats are too many")))
}

#[cfg(all(test, feature = "emulate"))]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::device::stand_in::{FakeClock, backend};
    use crate::prelude::*;

    /// Large enough for every kind of tile, and for sums in parts.
    fn product() -> GemmGeometry {
        GemmGeometry { transpose_b: true, ..GemmGeometry::new(66, 70, 130) }
    }

    fn shape() -> ProductShape {
        ProductShape::new(&product(), false)
    }

    fn untouched() -> Arc<FakeClock> {
        FakeClock::new(|_| panic!("nothing is to be measured"))
    }

    #[test]
    fn the_fastest_is_taken_and_measured_once() {
        let candidates = backend(&untouched(), None).product_candidates(&shape());
        let count = candidates.len();
        assert!(count > 4 && candidates[count - 1] == ProductPlan::Blas, "{candidates:?}");
        for (index, expected) in candidates.iter().enumerate() {
            let clock = FakeClock::favouring(index, count);
            let device = backend(&clock, None);
            assert_eq!(device.gemm_workspace_len(&product()), expected.workspace_len(66 * 70));
            assert_eq!(device.product_plan(&product()), *expected);
            // Once to warm up, once to see that the others are hopeless.
            assert_eq!(clock.readings(), 2 * count);
            // Other factors are the same shape; other sizes are not.
            device.product_plan(&GemmGeometry { alpha: 2.0, beta: 1.0, ..product() });
            assert_eq!(clock.readings(), 2 * count);
        }
    }

    #[test]
    fn a_convolution_keeps_the_plan_that_it_was_measured_with() {
        let geometry = ConvGeometry::new(2, [6, 8], &[6, 6], &[3, 3]).with_pad(&[1, 1]);
        for pass in [Pass::Forward, Pass::Data, Pass::Filter] {
            let candidates = backend(&untouched(), None).convolution_candidates(&geometry, pass);
            let winograd = candidates.iter().filter(|plan| matches!(plan, Plan::Winograd(_))).count();
            assert_eq!(winograd, if pass == Pass::Filter { 0 } else { 2 });
            for (index, expected) in candidates.iter().enumerate() {
                let clock = FakeClock::favouring(index, candidates.len());
                let device = backend(&clock, None);
                let weights = device.allocate(geometry.weight_len()).unwrap();
                let len = match pass {
                    Pass::Forward => device.convolution_prepare(&geometry, &weights).unwrap().workspace_len(),
                    Pass::Data => {
                        device.convolution_backward_data_prepare(&geometry, &weights).unwrap().workspace_len()
                    }
                    Pass::Filter => device.convolution_backward_filter_workspace_len(&geometry),
                };
                assert_eq!(len, expected.workspace_len(result_len(&geometry, pass)), "{expected:?}");
                assert_eq!(device.convolution_plan(&geometry, pass), *expected);
            }
        }
    }

    #[test]
    fn what_was_found_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        let count = backend(&untouched(), None).product_candidates(&shape()).len();
        let blas = FakeClock::favouring(count - 1, count);
        assert_eq!(backend(&blas, Some(&folder)).product_plan(&product()), ProductPlan::Blas);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let line = "product A BT, 66x70, sums of 130, f32\tcuBLAS\n";
        let whole = format!("a device, cuBLAS of loops\n{line}");
        assert_eq!(fs::read_to_string(&files[0]).unwrap(), whole);
        assert_eq!(backend(&untouched(), Some(&folder)).product_plan(&product()), ProductPlan::Blas);

        // Another device has its own.
        let other =
            FakeClock::elsewhere("another", move |reading| if reading % count == 1 { 1.0 } else { 2.0 });
        assert_ne!(backend(&other, Some(&folder)).product_plan(&product()), ProductPlan::Blas);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);

        // Who is to be the same everywhere looks neither at the clock nor at the file.
        let device = backend(&untouched(), Some(&folder)).with_choice(Choice::Deterministic);
        assert_eq!(device.product_plan(&product()), device.product_plan_by_sizes(&shape()));
        // Who insists on cuBLAS needs neither.
        let device = backend(&untouched(), None).with_choice(Choice::Cublas);
        assert_eq!(device.product_plan(&product()), ProductPlan::Blas);
    }

    #[test]
    fn a_damaged_file_costs_time_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let count = backend(&untouched(), None).product_candidates(&shape()).len();
        let expected = backend(&untouched(), None).product_candidates(&shape())[1];
        let measured = || {
            let clock = FakeClock::favouring(1, count);
            assert_eq!(backend(&clock, Some(folder.path())).product_plan(&product()), expected);
            clock.readings()
        };
        assert_eq!(measured(), 2 * count);
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read(&file).unwrap();
        let head = &b"a device, cuBLAS of loops\n"[..];
        let shape = &b"product A BT, 66x70, sums of 130, f32\t"[..];
        for damaged in [
            Vec::new(),
            whole[..whole.len() - 1].to_vec(),
            [&b"\xff\xfe\0"[..], &whole].concat(),
            [head, b"no tab\n\n\t\n\xff\t\xff\n"].concat(),
            [head, shape, b"a way that nobody knows\n"].concat(),
            [&b"another device\n"[..], shape, b"cuBLAS\n"].concat(),
        ] {
            fs::write(&file, &damaged).unwrap();
            assert_eq!(measured(), 2 * count, "{:?}", String::from_utf8_lossy(&damaged));
            // Mended.
            assert_eq!(measured(), 0, "{:?}", String::from_utf8_lossy(&damaged));
        }
        // A folder that cannot be: measured, and used.
        let clock = FakeClock::favouring(1, count);
        assert_eq!(backend(&clock, Some(&file.join("below a file"))).product_plan(&product()), expected);
    }

    #[test]
    fn nothing_is_measured_within_a_recording() {
        let device = backend(&untouched(), None);
        let mut plan = None;
        device.record(&mut || plan = Some(device.product_plan(&product()))).unwrap();
        assert_eq!(plan, Some(device.product_plan_by_sizes(&shape())));
        // What the recording was made with stays: its workspace is as long as that.
        assert_eq!(plan, Some(device.product_plan(&product())));
    }
}
