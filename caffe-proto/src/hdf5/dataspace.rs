//! The shape of a dataset (HDF5 File Format Specification 3.0, IV.A.2.b).

use super::cursor::Cursor;
use super::error::Problem;

/// libhdf5's own limit.
const MAX_RANK: u8 = 32;

/// The sizes of the axes; `None` for a null dataspace, which has no values at all.
#[derive(Debug, Clone)]
pub(super) struct Dataspace {
    pub(super) dims: Option<Vec<u64>>,
    /// How far each axis may grow: all bits set for without end.
    pub(super) max: Vec<u64>,
}

pub(super) fn read(message: &Cursor<'_>) -> Result<Dataspace, Problem> {
    let mut cursor = message.named("dataspace");
    let version = cursor.version(&[1, 2])?;
    let (rank, flags, class) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
    if rank > MAX_RANK {
        return Err(Problem::Limit { what: "axes", found: rank.into(), limit: MAX_RANK.into() });
    }
    if version == 1 {
        cursor.skip(4)?;
    } else if class == 2 {
        return Ok(Dataspace { dims: None, max: Vec::new() });
    }
    let dims = (0..rank).map(|_| cursor.length()).collect::<Result<Vec<_>, _>>()?;
    let max = if flags & 1 == 0 {
        dims.clone()
    } else {
        let unlimited = u64::MAX >> (64 - 8 * u32::from(cursor.length_size()));
        (0..rank)
            .map(|_| cursor.length().map(|size| if size == unlimited { u64::MAX } else { size }))
            .collect::<Result<_, _>>()?
    };
    Ok(Dataspace { dims: Some(dims), max })
}
