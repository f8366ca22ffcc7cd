//! BatchNorm, Scale and Bias as a factor and a term for each channel, to be folded into what is before them.

use caffe_proto::net::LayerKind as K;

use super::make::Make;
use crate::error::Result;

/// `y = factor · x + term` for each channel. In f64: factors of several layers are multiplied before they meet f32.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    pub(super) factor: Vec<f64>,
    pub(super) term: Vec<f64>,
}

impl Affine {
    /// Changes nothing.
    pub(super) fn identity(channels: usize) -> Self {
        Self { factor: vec![1.0; channels], term: vec![0.0; channels] }
    }

    /// Does what `layer` does, too.
    pub(super) fn then(&mut self, make: &Make<'_>, layer: usize) -> Result<()> {
        let value = |index| make.values(layer, index);
        match &make.net.layers[layer].kind {
            K::BatchNorm(p) => {
                let (mean, variance) = (value(0)?, value(1)?);
                let factor = statistics_factor(&value(2)?);
                let spread = |c: usize| (f64::from(variance[c] * factor) + f64::from(p.eps)).sqrt();
                self.apply(|c| 1.0 / spread(c), |c| -f64::from(mean[c] * factor) / spread(c));
                if p.scale_bias {
                    let (scale, shift) = (value(3)?, value(4)?);
                    self.apply(|c| f64::from(scale[c]), |c| f64::from(shift[c]));
                }
            }
            K::Scale(p) => {
                let scale = value(0)?;
                let shift = if p.bias_term { value(1)? } else { vec![0.0; scale.len()] };
                self.apply(|c| f64::from(scale[c]), |c| f64::from(shift[c]));
            }
            K::Bias(_) => {
                let shift = value(0)?;
                self.apply(|_| 1.0, |c| f64::from(shift[c]));
            }
            other => unreachable!("{other:?} is never folded"),
        }
        Ok(())
    }

    /// The terms alone, in f32.
    pub(super) fn terms(&self) -> Vec<f32> {
        self.term.iter().map(|&term| term as f32).collect()
    }

    /// The factors alone, in f32.
    pub(super) fn factors(&self) -> Vec<f32> {
        self.factor.iter().map(|&factor| factor as f32).collect()
    }

    fn apply(&mut self, factor: impl Fn(usize) -> f64, term: impl Fn(usize) -> f64) {
        for (c, (own, own_term)) in self.factor.iter_mut().zip(&mut self.term).enumerate() {
            *own *= factor(c);
            *own_term = *own_term * factor(c) + term(c);
        }
    }
}

/// What a BatchNorm's sums are multiplied by: one over its third blob, and 0 where that is 0 (batch_norm_layer.cpp).
pub(super) fn statistics_factor(blob: &[f32]) -> f32 {
    match blob.first() {
        Some(&sum) if sum != 0.0 => 1.0 / sum,
        _ => 0.0,
    }
}
