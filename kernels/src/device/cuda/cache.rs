//! Compiled kernels, kept in the cache folder.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use super::compile;
use crate::device::source::Module;

/// The machine code of a module: out of the cache folder, or compiled and put there. A cache that cannot be read or written
/// costs time and nothing else.
pub(super) fn cubin(module: &Module, architecture: &str) -> Result<Vec<u8>, String> {
    let options = compile::options(architecture).join(" ");
    let key = format!("{}\n{options}\n{}", compile::version()?, module.source());
    let file = folder()
        .map(|folder| folder.join(format!("{}-{architecture}-{:032x}.cubin", module.name, hash(&key))));
    if let Some(found) =
        file.as_deref().and_then(|file| fs::read(file).ok()).filter(|found| !found.is_empty())
    {
        return Ok(found);
    }
    let compiled = compile::compile(module, architecture)?.cubin;
    if let Some(file) = file {
        let _ = keep(&file, &compiled);
    }
    Ok(compiled)
}

/// Whole or not at all: other processes may do the same.
fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = file.with_extension(format!("{}.part", process::id()));
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, file)
}

fn folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("REBREW_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("rebrew")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/rebrew")))
        .map(|folder| folder.join("cubin"))
}

/// FNV-1a in 128 bits: the same on every machine, with every compiler.
fn hash(text: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv() {
        // The empty text's and "a"'s, of the algorithm's authors.
        assert_eq!(hash(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(hash("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
