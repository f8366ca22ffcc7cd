//! A second forward and backward pass allocate nothing, whatever was changed in between.
//!
//! Without the tests' harness, whose own thread allocates once it waits: all of this process is counted.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use caffe_proto::proto::{NetState, Phase};
use caffe_proto::{Storage, text};
use kernels::{Backend, CpuBackend};
use train_core::{Network, TrainingOptions};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NET: &str = r#"
layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 4 dim: 3 dim: 16 dim: 16 } shape { dim: 4 } } }
layer { name: "c1" type: "Convolution" bottom: "a" top: "c1" convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "n1" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "e" type: "Eltwise" bottom: "c1" bottom: "c2" top: "e" }
layer { name: "p" type: "Pooling" bottom: "e" top: "p" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "l" type: "LRN" bottom: "p" top: "l" }
layer { name: "v" type: "Pooling" bottom: "e" top: "v" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "k" type: "Concat" bottom: "l" bottom: "v" top: "k" }
layer { name: "d" type: "Deconvolution" bottom: "k" top: "d" convolution_param { num_output: 4 kernel_size: 2 stride: 2 } }
layer { name: "t" type: "PReLU" bottom: "d" top: "d" }
layer { name: "o" type: "Dropout" bottom: "d" top: "o" }
layer { name: "f" type: "InnerProduct" bottom: "o" top: "f" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "b" top: "loss" }
"#;

fn main() {
    for threads in [1, 2] {
        let cpu = CpuBackend::new(threads).unwrap();
        let text = Storage::from_vec("net", NET.as_bytes().to_vec());
        let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
        let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
        let network = Network::new(definition, &state).unwrap();
        let mut trainee = network.trainee(&cpu, &TrainingOptions::default()).unwrap();
        let mut counts = Vec::with_capacity(4);
        // From outside, each operation would enter the threads' pool, whose queue allocates.
        cpu.enter(&mut || {
            for value in [0.5, -0.25, 0.125, 1.0] {
                trainee.params().iter_mut().for_each(|view| view.value[0] = value);
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                trainee.clear_gradients();
                trainee.forward().unwrap();
                trainee.backward().unwrap();
                counts.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
            }
        });
        assert_eq!(counts[1..], [0; 3], "{threads} threads");
    }
}
