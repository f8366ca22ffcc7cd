//! What a training run leaves in its folder: written while it trains, read by whoever draws it.
//!
//! ```text
//! RUN/
//!   run.json            how it was started: `Settings`
//!   metrics.jsonl       what happened, a JSON object a line, in order: `Metric`
//!   validation.json     what the best epoch's validation gave, image by image: `Validation`
//!   mistakes/000.png …  pictures of the most confident mistakes of that epoch
//!   filters.npz         the first convolution's weights before training and at the best epoch: `Filters`
//!   train_val.prototxt  deploy.prototxt  best.caffemodel  last.caffemodel  labels.txt  state.npz
//! ```
//!
//! ```
//! use train_core::run::{Metric, MetricsWriter, RunFolder, Settings, read_metrics};
//!
//! # let scratch = tempfile::tempdir()?;
//! # let path = scratch.path().join("RUN");
//! let run = RunFolder::create(&path, false)?;
//! Settings { epochs: 5, batch_size: 32, ..Settings::default() }.write(&run.settings())?;
//!
//! let mut metrics = MetricsWriter::create(&run.metrics())?;
//! metrics.write(&Metric::Thawed { iteration: 100, layers: vec!["conv5".to_owned()] })?;
//!
//! assert_eq!(read_metrics(&run.metrics())?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod filters;
mod folder;
mod json;
mod metrics;
mod settings;
mod validation;

pub use error::{Error, Result};
pub use filters::Filters;
pub use folder::{MOST_MISTAKES, RunFolder};
pub use metrics::{LayerOutput, Metric, MetricsWriter, read_metrics};
pub use settings::{Replaced, Settings};
pub use validation::{Confusion, Judged, Validation};
