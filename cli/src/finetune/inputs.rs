//! The files that a command line names, opened.

use std::fs;
use std::path::Path;

use caffe_proto::proto::NetParameter;
use caffe_proto::{Model, open_definition};
use train_core::finetune::{Given, ImageOptions, Request};
use weight_io::Opened;
use weight_io::chainer::Options;

use super::Arguments;
use crate::failure::Failure;
use crate::{notes, text_options};

/// A definition with the blobs beside it.
pub(super) fn definition(arguments: &Arguments, quiet: bool) -> Result<Model, Failure> {
    let own = open_definition(&arguments.definition, text_options(arguments.lenient))?;
    notes::print(&own.notes, quiet);
    Ok(own)
}

/// What is asked for; `own` is the definition.
pub(super) fn request<'r>(
    arguments: &Arguments,
    own: &'r Model,
    quiet: bool,
) -> Result<Request<'r>, Failure> {
    static NOTHING: std::sync::LazyLock<NetParameter> = std::sync::LazyLock::new(NetParameter::default);
    let definition = own.definition.as_ref().unwrap_or(&NOTHING);
    let has_own = own.layers.iter().any(|layer| !layer.blobs.is_empty());
    let weights = match &arguments.weights {
        Some(path) => Some(weights(path, definition, quiet)?),
        None => (has_own && !arguments.from_scratch).then(|| Given::Model(Box::new(own.clone()))),
    };
    Ok(Request {
        definition,
        base: arguments.definition.parent().unwrap_or(Path::new("")).to_path_buf(),
        weights,
        data: arguments.data.clone(),
        validation: arguments.val_data.clone(),
        classes: arguments.classes.clone(),
        class_names: arguments.labels.as_deref().map(names).transpose()?,
        limit: arguments.limit.map(std::num::NonZero::get),
        image: ImageOptions {
            mean: arguments.mean.clone(),
            scale: arguments.input_scale,
            dims: arguments.image_dims,
            crop: arguments.crop,
            mirror: arguments.mirror,
        },
        replace: arguments.replace.clone(),
        head_lr_mult: arguments.head_lr_mult,
        batch_size: arguments.batch_size.get(),
        seed: arguments.seed,
    })
}

fn weights(path: &Path, definition: &NetParameter, quiet: bool) -> Result<Given, Failure> {
    let failed = |error| Failure::within(path, error);
    let mut opened = Opened::open(path).map_err(failed)?;
    notes::print(opened.notes(), quiet);
    if opened.format().is_caffe() {
        if opened.definition().is_none() {
            // Caffe writes a shared blob to HDF5 once: only the definition tells who else has it.
            opened.define(definition.clone());
        }
        let (model, told) = opened.model().map_err(failed)?;
        notes::print(&told, quiet);
        return Ok(Given::Model(Box::new(model)));
    }
    let (weights, told) = opened.weights(Options::default()).map_err(failed)?;
    notes::print(&told, quiet);
    Ok(Given::Weights(weights))
}

/// Names, one a line.
fn names(path: &Path) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::In(path.to_path_buf(), Box::new(error)))?;
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}
