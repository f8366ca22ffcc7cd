//! Writing a file of any format, whole or not at all.

use std::path::Path;

use caffe_proto::proto::NetParameter;
use caffe_proto::{Model, Payload, SolverState, write_caffemodel, write_caffemodel_h5};

use crate::atomic::AtomicFile;
use crate::chainer::{BatchNorm, Conv, Options};
use crate::container::Container;
use crate::hdf5::Hdf5;
use crate::npz::Npz;
use crate::output::{Lent, Output, Progress};
use crate::safetensors::Safetensors;
use crate::{Error, Format, Note, Opened, Weights, WriteOptions, modules, onnx};

/// How a conversion writes.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// What to write.
    pub format: Format,
    /// The layout of Chainer's side.
    pub layout: Options,
    /// Deflate what the format can deflate. Chainer's `save_hdf5` always does, and `save_npz` unless told otherwise.
    pub compress: bool,
    /// How the file is put in place.
    pub write: WriteOptions,
}

impl Conversion {
    /// A conversion to `format` with nothing else asked for.
    pub fn to(format: Format) -> Self {
        Self { format, layout: Options::default(), compress: false, write: WriteOptions::default() }
    }

    /// Writes what `input` holds to `output`, and returns what was noted on the way. The same input gives
    /// the same bytes every time.
    ///
    /// # Errors
    /// When the input cannot be laid out so, or the output cannot be written. Then there is no output.
    pub fn run(
        &self,
        input: &Opened,
        output: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Note>, Error> {
        self.check_options()?;
        let mut notes = input.notes().to_vec();
        if self.format == Format::Onnx {
            let (model, more) = input.any_model()?;
            notes.extend(more);
            let definition = input.definition().ok_or(Error::NoDefinition { what: "an .onnx" })?;
            notes.extend(self.save_onnx(definition, &model, output, progress)?);
        } else if self.format.is_caffe() {
            let (model, more) = input.model()?;
            notes.extend(more);
            self.save_model(&model, output, progress)?;
        } else {
            let (mut weights, more) = input.weights(self.layout)?;
            notes.extend(more);
            if let (Format::Safetensors, Some(definition)) = (self.format, input.definition()) {
                let mut metadata = weights.metadata().clone();
                metadata
                    .insert(modules::KEY.to_owned(), modules::describe(definition, &weights, self.layout)?);
                weights.set_metadata(metadata);
            }
            self.save_weights(&weights, output, progress)?;
        }
        Ok(notes)
    }

    /// Writes `weights` to `output`, whose format must be one of named tensors.
    ///
    /// # Errors
    /// [`Error::NoDefinition`] for a format of Caffe's, and when the output cannot be written.
    pub fn save_weights(
        &self,
        weights: &Weights,
        output: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let compress = self.compress;
        let container: &dyn Container = match self.format {
            Format::Npz => &Npz { compress },
            Format::ChainerHdf5 => &Hdf5 { compress },
            Format::Safetensors => &Safetensors,
            Format::Onnx => return Err(Error::NoDefinition { what: "an .onnx" }),
            Format::Caffemodel | Format::CaffemodelHdf5 => {
                return Err(Error::NoDefinition { what: "a file of Caffe's" });
            }
        };
        self.put(output, weights.byte_count(), progress, |output| container.write(weights, output))
    }

    /// Writes `model` to `output`, whose format must be one of Caffe's.
    ///
    /// # Errors
    /// [`Error::NoDefinition`] for a `.caffemodel` of a model without one, and when the output cannot be written.
    pub fn save_model(&self, model: &Model, output: &Path, progress: &mut Progress<'_>) -> Result<(), Error> {
        if model.definition.is_none() && self.format == Format::Caffemodel {
            return Err(Error::NoDefinition { what: "a .caffemodel" });
        }
        let blobs = model.layers.iter().flat_map(|layer| &layer.blobs);
        let total = blobs.map(|blob| blob.values().len()).sum();
        self.put(output, total, progress, |output| {
            if self.format == Format::CaffemodelHdf5 {
                let mut copy = |output: &mut Lent<'_, '_>, values: &Payload| output.0.payload(values, None);
                write_caffemodel_h5(model, Lent(output), &mut copy)?;
            } else {
                write_caffemodel(model, output)?;
            }
            Ok(())
        })
    }

    /// Writes a solver's state to `output`: as HDF5 for [`Format::CaffemodelHdf5`], else as protobuf.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save_solver_state(&self, state: &SolverState, output: &Path) -> Result<(), Error> {
        let total = state.history.iter().map(|blob| blob.values().len()).sum();
        self.put(output, total, &mut |_, _| (), |output| {
            if self.format == Format::CaffemodelHdf5 {
                let mut copy = |output: &mut Lent<'_, '_>, values: &Payload| output.0.payload(values, None);
                state.write_hdf5(Lent(output), &mut copy)?;
            } else {
                state.write_binary(output)?;
            }
            Ok(())
        })
    }

    /// An option without effect is a misunderstanding, not a wish.
    fn check_options(self) -> Result<(), Error> {
        let format = self.format;
        let refused = |option| Err(Error::NotApplicable { option, format });
        let has_layout = !format.is_caffe() && format != Format::Onnx;
        if !has_layout && self.layout.conv == Conv::Dense {
            return refused("--conv dense");
        }
        if !has_layout && self.layout.batchnorm == BatchNorm::Folded {
            return refused("--batchnorm folded");
        }
        if self.compress && !matches!(format, Format::Npz | Format::ChainerHdf5) {
            return refused("--compress");
        }
        Ok(())
    }

    /// Writes the net of `definition` with the blobs of `model` as ONNX, and returns what was left out.
    ///
    /// # Errors
    /// [`Error::NotInOnnx`] naming every layer that ONNX has no words for; for a net that reads data; and when the output
    /// cannot be written.
    pub fn save_onnx(
        &self,
        definition: &NetParameter,
        model: &Model,
        output: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let (graph, notes) = onnx::export(definition, model)?;
        let bytes = onnx::Bytes::new(&graph)?;
        self.put(output, graph.byte_count(), progress, |output| Ok(bytes.write(output)?))?;
        Ok(notes)
    }

    fn put(
        self,
        path: &Path,
        total: u64,
        progress: &mut Progress<'_>,
        write: impl FnOnce(&mut Output<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let file = AtomicFile::create(path, self.write)?;
        let mut output = Output::new(file.file(), file.target(), total, progress);
        write(&mut output)?;
        output.finish()?;
        file.commit()
    }
}
