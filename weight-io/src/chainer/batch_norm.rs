//! BatchNorm's running sums as Chainer's running averages, and back.

use caffe_proto::net::params::BatchNormParams;
use caffe_proto::{Blob, Payload};

use crate::Error;
use crate::source::{Operation, Scaled, Zeros};

/// What a BatchNorm layer's sums are divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Factor(f32);

impl Factor {
    /// Reads blob 2.
    pub(crate) fn read(blob: &Blob) -> Result<Self, Error> {
        Ok(Self(blob.to_vec()?.first().copied().unwrap_or_default()))
    }

    /// Whether nothing has been summed: then Caffe takes mean and variance for zero.
    pub(crate) fn is_zero(self) -> bool {
        self.0 == 0.0
    }

    /// The averages of sums, divided as `CaffeFunction` divides them.
    pub(crate) fn average(self, sums: &Payload) -> Payload {
        if self.is_zero() {
            Zeros::payload(sums.len())
        } else if self.is_one() {
            sums.clone()
        } else {
            Scaled::payload(Operation::Divide(self.0), sums.clone())
        }
    }

    /// The factor that a layer with these parameters comes to in a long training, 1 / (1 − fraction), or nearly:
    /// the power of two next to it.
    ///
    /// Any factor gives the same results in inference. In training Caffe weighs the history by it, so that a factor
    /// of 1 would let the first batch count as much as all that came before. A power of two divides out
    /// without rounding: the averages that are read back are those that were written, to the last bit.
    pub(crate) fn converged(params: &BatchNormParams) -> Self {
        let batches = 1.0 / (1.0 - f64::from(params.moving_average_fraction));
        let exponent =
            if batches.is_finite() && batches >= 1.0 { batches.log2().round().min(24.0) } else { 0.0 };
        Self(exponent.exp2() as f32)
    }

    /// The sums of averages.
    pub(crate) fn sum(self, averages: Payload) -> Payload {
        if self.is_one() { averages } else { Scaled::payload(Operation::Multiply(self.0), averages) }
    }

    /// Blob 2, as [`Factor::read`] finds it.
    pub(crate) fn blob(self) -> Blob {
        Blob::new(vec![1], Payload::from_f32(&[self.0]))
    }

    fn is_one(self) -> bool {
        self.0.to_bits() == 1.0_f32.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(moving_average_fraction: f32) -> f32 {
        let params =
            BatchNormParams { use_global_stats: None, moving_average_fraction, eps: 1e-5, scale_bias: false };
        Factor::converged(&params).0
    }

    #[test]
    fn the_factor_is_a_power_of_two_near_the_converged_one() {
        assert_eq!([0.999, 0.9, 0.99, 0.0, 1.0].map(factor), [1024.0, 8.0, 128.0, 1.0, 1.0]);
    }

    #[test]
    fn zero_means_zeros_and_division_is_by_f32() {
        let sums = Payload::from_f32(&[-1345.035, 3.0]);
        assert_eq!(Factor(0.0).average(&sums).to_f32().unwrap(), [0.0, 0.0]);
        let by = 999.982_f32;
        assert_eq!(Factor(by).average(&sums).to_f32().unwrap(), [-1345.035 / by, 3.0 / by]);
    }
}
