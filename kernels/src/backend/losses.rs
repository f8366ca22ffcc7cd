//! Losses and accuracies: a batch's one float.

use super::Site;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::{AccuracyGeometry, LabelLossGeometry, PairLossGeometry};

/// Losses, their gradients, and the share of right labels.
pub trait LossOps {
    /// Floats of the totals that a loss's forward pass leaves for its gradient.
    fn loss_totals_len(&self) -> usize;

    /// The loss of x, samples×classes×inner, and `label`, samples×inner, over the divisor: one float. `matrix`, classes×classes, is
    /// Infogain's. Labels are floats, rounded towards 0; one that names no class is an error, at once or when the device is
    /// [synchronized](super::Backend::synchronize).
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn label_loss_forward(
        &self,
        geometry: &LabelLossGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()>;

    /// The gradient that [`LabelLoss`](crate::LabelLoss) says, times `dloss`, one float. `totals` is as the forward pass of the same
    /// operands has left it.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn label_loss_backward(
        &self,
        geometry: &LabelLossGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// The share of right labels: one float; 0 where none counts. `by_class` receives that of each class. `totals` is scratch memory
    /// of [`loss_totals_len`](LossOps::loss_totals_len).
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn accuracy_forward(
        &self,
        geometry: &AccuracyGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        share: &mut Buffer,
        by_class: Option<&mut Buffer>,
        totals: &mut Buffer,
    ) -> Result<()>;

    /// The loss of two arrays, samples×length, over the divisor: one float. `extra` are SmoothL1's weights inside and outside, as
    /// long as the arrays, or Contrastive's marks of the samples that are alike.
    fn pair_loss_forward(
        &self,
        geometry: &PairLossGeometry,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`pair_loss_forward`](LossOps::pair_loss_forward) with respect to one of the two, times `dloss`, one float. A
    /// cross entropy has one with respect to the first alone. `totals` is as the forward pass of the same operands has left it.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn pair_loss_backward(
        &self,
        geometry: &PairLossGeometry,
        which: usize,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;
}
