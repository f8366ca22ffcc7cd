//! Bytes and payloads on their way into a file.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;

use caffe_proto::{Error, Payload, Slice};
use crc32fast::Hasher;

/// Called while a file is written, with the bytes of values done and the bytes there are in all.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// Where a format's writer puts its bytes.
///
/// Small writes are gathered. The values that another file holds are written straight from its map, while a second
/// thread looks at them a little ahead: it takes the page faults, and computes the checksum where there is one.
/// That is faster than copying inside the kernel (`copy_file_range`), which for bytes that
/// change their place within a page goes page by page.
pub(crate) struct Output<'a> {
    file: &'a File,
    path: &'a Path,
    buffer: Vec<u8>,
    /// How many bytes are in the file, without the buffer's.
    flushed: u64,
    done: u64,
    total: u64,
    progress: &'a mut Progress<'a>,
}

/// What is gathered before it is written, at most.
const BUFFER: usize = 1 << 16;

/// How much is written by one call: few enough calls, and often enough a sign of progress.
const CHUNK: usize = 1 << 20;

impl<'a> Output<'a> {
    /// Writes to `file` from its start; errors name `path`. `total` is the bytes of values to come.
    pub(crate) fn new(file: &'a File, path: &'a Path, total: u64, progress: &'a mut Progress<'a>) -> Self {
        Self { file, path, buffer: Vec::with_capacity(BUFFER), flushed: 0, done: 0, total, progress }
    }

    /// How many bytes there are so far.
    pub(crate) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Appends bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.append(bytes).map_err(|source| self.failed(source))
    }

    /// Appends a payload's values, and feeds them to `hasher`.
    pub(crate) fn payload(&mut self, payload: &Payload, hasher: Option<&mut Hasher>) -> Result<(), Error> {
        match (payload, hasher) {
            (Payload::Borrowed(slice), hasher) if slice.len() >= CHUNK => self.mapped(slice, hasher),
            (payload, Some(hasher)) => payload.read(&mut |bytes| {
                hasher.update(bytes);
                self.values(bytes)
            }),
            (payload, None) => payload.read(&mut |bytes| self.values(bytes)),
        }
    }

    /// Says that `count` bytes of values have been written in another form.
    pub(crate) fn advance(&mut self, count: u64) {
        self.done += count;
        (self.progress)(self.done, self.total);
    }

    /// Replaces bytes that were written before.
    pub(crate) fn patch(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        if let Some(at) = at.checked_sub(self.flushed) {
            let at = at as usize;
            self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        let mut write = || {
            let end = self.position();
            self.seek(SeekFrom::Start(at))?;
            self.append(bytes)?;
            self.seek(SeekFrom::Start(end)).map(drop)
        };
        write().map_err(|source| self.failed(source))
    }

    /// Writes out what is gathered.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        Write::flush(self).map_err(|source| self.failed(source))
    }

    /// The file's name, for errors.
    pub(crate) fn path(&self) -> &Path {
        self.path
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.path.to_path_buf(), source }
    }

    fn mapped(&mut self, slice: &Slice, mut hasher: Option<&mut Hasher>) -> Result<(), Error> {
        thread::scope(|scope| {
            let look = {
                let hasher = hasher.as_deref_mut();
                move || match hasher {
                    Some(hasher) => slice.chunks(BUFFER).for_each(|bytes| hasher.update(bytes)),
                    None => touch(slice),
                }
            };
            // Without a second thread the work is the same, only slower.
            let ahead = thread::Builder::new().spawn_scoped(scope, look).ok();
            let alone = ahead.is_none();
            for bytes in slice.chunks(CHUNK) {
                self.values(bytes)?;
            }
            Ok::<_, Error>(alone)
        })
        .map(|alone| {
            if let (true, Some(hasher)) = (alone, hasher) {
                hasher.update(slice);
            }
        })
    }

    fn values(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes(bytes)?;
        self.advance(bytes.len() as u64);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
            if bytes.len() >= BUFFER {
                self.file.write_all(bytes)?;
                self.flushed += bytes.len() as u64;
                return Ok(());
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
}

/// For Caffe's own formats.
impl caffe_proto::Output for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes(bytes)
    }

    fn write_payload(&mut self, payload: &Payload) -> Result<(), Error> {
        self.payload(payload, None)
    }
}

/// For encoders that want a writer.
impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// For formats that come back to their start.
impl Seek for Output<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if to == SeekFrom::Current(0) {
            return Ok(self.position());
        }
        self.flush()?;
        self.flushed = self.file.seek(to)?;
        Ok(self.flushed)
    }
}

/// An output that is lent to a writer which wants to own one.
pub(crate) struct Lent<'a, 'b>(pub(crate) &'a mut Output<'b>);

impl Write for Lent<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Lent<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// Looks at one byte of every page, so that the pages are in the map when they are written.
fn touch(bytes: &[u8]) {
    const PAGE: usize = 4096;
    for byte in bytes.iter().step_by(PAGE) {
        std::hint::black_box(*byte);
    }
}

#[cfg(test)]
mod tests {
    use caffe_proto::Storage;

    use super::*;

    #[test]
    fn small_and_large_values_arrive_in_order_and_are_summed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let values = (0..3 * CHUNK as u32 / 4).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        std::fs::write(&from, &values).unwrap();
        let storage = Storage::open(&from).unwrap();
        let file = File::create(&to).unwrap();
        let mut seen = Vec::new();
        let mut progress = |done, total| seen.push((done, total));
        let mut output = Output::new(&file, &to, values.len() as u64, &mut progress);
        let mut hasher = Hasher::new();
        output.bytes(b"head").unwrap();
        for range in [0..20, 20..2 * CHUNK + 24, 2 * CHUNK + 24..values.len()] {
            let payload = Payload::Borrowed(storage.slice(range));
            output.payload(&payload, Some(&mut hasher)).unwrap();
        }
        output.patch(1, b"E").unwrap();
        output.bytes(b"tail").unwrap();
        output.patch(output.position() - 1, b"L").unwrap();
        output.finish().unwrap();

        assert_eq!(hasher.finalize(), crc32fast::hash(&values));
        let written = std::fs::read(&to).unwrap();
        assert!(written.starts_with(b"hEad") && written.ends_with(b"taiL"));
        assert!(written[4..written.len() - 4] == values);
        let total = values.len() as u64;
        assert_eq!(seen.last(), Some(&(total, total)));
    }
}
