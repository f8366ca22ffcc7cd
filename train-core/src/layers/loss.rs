//! Losses of scores and labels.

use caffe_proto::net::params::{HingeNorm, InfogainLossParams, LossParams, Normalization, SoftmaxLossParams};
use caffe_proto::{Storage, read_binaryproto};
use kernels::{AxisGeometry, Buffer, LabelLoss, LabelLossGeometry, LossDivisor, Site};

use super::frame::{Frame, Inputs, Of, Operation};
use super::make::Make;
use super::{axis, count, extents};
use crate::error::{Error, Result};
use crate::plan::Step;

/// −Σ log p(label), over the divisor; a second top has the probabilities.
pub(super) fn softmax(make: &Make<'_>, step: &Step, p: &SoftmaxLossParams) -> Result<Box<dyn Operation>> {
    let scores = scores(make, step, p.axis);
    ScoreLoss::make(make, step, geometry(scores, LabelLoss::Softmax, &p.loss), Matrix::None)
}

/// −Σ H(label, class) · log p(class), over the divisor; a second top has the probabilities.
pub(super) fn infogain(make: &Make<'_>, step: &Step, p: &InfogainLossParams) -> Result<Box<dyn Operation>> {
    let scores = scores(make, step, p.axis);
    let matrix = match (&p.source, step.bottoms.len()) {
        (Some(source), ..3) => Matrix::Own(make.buffer(matrix(make, step, source, scores.axis as usize)?)?),
        _ => Matrix::Bottom(2),
    };
    ScoreLoss::make(make, step, geometry(scores, LabelLoss::Infogain, &p.loss), matrix)
}

/// −Σ log p(label) / N, of probabilities.
pub(super) fn multinomial(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    ScoreLoss::make(make, step, by_sample(make, step, LabelLoss::Multinomial), Matrix::None)
}

/// Σ max(0, 1 − x) of the label's score and Σ max(0, 1 + x) of the others', or their squares, / N.
pub(super) fn hinge(make: &Make<'_>, step: &Step, norm: HingeNorm) -> Result<Box<dyn Operation>> {
    let loss = match norm {
        HingeNorm::L1 => LabelLoss::Hinge,
        HingeNorm::L2 => LabelLoss::SquaredHinge,
    };
    ScoreLoss::make(make, step, by_sample(make, step, loss), Matrix::None)
}

/// Who an operation reports a value to that names nothing: the layer.
pub(super) fn site(step: &Step) -> Site {
    Site(step.layer as u32)
}

pub(super) fn divisor(normalization: Normalization) -> LossDivisor {
    match normalization {
        Normalization::Full => LossDivisor::Places,
        Normalization::Valid => LossDivisor::Counted,
        Normalization::BatchSize => LossDivisor::Samples,
        Normalization::None => LossDivisor::One,
    }
}

/// The first bottom around an axis.
pub(super) fn scores(make: &Make<'_>, step: &Step, along: i32) -> AxisGeometry {
    let bottom = extents(&make.shapes(step).bottoms[0]);
    let along = axis(along, bottom.len());
    AxisGeometry::around(&bottom, along, along + 1)
}

/// A loss of scores, or of what a softmax makes of them.
struct ScoreLoss {
    geometry: LabelLossGeometry,
    site: Site,
    matrix: Matrix,
    /// Where the loss is of probabilities that are computed here.
    probabilities: Option<Buffer>,
    has_second_top: bool,
    totals: Buffer,
}

/// Where an Infogain loss has its matrix.
enum Matrix {
    None,
    Own(Buffer),
    Bottom(usize),
}

impl ScoreLoss {
    fn make(
        make: &Make<'_>,
        step: &Step,
        geometry: LabelLossGeometry,
        matrix: Matrix,
    ) -> Result<Box<dyn Operation>> {
        let shapes = make.shapes(step);
        let is_of_softmax = matches!(geometry.loss, LabelLoss::Softmax | LabelLoss::Infogain);
        let len = count(&shapes.bottoms[0]) as usize;
        Ok(Box::new(Self {
            geometry,
            site: site(step),
            matrix,
            probabilities: is_of_softmax.then(|| make.backend.allocate(len)).transpose()?,
            has_second_top: shapes.tops.len() > 1,
            totals: make.backend.allocate(make.backend.loss_totals_len())?,
        }))
    }
}

impl Operation for ScoreLoss {
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { geometry, site, matrix, probabilities, has_second_top, totals } = self;
        frame.produce(0, |inputs, top, _| {
            if let Some(probabilities) = probabilities {
                inputs.backend.softmax_forward(&geometry.scores, Some(inputs.get(0)), probabilities)?;
            }
            let x = probabilities.as_ref().unwrap_or(inputs.get(0));
            let (label, matrix) = (inputs.get(1), matrix.get(inputs));
            inputs.backend.label_loss_forward(geometry, *site, x, label, matrix, top, totals)
        })?;
        match probabilities {
            Some(probabilities) if *has_second_top => {
                frame.produce(1, |inputs, top, _| inputs.copy(probabilities, top))
            }
            _ => Ok(()),
        }
    }

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { geometry, site, matrix, probabilities, totals, .. } = self;
        frame.overwrite(Of::Bottom(0), |inputs, dx| {
            let x = probabilities.as_ref().unwrap_or(inputs.get(0));
            let (label, matrix, dloss) = (inputs.get(1), matrix.get(inputs), inputs.top_gradient(0));
            inputs.backend.label_loss_backward(geometry, *site, x, label, matrix, dloss, totals, dx)
        })
    }
}

impl Matrix {
    fn get<'b>(&'b self, inputs: &Inputs<'b>) -> Option<&'b Buffer> {
        match self {
            Self::None => None,
            Self::Own(buffer) => Some(buffer),
            Self::Bottom(index) => Some(inputs.get(*index)),
        }
    }
}

fn geometry(scores: AxisGeometry, loss: LabelLoss, p: &LossParams) -> LabelLossGeometry {
    LabelLossGeometry { scores, loss, ignore_label: p.ignore_label, divisor: divisor(p.normalization) }
}

/// Of the older losses: a label a sample, none ignored, over the batch.
fn by_sample(make: &Make<'_>, step: &Step, loss: LabelLoss) -> LabelLossGeometry {
    let scores = &make.shapes(step).bottoms[0];
    let scores = AxisGeometry { outer: scores[0] as u32, axis: count(&scores[1..]), inner: 1 };
    LabelLossGeometry { scores, loss, ignore_label: None, divisor: LossDivisor::Samples }
}

fn matrix(make: &Make<'_>, step: &Step, source: &str, classes: usize) -> Result<Vec<f32>> {
    let blob = read_binaryproto(&Storage::open(source)?)?;
    if blob.count() == classes * classes {
        return Ok(blob.to_vec()?);
    }
    let layer = make.layer(step);
    Err(Error::Values {
        layer: layer.name.clone(),
        kind: layer.type_name.clone(),
        what: format!(
            "its matrix {source} has {} values; for {classes} classes it must have {classes}²",
            blob.count()
        ),
    })
}
