//! Compiled kernels, kept in the cache folder.

use std::fs;

use super::compile;
use crate::device::cache::{folder, hash, keep};
use crate::device::source::Module;

/// The machine code of a module: out of the cache folder, or compiled and put there. A cache that cannot be read or written
/// costs time and nothing else.
pub(super) fn cubin(module: &Module, architecture: &str) -> Result<Vec<u8>, String> {
    let options = compile::options(architecture).join(" ");
    let key = format!("{}\n{options}\n{}", compile::version()?, module.source());
    let file = folder("cubin")
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
