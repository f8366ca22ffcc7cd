//! Binary files: `.caffemodel`, `.binaryproto`, `.solverstate`.
//!
//! A net's layers are walked on the wire: blobs stay in the file, everything else of a layer is small and is decoded
//! as the schema says. What is counted and bounded here keeps a hostile file from costing more than its bytes.

mod blob;
mod forks;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use prost::Message;

pub(crate) use self::blob::read_blob;
use crate::proto::{LayerParameter, NetParameter, V1LayerParameter};
use crate::wire::{self, Malformed, Value};
use crate::{Blob, Error, FileKind, Model, Storage, sniff, upgrade};

/// The most layers a net may have. A deep residual net with all its Splits has under two thousand.
pub const MAX_LAYERS: usize = 10_000;
/// The most blobs a net may have.
pub const MAX_BLOBS: usize = 400_000;
/// The most bytes a net may take without its blobs. A deep one takes some hundred thousand.
pub const MAX_DEFINITION: usize = 4 << 20;

/// Where NetParameter and the three layer messages keep things: field numbers of the schema.
mod number {
    pub(super) const V1_LAYERS: u32 = 2;
    pub(super) const V2_LAYER: u32 = 100;
    pub(super) const V0_LAYER_IN_V1: u32 = 1;
    pub(super) const V0_BLOBS: u32 = 50;
    pub(super) const V1_BLOBS: u32 = 6;
    pub(super) const V2_BLOBS: u32 = 7;
}

/// Reads a binary NetParameter of any generation, and upgrades it.
///
/// # Errors
/// [`Error::NotAModel`] for what is no NetParameter at all, [`Error::Damaged`] with the layer and blob at fault,
/// [`Error::TooLarge`] beyond the limits above, and what the upgrade refuses.
pub fn read_caffemodel(storage: &Arc<Storage>) -> Result<Model, Error> {
    sniff::expect(storage, "a caffemodel", FileKind::Net)?;
    let mut reader =
        Reader { storage, net: Vec::new(), definition: 0, layers: 0, blobs: 0, notes: Vec::new() };
    let mut old = Vec::new();
    let mut new = Vec::new();
    let mut blobs = Vec::new();
    for field in wire::fields(storage, 0..storage.len()) {
        let field = field.map_err(|error| malformed(storage, &error, &reader.cut_layer(error.offset)))?;
        match (field.number, field.value) {
            (number::V1_LAYERS, Value::Bytes(range)) => {
                let (definition, layer_blobs) = reader.split(range.clone(), Form::V1)?;
                old.push(reader.decode::<V1LayerParameter>(&definition, range.start)?);
                blobs.push(layer_blobs);
            }
            (number::V2_LAYER, Value::Bytes(range)) => {
                let (definition, layer_blobs) = reader.split(range.clone(), Form::V2)?;
                let (definition, notes) = forks::translate(&definition);
                reader.notes.extend(notes);
                new.push(reader.decode::<LayerParameter>(&definition, range.start)?);
                blobs.push(layer_blobs);
            }
            _ => reader.keep(field.whole)?,
        }
    }
    let mut net: NetParameter = reader.decode(&reader.net, 0)?;
    net.layers = old;
    net.layer = new;
    let mut model = upgrade::upgrade(storage.path(), net, blobs)?;
    model.notes.splice(0..0, reader.notes);
    Ok(model)
}

/// Reads a `.binaryproto`: one blob alone, usually a mean image (1×C×H×W, BGR, 0..255).
///
/// # Errors
/// As [`read_caffemodel`].
pub fn read_binaryproto(storage: &Arc<Storage>) -> Result<Blob, Error> {
    sniff::expect(storage, "a binaryproto", FileKind::Blob)?;
    read_blob(storage, 0..storage.len(), &Context { layer: "", blob: 0 })
}

/// What an error names: the blob of a layer.
pub(crate) struct Context<'a> {
    /// Empty where there is no layer.
    pub(crate) layer: &'a str,
    pub(crate) blob: usize,
}

impl Context<'_> {
    pub(crate) fn damaged(&self, storage: &Storage, offset: usize, what: &str) -> Error {
        let what = format!("{self}: {what}");
        Error::Damaged { path: storage.path().to_path_buf(), what, offset: offset as u64 }
    }
}

impl fmt::Display for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.layer.is_empty() {
            write!(f, "blob {}", self.blob)
        } else {
            write!(f, "layer `{}`, blob {}", self.layer, self.blob)
        }
    }
}

/// The error of a broken wire format.
pub(crate) fn malformed(storage: &Storage, error: &Malformed, whose: &str) -> Error {
    Error::Damaged {
        path: storage.path().to_path_buf(),
        what: format!("{whose}: {}: the file is cut short or damaged", error.what),
        offset: error.offset as u64,
    }
}

#[derive(Clone, Copy)]
enum Form {
    V0,
    V1,
    V2,
}

impl Form {
    fn blobs(self) -> u32 {
        match self {
            Form::V0 => number::V0_BLOBS,
            Form::V1 => number::V1_BLOBS,
            Form::V2 => number::V2_BLOBS,
        }
    }

    fn name(self) -> u32 {
        match self {
            Form::V0 | Form::V2 => 1,
            Form::V1 => 4,
        }
    }
}

struct Reader<'a> {
    storage: &'a Arc<Storage>,
    /// The fields of the net that are not layers.
    net: Vec<u8>,
    definition: usize,
    layers: usize,
    blobs: usize,
    notes: Vec<String>,
}

impl Reader<'_> {
    /// Parts a layer's blobs from the rest of its bytes.
    fn split(&mut self, range: Range<usize>, form: Form) -> Result<(Vec<u8>, Vec<Blob>), Error> {
        self.layers += 1;
        if self.layers > MAX_LAYERS {
            return Err(self.too_large(format!("the net has more than {MAX_LAYERS} layers"), MAX_LAYERS));
        }
        let name = self.name(&range, form)?;
        let mut definition = Vec::new();
        let mut blobs = Vec::new();
        self.part(range, form, &name, &mut definition, &mut blobs)?;
        Ok((definition, blobs))
    }

    fn part(
        &mut self,
        range: Range<usize>,
        form: Form,
        name: &str,
        definition: &mut Vec<u8>,
        blobs: &mut Vec<Blob>,
    ) -> Result<(), Error> {
        for field in wire::fields(self.storage, range) {
            let field = field.map_err(|error| malformed(self.storage, &error, &format!("layer `{name}`")))?;
            match (form, field.number, field.value) {
                (_, number, Value::Bytes(blob)) if number == form.blobs() => {
                    self.blobs += 1;
                    if self.blobs > MAX_BLOBS {
                        return Err(
                            self.too_large(format!("the net has more than {MAX_BLOBS} blobs"), MAX_BLOBS)
                        );
                    }
                    blobs.push(read_blob(self.storage, blob, &Context { layer: name, blob: blobs.len() })?);
                }
                (Form::V1, number::V0_LAYER_IN_V1, Value::Bytes(layer)) => {
                    let mut inner = Vec::new();
                    self.part(layer, Form::V0, name, &mut inner, blobs)?;
                    wire::put_length(definition, number::V0_LAYER_IN_V1, inner.len() as u64);
                    definition.extend_from_slice(&inner);
                }
                _ => {
                    self.count(field.whole.len())?;
                    definition.extend_from_slice(&self.storage[field.whole]);
                }
            }
        }
        Ok(())
    }

    /// The layer's name, for errors, which may come before or after it on the wire.
    fn name(&self, range: &Range<usize>, form: Form) -> Result<String, Error> {
        let mut name = String::new();
        for field in wire::fields(self.storage, range.clone()) {
            let field = field.map_err(|error| malformed(self.storage, &error, &self.nth_layer(&name)))?;
            match (form, field.value) {
                (Form::V1, Value::Bytes(layer)) if field.number == number::V0_LAYER_IN_V1 => {
                    name = self.name(&layer, Form::V0)?;
                }
                (_, Value::Bytes(text)) if field.number == form.name() => {
                    name = String::from_utf8_lossy(&self.storage[text]).into_owned();
                }
                _ => {}
            }
        }
        Ok(name)
    }

    /// Names what is cut where the net's own walk ends early: the layer whose content starts at `offset`.
    fn cut_layer(&self, offset: usize) -> String {
        let name =
            wire::fields(self.storage, offset..self.storage.len()).map_while(Result::ok).find_map(|field| {
                let Value::Bytes(text) = field.value else { return None };
                let text = std::str::from_utf8(&self.storage[text]).ok()?;
                (matches!(field.number, 1 | 4) && !text.is_empty()).then(|| text.to_owned())
            });
        match name {
            Some(name) => format!("layer `{name}`"),
            None => format!("after {} layers", self.layers),
        }
    }

    fn nth_layer(&self, name: &str) -> String {
        if name.is_empty() { format!("layer number {}", self.layers) } else { format!("layer `{name}`") }
    }

    fn keep(&mut self, field: Range<usize>) -> Result<(), Error> {
        self.count(field.len())?;
        self.net.extend_from_slice(&self.storage[field]);
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), Error> {
        self.definition += bytes;
        if self.definition > MAX_DEFINITION {
            let what = format!("the definition, without blobs, takes more than {} MiB", MAX_DEFINITION >> 20);
            return Err(self.too_large(what, MAX_DEFINITION));
        }
        Ok(())
    }

    fn decode<M: Message + Default>(&self, bytes: &[u8], offset: usize) -> Result<M, Error> {
        M::decode(bytes).map_err(|error| Error::Damaged {
            path: self.storage.path().to_path_buf(),
            what: format!("{}: {error}", self.nth_layer("")),
            offset: offset as u64,
        })
    }

    fn too_large(&self, what: String, limit: usize) -> Error {
        Error::TooLarge { path: self.storage.path().to_path_buf(), what, limit: limit as u64 }
    }
}
