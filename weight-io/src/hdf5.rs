//! The HDF5 tree that Chainer's `save_hdf5` writes: a group for every link, a dataset for every array.

use std::sync::Arc;

use caffe_proto::Storage;
use caffe_proto::hdf5::{Dtype as Stored, File, Object, Writer};

use crate::container::{Container, Contents};
use crate::output::{Lent, Output};
use crate::{Dtype, Error, Tensor, Weights};

/// Reads datasets of every layout; writes them deflated in chunks, as Chainer does, or in one piece.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hdf5 {
    /// Deflate the datasets, as `save_hdf5` does by default.
    pub(crate) compress: bool,
}

impl Container for Hdf5 {
    fn read(&self, storage: &Arc<Storage>) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        for entry in File::open(Arc::clone(storage)).map_err(caffe)?.entries().map_err(caffe)? {
            let name = entry.path.join("/");
            let dataset = match entry.object {
                Object::Group => continue,
                Object::Other(what) => {
                    contents.reject(name, format!("it is {what}"));
                    continue;
                }
                Object::Dataset(dataset) => dataset,
            };
            let Some(shape) = dataset.shape() else {
                contents.reject(
                    name,
                    "it is empty: a Chainer parameter that was not initialised when it was saved is stored so",
                );
                continue;
            };
            let Some(dtype) = Dtype::of_hdf5(dataset.dtype()) else {
                contents.reject(name, format!("it holds {}, not numbers", dataset.dtype()));
                continue;
            };
            let shape = shape.iter().map(|&extent| extent as usize).collect();
            contents.weights.insert(name, Tensor::new(dtype, shape, dataset.payload().map_err(caffe)?)?)?;
        }
        Ok(contents)
    }

    fn write(&self, weights: &Weights, output: &mut Output<'_>) -> Result<(), Error> {
        let mut writer = Writer::new(Lent(output)).map_err(caffe)?;
        for (name, tensor) in weights.iter() {
            let path = name.split('/').collect::<Vec<_>>();
            let shape = tensor.shape().iter().map(|&extent| extent as u64).collect::<Vec<_>>();
            let Some(dtype) = stored(tensor.dtype()) else {
                let what = format!("type {} has no place in Chainer's HDF5 files", tensor.dtype());
                return Err(Error::Tensor { name: name.to_owned(), what });
            };
            let values = tensor.values();
            if self.compress && !shape.is_empty() {
                writer.deflated(&path, &shape, &dtype, values).map_err(caffe)?;
            } else {
                let copy = |output: &mut Lent<'_, '_>| output.0.payload(values, None);
                writer.contiguous_with(&path, &shape, &dtype, copy).map_err(caffe)?;
            }
        }
        writer.finish().map_err(caffe)?;
        Ok(())
    }
}

impl Dtype {
    /// The type of an HDF5 dataset's values, if they are numbers.
    pub fn of_hdf5(stored: &Stored) -> Option<Self> {
        Some(match stored {
            Stored::F16 => Dtype::F16,
            Stored::F32 => Dtype::F32,
            Stored::F64 => Dtype::F64,
            Stored::I8 => Dtype::I8,
            Stored::I16 => Dtype::I16,
            Stored::I32 => Dtype::I32,
            Stored::I64 => Dtype::I64,
            Stored::U8 => Dtype::U8,
            Stored::U16 => Dtype::U16,
            Stored::U32 => Dtype::U32,
            Stored::U64 => Dtype::U64,
            Stored::Text | Stored::Other(_) => return None,
        })
    }
}

fn caffe(error: caffe_proto::hdf5::Error) -> Error {
    // What a payload or the disk reports says more than that the container could not go on.
    match error {
        caffe_proto::hdf5::Error::Values { source, .. } => Error::Caffe(*source),
        other => Error::Caffe(other.into()),
    }
}

fn stored(dtype: Dtype) -> Option<Stored> {
    Some(match dtype {
        Dtype::Bool => return None,
        Dtype::I8 => Stored::I8,
        Dtype::I16 => Stored::I16,
        Dtype::I32 => Stored::I32,
        Dtype::I64 => Stored::I64,
        Dtype::U8 => Stored::U8,
        Dtype::U16 => Stored::U16,
        Dtype::U32 => Stored::U32,
        Dtype::U64 => Stored::U64,
        Dtype::F16 => Stored::F16,
        Dtype::F32 => Stored::F32,
        Dtype::F64 => Stored::F64,
    })
}
