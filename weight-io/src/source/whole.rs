//! Bytes that arrive in any lengths, handed on as whole elements.

use caffe_proto::{Error, Sink};

/// Keeps back the part of an element until the rest of it arrives.
pub(crate) struct Whole<'a, 'b> {
    size: usize,
    part: Vec<u8>,
    sink: &'a mut Sink<'b>,
}

impl<'a, 'b> Whole<'a, 'b> {
    /// Elements of `size` bytes.
    pub(crate) fn new(size: usize, sink: &'a mut Sink<'b>) -> Self {
        Self { size, part: Vec::with_capacity(size), sink }
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if !self.part.is_empty() {
            let missing = (self.size - self.part.len()).min(bytes.len());
            self.part.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.part.len() < self.size {
                return Ok(());
            }
            (self.sink)(&self.part)?;
            self.part.clear();
        }
        let (whole, part) = bytes.split_at(bytes.len() - bytes.len() % self.size);
        self.part.extend_from_slice(part);
        if whole.is_empty() { Ok(()) } else { (self.sink)(whole) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_handed_on_whole() {
        let mut seen = Vec::new();
        let mut sink = |bytes: &[u8]| {
            seen.push(bytes.to_vec());
            Ok(())
        };
        let mut whole = Whole::new(4, &mut sink);
        for bytes in [&[1, 2][..], &[3], &[4, 5, 6, 7, 8, 9], &[], &[10, 11, 12]] {
            whole.push(bytes).unwrap();
        }
        assert_eq!(seen, [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10, 11, 12]]);
    }
}
