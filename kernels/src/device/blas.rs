//! Products by cuBLAS: batches of row-major matrices in its column-major terms.
//!
//! A matrix that lies row after row is, read column after column, its transpose. So `C = A · B` is asked for as `Cᵀ = Bᵀ · Aᵀ`:
//! the operands change places, and each is transposed where it was not expected to be.

use super::DeviceBackend;
use super::call::Target;
use super::driver::Address;
use super::gemm::{Batch, Epilogue, Matrix};
use super::source::GEMM;
use crate::error::{Error, Result};

/// A library with cuBLAS's product.
pub(crate) trait Blas: Send + Sync {
    /// Its version; none where it cannot be used.
    fn version(&self) -> Option<String>;

    /// Starts a product, behind all work that was given before.
    fn sgemm(&self, call: &Sgemm) -> Result<()>;
}

/// `C = α · op(A) · op(B) + β · C` with column-major matrices, several times: the arguments of `cublasSgemmStridedBatched`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sgemm {
    /// Whether op transposes A, and B.
    pub(crate) transpose: [bool; 2],
    /// Rows of C, columns of C, length of the sums.
    pub(crate) sizes: [i32; 3],
    /// α and β. Where β is 0, C is not read.
    pub(crate) scales: [f32; 2],
    /// A, B and C.
    pub(crate) at: [Address; 3],
    /// Floats from one column of A, B and C to the next.
    pub(crate) leading: [i32; 3],
    /// Floats from one A, B and C of the batch to the next.
    pub(crate) strides: [i64; 3],
    /// Products of the batch.
    pub(crate) count: i32,
    /// Whether factors may be rounded to TF32.
    pub(crate) tf32: bool,
}

/// The calls for a batch: one where its two levels are one run of products, else one for each product of the shorter level.
pub(crate) fn calls(
    batch: &Batch,
    c: Address,
    scales: [f32; 2],
    tf32: bool,
) -> impl Iterator<Item = Sgemm> + use<> {
    let [m, n, k] = batch.sizes;
    let [outer_count, inner_count] = batch.counts;
    let wide = |strides: [u32; 2]| strides.map(i64::from);
    let len = i64::from(m) * i64::from(n);
    // From one product to the next: of the right operand, the left one and the result, as cuBLAS takes them.
    let [b, a] = [&batch.b, &batch.a].map(|matrix| wide([matrix.outer, matrix.inner]));
    let levels = [b, a, [len * i64::from(inner_count), len]];
    let (outer, inner) = (levels.map(|level| level[0]), levels.map(|level| level[1]));
    let joined = levels.iter().all(|[outer, inner]| *outer == i64::from(inner_count) * inner);
    let nothing = [0; 3];
    let (repeats, steps, count, strides) = if inner_count == 1 {
        (1, nothing, outer_count, outer)
    } else if outer_count == 1 || joined {
        (1, nothing, outer_count * inner_count, inner)
    } else if outer_count >= inner_count {
        (inner_count, inner, outer_count, outer)
    } else {
        (outer_count, outer, inner_count, inner)
    };
    let (b, a) = (operand(&batch.b, n), operand(&batch.a, m));
    let first = Sgemm {
        // What lies with its columns (of the right operand) or rows (of the left one) side by side is what cuBLAS expects of
        // its first operand, and the transpose of what it expects of its second.
        transpose: [!b.side_by_side, a.side_by_side],
        sizes: [n, m, k].map(|extent| extent as i32),
        scales,
        at: [batch.b.at, batch.a.at, c],
        leading: [b.leading, a.leading, n.max(1) as i32],
        strides,
        count: count as i32,
        tf32,
    };
    (0..repeats).map(move |repeat| {
        let mut call = first;
        for (at, step) in call.at.iter_mut().zip(steps) {
            *at += (i64::from(repeat) * step) as Address * size_of::<f32>() as Address;
        }
        call
    })
}

/// How an operand lies.
struct Lying {
    /// Whether neighbours along its extent are neighbours in memory; else those along the sum are.
    side_by_side: bool,
    leading: i32,
}

fn operand(matrix: &Matrix, extent: u32) -> Lying {
    let side_by_side = matrix.along == 1;
    // With sums of length 1 both ways are the same, and the distance along the sum has no meaning.
    let leading = if side_by_side { matrix.down.max(extent) } else { matrix.along };
    Lying { side_by_side, leading: leading.max(1) as i32 }
}

impl DeviceBackend {
    /// cuBLAS, if it is there.
    pub(crate) fn blas(&self) -> Option<&dyn Blas> {
        self.means.blas.as_deref().filter(|blas| blas.version().is_some())
    }

    /// A batch of products, one behind the other in `c`, by cuBLAS: alpha and beta are its own, the rest of the epilogue follows.
    pub(crate) fn batch_by_blas(&self, batch: &Batch, epilogue: Epilogue, c: &Target<'_>) -> Result<()> {
        let blas = self.blas().ok_or_else(missing)?;
        let [m, n, _] = batch.sizes.map(|extent| extent as usize);
        let len = batch.counts[0] as usize * batch.counts[1] as usize * m * n;
        if len == 0 {
            return Ok(());
        }
        let (scales, rest) = epilogue.apart();
        for call in calls(batch, c.address(), scales, self.uses_tf32()) {
            blas.sgemm(&call)?;
        }
        let Some(rest) = rest else { return Ok(()) };
        // One part, added up in its place.
        let call = self.call(&GEMM, "add_parts").count(len).count(1).source(c).value(&rest);
        call.output(c, len).over(len)
    }
}

/// What cuBLAS's absence means to who insists on it.
pub(crate) fn missing() -> Error {
    Error::Device {
        device: "cuBLAS".to_owned(),
        what: "there is no libcublas: it is part of CUDA's toolkit, and of the package nvidia-cublas-cu12 of PyPI; \
               LD_LIBRARY_PATH says where else it is looked for"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cuBLAS's manual says of its product, over memory that begins at address 0.
    fn column_major(call: &Sgemm, memory: &mut [f32]) {
        let [m, n, k] = call.sizes.map(|extent| extent as usize);
        let [lda, ldb, ldc] = call.leading.map(|leading| leading as usize);
        // The manual's conditions.
        assert!(lda >= if call.transpose[0] { k } else { m }.max(1), "{call:?}");
        assert!(ldb >= if call.transpose[1] { n } else { k }.max(1), "{call:?}");
        assert!(ldc >= m.max(1), "{call:?}");
        for p in 0..call.count as usize {
            let start = |which: usize| call.at[which] as usize / 4 + p * call.strides[which] as usize;
            let (a, b, c) = (start(0), start(1), start(2));
            for j in 0..n {
                for i in 0..m {
                    let sum: f32 = (0..k)
                        .map(|l| {
                            let a_at = if call.transpose[0] { l + i * lda } else { i + l * lda };
                            let b_at = if call.transpose[1] { j + l * ldb } else { l + j * ldb };
                            memory[a + a_at] * memory[b + b_at]
                        })
                        .sum();
                    let old =
                        if call.scales[1] == 0.0 { 0.0 } else { call.scales[1] * memory[c + i + j * ldc] };
                    memory[c + i + j * ldc] = call.scales[0] * sum + old;
                }
            }
        }
    }

    /// All transposes, batches of every kind, sums of every length: each call's numbers are those of the row-major product.
    #[test]
    fn row_major_batches_in_column_major_terms() {
        for [m, n, k] in [[3, 4, 5], [1, 1, 1], [1, 6, 1], [6, 1, 3], [4, 3, 1], [2, 3, 0]] {
            for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
                // Steps from product to product: none, in a run, all of one level apart, shared by one level.
                for (counts, a_steps, b_steps, expected_calls) in [
                    ([1, 1], [0, 0], [0, 0], 1),
                    ([5, 1], [m * k, 0], [n * k, 0], 1),
                    ([1, 4], [0, m * k], [0, n * k], 1),
                    ([3, 2], [2 * m * k, m * k], [2 * n * k, n * k], 1),
                    ([3, 2], [0, m * k], [2 * n * k, n * k], if k == 0 { 1 } else { 2 }),
                    ([2, 3], [0, m * k], [3 * n * k, n * k], if k == 0 { 1 } else { 2 }),
                ] {
                    check([m, n, k], [transpose_a, transpose_b], counts, [a_steps, b_steps], expected_calls);
                }
            }
        }
    }

    fn check(
        sizes: [u32; 3],
        transpose: [bool; 2],
        counts: [u32; 2],
        [a_steps, b_steps]: [[u32; 2]; 2],
        expected_calls: usize,
    ) {
        let [m, n, k] = sizes;
        const HALF: usize = 200;
        let mut memory: Vec<f32> = (0..3 * HALF).map(|i| ((i * 37) % 19) as f32 - 9.0).collect();
        let at = |float: usize| (float * 4) as Address;
        let batch = Batch {
            sizes,
            a: Matrix::new(at(0), [m, k], transpose[0]).stepping(a_steps[0], a_steps[1]),
            b: Matrix::new(at(HALF), [n, k], !transpose[1]).stepping(b_steps[0], b_steps[1]),
            counts,
        };
        let scales = [2.0, -1.0];
        let mut expected = memory.clone();
        let [m, n, k] = sizes.map(|extent| extent as usize);
        for product in 0..(counts[0] * counts[1]) as usize {
            let (outer, inner) = (product / counts[1] as usize, product % counts[1] as usize);
            let start = |steps: [u32; 2]| outer * steps[0] as usize + inner * steps[1] as usize;
            let (a, b) = (start(a_steps), HALF + start(b_steps));
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 = (0..k)
                        .map(|l| {
                            let a_at = if transpose[0] { l * m + i } else { i * k + l };
                            let b_at = if transpose[1] { j * k + l } else { l * n + j };
                            memory[a + a_at] * memory[b + b_at]
                        })
                        .sum();
                    let c = 2 * HALF + (product * m + i) * n + j;
                    expected[c] = scales[0] * sum + scales[1] * memory[c];
                }
            }
        }
        let calls: Vec<Sgemm> = calls(&batch, at(2 * HALF), scales, false).collect();
        assert_eq!(calls.len(), expected_calls, "{sizes:?} {counts:?}");
        for call in &calls {
            column_major(call, &mut memory);
        }
        assert_eq!(memory, expected, "{sizes:?} {transpose:?} {counts:?}");
    }
}
