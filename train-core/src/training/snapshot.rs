//! All that a run in training needs to go on to the same bits, but for its place in the data.

use weight_io::{Tensor, Weights};

use crate::Trainee;
use crate::error::{Error, Result};
use crate::optim::{Solver, number, read_number};

const PARAM: &str = "param/";
const OPTIMIZER: &str = "optimizer/";
const PASSES: &str = "passes";
const CURRENT_STEP: &str = "current_step";

/// The state of a net and its solver as named arrays.
pub(super) fn write(trainee: &Trainee<'_>, solver: &Solver) -> Result<Weights> {
    let mut state = Weights::new();
    for (place, info) in trainee.infos().iter().enumerate() {
        let tensor = Tensor::from_f32(info.shape.clone(), &trainee.param(place)?)?;
        state.insert(format!("{PARAM}{}", info.name), tensor)?;
    }
    for (name, tensor) in solver.optimizer().to_weights()?.iter() {
        state.insert(format!("{OPTIMIZER}{name}"), tensor.clone())?;
    }
    state.insert(PASSES, number(trainee.passes())?)?;
    state.insert(CURRENT_STEP, number(u64::try_from(solver.current_step()).unwrap_or(0))?)?;
    Ok(state)
}

/// Brings a net and its solver to a state; neither is changed when it does not fit the net.
pub(super) fn restore(trainee: &mut Trainee<'_>, solver: &mut Solver, state: &Weights) -> Result<()> {
    let mut params = Vec::with_capacity(trainee.infos().len());
    for info in trainee.infos() {
        let key = format!("{PARAM}{}", info.name);
        let tensor = state.get(&key)?;
        if tensor.shape() != info.shape {
            let what = format!(
                "has shape {}, the net's has {}: is it the state of another net?",
                weight_io::Shape(tensor.shape()),
                weight_io::Shape(&info.shape)
            );
            return Err(Error::State { key, what });
        }
        params.push(tensor.to_f32()?);
    }
    let (passes, current_step) = (read_number(state, PASSES)?, read_number(state, CURRENT_STEP)?);
    let mut optimizer = Weights::new();
    for (name, tensor) in state.iter() {
        if let Some(name) = name.strip_prefix(OPTIMIZER) {
            optimizer.insert(name, tensor.clone())?;
        }
    }
    solver.optimizer_mut().restore(&optimizer)?;
    solver.set_current_step(i32::try_from(current_step).unwrap_or(i32::MAX));
    for (place, values) in params.iter().enumerate() {
        trainee.set_param(place, values)?;
    }
    trainee.set_passes(passes);
    Ok(())
}
