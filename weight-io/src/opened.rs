//! A weight file of any format, told by its content.

use std::path::Path;
use std::sync::Arc;

use caffe_proto::hdf5::{File, Object};
use caffe_proto::net::Net;
use caffe_proto::proto::NetParameter;
use caffe_proto::{FileKind, Model, Storage, not_a, read_caffemodel, read_caffemodel_h5};

use crate::chainer::{Conv, Options, by_shape, shared, to_blobs, to_links};
use crate::container::{Container, Contents};
use crate::hdf5::Hdf5;
use crate::npz::Npz;
use crate::safetensors::Safetensors;
use crate::{Error, Format, Note, Weights, prefix};

/// An open weight file: its values stay in it until they are read.
#[derive(Clone, Debug)]
pub struct Opened {
    format: Format,
    held: Held,
    /// The tensors under the names that the file has, where a wrapper's first part was taken off.
    wrapped: Option<Weights>,
    definition: Option<NetParameter>,
    notes: Vec<Note>,
}

/// What a file holds.
#[derive(Clone, Debug)]
enum Held {
    /// Named tensors.
    Tensors(Weights),
    /// Blobs by layer.
    Blobs(Box<Model>),
}

impl Opened {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// When it is no model, with what it is instead, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read(&Storage::open(path)?)
    }

    /// Reads the file that `storage` holds.
    ///
    /// # Errors
    /// As [`Opened::open`].
    pub fn read(storage: &Arc<Storage>) -> Result<Self, Error> {
        match FileKind::of(storage) {
            FileKind::Zip => Self::tensors(Format::Npz, Npz::default().read(storage)?),
            FileKind::Safetensors => Self::tensors(Format::Safetensors, Safetensors.read(storage)?),
            FileKind::Hdf5 if is_caffe_tree(storage)? => {
                Ok(Self::blobs(Format::CaffemodelHdf5, read_caffemodel_h5(storage)?))
            }
            FileKind::Hdf5 => Self::tensors(Format::ChainerHdf5, Hdf5::default().read(storage)?),
            FileKind::Net => Ok(Self::blobs(Format::Caffemodel, read_caffemodel(storage)?)),
            other => Err(not_a(storage, "a file of weights", other).into()),
        }
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What was noted when it was opened.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The net's definition: the one that was given, or the file's own.
    pub fn definition(&self) -> Option<&NetParameter> {
        self.definition.as_ref().or(match &self.held {
            Held::Blobs(model) => model.definition.as_ref(),
            Held::Tensors(_) => None,
        })
    }

    /// Gives a definition, which wins over the file's own.
    pub fn define(&mut self, definition: NetParameter) {
        self.definition = Some(definition);
    }

    /// The tensors under the names that the file has, wrappers' first parts and all; of a model with blobs, none.
    pub fn as_written(&self) -> Weights {
        match (&self.wrapped, &self.held) {
            (Some(weights), _) | (None, Held::Tensors(weights)) => weights.clone(),
            (None, Held::Blobs(_)) => Weights::new(),
        }
    }

    /// The file's tensors under Chainer's names. What a file of tensors holds is given as it is, unless there is a
    /// definition to lay it out by.
    ///
    /// # Errors
    /// For blobs without a definition whose names cannot be told by their shapes, and as [`to_links`] and [`to_blobs`].
    pub fn weights(&self, options: Options) -> Result<(Weights, Vec<Note>), Error> {
        match (&self.held, self.definition()) {
            (Held::Blobs(model), Some(definition)) => to_links(definition, model, options),
            (Held::Blobs(model), None) => {
                let (definition, note) = by_shape::definition(model)?;
                if options.conv == Conv::Dense {
                    return Err(Error::NoDefinition { what: "making a .caffemodel.h5 dense" });
                }
                let (weights, mut notes) = to_links(&definition, model, options)?;
                notes.insert(0, note);
                Ok((weights, notes))
            }
            (Held::Tensors(weights), Some(definition)) => {
                let (model, mut notes) = to_blobs(definition, self.named_for(definition, weights))?;
                let (mut laid_out, more) = to_links(definition, &model, options)?;
                laid_out.set_metadata(weights.metadata().clone());
                notes.extend(more);
                Ok((laid_out, notes))
            }
            (Held::Tensors(_), None) if options != Options::default() => {
                Err(Error::NoDefinition { what: "laying tensors out anew" })
            }
            (Held::Tensors(weights), None) => Ok((weights.clone(), Vec::new())),
        }
    }

    /// The file's blobs by layer.
    ///
    /// # Errors
    /// [`Error::NoDefinition`] for tensors without one, and as [`to_blobs`]; for a model with another's definition as
    /// [`to_links`].
    pub fn model(&self) -> Result<(Model, Vec<Note>), Error> {
        match (&self.held, &self.definition) {
            (Held::Tensors(weights), Some(definition)) => {
                to_blobs(definition, self.named_for(definition, weights))
            }
            (Held::Tensors(_), None) => {
                Err(Error::NoDefinition { what: "giving tensors to the layers of a net" })
            }
            (Held::Blobs(model), None) => {
                Ok((Model::clone(model), model.notes.iter().cloned().map(Note::Reader).collect()))
            }
            (Held::Blobs(model), Some(definition)) => {
                // By way of the names, which checks every shape; the sums of a BatchNorm are taken over as they are.
                let (_, notes) = to_links(definition, model, Options::default())?;
                let told = |note: &Note| matches!(note, Note::Reader(_) | Note::Strangers { .. });
                let notes = notes.into_iter().filter(told).collect();
                let net = Net::unfiltered(definition)?;
                Ok((redefined(&shared::filled(&net.layers, model), definition), notes))
            }
        }
    }

    /// The file's blobs by layer, whether the definition has these layers or not, and their shapes as they are.
    ///
    /// # Errors
    /// As [`Opened::model`], but for blobs only what their file says.
    pub(crate) fn any_model(&self) -> Result<(Model, Vec<Note>), Error> {
        match &self.held {
            Held::Blobs(model) => {
                let notes = model.notes.iter().cloned().map(Note::Reader).collect();
                let Some(definition) = self.definition() else { return Ok((Model::clone(model), notes)) };
                let net = Net::unfiltered(definition)?;
                Ok((shared::filled(&net.layers, model).into_owned(), notes))
            }
            Held::Tensors(_) => self.model(),
        }
    }

    /// The tensors as [`Weights::open`] gives them.
    pub(crate) fn into_weights(self) -> Result<Weights, Error> {
        Ok(self.weights(Options::default())?.0)
    }

    /// A layer may be called like a wrapper: then the names of the file are the net's own.
    fn named_for<'a>(&'a self, definition: &NetParameter, unwrapped: &'a Weights) -> &'a Weights {
        let Some(wrapped) = &self.wrapped else { return unwrapped };
        let owns = |name: &str| {
            definition.layer.iter().any(|layer| {
                name.strip_prefix(layer.name())
                    .is_some_and(|rest| rest.starts_with('/') && !layer.name().is_empty())
            })
        };
        if wrapped.iter().all(|(name, _)| owns(name)) { wrapped } else { unwrapped }
    }

    fn tensors(format: Format, contents: Contents) -> Result<Self, Error> {
        let written = contents.weights.clone();
        let (weights, notes) = prefix::unwrap(contents)?;
        let wrapped = notes.iter().any(|note| matches!(note, Note::Prefix { .. })).then_some(written);
        Ok(Self { format, held: Held::Tensors(weights), wrapped, definition: None, notes })
    }

    fn blobs(format: Format, model: Model) -> Self {
        Self {
            format,
            held: Held::Blobs(Box::new(model)),
            wrapped: None,
            definition: None,
            notes: Vec::new(),
        }
    }
}

/// A model's blobs under another definition, by name.
fn redefined(model: &Model, definition: &NetParameter) -> Model {
    let layers = definition.layer.iter().map(|layer| {
        let own = model.layers.iter().find(|own| own.name == layer.name() && !own.blobs.is_empty());
        caffe_proto::LayerBlobs {
            name: layer.name().to_owned(),
            blobs: own.map(|own| own.blobs.clone()).unwrap_or_default(),
        }
    });
    Model { layers: layers.collect(), definition: Some(definition.clone()), ..Model::clone(model) }
}

/// Whether an HDF5 file is Caffe's: `/data/<layer>/<number>`, and nothing but that and `/diff`.
fn is_caffe_tree(storage: &Arc<Storage>) -> Result<bool, Error> {
    let entries = File::open(Arc::clone(storage)).map_err(caffe_proto::Error::from)?;
    let entries = entries.entries().map_err(caffe_proto::Error::from)?;
    let has_data =
        entries.iter().any(|entry| entry.path == ["data"] && matches!(entry.object, Object::Group));
    let mut datasets = entries.iter().filter(|entry| matches!(entry.object, Object::Dataset(_)));
    Ok(has_data
        && datasets.all(|entry| {
            matches!(entry.path[0].as_str(), "data" | "diff")
                && entry.path.last().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        }))
}
