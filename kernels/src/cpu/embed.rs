//! Rows of a table, looked up by number.

use super::CpuBackend;
use crate::error::{Error, Result};
use crate::geometry::EmbedGeometry;

/// Row `index[i]` of `table`, plus `bias`, becomes row i of y.
pub(crate) fn forward(
    cpu: &CpuBackend,
    geometry: &EmbedGeometry,
    index: &[f32],
    table: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<()> {
    let (rows, length) = (geometry.rows as usize, geometry.length as usize);
    let valid = |&&index: &&f32| index >= 0.0 && (index as usize) < rows;
    if let Some(wrong) = index.iter().find(|index| !valid(index)) {
        return Err(Error::geometry("embed_forward", format!("index {wrong} names none of {rows} rows")));
    }
    cpu.threads.chunks(y, length, 1, |row, y| {
        y.copy_from_slice(&table[index[row] as usize * length..][..length]);
        if let Some(bias) = bias {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
    });
    Ok(())
}
