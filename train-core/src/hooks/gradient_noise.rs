//! Noise that dies away (Neelakantan et al. 2015).

use std::f64::consts::TAU;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use kernels::NormalNoise;

use super::Hook;
use crate::optim::Gradients;

/// `g += N(0, eta / (1 + t)^.55)` (Chainer's GradientNoise), drawn from ChaCha8.
///
/// What is drawn depends on the seed, the parameter's name, its count of updates and the place only, so training that is
/// resumed draws what unbroken training would have drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientNoise {
    eta: f64,
    seed: u64,
}

/// Normal noise for the values of one parameter in one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    std: f32,
    seed: u64,
    stream: u64,
}

impl GradientNoise {
    /// Noise of variance `eta` at first; .01, .3 and 1 are usual.
    pub fn new(eta: f64, seed: u64) -> Self {
        Self { eta, seed }
    }
}

impl Noise {
    /// Noise of standard deviation `std` that is the same for the same seed, name and `t`.
    pub fn new(std: f32, seed: u64, name: &str, t: u64) -> Self {
        // FNV-1a, of the name and then of t.
        let bytes = name.bytes().chain(t.to_le_bytes());
        let stream = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { std, seed, stream }
    }

    /// What a device draws it from.
    pub(crate) fn on_device(self) -> NormalNoise {
        let bytes = ChaCha8Rng::seed_from_u64(self.seed).get_seed();
        let mut key = [0; 8];
        let words = key.iter_mut().zip(bytes.as_chunks().0);
        words.for_each(|(key, &word)| *key = u32::from_le_bytes(word));
        NormalNoise { deviation: self.std, key, stream: self.stream }
    }

    /// Adds to gradients that begin at `offset`, an even number, of their parameter.
    pub(crate) fn add(self, offset: usize, grad: &mut [f32]) {
        const WORDS_A_VALUE: u128 = 2;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.stream);
        rng.set_word_pos(offset as u128 * WORDS_A_VALUE);
        let mut unit = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        for pair in grad.chunks_mut(2) {
            // Box and Muller's way to two normal numbers.
            let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
            let (sine, cosine) = (TAU * unit()).sin_cos();
            for (g, normal) in pair.iter_mut().zip([radius * cosine, radius * sine]) {
                *g += self.std * normal as f32;
            }
        }
    }
}

impl Hook for GradientNoise {
    fn name(&self) -> &'static str {
        "GradientNoise"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        for index in gradients.indices() {
            let t = gradients.t(index);
            let std = (self.eta / (1.0 + t as f64).powf(0.55)).sqrt();
            let noise = Noise::new(std as f32, self.seed, &gradients.info(index).name, t);
            gradients.add(index, noise);
        }
    }

    fn seed(&self) -> Option<u64> {
        Some(self.seed)
    }

    fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let mut grad = vec![0.0; 100_000];
        Noise::new(0.5, 1, "conv1/W", 3).add(0, &mut grad);
        let mean = grad.iter().sum::<f32>() / grad.len() as f32;
        let variance = grad.iter().map(|x| x * x).sum::<f32>() / grad.len() as f32;
        assert!(mean.abs() < 0.01 && (variance - 0.25).abs() < 0.005, "{mean} {variance}");
    }

    #[test]
    fn noise_is_by_place_and_not_by_piece() {
        let noise = Noise::new(1.0, 7, "conv1/W", 3);
        let (mut whole, mut parts) = ([0.0; 101], [0.0; 101]);
        noise.add(0, &mut whole);
        noise.add(0, &mut parts[..40]);
        noise.add(40, &mut parts[40..]);
        assert_eq!(whole, parts);
        for other in [
            Noise::new(1.0, 8, "conv1/W", 3),
            Noise::new(1.0, 7, "conv1/b", 3),
            Noise::new(1.0, 7, "conv1/W", 4),
        ] {
            let mut values = [0.0; 101];
            other.add(0, &mut values);
            assert!(values.iter().zip(&whole).all(|(a, b)| a != b));
        }
    }
}
