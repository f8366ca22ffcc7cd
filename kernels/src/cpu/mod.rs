//! The CPU backend: one operation a file.

mod activation;
mod argmax;
mod backend;
mod channelwise;
pub(crate) mod conv;
pub(crate) mod deconv;
mod eltwise;
mod embed;
mod gemm;
mod im2col;
pub(crate) mod inner_product;
mod label_loss;
mod lrn;
mod lstm;
mod math;
mod normalize;
mod pair_loss;
mod peak;
mod pooling;
mod random;
mod resize;
mod rows;
mod simd;
mod softmax;
mod sums;
mod team;
mod threads;
mod transform;
mod vector;

pub use conv::ConvAlgorithm;
pub use simd::Isa;

use simd::Level;
use threads::Threads;

use crate::error::{Error, Result};

/// This machine's processor, with its own pool of threads.
pub struct CpuBackend {
    threads: Threads,
    level: Level,
}

impl CpuBackend {
    /// With `threads` threads and the widest vectors that this machine has.
    pub fn new(threads: usize) -> Result<Self> {
        Self::with_isa(threads, Isa::detect())
    }

    /// With these instructions and no wider ones: for comparisons.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Self> {
        let level = Level::of(isa).ok_or(Error::Unavailable { isa })?;
        Ok(Self { threads: Threads::new(threads)?, level })
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// The instructions it uses.
    pub fn isa(&self) -> Isa {
        self.level.isa()
    }
}

impl std::fmt::Debug for CpuBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuBackend").field("threads", &self.threads()).field("isa", &self.isa()).finish()
    }
}
