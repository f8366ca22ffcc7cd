//! Where a file's bytes are: mapped from the disk, or held in memory.

use std::fmt;
use std::fs::{self, File};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::Error;

/// The bytes of one input file, shared by everything that borrows from it.
pub struct Storage {
    path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    Mapped { map: Mmap, file: File },
    Owned(Vec<u8>),
}

impl Storage {
    /// Maps the file at `path` for reading; nothing is read until it is looked at.
    ///
    /// The file must not be shortened by another program while it is mapped: that is a limit of memory
    /// maps, and the system ends the process that meets it.
    ///
    /// # Errors
    /// [`Error::Open`] when the file cannot be opened or mapped, [`Error::NotAFile`] for a folder, a pipe or a device.
    #[allow(unsafe_code)]
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>, Error> {
        let path = path.as_ref().to_path_buf();
        let failed = |source| Error::Open { path: path.clone(), source };
        // Before it is opened: opening a pipe waits for its other end.
        if !fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(Error::NotAFile { path });
        }
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let bytes = if metadata.len() == 0 {
            Bytes::Owned(Vec::new())
        } else {
            // SAFETY: the map is private to this value, read-only, and handed out as `&[u8]` that cannot
            // outlive it. What remains is another program shortening the file, stated above.
            let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
            Bytes::Mapped { map, file }
        };
        Ok(Arc::new(Self { path, bytes }))
    }

    /// Holds `bytes` under a name that errors will show.
    pub fn from_vec(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { path: name.into(), bytes: Bytes::Owned(bytes) })
    }

    /// The path the bytes came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file behind the map; `None` for bytes in memory.
    pub fn file(&self) -> Option<&File> {
        match &self.bytes {
            Bytes::Mapped { file, .. } => Some(file),
            Bytes::Owned(_) => None,
        }
    }

    /// A part of the bytes that keeps the whole alive.
    ///
    /// # Panics
    /// When `range` is not inside the file: callers check lengths that a file states before they slice.
    pub fn slice(self: &Arc<Self>, range: Range<usize>) -> Slice {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "{range:?} is outside {} bytes",
            self.len()
        );
        Slice { storage: Arc::clone(self), range }
    }
}

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped { map, .. } => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("path", &self.path).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A run of bytes borrowed from a [`Storage`]; cloning it copies no bytes.
#[derive(Clone)]
pub struct Slice {
    storage: Arc<Storage>,
    range: Range<usize>,
}

impl Slice {
    /// The storage this is a part of.
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Where in the storage it lies.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Tells the system that these bytes will not be looked at for a while, so that their pages need not stay in this
    /// program's memory. They can be read all the same.
    #[allow(unsafe_code)]
    pub fn release(&self) {
        #[cfg(unix)]
        if let Bytes::Mapped { map, .. } = &self.storage.bytes {
            // SAFETY: the map is read-only and of a file, so a page that is dropped comes back with the same bytes.
            // An error changes nothing: this is advice.
            let _ = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    self.range.start,
                    self.range.len(),
                )
            };
        }
    }

    /// A part of this part, counted from its own start.
    ///
    /// # Panics
    /// When `range` is not inside this slice.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "{range:?} is outside {} bytes",
            self.len()
        );
        Slice {
            storage: Arc::clone(&self.storage),
            range: self.range.start + range.start..self.range.start + range.end,
        }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.range.clone()]
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{:?}]", self.storage.path.display(), self.range)
    }
}
