//! Solver files.

use std::path::Path;

use crate::proto::SolverParameter;
use crate::proto::solver_parameter::SolverType;
use crate::text::{self, Options, Warning};
use crate::{Error, Storage};

/// Reads a solver's prototxt and makes it today's form, as `caffe train` does.
///
/// # Errors
/// As [`text::parse`] and [`upgrade_solver`].
pub fn read_solver(text: &Storage, options: Options) -> Result<(SolverParameter, Vec<Warning>), Error> {
    let (mut solver, warnings) = text::parse(text, options)?;
    upgrade_solver(text.path(), &mut solver)?;
    Ok((solver, warnings))
}

/// Gives a solver its `type` by name and its `snapshot_prefix`; `path` is the file it was read from.
///
/// Without a prefix, snapshots are named as the solver's file; with a folder for one, as the file, in that folder.
///
/// # Errors
/// [`Error::Definition`] when the old `solver_type` stands beside `type`, or is none of Caffe's.
pub fn upgrade_solver(path: &Path, solver: &mut SolverParameter) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::Definition { path: path.to_path_buf(), what });
    if let Some(number) = solver.solver_type {
        if let Some(name) = &solver.r#type {
            return refuse(format!(
                "the solver has both `type: \"{name}\"` and the old `solver_type`: remove one"
            ));
        }
        let Ok(kind) = SolverType::try_from(number) else {
            return refuse(format!("the solver's `solver_type: {number}` is none of Caffe's"));
        };
        solver.r#type = Some(type_name(kind).to_owned());
        solver.solver_type = None;
    }
    match &solver.snapshot_prefix {
        None => solver.snapshot_prefix = Some(path.with_extension("").to_string_lossy().into_owned()),
        Some(prefix) if Path::new(prefix).is_dir() => {
            let file = path.file_stem().unwrap_or_default();
            solver.snapshot_prefix = Some(Path::new(prefix).join(file).to_string_lossy().into_owned());
        }
        Some(_) => {}
    }
    Ok(())
}

fn type_name(kind: SolverType) -> &'static str {
    match kind {
        SolverType::Sgd => "SGD",
        SolverType::Nesterov => "Nesterov",
        SolverType::Adagrad => "AdaGrad",
        SolverType::Rmsprop => "RMSProp",
        SolverType::Adadelta => "AdaDelta",
        SolverType::Adam => "Adam",
    }
}
