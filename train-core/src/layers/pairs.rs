//! Losses of pairs of arrays.

use caffe_proto::net::params::{ContrastiveLossParams, LossParams};
use kernels::{Buffer, LossDivisor, PairLoss, PairLossGeometry};

use super::count;
use super::frame::{Frame, Inputs, Of, Operation};
use super::loss::divisor;
use super::make::Make;
use crate::error::Result;
use crate::plan::Step;

/// Σ (a − b)² / 2N.
pub(super) fn euclidean(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    Pairs::make(make, step, PairLoss::Euclidean, LossDivisor::Samples)
}

/// Quadratic near 0, linear past 1/sigma², weighted inside by the third bottom and outside by the fourth, / N.
pub(super) fn smooth_l1(make: &Make<'_>, step: &Step, sigma: f32) -> Result<Box<dyn Operation>> {
    Pairs::make(make, step, PairLoss::SmoothL1 { sigma }, LossDivisor::Samples)
}

/// Cross entropy of each value with its target, in a form that cannot overflow, over the divisor.
pub(super) fn sigmoid_cross_entropy(
    make: &Make<'_>,
    step: &Step,
    p: &LossParams,
) -> Result<Box<dyn Operation>> {
    let loss = PairLoss::SigmoidCrossEntropy { ignore_label: p.ignore_label };
    Pairs::make(make, step, loss, divisor(p.normalization))
}

/// Like pairs cost their squared distance, unlike ones what is missing to the margin, / 2N.
pub(super) fn contrastive(
    make: &Make<'_>,
    step: &Step,
    p: &ContrastiveLossParams,
) -> Result<Box<dyn Operation>> {
    let loss = PairLoss::Contrastive { margin: p.margin, legacy_version: p.legacy_version };
    Pairs::make(make, step, loss, LossDivisor::Samples)
}

/// A loss of the first two bottoms, with what it has beside them in the others.
struct Pairs {
    geometry: PairLossGeometry,
    bottoms: usize,
    totals: Buffer,
}

impl Pairs {
    fn make(
        make: &Make<'_>,
        step: &Step,
        loss: PairLoss,
        divisor: LossDivisor,
    ) -> Result<Box<dyn Operation>> {
        let shape = &make.shapes(step).bottoms[0];
        let geometry =
            PairLossGeometry { samples: shape[0] as u32, length: count(&shape[1..]), loss, divisor };
        let totals = make.backend.allocate(make.backend.loss_totals_len())?;
        Ok(Box::new(Self { geometry, bottoms: step.bottoms.len(), totals }))
    }

    fn extra<'b>(bottoms: usize, inputs: &Inputs<'b>) -> [Option<&'b Buffer>; 2] {
        [2, 3].map(|bottom| (bottom < bottoms).then(|| inputs.get(bottom)))
    }
}

impl Operation for Pairs {
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { geometry, bottoms, totals } = self;
        frame.produce(0, |inputs, top, _| {
            let (pair, extra) = ([inputs.get(0), inputs.get(1)], Self::extra(*bottoms, inputs));
            inputs.backend.pair_loss_forward(geometry, pair, extra, top, totals)
        })
    }

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { geometry, bottoms, totals } = self;
        for which in [0, 1] {
            frame.overwrite(Of::Bottom(which), |inputs, dx| {
                let (pair, extra) = ([inputs.get(0), inputs.get(1)], Self::extra(*bottoms, inputs));
                let dloss = inputs.top_gradient(0);
                inputs.backend.pair_loss_backward(geometry, which, pair, extra, dloss, totals, dx)
            })?;
        }
        Ok(())
    }
}
