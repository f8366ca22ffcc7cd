//! Forward and backward passes, over parameters that change in between: [`Trainee`].

mod flow;
mod trainee;

pub use trainee::{Trainee, TrainingOptions};
