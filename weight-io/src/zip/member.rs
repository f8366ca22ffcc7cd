//! One member's bytes.

use caffe_proto::{Error, PIECE, Slice};
use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};

/// A member of an archive: what the directory says of it, and where its bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) deflated: bool,
    pub(crate) crc: u32,
    /// How many bytes it has when it is not deflated.
    pub(crate) size: u64,
    /// As they are in the archive.
    pub(crate) data: Slice,
}

impl Member {
    /// Up to `count` of its first bytes.
    pub(crate) fn head(&self, count: usize) -> Result<Vec<u8>, Error> {
        let mut head = Vec::new();
        if self.deflated {
            self.inflate(&mut |bytes| {
                head.extend_from_slice(&bytes[..bytes.len().min(count - head.len())]);
                Ok(head.len() < count)
            })?;
        } else {
            head.extend_from_slice(&self.data[..self.data.len().min(count)]);
        }
        Ok(head)
    }

    /// Hands every byte to `sink`, then checks the size and the CRC-32 that the directory states.
    pub(crate) fn read(&self, sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut hasher = Hasher::new();
        let mut count = 0;
        let mut take = |bytes: &[u8]| {
            count += bytes.len() as u64;
            if count > self.size {
                return Err(
                    self.damaged(format!("it inflates to more than the {} bytes it claims", self.size))
                );
            }
            hasher.update(bytes);
            sink(bytes)
        };
        if self.deflated {
            self.inflate(&mut |bytes| take(bytes).map(|()| true))?;
        } else {
            self.data.chunks(PIECE).try_for_each(&mut take)?;
        }
        if count < self.size {
            return Err(
                self.damaged(format!("it inflates to {count} bytes, not to the {} it claims", self.size))
            );
        }
        let crc = hasher.finalize();
        if crc != self.crc {
            return Err(self.damaged(format!("its CRC-32 is {crc:08x}, not {:08x} as stated", self.crc)));
        }
        Ok(())
    }

    /// Hands over inflated bytes until `sink` says that it has enough.
    fn inflate(&self, sink: &mut dyn FnMut(&[u8]) -> Result<bool, Error>) -> Result<(), Error> {
        let mut inflater = Decompress::new(false);
        let mut out = vec![0; PIECE];
        loop {
            let (read, made) = (inflater.total_in(), inflater.total_out());
            let rest = &self.data[read as usize..];
            let status = inflater
                .decompress(rest, &mut out, FlushDecompress::None)
                .map_err(|error| self.damaged(format!("it does not inflate: {error}")))?;
            let count = (inflater.total_out() - made) as usize;
            if count > 0 && !sink(&out[..count])? {
                return Ok(());
            }
            if status == Status::StreamEnd {
                return Ok(());
            }
            if count == 0 && inflater.total_in() == read {
                return Err(self.damaged("its deflated bytes end too early"));
            }
        }
    }

    pub(crate) fn damaged(&self, what: impl AsRef<str>) -> Error {
        Error::Damaged {
            path: self.data.storage().path().to_path_buf(),
            what: format!("member `{}`: {}", self.name, what.as_ref()),
            offset: self.data.range().start as u64,
        }
    }
}
