//! Files that are kept from one run to the next, where they save time and nothing else.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
#[cfg(feature = "cuda")]
use std::{env, path::PathBuf};
use std::{fs, process};

/// A folder of the cache: `REBREW_CACHE`, else the system's place for such.
#[cfg(feature = "cuda")]
pub(super) fn folder(name: &str) -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("REBREW_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("rebrew")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/rebrew")))
        .map(|folder| folder.join(name))
}

/// Writes a file whole or not at all: other threads and processes may do the same.
pub(super) fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let unfinished = file.with_extension(format!("{}-{count}.part", process::id()));
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, file));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// FNV-1a in 128 bits: the same on every machine, with every compiler.
pub(super) fn hash(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv() {
        // The empty text's and "a"'s, of the algorithm's authors.
        assert_eq!(hash(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(hash(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
