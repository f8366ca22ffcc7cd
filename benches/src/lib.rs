//! Benchmarks of the other crates, one file a subject: `cargo bench -p benches`.
