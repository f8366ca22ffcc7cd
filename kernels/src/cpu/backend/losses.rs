//! [`LossOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::backend::{LossOps, Site};
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, label_loss, pair_loss};
use crate::error::Result;
use crate::geometry::{AccuracyGeometry, LabelLossGeometry, PairLossGeometry};

impl LossOps for CpuBackend {
    fn loss_totals_len(&self) -> usize {
        1
    }

    fn label_loss_forward(
        &self,
        geometry: &LabelLossGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "label_loss_forward";
        let operands = label_operands(OP, geometry, x, label, matrix)?;
        let (loss, totals) = (take_mut(OP, "loss", loss, 1)?, take_mut(OP, "totals", totals, 1)?);
        let (sum, counted) = label_loss::forward(geometry, site, operands)?;
        leave(sum, geometry.divided_by(counted), loss, totals);
        Ok(())
    }

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
    ) -> Result<()> {
        const OP: &str = "label_loss_backward";
        let operands = label_operands(OP, geometry, x, label, matrix)?;
        let factor = factor(take(OP, "dloss", dloss, 1)?, take(OP, "totals", totals, 1)?);
        let dx = take_mut(OP, "dx", dx, geometry.scores.len())?;
        label_loss::backward(self, geometry, site, operands, factor, dx)
    }

    fn accuracy_forward(
        &self,
        geometry: &AccuracyGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        share: &mut Buffer,
        by_class: Option<&mut Buffer>,
        _totals: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "accuracy_forward";
        let (outer, classes, inner) = geometry.scores.sizes();
        let operands = [take(OP, "x", x, geometry.scores.len())?, take(OP, "label", label, outer * inner)?];
        let by_class = by_class.map(|shares| take_mut(OP, "by_class", shares, classes)).transpose()?;
        let share = take_mut(OP, "share", share, 1)?;
        share[0] = label_loss::accuracy(geometry, site, operands, by_class)?;
        Ok(())
    }

    fn pair_loss_forward(
        &self,
        geometry: &PairLossGeometry,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        loss: &mut Buffer,
        totals: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "pair_loss_forward";
        let pair = pair_operands(OP, geometry, pair, extra)?;
        let (loss, totals) = (take_mut(OP, "loss", loss, 1)?, take_mut(OP, "totals", totals, 1)?);
        let (sum, counted) = pair_loss::forward(geometry, pair);
        leave(sum, geometry.divided_by(counted), loss, totals);
        Ok(())
    }

    fn pair_loss_backward(
        &self,
        geometry: &PairLossGeometry,
        which: usize,
        pair: [&Buffer; 2],
        extra: [Option<&Buffer>; 2],
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "pair_loss_backward";
        geometry.check_backward(OP, which)?;
        let pair = pair_operands(OP, geometry, pair, extra)?;
        let factor = factor(take(OP, "dloss", dloss, 1)?, take(OP, "totals", totals, 1)?);
        let factor = if which == 0 { factor } else { -factor };
        pair_loss::backward(self, geometry, pair, factor, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
    }
}

/// Scores, labels, and the matrix of an Infogain loss.
fn label_operands<'a>(
    op: &'static str,
    geometry: &LabelLossGeometry,
    x: &'a Buffer,
    label: &'a Buffer,
    matrix: Option<&'a Buffer>,
) -> Result<[&'a [f32]; 3]> {
    let matrix = take_if(op, "matrix", matrix, geometry.matrix_len(op, matrix.is_some())?)?;
    let label = take(op, "label", label, geometry.places())?;
    Ok([take(op, "x", x, geometry.scores.len())?, label, matrix.unwrap_or_default()])
}

fn pair_operands<'a>(
    op: &'static str,
    geometry: &PairLossGeometry,
    [a, b]: [&'a Buffer; 2],
    extra: [Option<&'a Buffer>; 2],
) -> Result<pair_loss::Pair<'a>> {
    geometry.check(op, extra.map(|extra| extra.is_some()))?;
    let [first, second] = extra.map(|extra| take_if(op, "extra", extra, geometry.extra_len()));
    let (a, b) = (take(op, "a", a, geometry.len())?, take(op, "b", b, geometry.len())?);
    Ok(pair_loss::Pair { a, b, extra: [first?, second?] })
}

/// What a loss's forward pass leaves.
fn leave(sum: f64, divisor: u32, loss: &mut [f32], totals: &mut [f32]) {
    loss[0] = (sum / f64::from(divisor)) as f32;
    totals[0] = f32::from_bits(divisor);
}

/// What a loss's gradient is multiplied by.
fn factor(dloss: &[f32], totals: &[f32]) -> f64 {
    f64::from(dloss[0]) / f64::from(totals[0].to_bits().max(1))
}
