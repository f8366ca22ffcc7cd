//! Rows of a table, looked up by number.

use super::CpuBackend;
use crate::backend::Site;
use crate::error::{Error, Result};
use crate::geometry::EmbedGeometry;

/// Row `index[i]` of `table`, plus `bias`, becomes row i of y.
pub(crate) fn forward(
    cpu: &CpuBackend,
    geometry: &EmbedGeometry,
    site: Site,
    index: &[f32],
    table: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<()> {
    let (rows, length) = (geometry.rows as usize, geometry.length as usize);
    check("embed_forward", site, index, rows)?;
    cpu.threads.chunks(y, length, 1, |row, y| {
        y.copy_from_slice(&table[index[row] as usize * length..][..length]);
        if let Some(bias) = bias {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
    });
    Ok(())
}

/// `dtable[index[i]] += dy[i]`, in the order of i.
pub(crate) fn backward(
    cpu: &CpuBackend,
    geometry: &EmbedGeometry,
    site: Site,
    [index, dy]: [&[f32]; 2],
    dtable: &mut [f32],
) -> Result<()> {
    let length = geometry.length as usize;
    check("embed_backward", site, index, geometry.rows as usize)?;
    // A task looks at every index, and does those that are its own.
    cpu.threads.chunks(dtable, ROWS * length, 1 + index.len() / ROWS, |block, dtable| {
        let (first, count) = (block * ROWS, dtable.len() / length.max(1));
        for (i, &index) in index.iter().enumerate() {
            let row = (index as usize).wrapping_sub(first);
            if row < count {
                let target = dtable[row * length..][..length].iter_mut();
                target.zip(&dy[i * length..]).for_each(|(target, dy)| *target += dy);
            }
        }
    });
    Ok(())
}

/// Rows of the table in a task of [`backward`].
const ROWS: usize = 64;

fn check(op: &'static str, site: Site, index: &[f32], rows: usize) -> Result<()> {
    let valid = |&&index: &&f32| index >= 0.0 && (index as usize) < rows;
    match index.iter().find(|index| !valid(index)) {
        Some(&value) => Err(Error::Index { op, site, value, rows: rows as u32 }),
        None => Ok(()),
    }
}
