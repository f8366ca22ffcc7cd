//! What `caffe train` does with a solver's file: the net, its test nets, their data, iterations, tests, snapshots.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use caffe_proto::solver::read_solver;
//! use caffe_proto::{Storage, text::Options};
//! use kernels::CpuBackend;
//! use train_core::session::{Event, Session};
//!
//! let text = Storage::open("solver.prototxt")?;
//! let (solver, _) = read_solver(&text, Options::default())?;
//! let cpu = CpuBackend::new(2)?;
//! let mut session = Session::open(&solver, Path::new(""), &cpu, 1, &mut |_network| Ok(()))?;
//! session.run(&mut || false, &mut |event| {
//!     if let Event::Step(step) = event {
//!         println!("{} {}", step.iteration, step.loss);
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod nets;
mod place;
mod run;
mod snapshot;
mod supply;
mod test_net;

pub use run::{Event, Session, StepEvent, TestEvent};
pub use snapshot::snapshot_paths;
pub use test_net::Output;
