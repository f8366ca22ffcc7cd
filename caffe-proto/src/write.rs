//! Binary files as real Caffe writes them: fields in the order of their numbers, blobs packed.

use prost::Message;

use crate::proto::LayerParameter;
use crate::wire;
use crate::{Blob, Error, Model, Output};

/// Caffe's own reader takes no more (protobuf counts a message's bytes in an `int`).
pub const MAX_CAFFEMODEL: u64 = i32::MAX as u64;

const LAYER: u32 = 100;
const BLOBS: u32 = 7;
const SHAPE: u32 = 7;
const DATA: u32 = 5;

/// Writes `model` as a `.caffemodel` of today's form.
///
/// # Errors
/// [`Error::TooLarge`] when the file would exceed what Caffe reads; [`Error::NotAModel`] when there is no definition, which a
/// `.caffemodel` needs; and what `out` or the blobs' sources report.
pub fn write_caffemodel(model: &Model, out: &mut dyn Output) -> Result<(), Error> {
    let Some(definition) = &model.definition else {
        return Err(Error::NotAModel {
            path: "the model".into(),
            what: "a .caffemodel holds the net's definition, and none is at hand; give one with --definition"
                .into(),
        });
    };
    let mut net = definition.clone();
    let layers = std::mem::take(&mut net.layer);
    let head = net.encode_to_vec();
    let blobs = || model.layers.iter().map(|layer| layer.blobs.as_slice()).chain(std::iter::repeat(&[][..]));
    let layers =
        layers.iter().zip(blobs()).map(|(layer, blobs)| LayerBytes::new(layer, blobs)).collect::<Vec<_>>();
    let total = head.len() as u64 + layers.iter().map(LayerBytes::len).sum::<u64>();
    if total > MAX_CAFFEMODEL {
        return Err(Error::TooLarge {
            path: "the .caffemodel".into(),
            what: format!(
                "it would take {total} bytes, which Caffe cannot read; write a .caffemodel.h5 instead"
            ),
            limit: MAX_CAFFEMODEL,
        });
    }
    out.write(&head)?;
    layers.iter().try_for_each(|layer| layer.write(out))
}

/// Writes a lone blob: a `.binaryproto`.
///
/// # Errors
/// What `out` or the blob's source reports.
pub fn write_binaryproto(blob: &Blob, out: &mut dyn Output) -> Result<(), Error> {
    BlobBytes::new(blob).write(out)
}

/// A layer's bytes around its blobs, which are not copied.
struct LayerBytes<'a> {
    /// Fields that come before the blobs by number, and those that come after.
    before: Vec<u8>,
    after: Vec<u8>,
    blobs: Vec<BlobBytes<'a>>,
}

impl<'a> LayerBytes<'a> {
    fn new(layer: &LayerParameter, blobs: &'a [Blob]) -> Self {
        let mut before = layer.encode_to_vec();
        let split = wire::fields(&before, 0..before.len())
            .flatten()
            .find(|field| field.number > BLOBS)
            .map_or(before.len(), |field| field.whole.start);
        let after = before.split_off(split);
        Self { before, after, blobs: blobs.iter().map(BlobBytes::new).collect() }
    }

    fn content_len(&self) -> u64 {
        let blobs = self.blobs.iter().map(|blob| delimited_len(BLOBS, blob.len())).sum::<u64>();
        (self.before.len() + self.after.len()) as u64 + blobs
    }

    fn len(&self) -> u64 {
        delimited_len(LAYER, self.content_len())
    }

    fn write(&self, out: &mut dyn Output) -> Result<(), Error> {
        let mut head = Vec::new();
        wire::put_length(&mut head, LAYER, self.content_len());
        head.extend_from_slice(&self.before);
        out.write(&head)?;
        for blob in &self.blobs {
            let mut key = Vec::new();
            wire::put_length(&mut key, BLOBS, blob.len());
            out.write(&key)?;
            blob.write(out)?;
        }
        out.write(&self.after)
    }
}

/// A BlobProto's bytes around its values.
pub(crate) struct BlobBytes<'a> {
    blob: &'a Blob,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl<'a> BlobBytes<'a> {
    pub(crate) fn new(blob: &'a Blob) -> Self {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        if blob.is_legacy() {
            for (number, &extent) in (1..).zip(blob.shape()) {
                wire::put_key(&mut before, number, 0);
                wire::put_varint(&mut before, extent as u64);
            }
        } else {
            let mut dims = Vec::new();
            blob.shape().iter().for_each(|&dim| wire::put_varint(&mut dims, dim as u64));
            let mut shape = Vec::new();
            if !dims.is_empty() {
                wire::put_length(&mut shape, 1, dims.len() as u64);
            }
            shape.extend_from_slice(&dims);
            wire::put_length(&mut after, SHAPE, shape.len() as u64);
            after.extend_from_slice(&shape);
        }
        if !blob.values().is_empty() {
            wire::put_length(&mut before, DATA, blob.values().len());
        }
        Self { blob, before, after }
    }

    pub(crate) fn len(&self) -> u64 {
        (self.before.len() + self.after.len()) as u64 + self.blob.values().len()
    }

    pub(crate) fn write(&self, out: &mut dyn Output) -> Result<(), Error> {
        out.write(&self.before)?;
        out.write_payload(self.blob.values())?;
        out.write(&self.after)
    }
}

/// What a length-delimited field takes with its key and length.
fn delimited_len(number: u32, content: u64) -> u64 {
    let mut head = Vec::new();
    wire::put_length(&mut head, number, content);
    head.len() as u64 + content
}
