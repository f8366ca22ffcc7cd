//! A training run at one iteration: `.solverstate`, binary or HDF5.

use std::io::{Seek, Write};
use std::sync::Arc;

use crate::caffemodel_h5::{self, Copy};
use crate::read::{Context, malformed, read_blob};
use crate::wire::{self, Value};
use crate::write::BlobBytes;
use crate::{Blob, Error, FileKind, Output, Storage, sniff};

const ITER: u32 = 1;
const LEARNED_NET: u32 = 2;
const HISTORY: u32 = 3;
const CURRENT_STEP: u32 = 4;
/// Not of Caffe's schema: Caffe passes over fields that it does not know.
const PLACE: u32 = 20_300;
/// The most history blobs: two for each of as many parameters as a net may have.
const MAX_HISTORY: usize = 2 * crate::MAX_BLOBS;

/// What `caffe train --snapshot` goes on from.
#[derive(Clone, Debug, Default)]
pub struct SolverState {
    /// Iterations done.
    pub iter: i32,
    /// The path of the `.caffemodel` that was written with it.
    pub learned_net: Option<String>,
    /// How many learning-rate steps of the `multistep` policy have been taken.
    pub current_step: i32,
    /// One blob a learnable parameter in net order (SGD, Nesterov, AdaGrad, RMSProp), or two such runs after one
    /// another (AdaDelta: gradients, then updates; Adam: first, then second moments).
    pub history: Vec<Blob>,
    /// What another program than Caffe wrote there of where the run stood: its data, its random numbers. Caffe neither
    /// writes nor reads it.
    pub place: Option<String>,
}

impl SolverState {
    /// Reads either form.
    ///
    /// # Errors
    /// [`Error::NotAModel`] for any other file, [`Error::Damaged`] for a broken one.
    pub fn read(storage: &Arc<Storage>) -> Result<Self, Error> {
        match FileKind::of(storage) {
            FileKind::SolverState => Self::read_binary(storage),
            FileKind::Hdf5 => caffemodel_h5::read_solver_state(storage),
            other => Err(sniff::not_a(storage, "a solverstate", other)),
        }
    }

    /// Writes the binary form.
    ///
    /// # Errors
    /// What `out` or the blobs' sources report.
    pub fn write_binary(&self, out: &mut dyn Output) -> Result<(), Error> {
        let mut head = Vec::new();
        wire::put_key(&mut head, ITER, 0);
        wire::put_varint(&mut head, i64::from(self.iter) as u64);
        if let Some(path) = &self.learned_net {
            wire::put_length(&mut head, LEARNED_NET, path.len() as u64);
            head.extend_from_slice(path.as_bytes());
        }
        out.write(&head)?;
        for blob in &self.history {
            let blob = BlobBytes::new(blob);
            let mut key = Vec::new();
            wire::put_length(&mut key, HISTORY, blob.len());
            out.write(&key)?;
            blob.write(out)?;
        }
        let mut tail = Vec::new();
        wire::put_key(&mut tail, CURRENT_STEP, 0);
        wire::put_varint(&mut tail, i64::from(self.current_step) as u64);
        if let Some(place) = &self.place {
            wire::put_length(&mut tail, PLACE, place.len() as u64);
            tail.extend_from_slice(place.as_bytes());
        }
        out.write(&tail)
    }

    /// Writes the HDF5 form; `copy` writes a payload where the output stands.
    ///
    /// # Errors
    /// [`Error::Hdf5`] when the output refuses.
    pub fn write_hdf5<W: Write + Seek>(&self, out: W, copy: &mut Copy<'_, W>) -> Result<W, Error> {
        caffemodel_h5::write_solver_state(self, out, copy)
    }

    fn read_binary(storage: &Arc<Storage>) -> Result<Self, Error> {
        let mut state = SolverState::default();
        for field in wire::fields(storage, 0..storage.len()) {
            let field = field.map_err(|error| malformed(storage, &error, "the solver state"))?;
            match (field.number, field.value) {
                (ITER, Value::Varint(iter)) => state.iter = iter as i32,
                (CURRENT_STEP, Value::Varint(step)) => state.current_step = step as i32,
                (LEARNED_NET, Value::Bytes(path)) => {
                    state.learned_net = Some(String::from_utf8_lossy(&storage[path]).into_owned());
                }
                (PLACE, Value::Bytes(place)) => {
                    state.place = Some(String::from_utf8_lossy(&storage[place]).into_owned());
                }
                (HISTORY, Value::Bytes(blob)) => {
                    if state.history.len() == MAX_HISTORY {
                        return Err(Error::TooLarge {
                            path: storage.path().to_path_buf(),
                            what: format!("the history has more than {MAX_HISTORY} blobs"),
                            limit: MAX_HISTORY as u64,
                        });
                    }
                    let context = Context { layer: "", blob: state.history.len() };
                    state.history.push(read_blob(storage, blob, &context)?);
                }
                _ => {}
            }
        }
        Ok(state)
    }
}
