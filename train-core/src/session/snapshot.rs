//! `PREFIX_iter_N.caffemodel` and `.solverstate`, as Caffe writes and reads them.

use std::path::{Path, PathBuf};

use caffe_proto::proto::solver_parameter::SnapshotFormat;
use caffe_proto::proto::{NetParameter, Phase, SolverParameter};
use caffe_proto::{Model, SolverState};
use weight_io::{Conversion, Format, WriteOptions};

use super::place::Place;
use crate::error::Result;
use crate::training::Trainer;

/// The names of the weights and the state after an iteration.
pub fn snapshot_paths(solver: &SolverParameter, base: &Path, iteration: u64) -> (PathBuf, PathBuf) {
    let ending = if is_hdf5(solver) { ".h5" } else { "" };
    let name = |kind: &str| {
        base.join(format!(
            "{}_iter_{iteration}.{kind}{ending}",
            solver.snapshot_prefix.as_deref().unwrap_or("net")
        ))
    };
    (name("caffemodel"), name("solverstate"))
}

/// Writes both, the weights first: a state never names weights that are not whole.
pub(super) fn write(
    solver: &SolverParameter,
    base: &Path,
    definition: &NetParameter,
    trainer: &Trainer<'_>,
    place: &Place,
) -> Result<(PathBuf, PathBuf)> {
    let (weights, state) = snapshot_paths(solver, base, trainer.iteration());
    let format = if is_hdf5(solver) { Format::CaffemodelHdf5 } else { Format::Caffemodel };
    let mut conversion = Conversion::to(format);
    conversion.write = WriteOptions { force: true, sync: true };
    let model = Model { definition: Some(definition.clone()), ..trainer.trainee().to_model()? };
    conversion.save_model(&model, &weights, &mut |_, _| ())?;
    let mut saved = trainer.solver().to_state(Some(weights.to_string_lossy().into_owned()))?;
    saved.place = Some(place.to_text());
    conversion.save_solver_state(&saved, &state)?;
    Ok((weights, state))
}

/// The weights that a state was saved with: where it says, or beside it.
pub(super) fn learned_net(state: &SolverState, path: &Path, base: &Path) -> Option<PathBuf> {
    let named = PathBuf::from(state.learned_net.as_ref()?);
    let beside = path.with_file_name(named.file_name()?);
    let places = [base.join(&named), named.clone(), beside];
    places.iter().find(|place| place.is_file()).cloned().or(Some(named))
}

/// The definition as Caffe saves it: the layers that this net has, each with its phase.
pub(super) fn saved_definition(mut kept: NetParameter, phase: Phase) -> NetParameter {
    for layer in &mut kept.layer {
        layer.phase = Some(phase.into());
    }
    kept
}

fn is_hdf5(solver: &SolverParameter) -> bool {
    solver.snapshot_format() == SnapshotFormat::Hdf5
}
