//! The HDF5 container: groups of named datasets, read from a map of the file and written as a stream.
//!
//! [`File`] reads what libhdf5 and h5py write for weights, in any version of the format: the numbers and
//! texts of every dataset, kept in one piece or in chunks that are deflated, shuffled or checksummed.
//! A dataset's values are a [`Payload`](crate::Payload): borrowed where they lie in the file as they are
//! needed, otherwise decoded a band of chunks at a time. No file, however damaged, makes it panic, hang, or
//! take memory out of proportion.
//!
//! [`Writer`] writes the oldest form of the format, which everything reads, and the same bytes for the same
//! values every time.
//!
//! What is not read, and named in an error: filters other than deflate, shuffle and Fletcher's checksum,
//! compound and other composed types, values in other files, virtual datasets, messages shared through a
//! heap, links with names of kilobytes. What is refused as too much: chunks above 32 MiB, bands of chunks
//! above 64 MiB, 2^20 chunks of one dataset, 2^16 groups and datasets, 32 levels of groups.
//!
//! References are to the HDF5 File Format Specification, version 3.0.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::Storage;

pub use self::dataset::Dataset;
pub use self::datatype::Dtype;
pub use self::error::{Error, Problem};
pub use self::walk::{Entry, Object};
pub use self::writer::{Writer, chunk_shape};

mod array_index;
mod btree;
mod checksum;
mod chunk_index;
mod chunked;
mod cursor;
mod dataset;
mod dataspace;
mod datatype;
mod error;
mod filters;
mod fractal_heap;
mod global_heap;
mod grid;
mod group;
mod layout;
mod object_header;
mod superblock;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

/// An HDF5 file that is open for reading.
#[derive(Debug)]
pub struct File {
    format: Arc<cursor::Format>,
    root: u64,
}

impl File {
    /// Opens the file in `storage`. Nothing but where it starts is read yet.
    ///
    /// # Errors
    /// [`Error::NotHdf5`] without the signature, [`Error::Read`] when the superblock is damaged or of a
    /// version that is not known.
    pub fn open(storage: Arc<Storage>) -> Result<Self, Error> {
        Self::open_with(storage, true)
    }

    /// Whether the bytes are those of an HDF5 file.
    pub fn is_hdf5(bytes: &[u8]) -> bool {
        superblock::find(bytes).is_some()
    }

    /// All groups and datasets below the root, each group before what it holds, in the order of their names.
    ///
    /// # Errors
    /// [`Error::Read`], with the path of the object that is damaged, holds itself, or holds too much.
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        walk::entries(&self.format, self.root)
    }

    fn open_with(storage: Arc<Storage>, verify: bool) -> Result<Self, Error> {
        let file = storage.path().to_path_buf();
        let Some(start) = superblock::find(&storage) else { return Err(Error::NotHdf5 { file }) };
        match superblock::read(storage, start, verify) {
            Ok(superblock) => Ok(Self { format: Arc::new(superblock.format), root: superblock.root }),
            Err(problem) => Err(Error::Read { file, object: "/".into(), problem }),
        }
    }
}
