//! A net's definition, from wherever it is: a prototxt, or the one that a `.caffemodel` holds.

use std::path::Path;

use crate::text::{self, Options};
use crate::{Error, FileKind, Model, Storage, read_caffemodel, read_caffemodel_h5, solver, upgrade};

/// Reads the definition at `path`, in today's form, with the blobs it holds (a prototxt has none as a rule).
///
/// What was passed over is in the model's notes.
///
/// # Errors
/// As [`text::parse_net`] and [`read_caffemodel`]; [`Error::NotAModel`] for any other file.
pub fn open_definition(path: impl AsRef<Path>, options: Options) -> Result<Model, Error> {
    let storage = Storage::open(path)?;
    if FileKind::of(&storage) == FileKind::Net {
        return read_caffemodel(&storage);
    }
    let (net, warnings) =
        text::parse_net(&storage, options).map_err(|error| solver_instead(&storage, error))?;
    let mut model = upgrade(storage.path(), net, Vec::new())?;
    model.notes.splice(0..0, warnings.iter().map(ToString::to_string));
    Ok(model)
}

/// Opens a model file by content: a `.caffemodel` of any generation or a `.caffemodel.h5`.
///
/// # Errors
/// As [`read_caffemodel`] and [`read_caffemodel_h5`]; [`Error::NotAModel`] for any other file.
pub fn open_model(path: impl AsRef<Path>) -> Result<Model, Error> {
    let storage = Storage::open(path)?;
    match FileKind::of(&storage) {
        FileKind::Hdf5 => read_caffemodel_h5(&storage),
        _ => read_caffemodel(&storage),
    }
}

/// The error for a solver's prototxt where a net's was expected; any other error stays as it is.
fn solver_instead(storage: &Storage, error: Error) -> Error {
    if !matches!(error, Error::Text(_)) {
        return error;
    }
    let Ok((solver, _)) = solver::read_solver(storage, Options::default()) else { return error };
    let net = [solver.net, solver.train_net].into_iter().flatten().next();
    let net = net.map_or_else(String::new, |net| format!("; the net it trains is `{net}`"));
    Error::NotAModel {
        path: storage.path().to_path_buf(),
        what: format!("expected a net, but this is a solver{net}"),
    }
}
