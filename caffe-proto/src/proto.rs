//! The messages of Caffe's files, as `proto/caffe.proto` declares them.

#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, rustdoc::all)]

include!(concat!(env!("OUT_DIR"), "/caffe.rs"));

/// The compiled schema: what the text reader looks names up in.
pub(crate) static DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/caffe.descriptor"));
