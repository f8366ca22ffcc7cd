//! Text of any length (HDF5 File Format Specification 3.0, III.E and IV.B).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::cursor::{Cursor, Reader};
use super::error::Problem;

/// The collections met so far: at each address, the objects by their numbers.
#[derive(Default)]
pub(super) struct GlobalHeap<'a> {
    collections: HashMap<u64, HashMap<u16, Cursor<'a>>>,
}

impl<'a> GlobalHeap<'a> {
    /// The bytes that a reference in a dataset leads to.
    pub(super) fn resolve(
        &mut self,
        reader: &Reader<'a>,
        mut reference: Cursor<'_>,
    ) -> Result<&'a [u8], Problem> {
        let len = u64::from(reference.u32()?);
        let address = reference.address()?;
        let number = reference.u32()?;
        let Some(address) = address.filter(|&address| address != 0 && len != 0) else { return Ok(&[]) };
        let collection = match self.collections.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(collection(reader, address)?),
        };
        let object =
            u16::try_from(number).ok().and_then(|number| collection.get(&number)).ok_or_else(|| {
                Problem::Invalid(format!("the global heap at address {address:#x} holds no object {number}"))
            })?;
        reader.spend(len)?;
        object.clone().take(len)
    }
}

fn collection<'a>(reader: &Reader<'a>, address: u64) -> Result<HashMap<u16, Cursor<'a>>, Problem> {
    let what = "global heap";
    let mut header = reader.cursor(address, what)?;
    header.signature(*b"GCOL")?;
    header.version(&[1])?;
    header.skip(3)?;
    let size = header.length()?;
    let mut objects = reader.block(address, size, what)?;
    objects.skip(8 + u64::from(header.length_size()))?;
    let mut found = HashMap::new();
    // Number 0 is the free space, which comes last.
    while objects.left() >= 8 + u64::from(objects.length_size()) {
        let number = objects.u16()?;
        if number == 0 {
            break;
        }
        objects.skip(6)?;
        let len = objects.length()?;
        reader.spend(48)?;
        found.insert(number, objects.sub(len)?);
        objects.skip((len.wrapping_neg() % 8).min(objects.left()))?;
    }
    Ok(found)
}
