//! Compiled kernels, kept in the cache folder.

use std::fs;

use super::compile;
use super::nvrtc::{Nvrtc, is_ptx, options};
use super::target::Target;
use crate::device::cache::{folder, hash, keep};
use crate::device::source::Module;

/// A module's machine code, or its PTX with a 0 at the end, as the target is: out of the cache folder, or compiled and put there. A
/// cache that cannot be read or written, or that is damaged, costs time and nothing else. What the driver makes of PTX it keeps in
/// a cache of its own.
pub(super) fn code(module: &Module, target: Target) -> Result<Vec<u8>, String> {
    let architecture = target.to_string();
    let options = options(&architecture).join(" ");
    let key = format!("{}\n{options}\n{}", Nvrtc::get()?.version(), module.source());
    let form = if is_ptx(&architecture) { "ptx" } else { "cubin" };
    let file = folder("cubin").map(|folder| {
        folder.join(format!("{}-{architecture}-{:032x}.{form}", module.name, hash(key.as_bytes())))
    });
    if let Some(found) = file.as_deref().and_then(|file| fs::read(file).ok()).and_then(unsealed) {
        return Ok(found);
    }
    let compiled = compile::compile(module, &architecture)?.code;
    if let Some(file) = file {
        let _ = keep(&file, &sealed(&compiled));
    }
    Ok(compiled)
}

/// A file's contents: the code, and its hash. The driver is not told how long the code is, and would read beyond what is left of a
/// damaged one.
fn sealed(code: &[u8]) -> Vec<u8> {
    [code, &hash(code).to_le_bytes()].concat()
}

/// The code, if it is what was sealed.
fn unsealed(mut contents: Vec<u8>) -> Option<Vec<u8>> {
    let (code, seal) = contents.split_last_chunk::<{ size_of::<u128>() }>()?;
    if code.is_empty() || hash(code) != u128::from_le_bytes(*seal) {
        return None;
    }
    contents.truncate(code.len());
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_code_is_not_taken() {
        let code = b"\x7fELF and so on";
        let whole = sealed(code);
        assert_eq!(unsealed(whole.clone()).as_deref(), Some(&code[..]));
        for len in 0..whole.len() {
            assert_eq!(unsealed(whole[..len].to_vec()), None, "{len} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(unsealed(damaged), None, "byte {at}");
        }
        assert_eq!(unsealed(sealed(b"")), None);
    }
}
