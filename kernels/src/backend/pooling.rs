//! Windows reduced to one number each.

use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::PoolGeometry;
use crate::random::Random;

/// Poolings and their gradients.
pub trait PoolingOps {
    /// Pooling. `mask`, as long as y, receives the place of the chosen element within its plane, as a float (Max and
    /// StochasticTrain only; −1 where the window was empty). StochasticTrain draws number i of `random` for output i.
    fn pooling_forward(
        &self,
        geometry: &PoolGeometry,
        x: &Buffer,
        y: &mut Buffer,
        mask: Option<&mut Buffer>,
        random: Option<&Random<'_>>,
    ) -> Result<()>;

    /// The gradient of a pooling: Max and StochasticTrain give it to the element that the mask names, Average to all of the
    /// window alike. StochasticTest has none.
    fn pooling_backward(
        &self,
        geometry: &PoolGeometry,
        mask: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;
}
