//! Caffe's fillers (filler.hpp), on ChaCha8 streams.

use caffe_proto::net::{Fan, Filler};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// A stream of random numbers: the same seed and purpose give the same numbers on every machine.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `seed` for one purpose, such as one parameter of one layer.
    pub(crate) fn new(seed: u64, layer: &str, index: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // By the name: a layer's numbers do not change when others come or go around it.
        rng.set_stream(fnv_1a(layer.bytes()).wrapping_add(index as u64));
        Self(rng)
    }

    /// Evenly drawn from [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally drawn, by Box and Muller's way.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn between(&mut self, min: f64, max: f64) -> f32 {
        (min + (max - min) * self.unit()) as f32
    }
}

/// The FNV-1a hash of bytes.
pub(crate) fn fnv_1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Fills `values`, a blob of `shape`.
///
/// # Errors
/// A fork's filler, in words.
pub(crate) fn fill(
    filler: &Filler,
    shape: &[usize],
    random: &mut Stream,
    values: &mut [f32],
) -> Result<(), String> {
    filler.check(shape)?;
    match filler {
        Filler::Constant(value) => values.fill(*value),
        Filler::Uniform { min, max } => {
            values.fill_with(|| random.between(f64::from(*min), f64::from(*max)));
        }
        Filler::Gaussian { mean, std, sparse } => {
            let (mean, std) = (f64::from(*mean), f64::from(*std));
            values.fill_with(|| (mean + std * random.normal()) as f32);
            if let Some(inputs) = sparse {
                let kept = *inputs as f64 / shape[0] as f64;
                for value in values {
                    *value *= f32::from(random.unit() < kept);
                }
            }
        }
        Filler::PositiveUnitball => {
            values.fill_with(|| random.unit() as f32);
            let rows = shape.first().copied().unwrap_or(1);
            for row in values.chunks_mut((values.len() / rows).max(1)) {
                let sum: f32 = row.iter().sum();
                for value in row {
                    *value /= sum;
                }
            }
        }
        Filler::Xavier(by) => {
            let bound = (3.0 / fan(*by, shape)).sqrt();
            values.fill_with(|| random.between(-bound, bound));
        }
        Filler::Msra(by) => {
            let std = (2.0 / fan(*by, shape)).sqrt();
            values.fill_with(|| (std * random.normal()) as f32);
        }
        Filler::Bilinear => bilinear(shape, values),
        Filler::Other(name) => {
            return Err(format!("the filler `{name}` is not known: load weights, or write another"));
        }
    }
    Ok(())
}

fn fan(by: Fan, shape: &[usize]) -> f64 {
    let count = shape.iter().product::<usize>() as f64;
    let fan_in = count / shape[0] as f64;
    let fan_out = shape.get(1).map_or(count, |&inputs| count / inputs as f64);
    match by {
        Fan::In => fan_in,
        Fan::Out => fan_out,
        Fan::Average => f64::midpoint(fan_in, fan_out),
    }
}

fn bilinear(shape: &[usize], values: &mut [f32]) {
    let side = shape[3];
    let half = side.div_ceil(2) as f32;
    let centre = (2.0 * half - 1.0 - half % 2.0) / (2.0 * half);
    let weight = |place: usize| 1.0 - (place as f32 / half - centre).abs();
    for (index, value) in values.iter_mut().enumerate() {
        *value = weight(index % side) * weight(index / side % shape[2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(filler: &Filler, shape: &[usize]) -> Vec<f32> {
        let mut values = vec![0.0; shape.iter().product()];
        fill(filler, shape, &mut Stream::new(1, "layer", 0), &mut values).unwrap();
        values
    }

    #[test]
    fn moments_are_the_filler_s() {
        let shape = [200, 500];
        let msra = filled(&Filler::Msra(Fan::In), &shape);
        let variance = msra.iter().map(|x| x * x).sum::<f32>() / msra.len() as f32;
        assert!((variance * 500.0 / 2.0 - 1.0).abs() < 0.02, "{variance}");
        let xavier = filled(&Filler::Xavier(Fan::Average), &shape);
        let bound = (3.0_f32 / 350.0).sqrt();
        assert!(xavier.iter().all(|x| x.abs() <= bound));
        let sparse = filled(&Filler::Gaussian { mean: 1.0, std: 0.1, sparse: Some(20) }, &shape);
        let kept = sparse.iter().filter(|&&x| x != 0.0).count() as f32 / sparse.len() as f32;
        assert!((kept - 0.1).abs() < 0.01, "{kept}");
    }

    #[test]
    fn a_stream_repeats_itself_and_no_other() {
        let draw = |layer, index| Stream::new(7, layer, index).unit();
        assert_eq!(draw("conv1", 0), draw("conv1", 0));
        assert_ne!(draw("conv1", 0), draw("conv1", 1));
        assert_ne!(draw("conv1", 0), draw("conv2", 0));
    }

    #[test]
    fn bilinear_kernels_enlarge() {
        let kernel = filled(&Filler::Bilinear, &[1, 1, 4, 4]);
        assert_eq!(kernel[..4], [0.0625, 0.1875, 0.1875, 0.0625]);
    }
}
