//! Caffe's HDF5 files: `.caffemodel.h5` and `.solverstate.h5`.
//!
//! A model is `/data/<layer>/<i>`, one float dataset a blob in one piece, and a group for every layer, those
//! without blobs too (Net::ToHDF5); `/diff` beside it is passed over. A solver state is `/iter`, `/current_step`,
//! `/learned_net` and `/history/<i>` (SGDSolver::SnapshotSolverStateToHDF5). An HDF5 name cannot hold a `/`, on which real Caffe
//! ends: here each part of such a layer's name is a group in the one before.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::sync::Arc;

use half::f16;

use crate::hdf5::{Dataset, Dtype, File, Object, Writer};
use crate::payload::PIECE;
use crate::{Blob, Error, Generation, LayerBlobs, Model, Payload, Sink, SolverState, Source, Storage};

/// Copies a payload to where the output stands, inside the system if it can.
pub type Copy<'a, W> = dyn FnMut(&mut W, &Payload) -> Result<(), Error> + 'a;

/// Reads a `.caffemodel.h5`. It has no definition.
///
/// # Errors
/// [`Error::Hdf5`] for a damaged file, [`Error::NotAModel`] for an HDF5 file without `/data`, and [`Error::Damaged`]
/// with the dataset that is no blob.
pub fn read_caffemodel_h5(storage: &Arc<Storage>) -> Result<Model, Error> {
    let mut layers: Vec<(String, Numbered)> = Vec::new();
    let mut is_model = false;
    for entry in File::open(Arc::clone(storage))?.entries()? {
        let path = entry.path.iter().map(String::as_str).collect::<Vec<_>>();
        match (&path[..], entry.object) {
            (["data"], Object::Group) => is_model = true,
            (["data", layer @ ..], Object::Group) => {
                // The group of `a/b` lies in the group `a`, which then is no layer.
                let name = layer.join("/");
                let inside = |outer: &str| name.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
                if layers.last().is_some_and(|(last, blobs)| blobs.is_empty() && inside(last)) {
                    layers.pop();
                }
                layers.push((name, Numbered::new()));
            }
            (["data", layer @ .., number], Object::Dataset(dataset)) if !layer.is_empty() => {
                let name = layer.join("/");
                // Its group came before it, but perhaps groups inside that one did too.
                let at = layers.iter().rposition(|(layer, _)| *layer == name).unwrap_or_else(|| {
                    layers.push((name, Numbered::new()));
                    layers.len() - 1
                });
                place(storage, &path.join("/"), number, &dataset, &mut layers[at].1)?;
            }
            (["data", ..], Object::Other(what)) => {
                return Err(damaged(storage, &path.join("/"), &format!("it is {what}, not a blob")));
            }
            _ => {}
        }
    }
    if !is_model {
        return Err(Error::NotAModel {
            path: storage.path().to_path_buf(),
            what: "an HDF5 file without the group `/data`, where a .caffemodel.h5 has its layers".into(),
        });
    }
    let layers = layers
        .into_iter()
        .map(|(name, blobs)| {
            Ok(LayerBlobs { blobs: in_order(storage, &format!("data/{name}"), blobs)?, name })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(Model { definition: None, layers, generation: Generation::Hdf5, notes: Vec::new() })
}

/// Writes a `.caffemodel.h5`: blobs only, the definition is left behind.
///
/// `copy` writes a payload where the output stands, and leaves the output at its end.
///
/// # Errors
/// [`Error::Hdf5`] when a layer's name is also a blob's (`a` and `a/0`), or the output refuses.
pub fn write_caffemodel_h5<W: Write + Seek>(
    model: &Model,
    out: W,
    copy: &mut Copy<'_, W>,
) -> Result<W, Error> {
    let mut writer = Writer::new(out)?;
    writer.group(&["data"])?;
    for layer in &model.layers {
        let mut path = vec!["data"];
        path.extend(layer.name.split('/'));
        writer.group(&path)?;
        write_blobs(&mut writer, &path, &layer.blobs, copy)?;
    }
    Ok(writer.finish()?)
}

/// Reads a `.solverstate.h5`.
pub(crate) fn read_solver_state(storage: &Arc<Storage>) -> Result<SolverState, Error> {
    let mut state = SolverState::default();
    let mut history = Numbered::new();
    let mut is_state = false;
    for entry in File::open(Arc::clone(storage))?.entries()? {
        let path = entry.path.iter().map(String::as_str).collect::<Vec<_>>();
        let Object::Dataset(dataset) = entry.object else { continue };
        match &path[..] {
            ["iter"] => {
                state.iter = integer(storage, "iter", &dataset)?;
                is_state = true;
            }
            ["current_step"] => state.current_step = integer(storage, "current_step", &dataset)?,
            ["learned_net"] => state.learned_net = dataset.strings()?.into_iter().next(),
            ["place"] => state.place = dataset.strings()?.into_iter().next(),
            ["history", number] => {
                place(storage, &path.join("/"), number, &dataset, &mut history)?;
            }
            _ => {}
        }
    }
    state.history = in_order(storage, "history", history)?;
    if let Some(missing) = state.history.iter().position(Blob::is_absent) {
        return Err(damaged(storage, &format!("history/{missing}"), "it is missing"));
    }
    if !is_state {
        return Err(Error::NotAModel {
            path: storage.path().to_path_buf(),
            what: "an HDF5 file without `/iter`, which a .solverstate.h5 has".into(),
        });
    }
    Ok(state)
}

/// Writes a `.solverstate.h5`.
pub(crate) fn write_solver_state<W: Write + Seek>(
    state: &SolverState,
    out: W,
    copy: &mut Copy<'_, W>,
) -> Result<W, Error> {
    let mut writer = Writer::new(out)?;
    let number = |value: i32| Payload::from_bytes(value.to_le_bytes().to_vec());
    writer.contiguous(&["iter"], &[1], &Dtype::I32, &number(state.iter))?;
    writer.text(&["learned_net"], state.learned_net.as_deref().unwrap_or_default())?;
    writer.contiguous(&["current_step"], &[1], &Dtype::I32, &number(state.current_step))?;
    if let Some(place) = &state.place {
        writer.text(&["place"], place)?;
    }
    writer.group(&["history"])?;
    write_blobs(&mut writer, &["history"], &state.history, copy)?;
    Ok(writer.finish()?)
}

/// A bound for what a number may claim.
const MAX_BLOBS_OF_A_LAYER: usize = 10_000;

/// Blobs by number: names come in the order of text, `10` before `2`.
type Numbered = BTreeMap<usize, Blob>;

/// Values of another type than `f32`, converted while they are read as HDF5's own library converts them for Caffe.
#[derive(Debug)]
struct Converted {
    from: Dtype,
    size: usize,
    values: Payload,
}

impl Source for Converted {
    fn len(&self) -> u64 {
        self.values.len() / self.size as u64 * 4
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut out = Vec::with_capacity(PIECE);
        self.values.read(&mut |bytes| {
            for part in bytes.chunks(PIECE / 4 / self.size * self.size) {
                out.clear();
                for value in part.chunks_exact(self.size) {
                    out.extend_from_slice(&to_f32(&self.from, value).to_le_bytes());
                }
                sink(&out)?;
            }
            Ok(())
        })
    }
}

/// One little-endian value of `dtype`.
fn to_f32(dtype: &Dtype, bytes: &[u8]) -> f32 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(wide);
    let signed = (unsigned << (64 - 8 * bytes.len()) as u32) as i64 >> (64 - 8 * bytes.len()) as u32;
    match dtype {
        Dtype::F16 => f16::from_bits(unsigned as u16).to_f32(),
        Dtype::F32 => f32::from_bits(unsigned as u32),
        Dtype::F64 => f64::from_bits(unsigned) as f32,
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => signed as f32,
        _ => unsigned as f32,
    }
}

fn blob(storage: &Storage, path: &str, dataset: &Dataset) -> Result<Blob, Error> {
    let Some(shape) = dataset.shape() else {
        return Err(damaged(storage, path, "it has no values"));
    };
    let Some(size) = dataset.dtype().size() else {
        return Err(damaged(storage, path, &format!("its values are {}, expected numbers", dataset.dtype())));
    };
    let values = dataset.payload()?;
    let shape = shape.iter().map(|&extent| extent as usize).collect::<Vec<_>>();
    let values = if *dataset.dtype() == Dtype::F32 {
        values
    } else {
        Payload::Made(Arc::new(Converted { from: dataset.dtype().clone(), size, values }))
    };
    Ok(Blob::new(shape, values))
}

/// Puts the blob of this number in its place.
fn place(
    storage: &Storage,
    path: &str,
    number: &str,
    dataset: &Dataset,
    blobs: &mut Numbered,
) -> Result<(), Error> {
    let Ok(number) = number.parse() else {
        return Err(damaged(storage, path, &format!("blobs are named by number, and this is `{number}`")));
    };
    blobs.insert(number, blob(storage, path, dataset)?);
    Ok(())
}

/// The blobs from 0 on. Of shared ones Caffe writes only the owner's, so that numbers may be missing.
fn in_order(storage: &Storage, group: &str, mut blobs: Numbered) -> Result<Vec<Blob>, Error> {
    let Some((&last, _)) = blobs.last_key_value() else { return Ok(Vec::new()) };
    if last > MAX_BLOBS_OF_A_LAYER {
        return Err(damaged(storage, &format!("{group}/{last}"), "no layer has so many blobs"));
    }
    Ok((0..=last).map(|number| blobs.remove(&number).unwrap_or_else(Blob::absent)).collect())
}

fn write_blobs<W: Write + Seek>(
    writer: &mut Writer<W>,
    group: &[&str],
    blobs: &[Blob],
    copy: &mut Copy<'_, W>,
) -> Result<(), Error> {
    for (number, blob) in blobs.iter().enumerate().filter(|(_, blob)| !blob.is_absent()) {
        let number = number.to_string();
        let mut path = group.to_vec();
        path.push(&number);
        let shape = blob.shape().iter().map(|&extent| extent as u64).collect::<Vec<_>>();
        writer.contiguous_with(&path, &shape, &Dtype::F32, |out| copy(out, blob.values()))?;
    }
    Ok(())
}

fn integer(storage: &Storage, path: &str, dataset: &Dataset) -> Result<i32, Error> {
    let mut bytes = Vec::new();
    if dataset.dtype().size() == Some(4) {
        dataset.payload()?.read(&mut |piece| {
            bytes.extend_from_slice(&piece[..piece.len().min(4)]);
            Ok(())
        })?;
    }
    match bytes.first_chunk::<4>() {
        Some(value) => Ok(i32::from_le_bytes(*value)),
        None => Err(damaged(storage, path, "expected one 32-bit number")),
    }
}

fn damaged(storage: &Storage, path: &str, what: &str) -> Error {
    Error::NotAModel { path: storage.path().to_path_buf(), what: format!("dataset `/{path}`: {what}") }
}
