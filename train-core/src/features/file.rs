//! A file of features: a header, rows of numbers, what could not be read, a checksum.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caffe_proto::Storage;
use crc32fast::Hasher;

use super::{Error, Fingerprint, Result};

/// Rows of numbers, and for each that is missing why.
#[derive(Debug)]
pub struct Features {
    storage: Arc<Storage>,
    rows: usize,
    /// Numbers a row.
    width: usize,
    broken: BTreeMap<usize, String>,
}

/// Features on their way into a file, or into memory.
pub(super) struct Writer {
    to: To,
    hasher: Hasher,
    rows: usize,
    width: usize,
    written: usize,
    broken: BTreeMap<usize, String>,
}

enum To {
    File { file: BufWriter<File>, partial: Partial, path: PathBuf },
    Memory(Vec<u8>),
}

/// A file's name until it is whole; removed when it never is.
struct Partial(PathBuf);

const MAGIC: &[u8; 16] = b"rebrew features1";
/// Magic, fingerprint, rows, width.
const HEADER: usize = 16 + 16 + 8 + 8;
const CHECKSUM: usize = 4;

impl Features {
    /// The features of this fingerprint in a file; `None` when there is none, or it is damaged.
    pub(super) fn open(path: &Path, fingerprint: Fingerprint) -> Option<Self> {
        Self::read(Storage::open(path).ok()?, fingerprint)
    }

    fn read(storage: Arc<Storage>, fingerprint: Fingerprint) -> Option<Self> {
        let body = storage.len().checked_sub(CHECKSUM)?;
        let (body, checksum) = storage.split_at(body);
        if crc32fast::hash(body).to_le_bytes() != checksum {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?.strip_prefix(&fingerprint.bytes())?;
        let rows = usize::try_from(u64::from_le_bytes(*rest.first_chunk()?)).ok()?;
        let width = usize::try_from(u64::from_le_bytes(*rest[8..].first_chunk()?)).ok()?;
        let values = rows.checked_mul(width)?.checked_mul(4)?;
        let trailer = body.get(HEADER.checked_add(values)?..)?;
        let broken = serde_json::from_slice(trailer).ok()?;
        Some(Self { storage, rows, width, broken })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The bytes that all take.
    pub fn bytes(&self) -> usize {
        self.storage.len()
    }

    /// Copies a row's numbers into `parts`, one behind the other.
    ///
    /// # Errors
    /// In words: why there are none.
    ///
    /// # Panics
    /// When there is no such row, or it has fewer numbers.
    pub fn copy(&self, row: usize, parts: &mut [&mut [f32]]) -> std::result::Result<(), String> {
        if let Some(what) = self.broken.get(&row) {
            return Err(what.clone());
        }
        let start = HEADER + row * self.width * 4;
        let mut bytes = &self.storage[start..start + self.width * 4];
        for part in parts {
            let (own, rest) = bytes.split_at(part.len() * 4);
            let (own, _) = own.as_chunks::<4>();
            part.iter_mut().zip(own).for_each(|(to, &from)| *to = f32::from_le_bytes(from));
            bytes = rest;
        }
        Ok(())
    }
}

impl Writer {
    /// Begins a file that will stand at `path`; in memory without one.
    pub(super) fn new(
        path: Option<&Path>,
        fingerprint: Fingerprint,
        rows: usize,
        width: usize,
    ) -> io::Result<Self> {
        let to = match path {
            None => To::Memory(Vec::new()),
            Some(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let partial =
                    path.with_file_name(format!(".{name}.{}{}", std::process::id(), super::folder::PARTIAL));
                let file = File::create(&partial)?;
                let partial = Partial(partial);
                To::File { file: BufWriter::with_capacity(1 << 20, file), partial, path: path.to_path_buf() }
            }
        };
        let broken = BTreeMap::new();
        let mut writer = Self { to, hasher: Hasher::new(), rows, width, written: 0, broken };
        writer.write(MAGIC)?;
        writer.write(&fingerprint.bytes())?;
        writer.write(&(rows as u64).to_le_bytes())?;
        writer.write(&(width as u64).to_le_bytes())?;
        Ok(writer)
    }

    /// The next row.
    pub(super) fn row(&mut self, parts: &[&[f32]]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(self.width * 4);
        bytes.extend(parts.iter().flat_map(|part| part.iter()).flat_map(|value| value.to_le_bytes()));
        debug_assert_eq!(bytes.len(), self.width * 4, "numbers of a row");
        self.written += 1;
        self.write(&bytes)
    }

    /// The next row, which is missing.
    pub(super) fn broken(&mut self, what: String) -> io::Result<()> {
        self.broken.insert(self.written, what);
        self.written += 1;
        self.write(&vec![0; self.width * 4])
    }

    /// Ends it, and gives what was written.
    ///
    /// # Errors
    /// When the last bytes cannot be written, or not all rows were.
    pub(super) fn finish(mut self, fingerprint: Fingerprint) -> Result<Features> {
        let place = match &self.to {
            To::File { path, .. } => path.clone(),
            To::Memory(_) => PathBuf::from("features in memory"),
        };
        let failed = |source| Error::Write { path: place.clone(), source };
        let trailer = serde_json::to_vec(&self.broken).map_err(|error| failed(error.into()))?;
        self.write(&trailer).map_err(failed)?;
        let checksum = self.hasher.clone().finalize().to_le_bytes();
        self.write(&checksum).map_err(failed)?;
        let complete = self.written == self.rows;
        let features = match self.to {
            To::Memory(bytes) => Features::read(Storage::from_vec(&place, bytes), fingerprint),
            To::File { file, partial, path } => {
                file.into_inner().map_err(|error| failed(error.into_error()))?;
                fs::rename(&partial.0, &path).map_err(failed)?;
                Features::open(&path, fingerprint)
            }
        };
        features.filter(|_| complete).ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        match &mut self.to {
            To::File { file, .. } => file.write_all(bytes),
            To::Memory(memory) => {
                memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// The bytes that so many rows take.
pub(super) fn size(rows: usize, width: usize) -> u64 {
    (rows as u64).saturating_mul(width as u64).saturating_mul(4).saturating_add((HEADER + CHECKSUM) as u64)
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Renamed, it is not there; otherwise nothing can be done about a file that cannot be removed.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: Option<&Path>) -> Features {
        let mut writer = Writer::new(path, Fingerprint::default(), 3, 3).unwrap();
        writer.row(&[&[1.0, 2.0], &[3.0]]).unwrap();
        writer.broken("no image".to_owned()).unwrap();
        writer.row(&[&[4.0, f32::MIN_POSITIVE], &[-0.0]]).unwrap();
        writer.finish(Fingerprint::default()).unwrap()
    }

    fn check(features: &Features) {
        let (mut two, mut one) = ([0.0; 2], [0.0]);
        features.copy(2, &mut [&mut two, &mut one]).unwrap();
        assert_eq!((two, one[0].to_bits()), ([4.0, f32::MIN_POSITIVE], (-0.0_f32).to_bits()));
        assert_eq!(features.copy(1, &mut [&mut two, &mut one]).unwrap_err(), "no image");
    }

    #[test]
    fn what_is_written_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.features");
        check(&written(Some(&path)));
        check(&Features::open(&path, Fingerprint::default()).unwrap());
        check(&written(None));
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.features");
        written(Some(&path));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(&path, &damaged).unwrap();
            assert!(Features::open(&path, Fingerprint::default()).is_none(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(Features::open(&path, Fingerprint::default()).is_none(), "cut at {at}");
        }
        let mut other = Fingerprint::default();
        other.add(b"other");
        fs::write(&path, &whole).unwrap();
        assert!(Features::open(&path, other).is_none());
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.features");
        let mut writer = Writer::new(Some(&path), Fingerprint::default(), 2, 1).unwrap();
        writer.row(&[&[1.0]]).unwrap();
        drop(writer);
        let mut short = Writer::new(None, Fingerprint::default(), 2, 1).unwrap();
        short.row(&[&[1.0]]).unwrap();
        assert!(short.finish(Fingerprint::default()).is_err());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
