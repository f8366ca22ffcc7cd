//! Writing the oldest form of the format: version 0 superblock, symbol table groups, version 1 object headers.
//!
//! Everything is written once, in order; only the superblock at the start is filled in at the end. What is
//! kept in memory is the tree of names, and for a deflated dataset one band of chunks and their addresses.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Seek, SeekFrom, Write};

use crate::Payload;

use super::datatype::Dtype;
use super::error::{Error, Problem, shown};
use super::grid::product;
use super::superblock::SIGNATURE;

pub use self::chunks::chunk_shape;
use self::header::{Header, Layout};

mod btree;
mod chunks;
mod group;
mod header;

/// Writes an HDF5 file, one dataset after another.
///
/// Paths are names from below the root; groups on the way are made as needed.
#[derive(Debug)]
pub struct Writer<W> {
    out: Out<W>,
    root: Group,
}

/// The address that is none.
const UNDEFINED: u64 = u64::MAX;
/// As deep as groups are read.
const MAX_DEPTH: usize = 32;
const SUPERBLOCK_LEN: u64 = 96;

impl<W: Write + Seek> Writer<W> {
    /// Starts a file at the start of `out`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(mut out: W) -> Result<Self, Error> {
        out.rewind()?;
        let mut out = Out { inner: out, position: 0 };
        out.write(&[0; SUPERBLOCK_LEN as usize])?;
        Ok(Self { out, root: Group::new() })
    }

    /// Makes a group, which may stay empty or be there already.
    ///
    /// # Errors
    /// [`Error::Write`] for a path that cannot be, or leads through a dataset.
    pub fn group(&mut self, path: &[&str]) -> Result<(), Error> {
        self.make_group(path).map(|_| ()).map_err(|problem| refused(path, problem))
    }

    /// Writes a dataset in one piece.
    ///
    /// # Errors
    /// [`Error::Write`] for a path that cannot be or is there already, and for values that do not fit the
    /// shape; [`Error::Values`] when they cannot be read; [`Error::Io`].
    pub fn contiguous(
        &mut self,
        path: &[&str],
        shape: &[u64],
        dtype: &Dtype,
        values: &Payload,
    ) -> Result<(), Error> {
        let bytes = self.check(path, shape, dtype, Some(values))?;
        let address = self.start_values(bytes)?;
        let out = &mut self.out;
        values
            .read(&mut |piece| Ok(out.write(piece).map_err(Error::from)?))
            .map_err(|error| unread(path, error))?;
        self.end_values(path, address, bytes)?;
        self.add(
            path,
            &Header { shape: Some(shape), dtype: encoded(dtype), layout: Layout::Contiguous(address, bytes) },
        )
    }

    /// Writes a dataset in one piece whose values `copy` writes, as little-endian bytes in C order. It is
    /// given the output where they belong, and must leave it where they end; so it may copy them inside the
    /// operating system.
    ///
    /// # Errors
    /// As [`Writer::contiguous`].
    pub fn contiguous_with(
        &mut self,
        path: &[&str],
        shape: &[u64],
        dtype: &Dtype,
        copy: impl FnOnce(&mut W) -> Result<(), crate::Error>,
    ) -> Result<(), Error> {
        let bytes = self.check(path, shape, dtype, None)?;
        let address = self.start_values(bytes)?;
        copy(&mut self.out.inner).map_err(|error| unread(path, error))?;
        self.out.position = self.out.inner.stream_position()?;
        self.end_values(path, address, bytes)?;
        self.add(
            path,
            &Header { shape: Some(shape), dtype: encoded(dtype), layout: Layout::Contiguous(address, bytes) },
        )
    }

    /// Writes a dataset in chunks of [`chunk_shape`], deflated at level 4, as h5py does for
    /// `compression=4`. A scalar has no chunks and is written in one piece.
    ///
    /// # Errors
    /// As [`Writer::contiguous`].
    pub fn deflated(
        &mut self,
        path: &[&str],
        shape: &[u64],
        dtype: &Dtype,
        values: &Payload,
    ) -> Result<(), Error> {
        if shape.is_empty() {
            return self.contiguous(path, shape, dtype, values);
        }
        self.check(path, shape, dtype, Some(values))?;
        let element = dtype.size().unwrap_or(0);
        let grid = chunks::grid(shape, element).map_err(|problem| refused(path, problem))?;
        let tree = chunks::write(&mut self.out, path, &grid, element, values)?;
        let layout = Layout::Deflated { tree, chunk: grid.chunk().to_vec(), element };
        self.add(path, &Header { shape: Some(shape), dtype: encoded(dtype), layout })
    }

    /// Writes a dataset that has a type but no values: a null dataspace, h5py's `Empty`.
    ///
    /// # Errors
    /// As [`Writer::contiguous`].
    pub fn empty(&mut self, path: &[&str], dtype: &Dtype) -> Result<(), Error> {
        self.check(path, &[], dtype, None)?;
        self.add(
            path,
            &Header { shape: None, dtype: encoded(dtype), layout: Layout::Contiguous(UNDEFINED, 0) },
        )
    }

    /// Writes one text of fixed length, ended by a zero byte, as Caffe writes the name of a net.
    ///
    /// # Errors
    /// As [`Writer::contiguous`]; also for a text that holds a zero byte.
    pub fn text(&mut self, path: &[&str], text: &str) -> Result<(), Error> {
        self.check_path(path).map_err(|problem| refused(path, problem))?;
        if text.contains('\0') {
            return Err(refused(path, Problem::Invalid("the text holds a zero byte".into())));
        }
        let size = text.len() as u64 + 1;
        let address = self.start_values(size)?;
        self.out.write(text.as_bytes())?;
        self.out.write(&[0])?;
        let dtype = header::fixed_text(size as u32, text.is_ascii());
        self.add(path, &Header { shape: Some(&[]), dtype, layout: Layout::Contiguous(address, size) })
    }

    /// Writes texts of any length, as h5py writes `str`.
    ///
    /// # Errors
    /// As [`Writer::contiguous`].
    pub fn texts(&mut self, path: &[&str], shape: &[u64], texts: &[&str]) -> Result<(), Error> {
        self.check_path(path).map_err(|problem| refused(path, problem))?;
        if product(shape) != Some(texts.len() as u64) {
            let problem = Problem::Invalid(format!("{} texts do not fill the shape {shape:?}", texts.len()));
            return Err(refused(path, problem));
        }
        let references = header::global_heap(&mut self.out, texts)?;
        let size = references.len() as u64;
        let address = self.start_values(size)?;
        self.out.write(&references)?;
        let dtype = header::variable_text();
        self.add(path, &Header { shape: Some(shape), dtype, layout: Layout::Contiguous(address, size) })
    }

    /// Writes the groups and fills in the start of the file. The output is given back at its end, flushed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<W, Error> {
        let root = group::write(&mut self.out, &self.root)?;
        self.out.align()?;
        let end = self.out.position;
        self.out.inner.seek(SeekFrom::Start(0))?;
        self.out.write(&superblock(&root, end))?;
        self.out.inner.seek(SeekFrom::Start(end))?;
        self.out.inner.flush()?;
        Ok(self.out.inner)
    }

    /// Checks all that can be checked before anything is written; the bytes that the values take.
    fn check(
        &self,
        path: &[&str],
        shape: &[u64],
        dtype: &Dtype,
        values: Option<&Payload>,
    ) -> Result<u64, Error> {
        let checked = || {
            self.check_path(path)?;
            let element =
                dtype.size().ok_or_else(|| Problem::Unsupported(format!("values of type {dtype}")))?;
            if shape.len() > 32 {
                return Err(Problem::Limit { what: "axes", found: shape.len() as u64, limit: 32 });
            }
            let bytes = product(shape).and_then(|count| count.checked_mul(element as u64));
            let bytes = bytes
                .filter(|&bytes| bytes < 1 << 62)
                .ok_or_else(|| Problem::Invalid(format!("an array of shape {shape:?} is too large")))?;
            match values {
                Some(values) if values.len() != bytes => Err(wrong_length(values.len(), bytes)),
                _ => Ok(bytes),
            }
        };
        checked().map_err(|problem| refused(path, problem))
    }

    /// Whether a dataset can be put there.
    fn check_path(&self, path: &[&str]) -> Result<(), Problem> {
        check_names(path)?;
        if path.is_empty() {
            return Err(Problem::Invalid("a dataset needs a name".into()));
        }
        let mut group = &self.root;
        for (depth, &name) in path.iter().enumerate() {
            match group.get(name) {
                None => return Ok(()),
                Some(Node::Group(inner)) if depth + 1 < path.len() => group = inner,
                Some(Node::Group(_)) => return Err(Problem::Invalid("a group is there already".into())),
                Some(Node::Dataset(_)) if depth + 1 < path.len() => return Err(in_dataset(name)),
                Some(Node::Dataset(_)) => return Err(Problem::Invalid("a dataset is there already".into())),
            }
        }
        Ok(())
    }

    fn make_group(&mut self, path: &[&str]) -> Result<&mut Group, Problem> {
        check_names(path)?;
        let mut group = &mut self.root;
        for &name in path {
            let node = match group.entry(name.to_owned()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Node::Group(Group::new())),
            };
            match node {
                Node::Group(inner) => group = inner,
                Node::Dataset(_) => return Err(in_dataset(name)),
            }
        }
        Ok(group)
    }

    /// Where the next values start; none at all start nowhere.
    fn start_values(&mut self, bytes: u64) -> Result<u64, Error> {
        if bytes == 0 {
            return Ok(UNDEFINED);
        }
        self.out.align()?;
        Ok(self.out.position)
    }

    fn end_values(&self, path: &[&str], start: u64, bytes: u64) -> Result<(), Error> {
        let written = if bytes == 0 { 0 } else { self.out.position.wrapping_sub(start) };
        if written == bytes { Ok(()) } else { Err(refused(path, wrong_length(written, bytes))) }
    }

    /// Writes the header of a dataset whose values are written, and puts it in its group.
    fn add(&mut self, path: &[&str], header: &Header<'_>) -> Result<(), Error> {
        let address = header.write(&mut self.out)?;
        if let Some((name, groups)) = path.split_last() {
            let group = self.make_group(groups).map_err(|problem| refused(path, problem))?;
            group.insert((*name).to_owned(), Node::Dataset(address));
        }
        Ok(())
    }
}

type Group = BTreeMap<String, Node>;

#[derive(Debug)]
enum Node {
    Group(Group),
    /// The address of the object header.
    Dataset(u64),
}

/// The output, and how far it has come.
#[derive(Debug)]
struct Out<W> {
    inner: W,
    position: u64,
}

impl<W: Write> Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Goes on to a multiple of 8, as all structures start at.
    fn align(&mut self) -> io::Result<()> {
        let gap = self.position.wrapping_neg() % 8;
        self.write(&[0; 8][..gap as usize])
    }
}

/// Version 0 (II.A), with the sizes that libhdf5 uses by default.
fn superblock(root: &group::Written, end: u64) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    bytes.extend((group::LEAF_K as u16).to_le_bytes());
    bytes.extend((group::INTERNAL_K as u16).to_le_bytes());
    bytes.extend([0; 4]);
    for address in [0, UNDEFINED, end, UNDEFINED] {
        bytes.extend(address.to_le_bytes());
    }
    root.entry(0, &mut bytes);
    bytes
}

fn encoded(dtype: &Dtype) -> Vec<u8> {
    dtype.encode().unwrap_or_default()
}

fn check_names(path: &[&str]) -> Result<(), Problem> {
    if path.len() > MAX_DEPTH {
        return Err(Problem::Limit {
            what: "names of a path",
            found: path.len() as u64,
            limit: MAX_DEPTH as u64,
        });
    }
    for name in path {
        if name.is_empty() || *name == "." || name.contains(['/', '\0']) {
            return Err(Problem::Invalid(format!(
                "`{}` cannot be a name: it is empty, a dot, or holds a slash or a zero byte",
                name.escape_debug()
            )));
        }
        if name.len() > 4096 {
            return Err(Problem::Limit { what: "bytes of a name", found: name.len() as u64, limit: 4096 });
        }
    }
    Ok(())
}

fn in_dataset(name: &str) -> Problem {
    Problem::Invalid(format!("`{}` is a dataset, not a group", name.escape_debug()))
}

fn wrong_length(found: u64, expected: u64) -> Problem {
    Problem::Invalid(format!("the values take {found} bytes, the shape needs {expected}"))
}

fn refused(path: &[&str], problem: Problem) -> Error {
    Error::Write { object: shown(path), problem }
}

/// What a payload returned: an error of writing as it is, one of reading with the dataset's name.
fn unread(path: &[&str], error: crate::Error) -> Error {
    match error {
        crate::Error::Hdf5(error @ Error::Io(_)) => error,
        other => Error::Values { object: shown(path), source: Box::new(other) },
    }
}
