//! Forward and backward passes, over parameters that change in between: [`Trainee`]; iterations of them with updates:
//! [`Trainer`].

mod flow;
mod snapshot;
mod trainee;
mod trainer;

pub use trainee::{Trainee, TrainingMemory, TrainingOptions};
pub use trainer::{Stepped, Trainer};
