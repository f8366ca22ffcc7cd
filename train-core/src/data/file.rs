//! Samples that are files.

use std::path::Path;

/// The largest image file that is read, in bytes.
const MAX_IMAGE: u64 = 1 << 28;

/// The bytes of a small file, in words when there are none.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be opened: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if metadata.len() > MAX_IMAGE {
        return Err(format!(
            "{} bytes are more than the {MAX_IMAGE} of an image that are read",
            metadata.len()
        ));
    }
    std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))
}
