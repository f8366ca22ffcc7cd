//! A BlobProto on the wire, its values left in the file.

use std::ops::Range;
use std::sync::Arc;

use half::f16;

use super::{Context, malformed};
use crate::payload::PIECE;
use crate::wire::{self, Malformed, Value};
use crate::{Blob, Error, Payload, Sink, Slice, Source, Storage};

const NUM: u32 = 1;
const WIDTH: u32 = 4;
const DATA: u32 = 5;
const SHAPE: u32 = 7;
const DOUBLE_DATA: u32 = 8;
const RAW_DATA_TYPE: u32 = 10;
const RAW_DATA: u32 = 12;
/// The most axes a blob can have (Caffe's kMaxBlobAxes).
const MAX_AXES: usize = 32;

/// Reads the BlobProto at `range`. Gradients (`diff`) are passed over.
///
/// The shape is the four legacy extents if any of them is set, else `shape`; `double_data` wins over `data`
/// (Blob::FromProto), and forks' `raw_data` stands in when both are absent.
pub(crate) fn read_blob(
    storage: &Arc<Storage>,
    range: Range<usize>,
    context: &Context<'_>,
) -> Result<Blob, Error> {
    let mut legacy: Option<[i32; 4]> = None;
    let mut dims: Vec<i64> = Vec::new();
    let mut raw_type = 1;
    let (mut floats, mut doubles, mut raw) = (Runs::new(4), Runs::new(8), Runs::new(1));
    for field in wire::fields(storage, range.clone()) {
        let field = field.map_err(|error| malformed(storage, &error, &context.to_string()))?;
        match (field.number, field.value) {
            (NUM..=WIDTH, Value::Varint(extent)) => {
                legacy.get_or_insert([0; 4])[(field.number - NUM) as usize] = extent as i32;
            }
            (SHAPE, Value::Bytes(shape)) => read_dims(storage, shape, context, &mut dims)?,
            (DATA, Value::Bytes(run) | Value::Fixed32(run)) => floats.add(run),
            (DOUBLE_DATA, Value::Bytes(run) | Value::Fixed64(run)) => doubles.add(run),
            (RAW_DATA_TYPE, Value::Varint(number)) => raw_type = number,
            // A singular field given again replaces the first.
            (RAW_DATA, Value::Bytes(run)) => {
                raw = Runs::new(1);
                raw.add(run);
            }
            _ => {}
        }
    }
    let (field, encoding, runs) = if doubles.bytes > 0 {
        (DOUBLE_DATA, Encoding::F64, doubles)
    } else if floats.bytes > 0 || raw.bytes == 0 {
        (DATA, Encoding::F32, floats)
    } else {
        (RAW_DATA, raw_encoding(storage, range.start, raw_type, context)?, raw)
    };
    let width = encoding.width();
    if runs.ragged || runs.bytes % width != 0 {
        return Err(context.damaged(
            storage,
            range.start,
            &format!("its values take {} bytes, not a multiple of {width}", runs.bytes),
        ));
    }
    let shape = shape(storage, range.start, legacy, dims, context)?;
    let needed = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
    let found = runs.bytes / width;
    if needed != Some(found) {
        let needed = needed.map_or_else(|| "more than 2^64".to_owned(), |needed| needed.to_string());
        return Err(context.damaged(
            storage,
            range.start,
            &format!("shape {} needs {needed} values, {found} are there", show_shape(&shape)),
        ));
    }
    let values = match (runs.only, encoding) {
        (Some(run), Encoding::F32) => Payload::Borrowed(storage.slice(run)),
        (None, _) if found == 0 => Payload::Borrowed(storage.slice(range.start..range.start)),
        _ => {
            Payload::Made(Arc::new(WireValues { blob: storage.slice(range), field, encoding, count: found }))
        }
    };
    let blob = Blob::new(shape, values);
    Ok(if legacy.is_some() { blob.legacy() } else { blob })
}

/// `256×48×5×5`, or `scalar`.
pub(crate) fn show_shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// The runs of bytes that one repeated field's values came in: one when packed, one a value when not.
struct Runs {
    width: usize,
    bytes: usize,
    only: Option<Range<usize>>,
    ragged: bool,
}

impl Runs {
    fn new(width: usize) -> Self {
        Self { width, bytes: 0, only: None, ragged: false }
    }

    fn add(&mut self, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        self.ragged |= !run.len().is_multiple_of(self.width);
        self.only = (self.bytes == 0).then(|| run.clone());
        self.bytes += run.len();
    }
}

#[derive(Clone, Copy, Debug)]
enum Encoding {
    F32,
    F64,
    F16,
}

impl Encoding {
    fn width(self) -> usize {
        match self {
            Encoding::F16 => 2,
            Encoding::F32 => 4,
            Encoding::F64 => 8,
        }
    }

    /// Appends the value that `bytes` hold as a little-endian `f32`.
    fn convert(self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let value = match self {
            Encoding::F16 => f16::from_le_bytes([wide[0], wide[1]]).to_f32(),
            Encoding::F32 => f32::from_le_bytes([wide[0], wide[1], wide[2], wide[3]]),
            Encoding::F64 => f64::from_le_bytes(wide) as f32,
        };
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Values that are not one run of `f32`: unpacked, in several runs, or of another width.
#[derive(Debug)]
struct WireValues {
    blob: Slice,
    field: u32,
    encoding: Encoding,
    count: usize,
}

impl Source for WireValues {
    fn len(&self) -> u64 {
        self.count as u64 * 4
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut piece = Vec::with_capacity(PIECE);
        for field in wire::fields(&self.blob, 0..self.blob.len()) {
            let field = field.map_err(|error| malformed(self.blob.storage(), &error, "a blob"))?;
            let (Value::Bytes(run) | Value::Fixed32(run) | Value::Fixed64(run)) = field.value else {
                continue;
            };
            if field.number != self.field {
                continue;
            }
            for value in self.blob[run].chunks(self.encoding.width()) {
                self.encoding.convert(value, &mut piece);
                if piece.len() >= PIECE {
                    sink(&piece)?;
                    piece.clear();
                }
            }
        }
        if piece.is_empty() { Ok(()) } else { sink(&piece) }
    }
}

fn read_dims(
    storage: &Storage,
    shape: Range<usize>,
    context: &Context<'_>,
    dims: &mut Vec<i64>,
) -> Result<(), Error> {
    let failed = |error: Malformed| malformed(storage, &error, &context.to_string());
    let start = shape.start;
    for field in wire::fields(storage, shape) {
        let field = field.map_err(failed)?;
        match (field.number, field.value) {
            (1, Value::Varint(dim)) => dims.push(dim as i64),
            (1, Value::Bytes(packed)) => {
                for dim in wire::varints(storage, packed).take(MAX_AXES + 1) {
                    dims.push(dim.map_err(failed)? as i64);
                }
            }
            _ => {}
        }
        if dims.len() > MAX_AXES {
            let what = format!("it has more than {MAX_AXES} axes, which is Caffe's limit");
            return Err(context.damaged(storage, start, &what));
        }
    }
    Ok(())
}

fn shape(
    storage: &Storage,
    offset: usize,
    legacy: Option<[i32; 4]>,
    dims: Vec<i64>,
    context: &Context<'_>,
) -> Result<Vec<usize>, Error> {
    let dims = legacy.map_or(dims, |extents| extents.map(i64::from).to_vec());
    let shape = dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<Vec<_>, _>>();
    shape.map_err(|_| context.damaged(storage, offset, &format!("its shape {dims:?} has a negative extent")))
}

/// NVIDIA/caffe's Type: what one value of `raw_data` is.
fn raw_encoding(
    storage: &Storage,
    offset: usize,
    raw_type: u64,
    context: &Context<'_>,
) -> Result<Encoding, Error> {
    match raw_type {
        0 => Ok(Encoding::F64),
        1 => Ok(Encoding::F32),
        2 => Ok(Encoding::F16),
        other => Err(context.damaged(
            storage,
            offset,
            &format!("its raw_data is of type {other}; DOUBLE (0), FLOAT (1) and FLOAT16 (2) can be read"),
        )),
    }
}
