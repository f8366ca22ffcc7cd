//! What is refused, and in which words.

use std::sync::Arc;

use kernels::prelude::*;
use kernels::{
    Activation, Buffer, ConvAlgorithm, ConvGeometry, CopyGeometry, CpuBackend, EltwiseOp, EmbedGeometry,
    Error, HostBuffer, PoolGeometry, PoolMethod, Site,
};

#[track_caller]
fn refused<T>(result: Result<T, Error>, message: &str) {
    assert_eq!(result.err().map(|error| error.to_string()).as_deref(), Some(message));
}

#[test]
fn a_short_buffer_is_named_with_its_length() {
    let cpu = CpuBackend::new(1).unwrap();
    let x = cpu.allocate(9).unwrap();
    let mut y = cpu.allocate(10).unwrap();
    refused(
        cpu.activation_forward(Activation::Relu, 10, Some(&x), &mut y),
        "activation_forward: x holds 9 floats, the geometry needs 10",
    );
    refused(cpu.write(&mut y, 8, &[0.0; 3]), "write: the buffer holds 10 floats, the geometry needs 11");
}

#[test]
fn shared_memory_is_not_written() {
    let cpu = CpuBackend::new(1).unwrap();
    let mut shared = Buffer::Host(HostBuffer::shared(Arc::new([0_u8; 16])));
    refused(
        cpu.activation_forward(Activation::Relu, 4, None, &mut shared),
        "activation_forward: y is read-only memory",
    );
}

#[test]
fn impossible_convolutions() {
    let cpu = CpuBackend::new(1).unwrap();
    let weights = cpu.allocate(100).unwrap();
    let prepare = |geometry: ConvGeometry| cpu.convolution_prepare(&geometry, &weights);
    let plain = ConvGeometry::new(1, [4, 6], &[5, 5], &[3, 3]);
    refused(
        prepare(plain.with_group(4)),
        "convolution_prepare: 4 input and 6 output channels cannot be cut into 4 groups",
    );
    refused(
        prepare(plain.with_dilation(&[3, 3])),
        "convolution_prepare: a kernel reaching over 7 does not fit an input of 5 padded by 0 on axis 0",
    );
    refused(
        prepare(plain.with_stride(&[1, 0])),
        "convolution_prepare: kernel 3, stride 0, dilation 1 on axis 1",
    );
    refused(prepare(plain), "convolution_prepare: weights holds 100 floats, the geometry needs 216");
    let strided = plain.with_stride(&[2, 2]);
    assert!(cpu.convolution_prepare_with(ConvAlgorithm::Winograd, &strided, &weights).is_err());
}

#[test]
fn impossible_poolings_and_copies() {
    let cpu = CpuBackend::new(1).unwrap();
    let x = cpu.allocate(100).unwrap();
    let mut y = cpu.allocate(100).unwrap();
    let large = PoolGeometry::new(PoolMethod::Max, [1, 1, 2, 2], [3, 3]);
    refused(
        cpu.pooling_forward(&large, &x, &mut y, None, None),
        "pooling_forward: a window of 3 with stride 1 and pad 0 over 2 has no output",
    );
    let stochastic = PoolGeometry::new(PoolMethod::StochasticTrain, [1, 1, 4, 4], [2, 2]);
    refused(
        cpu.pooling_forward(&stochastic, &x, &mut y, None, None),
        "pooling_forward: stochastic pooling in training needs random numbers",
    );
    let overlapping = CopyGeometry { target_stride: [1; 8], ..CopyGeometry::tile(2, 3, 2) };
    refused(
        cpu.transform_tensor(&overlapping, &x, &mut y),
        "transform_tensor: target stride 1 writes elements twice",
    );
}

#[test]
fn impossible_arguments() {
    let cpu = CpuBackend::new(1).unwrap();
    let x = cpu.allocate(4).unwrap();
    let mut y = cpu.allocate(4).unwrap();
    refused(
        cpu.eltwise_forward(EltwiseOp::Sum(&[1.0]), 4, &[&x, &x], &mut y),
        "eltwise_forward: 1 coefficients for 2 inputs",
    );
    refused(
        cpu.eltwise_forward(EltwiseOp::Max, 4, &[], &mut y),
        "eltwise_forward: 0 inputs; 1 to 32 are possible",
    );
    let mut index = cpu.allocate(1).unwrap();
    cpu.fill(&mut index, 1, 2.0).unwrap();
    let geometry = EmbedGeometry { count: 1, rows: 2, length: 2 };
    refused(
        cpu.embed_forward(&geometry, Site::default(), &index, &x, None, &mut y),
        "embed_forward: index 2 names none of 2 rows",
    );
}

/// A second forward pass must not allocate; this one at least must not need a larger workspace than was asked for.
#[test]
fn the_workspace_asked_for_is_enough_and_all_that_is_touched() {
    for threads in [1, 3] {
        let cpu = CpuBackend::new(threads).unwrap();
        let geometry = ConvGeometry::new(2, [20, 24], &[17, 19], &[3, 3]).with_pad(&[1, 1]);
        let weights = cpu.allocate(24 * 20 * 9).unwrap();
        let (x, mut y) = (cpu.allocate(2 * 20 * 17 * 19).unwrap(), cpu.allocate(2 * 24 * 17 * 19).unwrap());
        for algorithm in [ConvAlgorithm::ImplicitGemm, ConvAlgorithm::Winograd] {
            let prepared = cpu.convolution_prepare_with(algorithm, &geometry, &weights).unwrap();
            let mut workspace = cpu.allocate(prepared.workspace_len()).unwrap();
            cpu.convolution_forward(&prepared, &x, &kernels::Epilogue::default(), &mut y, &mut workspace)
                .unwrap();
            let mut short = cpu.allocate(prepared.workspace_len() - 1).unwrap();
            let again =
                cpu.convolution_forward(&prepared, &x, &kernels::Epilogue::default(), &mut y, &mut short);
            assert!(matches!(again, Err(Error::TooShort { operand: "the workspace", .. })));
        }
    }
}
