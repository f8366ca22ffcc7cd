//! JSON files, whole or not at all; numbers that are none.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer, Serialize};
use weight_io::{WriteOptions, write_file};

use super::{Error, Result};

/// Writes `value` as indented JSON, in the place of a file that is there.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::File { path: path.to_path_buf(), what: error.to_string() })?;
    text.push(b'\n');
    Ok(write_file(path, &text, WriteOptions { force: true, sync: false })?)
}

/// Reads what [`write()`] wrote.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::File { path: path.to_path_buf(), what: error.to_string() })
}

/// A number, or NaN where there is `null`: JSON has no other word for what is not finite, so that is what is written.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
