//! Numbers that look random and are the same everywhere.

/// A stream of such numbers: Steele, Lea and Flood's SplitMix64.
#[derive(Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    /// The stream of `seed` for the input called `name`.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut noise = Self(seed);
        for byte in name.bytes() {
            noise.0 = noise.bits() ^ u64::from(byte);
        }
        noise
    }

    /// Values evenly drawn from [-1, 1).
    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_itself_and_no_other() {
        let draw = |seed, name| Noise::new(seed, name).values(1000);
        assert_eq!(draw(1, "data"), draw(1, "data"));
        assert_ne!(draw(1, "data"), draw(2, "data"));
        assert_ne!(draw(1, "data"), draw(1, "label"));
        let values = draw(1, "data");
        assert!(values.iter().all(|value| (-1.0..1.0).contains(value)));
        assert!(values.iter().sum::<f32>().abs() < 60.0);
    }
}
