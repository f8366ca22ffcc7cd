//! Sizes of operations: plain structs, laid out as C lays them out, so that a device kernel can take them by value.

mod axis;
mod conv;
mod copy;
mod loss;
mod lrn;
mod matrix;
mod pool;
mod resize;

pub use axis::{AxisGeometry, NormalizeGeometry, RowsGeometry};
pub use conv::{ConvGeometry, MAX_SPATIAL};
pub use copy::{CopyGeometry, MAX_AXES};
pub use loss::{AccuracyGeometry, LabelLoss, LabelLossGeometry, LossDivisor, PairLoss, PairLossGeometry};
pub use lrn::{LrnGeometry, LrnRegion};
pub use matrix::{EmbedGeometry, GemmGeometry, InnerProductGeometry, LstmGeometry};
pub use pool::{PoolGeometry, PoolMethod, Rounding};
pub use resize::InterpGeometry;
