//! Pictures within a page.

use std::fmt;

/// The picture of a PNG's bytes, as an address that holds it.
pub(super) struct Png<'a>(pub(super) &'a [u8]);

impl fmt::Display for Png<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data:image/png;base64,{}", Base64(self.0))
    }
}

/// Bytes as RFC 4648, section 4, writes them.
struct Base64<'a>(&'a [u8]);

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::with_capacity(self.0.len().div_ceil(3) * 4);
        for group in self.0.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for letter in 0..4 {
                // A group of n bytes has n + 1 letters.
                text.push(if letter <= group.len() {
                    char::from(LETTERS[(bits >> (18 - 6 * letter)) as usize & 63])
                } else {
                    '='
                });
            }
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4648, section 10.
    #[test]
    fn the_standards_examples() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(Base64(bytes.as_bytes()).to_string(), text);
        }
        assert_eq!(Base64(&[0xfb, 0xff, 0xfe]).to_string(), "+//+");
        assert_eq!(Png(b"foo").to_string(), "data:image/png;base64,Zm9v");
    }
}
