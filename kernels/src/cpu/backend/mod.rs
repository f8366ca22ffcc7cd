//! [`Backend`] for the CPU: each method checks its operands, takes the slices it needs and calls the operation.

mod activation;
mod convolution;
mod deconvolution;
mod elementwise;
mod embed;
mod gemm;
mod inner_product;
mod losses;
mod memory;
mod normalization;
mod operands;
mod pooling;
mod recurrent;
mod reduction;
mod resize;
mod softmax;
mod transform;
mod vector;

use crate::backend::Backend;
use crate::cpu::CpuBackend;
use crate::error::Result;

impl Backend for CpuBackend {
    fn name(&self) -> String {
        format!("CPU, {:?}, {} threads", self.isa(), self.threads())
    }

    fn arithmetic(&self) -> String {
        format!("{}, {:?}", std::env::consts::ARCH, self.isa())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        self.threads.enter(body);
    }

    fn each(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        self.threads.run(count, |_, index| body(index));
    }
}
