//! What an optimizer remembers, as Chainer and Caffe store it.

use caffe_proto::{Blob, Payload};
use weight_io::{Dtype, Tensor, Weights};

use super::param_state::ParamState;
use super::{Error, Optimizer, StateArray};

impl Optimizer {
    /// Everything it remembers, named as Chainer's `save_npz(optimizer)` names it: `t`, `epoch`, and for each parameter
    /// `conv1/W/t` and the arrays of its rule, `conv1/W/m`. Frozen parameters have no arrays. Seeds of hooks are
    /// `hook/<which>/seed`.
    ///
    /// # Errors
    /// [`Error::Weights`] when two parameters have the same name; the device's.
    pub fn to_weights(&self) -> Result<Weights, Error> {
        let mut weights = Weights::new();
        weights.insert("t", number(self.t)?)?;
        weights.insert("epoch", number(self.epoch)?)?;
        for (info, state) in self.params.iter().zip(&self.states) {
            weights.insert(format!("{}/t", info.name), number(state.t)?)?;
            for (array, place) in self.rule.state().iter().zip(0..state.arrays.len()) {
                let values = signed(array, state.values(place, info.count())?);
                let tensor = Tensor::from_f32(info.shape.clone(), &values)?;
                weights.insert(format!("{}/{}", info.name, array.name), tensor)?;
            }
        }
        for (index, hook) in self.hooks.iter().enumerate() {
            if let Some(seed) = hook.seed() {
                weights.insert(format!("hook/{index}/seed"), number(seed)?)?;
            }
        }
        Ok(weights)
    }

    /// Goes on from what [`to_weights`](Self::to_weights), or Chainer, has saved. A parameter of which no array is there,
    /// as it was frozen, begins clean.
    ///
    /// # Errors
    /// [`Error::NoState`] and [`Error::StateShape`] for the state of another rule or net; nothing is changed then.
    pub fn restore(&mut self, weights: &Weights) -> Result<(), Error> {
        let (t, epoch) = (read_number(weights, "t")?, read_number(weights, "epoch")?);
        let mut states = Vec::with_capacity(self.params.len());
        for info in &self.params {
            let t = read_number(weights, &format!("{}/t", info.name))?;
            let mut restored = Vec::new();
            let arrays = self.rule.state();
            let keys: Vec<String> =
                arrays.iter().map(|array| format!("{}/{}", info.name, array.name)).collect();
            if !keys.is_empty() && keys.iter().all(|key| weights.find(key).is_none()) {
                states.push(ParamState::default());
                continue;
            }
            for (array, key) in arrays.iter().zip(keys) {
                let Some(tensor) = weights.find(&key) else { return Err(Error::NoState { key }) };
                if tensor.shape() != info.shape {
                    return Err(Error::StateShape {
                        name: info.name.clone(),
                        array: array.name.to_owned(),
                        expected: info.shape.clone(),
                        found: tensor.shape().to_vec(),
                    });
                }
                restored.push(signed(array, tensor.to_f32()?));
            }
            states.push(ParamState::restored(t, restored));
        }
        for (index, hook) in self.hooks.iter_mut().enumerate() {
            let key = format!("hook/{index}/seed");
            if weights.find(&key).is_some() {
                hook.set_seed(read_number(weights, &key)?);
            }
        }
        (self.t, self.epoch, self.states) = (t, epoch, states);
        self.plan();
        Ok(())
    }

    /// The history of a `.solverstate`: of each of the rule's arrays one blob a parameter, frozen ones included.
    ///
    /// # Errors
    /// The device's.
    pub fn history(&self) -> Result<Vec<Blob>, Error> {
        let mut history = Vec::with_capacity(self.params.len() * self.rule.state().len());
        for (place, array) in self.rule.state().iter().enumerate() {
            for (info, state) in self.params.iter().zip(&self.states) {
                let values = match state.arrays.get(place) {
                    Some(_) => state.values(place, info.count())?,
                    None => vec![array.initial; info.count()],
                };
                history.push(Blob::new(info.shape.clone(), Payload::from_f32(&values)));
            }
        }
        Ok(history)
    }

    /// Goes on after `t` updates from the history of a `.solverstate`.
    ///
    /// # Errors
    /// [`Error::HistoryCount`] and [`Error::StateShape`] for the state of another solver or net; nothing is changed then.
    pub fn restore_history(&mut self, t: u64, history: &[Blob]) -> Result<(), Error> {
        let (arrays, params) = (self.rule.state(), self.params.len());
        let expected = arrays.len() * params;
        if history.len() != expected {
            return Err(Error::HistoryCount {
                rule: self.rule.name(),
                arrays: arrays.len(),
                params,
                expected,
                found: history.len(),
            });
        }
        let mut restored = vec![Vec::with_capacity(arrays.len()); params];
        for (place, array) in arrays.iter().enumerate() {
            let blobs = &history[place * params..(place + 1) * params];
            for ((info, restored), blob) in self.params.iter().zip(&mut restored).zip(blobs) {
                if !crate::params::fits(blob, &info.shape) {
                    return Err(Error::StateShape {
                        name: info.name.clone(),
                        array: array.name.to_owned(),
                        expected: info.shape.clone(),
                        found: blob.shape().to_vec(),
                    });
                }
                restored.push(blob.to_vec()?);
            }
        }
        let states = restored.into_iter().map(|arrays| ParamState::restored(t, arrays));
        (self.t, self.states) = (t, states.collect());
        self.plan();
        Ok(())
    }
}

/// Between Chainer's sign and ours.
fn signed(array: &StateArray, mut values: Vec<f32>) -> Vec<f32> {
    if array.negated {
        for value in &mut values {
            *value = -*value;
        }
    }
    values
}

/// A whole number as an array without axes.
pub(crate) fn number(value: u64) -> Result<Tensor, Error> {
    let bytes = (value as i64).to_le_bytes().to_vec();
    Ok(Tensor::new(Dtype::I64, Vec::new(), Payload::from_bytes(bytes))?)
}

/// The whole number that the array `key` is.
pub(crate) fn read_number(weights: &Weights, key: &str) -> Result<u64, Error> {
    let tensor = weights.find(key).ok_or_else(|| Error::NoState { key: key.to_owned() })?;
    let mut bytes = Vec::new();
    tensor.values().read(&mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    let fault = || Error::StateNumber { key: key.to_owned() };
    match (tensor.dtype(), bytes.as_slice()) {
        (Dtype::I64 | Dtype::U64, &[a, b, c, d, e, f, g, h]) => {
            Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
        }
        (Dtype::I32 | Dtype::U32, &[a, b, c, d]) => Ok(u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => Err(fault()),
    }
}
