//! A dataset and its values.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::{PIECE, Payload, Sink, Source};

use super::chunked::{Bands, Stopped, swap};
use super::cursor::{Format, Reader};
use super::dataspace::{self, Dataspace};
use super::datatype::{self, Datatype, Dtype, Text};
use super::error::{Error, Problem};
use super::filters::Pipeline;
use super::global_heap::GlobalHeap;
use super::grid::{Grid, product};
use super::layout::{self, Layout};
use super::object_header::{Message, find, kind};

/// A dataset: its shape and type, and where its values are.
#[derive(Clone)]
pub struct Dataset {
    path: Arc<str>,
    header: Arc<Header>,
}

/// What an object header says about a dataset; the same for all paths that lead to it.
pub(super) struct Header {
    format: Arc<Format>,
    space: Dataspace,
    datatype: Datatype,
    layout: Layout,
    filters: Pipeline,
    fill: Vec<u8>,
    external: bool,
}

/// The most bytes of text that are read from one dataset.
const MAX_TEXT: u64 = 1 << 25;

impl Dataset {
    pub(super) fn new(path: &str, header: Arc<Header>) -> Self {
        Self { path: path.into(), header }
    }

    /// The sizes of the axes: none for a scalar; `None` for a null dataspace (h5py's `Empty`), which has no
    /// values at all.
    pub fn shape(&self) -> Option<&[u64]> {
        self.header.space.dims.as_deref()
    }

    /// The type of the values.
    pub fn dtype(&self) -> &Dtype {
        &self.header.datatype.dtype
    }

    /// The shape of the chunks, if the values are kept in chunks.
    pub fn chunk(&self) -> Option<&[u64]> {
        match &self.header.layout {
            Layout::Chunked(chunked) => Some(&chunked.chunk),
            _ => None,
        }
    }

    /// The values, little-endian and in C order, borrowed from the file where they lie in it like that. A
    /// null dataspace has none.
    ///
    /// # Errors
    /// [`Error::Read`] for values that are not numbers, are kept in a way that is not read, or cannot be
    /// where the file says. What is wrong with single chunks shows when the payload is read.
    pub fn payload(&self) -> Result<Payload, Error> {
        self.payload_or_problem().map_err(|problem| self.error(problem))
    }

    /// The values of a dataset of text, in C order, without their padding.
    ///
    /// # Errors
    /// [`Error::Read`] for values that are not text, for text that is not UTF-8, and as [`Dataset::payload`].
    pub fn strings(&self) -> Result<Vec<String>, Error> {
        self.strings_or_problem().map_err(|problem| self.error(problem))
    }

    /// The bytes that the values take, as the file states it; `None` when that overflows.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.header.bytes()
    }

    /// How many chunks the values are cut into.
    pub(super) fn chunks(&self) -> u64 {
        let (Some(dims), Some(chunk)) = (self.shape(), self.chunk()) else { return 0 };
        let counts: Vec<u64> =
            dims.iter().zip(chunk).map(|(dim, &chunk)| dim.div_ceil(chunk.max(1))).collect();
        product(&counts).unwrap_or(u64::MAX)
    }

    fn payload_or_problem(&self) -> Result<Payload, Problem> {
        let header = &self.header;
        if header.datatype.dtype.size() != Some(header.element()) {
            return Err(Problem::Unsupported(format!("values of type {}", header.datatype.dtype)));
        }
        let storage = &header.format.storage;
        let swap = header.datatype.big_endian && header.element() > 1;
        Ok(match header.locate()? {
            Place::File(range) if !swap => Payload::Borrowed(storage.slice(range)),
            Place::Nowhere if header.bytes() == Some(0) => Payload::Borrowed(storage.slice(0..0)),
            _ => Payload::Made(Arc::new(Values { dataset: self.clone(), swap })),
        })
    }

    fn strings_or_problem(&self) -> Result<Vec<String>, Problem> {
        let header = &self.header;
        let Some(text) = header.datatype.text else {
            return Err(Problem::Unsupported(format!("values of type {} as text", header.datatype.dtype)));
        };
        header.locate()?;
        let bytes = header.bytes().unwrap_or(u64::MAX);
        if bytes > MAX_TEXT {
            return Err(Problem::Limit { what: "bytes of text", found: bytes, limit: MAX_TEXT });
        }
        let mut raw = Vec::new();
        let values = Values { dataset: self.clone(), swap: false };
        values
            .read_all(&mut |piece| {
                raw.extend_from_slice(piece);
                Ok(())
            })
            .map_err(|stopped| match stopped {
                Stopped::Problem(problem) => problem,
                Stopped::Sink(error) => Problem::Invalid(error.to_string()),
            })?;

        let reader = Reader::new(&header.format);
        let mut heap = GlobalHeap::default();
        let mut total = 0;
        let mut strings = Vec::new();
        for value in raw.chunks_exact(header.element()) {
            let bytes = match text {
                Text::Variable => heap.resolve(&reader, reader.over(value, "reference to text"))?,
                Text::NullEnded => value.split(|&byte| byte == 0).next().unwrap_or_default(),
                Text::NullPadded => trim(value, 0),
                Text::SpacePadded => trim(value, b' '),
            };
            total += bytes.len() as u64 + 24;
            if total > 2 * MAX_TEXT {
                return Err(Problem::Limit { what: "bytes of text", found: total, limit: 2 * MAX_TEXT });
            }
            let string = std::str::from_utf8(bytes)
                .map_err(|_| Problem::Invalid(format!("text {} is not UTF-8", strings.len())))?;
            strings.push(string.to_owned());
        }
        Ok(strings)
    }

    fn error(&self, problem: Problem) -> Error {
        Error::Read {
            file: self.header.format.storage.path().to_path_buf(),
            object: self.path.to_string(),
            problem,
        }
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("path", &self.path)
            .field("shape", &self.shape())
            .field("dtype", self.dtype())
            .field("layout", &self.header.layout)
            .finish_non_exhaustive()
    }
}

/// Where the values are.
enum Place {
    /// In one piece.
    File(Range<usize>),
    /// Nothing was ever written.
    Nowhere,
    /// In chunks.
    Chunks(Grid),
}

impl Header {
    /// Reads the header of a dataset; `None` when the messages are not those of a dataset.
    pub(super) fn read(
        reader: &Reader<'_>,
        format: &Arc<Format>,
        messages: &[Message<'_>],
    ) -> Result<Option<Self>, Problem> {
        let message = |kind| find(reader, messages, kind);
        let (Some(space), Some(datatype), Some(layout)) =
            (message(kind::DATASPACE)?, message(kind::DATATYPE)?, message(kind::LAYOUT)?)
        else {
            return Ok(None);
        };
        let datatype = datatype::read(&datatype)?;
        let element = datatype.size as usize;
        let filters = match message(kind::FILTERS)? {
            Some(message) => Pipeline::read(&message, element)?,
            None => Pipeline::default(),
        };
        let fill = match (message(kind::FILL_VALUE)?, message(kind::OLD_FILL_VALUE)?) {
            (Some(message), _) => fill_value(&message)?,
            (None, Some(message)) => sized(&mut message.named("fill value"))?,
            (None, None) => &[],
        };
        // A fill value of text of any length would be a reference; h5py writes none.
        let usable = fill.len() == element && datatype.text != Some(Text::Variable);
        Ok(Some(Self {
            format: Arc::clone(format),
            space: dataspace::read(&space)?,
            layout: layout::read(&layout)?,
            fill: if usable { fill.to_vec() } else { Vec::new() },
            external: messages.iter().any(|message| message.kind == kind::EXTERNAL_FILES),
            datatype,
            filters,
        }))
    }

    fn element(&self) -> usize {
        self.datatype.size as usize
    }

    fn bytes(&self) -> Option<u64> {
        let Some(dims) = &self.space.dims else { return Some(0) };
        product(dims)?.checked_mul(self.element() as u64)
    }

    fn locate(&self) -> Result<Place, Problem> {
        let file = self.format.storage.len() as u64;
        let limit = most_bytes(file);
        let bytes = self.bytes().unwrap_or(u64::MAX);
        if bytes > limit {
            return Err(Problem::Limit {
                what: "bytes of values that a file of this size can hold",
                found: bytes,
                limit,
            });
        }
        if bytes == 0 {
            return Ok(Place::Nowhere);
        }
        if self.external {
            return Err(Problem::Unsupported("values kept in other files".into()));
        }
        let (start, stored) = match &self.layout {
            Layout::Virtual => return Err(Problem::Unsupported("a virtual dataset".into())),
            Layout::Chunked(chunked) => {
                self.filters.check()?;
                if chunked.element != self.element() as u64 {
                    return Err(Problem::Invalid(format!(
                        "chunks of values of {} bytes, expected {}",
                        chunked.element,
                        self.element()
                    )));
                }
                let dims = self.space.dims.as_deref().unwrap_or_default();
                return Ok(Place::Chunks(Grid::new(dims, &chunked.chunk, self.element())?));
            }
            Layout::Contiguous { address: None, .. } => return Ok(Place::Nowhere),
            Layout::Contiguous { address: Some(address), size } => {
                (self.format.base.saturating_add(*address), size.unwrap_or(bytes))
            }
            Layout::Compact(range) => (range.start, range.end - range.start),
        };
        if stored < bytes {
            return Err(Problem::Invalid(format!(
                "{stored} bytes of values are stored, the shape needs {bytes}"
            )));
        }
        match start.checked_add(bytes) {
            Some(end) if end <= file => Ok(Place::File(start as usize..end as usize)),
            _ => {
                let left = file.saturating_sub(start);
                Err(Problem::Truncated { what: "values", at: start, needed: bytes, left })
            }
        }
    }
}

/// Values that are made while they are read.
struct Values {
    dataset: Dataset,
    swap: bool,
}

impl Values {
    fn read_all(&self, sink: &mut Sink<'_>) -> Result<(), Stopped> {
        let header = &*self.dataset.header;
        let element = header.element();
        match (header.locate()?, &header.layout) {
            (Place::Chunks(grid), Layout::Chunked(layout)) => {
                let (format, filters) = (&*header.format, &header.filters);
                let (max, fill, swap) = (&header.space.max[..], &header.fill[..], self.swap);
                Bands { format, layout, grid, max, filters, element, fill, swap }.read(sink)
            }
            (Place::File(range), _) => {
                let mut swapped = Vec::new();
                for piece in header.format.storage[range].chunks(whole_values(element)) {
                    if self.swap {
                        swapped.clear();
                        swapped.extend_from_slice(piece);
                        swap(&mut swapped, element);
                        sink(&swapped).map_err(Stopped::Sink)?;
                    } else {
                        sink(piece).map_err(Stopped::Sink)?;
                    }
                }
                Ok(())
            }
            _ => self.fill(sink, header.bytes().unwrap_or(0)),
        }
    }

    fn fill(&self, sink: &mut Sink<'_>, mut left: u64) -> Result<(), Stopped> {
        let header = &self.dataset.header;
        let len = (whole_values(header.element()) as u64).min(left) as usize;
        let mut piece =
            if header.fill.is_empty() { vec![0; len] } else { header.fill.repeat(len / header.element()) };
        if self.swap {
            swap(&mut piece, header.element());
        }
        while left > 0 && !piece.is_empty() {
            let now = left.min(piece.len() as u64);
            sink(&piece[..now as usize]).map_err(Stopped::Sink)?;
            left -= now;
        }
        Ok(())
    }
}

impl Source for Values {
    fn len(&self) -> u64 {
        self.dataset.bytes().unwrap_or(0)
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), crate::Error> {
        self.read_all(sink).map_err(|stopped| match stopped {
            Stopped::Problem(problem) => self.dataset.error(problem).into(),
            Stopped::Sink(error) => error,
        })
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dataset.fmt(f)
    }
}

/// The most bytes of values that a file of this size can hold: deflate makes data at most 1032 times smaller.
/// What was never written takes no room at all, so a small dataset is always let pass.
pub(super) fn most_bytes(file: u64) -> u64 {
    file.saturating_mul(1100).saturating_add(1 << 20)
}

/// The fill value (IV.A.2.f); empty when it is not stated.
fn fill_value<'a>(message: &super::cursor::Cursor<'a>) -> Result<&'a [u8], Problem> {
    let mut cursor = message.named("fill value");
    let version = cursor.version(&[1, 2, 3])?;
    let stated = if version == 3 {
        cursor.u8()? & 0x20 != 0
    } else {
        cursor.skip(2)?;
        let defined = cursor.u8()?;
        version == 1 || defined != 0
    };
    if stated && cursor.left() >= 4 { sized(&mut cursor) } else { Ok(&[]) }
}

fn sized<'a>(cursor: &mut super::cursor::Cursor<'a>) -> Result<&'a [u8], Problem> {
    let len = cursor.u32()?;
    // The size is -1 where the value is undefined.
    if len == u32::MAX { Ok(&[]) } else { cursor.take(u64::from(len)) }
}

fn trim(value: &[u8], padding: u8) -> &[u8] {
    let end = value.iter().rposition(|&byte| byte != padding).map_or(0, |last| last + 1);
    &value[..end]
}

/// The most bytes up to a piece that are whole values.
fn whole_values(element: usize) -> usize {
    (PIECE / element).max(1) * element
}
