//! [`LossOps`] for devices: parts by up to [`PARTS`] blocks, and one block that adds them up. What the forward pass leaves for the
//! gradient, `totals`, is the divisor's bits, and from the fifth float on the parts.

use crate::backend::{LossOps, Site};
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::call::{Call, PARTS, Parameter, THREADS, Target};
use crate::device::faults::{Operation, Watch};
use crate::device::memory::DeviceBuffer;
use crate::device::source::{LABEL_LOSS, LOSS_TOTAL, PAIR_LOSS};
use crate::error::Result;
use crate::geometry::{
    AccuracyGeometry, AxisGeometry, LabelLoss, LabelLossGeometry, LossDivisor, PairLoss, PairLossGeometry,
};

/// Floats of the totals: the divisor, an f64 a part, and two whole numbers a part.
const TOTALS: usize = HEAD + 4 * PARTS;

/// Floats before the parts, which begin at a multiple of 16 bytes.
const HEAD: usize = 4;

/// `Labels` of cu/label_loss.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Labels {
    samples: u32,
    classes: u32,
    inner: u32,
    loss: u32,
    ignores: u32,
    ignored: i32,
    top_k: u32,
}

// SAFETY: as cu/label_loss.cu has it.
unsafe impl Parameter for Labels {}

/// `Pairs` of cu/pair_loss.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Pairs {
    samples: u32,
    length: u32,
    loss: u32,
    number: f32,
    flag: u32,
    ignored: i32,
}

// SAFETY: as cu/pair_loss.cu has it.
unsafe impl Parameter for Pairs {}

/// A loss's sum, on its way to be divided.
struct Total<'t> {
    watch: Watch,
    blocks: usize,
    /// 0 for the number of places that counted.
    divisor: u32,
    totals: Target<'t>,
}

impl LossOps for DeviceBackend {
    fn loss_totals_len(&self) -> usize {
        TOTALS
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
        let places = geometry.places();
        let matrix = self.take_if(OP, "matrix", matrix, geometry.matrix_len(OP, matrix.is_some())?)?;
        let (x, label) =
            (self.take(OP, "x", x, geometry.scores.len())?, self.take(OP, "label", label, places)?);
        let loss = self.take_mut(OP, "loss", loss, 1)?;
        let labels = Labels::of_loss(geometry);
        let total = Total {
            watch: Watch::new(Operation::LabelLoss, site, geometry.scores.axis),
            blocks: blocks(places),
            divisor: fixed(geometry.divisor, geometry.scores.outer, geometry.scores.inner),
            totals: self.take_mut(OP, "totals", totals, TOTALS)?,
        };
        let call = self.call(&LABEL_LOSS, "label_loss_parts").value(&labels).input(x).input(label);
        self.sum_up(call.maybe(matrix), &total, label, &loss)
    }

    fn label_loss_backward(
        &self,
        geometry: &LabelLossGeometry,
        _site: Site,
        x: &Buffer,
        label: &Buffer,
        matrix: Option<&Buffer>,
        dloss: &Buffer,
        totals: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "label_loss_backward";
        let len = geometry.scores.len();
        let matrix = self.take_if(OP, "matrix", matrix, geometry.matrix_len(OP, matrix.is_some())?)?;
        let (x, label) = (self.take(OP, "x", x, len)?, self.take(OP, "label", label, geometry.places())?);
        let (dloss, totals) = (self.take(OP, "dloss", dloss, 1)?, self.take(OP, "totals", totals, TOTALS)?);
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let labels = Labels::of_loss(geometry);
        if matrix.is_some() {
            let call = self.call(&LABEL_LOSS, "infogain_backward").value(&labels).input(x).input(label);
            let call = call.maybe(matrix).input(dloss).input(totals).output(&dx, len);
            return call.each(geometry.places());
        }
        let call = self.call(&LABEL_LOSS, OP).value(&labels).count(len).input(x).input(label);
        call.input(dloss).input(totals).output(&dx, len).over(len)
    }

    fn accuracy_forward(
        &self,
        geometry: &AccuracyGeometry,
        site: Site,
        x: &Buffer,
        label: &Buffer,
        share: &mut Buffer,
        by_class: Option<&mut Buffer>,
        totals: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "accuracy_forward";
        let (outer, classes, inner) = geometry.scores.sizes();
        let places = outer * inner;
        let (x, label) =
            (self.take(OP, "x", x, geometry.scores.len())?, self.take(OP, "label", label, places)?);
        let share = self.take_mut(OP, "share", share, 1)?;
        let labels = Labels::of_accuracy(geometry);
        if let Some(by_class) = by_class {
            let shares = self.take_mut(OP, "by_class", by_class, classes)?;
            let call = self.call(&LABEL_LOSS, "accuracy_by_class").value(&labels).input(x).input(label);
            call.output(&shares, classes).launch([classes as u32, 1, 1], THREADS)?;
        }
        let total = Total {
            watch: Watch::new(Operation::Accuracy, site, geometry.scores.axis),
            blocks: blocks(places),
            divisor: 0,
            totals: self.take_mut(OP, "totals", totals, TOTALS)?,
        };
        let call = self.call(&LABEL_LOSS, "label_loss_parts").value(&labels).input(x).input(label);
        self.sum_up(call.maybe(None), &total, label, &share)
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
        let (pair, extra) = self.pair_operands(OP, geometry, pair, extra)?;
        let loss = self.take_mut(OP, "loss", loss, 1)?;
        let is_contrastive = matches!(geometry.loss, PairLoss::Contrastive { .. });
        let total = Total {
            // Targets name nothing.
            watch: Watch::new(Operation::LabelLoss, Site::default(), 0),
            blocks: if is_contrastive {
                (geometry.samples as usize).clamp(1, PARTS)
            } else {
                blocks(geometry.len())
            },
            divisor: fixed(geometry.divisor, geometry.samples, geometry.length),
            totals: self.take_mut(OP, "totals", totals, TOTALS)?,
        };
        let pairs = Pairs::of(geometry);
        let kernel = if is_contrastive { "contrastive_parts" } else { "pair_loss_parts" };
        let call = self.call(&PAIR_LOSS, kernel).value(&pairs).input(pair[0]).input(pair[1]);
        let call = if is_contrastive { call.maybe(extra[0]) } else { call.maybe(extra[0]).maybe(extra[1]) };
        self.sum_up(call, &total, pair[1], &loss)
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
        let len = geometry.len();
        let (pair, extra) = self.pair_operands(OP, geometry, pair, extra)?;
        let (dloss, totals) = (self.take(OP, "dloss", dloss, 1)?, self.take(OP, "totals", totals, TOTALS)?);
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let (pairs, sign) = (Pairs::of(geometry), if which == 0 { 1.0 } else { -1.0 });
        if matches!(geometry.loss, PairLoss::Contrastive { .. }) {
            let call = self.call(&PAIR_LOSS, "contrastive_backward").value(&pairs).float(sign);
            let call = call.input(pair[0]).input(pair[1]).maybe(extra[0]).input(dloss).input(totals);
            return call.output(&dx, len).launch([geometry.samples, 1, 1], THREADS);
        }
        let call = self.call(&PAIR_LOSS, OP).value(&pairs).float(sign).input(pair[0]).input(pair[1]);
        let call = call.maybe(extra[0]).maybe(extra[1]).input(dloss).input(totals);
        call.output(&dx, len).over(len)
    }
}

impl DeviceBackend {
    /// Launches what leaves the parts, and what adds them up and divides.
    fn sum_up(
        &self,
        parts: Call<'_>,
        total: &Total<'_>,
        label: &DeviceBuffer,
        loss: &Target<'_>,
    ) -> Result<()> {
        let count = total.blocks;
        let sums = total.totals.part(HEAD);
        let (counted, faults) = (total.totals.part(HEAD + 2 * PARTS), total.totals.part(HEAD + 3 * PARTS));
        let parts = parts.output(&sums, 2 * count).output(&counted, count).output(&faults, count);
        parts.launch([count as u32, 1, 1], THREADS)?;
        let record = self.faults.record();
        let call = self.call(&LOSS_TOTAL, "loss_total").value(&total.watch).count(count);
        let call = call.count(total.divisor as usize).source(&sums).source(&counted).source(&faults);
        let call = call.input(label).output(loss, 1).output(&total.totals, 1).output(&record, 0);
        call.launch([1, 1, 1], THREADS)
    }

    fn pair_operands<'b>(
        &self,
        op: &'static str,
        geometry: &PairLossGeometry,
        [a, b]: [&'b Buffer; 2],
        extra: [Option<&'b Buffer>; 2],
    ) -> Result<([&'b DeviceBuffer; 2], [Option<&'b DeviceBuffer>; 2])> {
        geometry.check(op, extra.map(|extra| extra.is_some()))?;
        let [first, second] = extra.map(|extra| self.take_if(op, "extra", extra, geometry.extra_len()));
        let pair = [self.take(op, "a", a, geometry.len())?, self.take(op, "b", b, geometry.len())?];
        Ok((pair, [first?, second?]))
    }
}

impl Labels {
    fn of_loss(geometry: &LabelLossGeometry) -> Self {
        let loss = match geometry.loss {
            LabelLoss::Softmax => 0,
            LabelLoss::Multinomial => 1,
            LabelLoss::Infogain => 2,
            LabelLoss::Hinge => 3,
            LabelLoss::SquaredHinge => 4,
        };
        Self::new(&geometry.scores, loss, geometry.ignore_label, 0)
    }

    fn of_accuracy(geometry: &AccuracyGeometry) -> Self {
        Self::new(&geometry.scores, 5, geometry.ignore_label, geometry.top_k)
    }

    fn new(scores: &AxisGeometry, loss: u32, ignore_label: Option<i32>, top_k: u32) -> Self {
        let (ignores, ignored) = ignored(ignore_label);
        let AxisGeometry { outer: samples, axis: classes, inner } = *scores;
        Self { samples, classes, inner, loss, ignores, ignored, top_k }
    }
}

impl Pairs {
    fn of(geometry: &PairLossGeometry) -> Self {
        let (loss, number, (flag, ignored)) = match geometry.loss {
            PairLoss::Euclidean => (0, 0.0, (0, 0)),
            PairLoss::SmoothL1 { sigma } => (1, sigma * sigma, (0, 0)),
            PairLoss::SigmoidCrossEntropy { ignore_label } => (2, 0.0, ignored(ignore_label)),
            PairLoss::Contrastive { margin, legacy_version } => (3, margin, (u32::from(legacy_version), 0)),
        };
        Self { samples: geometry.samples, length: geometry.length, loss, number, flag, ignored }
    }
}

/// Whether a label is ignored, and which.
fn ignored(label: Option<i32>) -> (u32, i32) {
    (u32::from(label.is_some()), label.unwrap_or_default())
}

/// A divisor that does not depend on the labels, else 0.
fn fixed(divisor: LossDivisor, samples: u32, places: u32) -> u32 {
    if divisor == LossDivisor::Counted { 0 } else { divisor.of(samples, places, 0) }
}

/// Blocks for so many places, one at least: it says that there was nothing.
fn blocks(places: usize) -> usize {
    places.div_ceil(THREADS as usize).clamp(1, PARTS)
}
