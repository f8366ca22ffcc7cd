//! Benchmarks of the other crates, one file a subject: `cargo bench -p benches`. The programs in `bin` are our side of
//! `cargo xtask bench`; what they and the benchmarks share is here.

pub mod alexnet;
pub mod cases;
pub mod device;
pub mod report;
pub mod steps;
pub mod timing;
pub mod worker;
