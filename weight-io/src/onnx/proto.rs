//! The messages of an ONNX file, as `proto/onnx.proto` declares them.

#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, rustdoc::all, dead_code)]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
