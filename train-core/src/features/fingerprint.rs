//! A number that tells one thing from another.

use std::fmt;

/// FNV-1a of 128 bits: <http://www.isthe.com/chongo/tech/comp/fnv>. No defence against who would deceive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u128);

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl Default for Fingerprint {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl Fingerprint {
    /// Takes in some bytes, and that they end here.
    pub fn add(&mut self, bytes: &[u8]) {
        self.stream(bytes);
        self.stream(&(bytes.len() as u64).to_le_bytes());
    }

    /// Takes in bytes that others may follow.
    pub fn stream(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }

    /// The number.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        // Of the authors' test vectors.
        let mut of_a = Fingerprint::default();
        of_a.stream(b"a");
        assert_eq!(of_a.to_string(), "d228cb696f1a8caf78912b704e4a8964");
        let mut apart = [Fingerprint::default(); 2];
        apart[0].add(b"ab");
        apart[0].add(b"c");
        apart[1].add(b"a");
        apart[1].add(b"bc");
        assert_ne!(apart[0], apart[1]);
    }
}
