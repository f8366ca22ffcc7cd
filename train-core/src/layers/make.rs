//! What a step is made from: its layer, its shapes, its parameters.

use caffe_proto::net::{Layer, LayerShapes, Net, Shapes};
use caffe_proto::{Blob, Payload};
use kernels::{Backend, Buffer, HostBuffer};

use super::frame::Weight;
use crate::error::{Error, Result};
use crate::params::Params;
use crate::plan::Step;

/// What a step is made from.
pub(crate) struct Make<'a> {
    pub(crate) net: &'a Net,
    pub(crate) shapes: &'a Shapes,
    pub(crate) params: &'a Params,
    pub(crate) backend: &'a dyn Backend,
    /// Whether there will be backward passes, and parameters are values of the plan.
    pub(crate) training: bool,
}

impl<'a> Make<'a> {
    pub(crate) fn layer(&self, step: &Step) -> &'a Layer {
        &self.net.layers[step.layer]
    }

    pub(crate) fn shapes(&self, step: &Step) -> &'a LayerShapes {
        &self.shapes.layers()[step.layer]
    }

    /// A parameter's values, gathered.
    pub(crate) fn values(&self, layer: usize, index: usize) -> Result<Vec<f32>> {
        Ok(self.params.value(self.net, self.shapes, layer, index)?.to_vec()?)
    }

    /// A parameter's values in the backend's memory: the file's own pages where the backend can read them.
    pub(crate) fn param(&self, layer: usize, index: usize) -> Result<Buffer> {
        let blob = self.params.value(self.net, self.shapes, layer, index)?;
        self.upload(&blob, |buffer| buffer.as_slice().is_some())
    }

    /// A parameter's values, wherever they are to be.
    pub(crate) fn weight(&self, layer: usize, index: usize) -> Result<Weight> {
        Ok(if self.training { Weight::Trained(index) } else { Weight::Own(self.param(layer, index)?) })
    }

    /// The same of the weights of an inner product, whatever their alignment.
    pub(crate) fn matrix(&self, layer: usize, index: usize) -> Result<Buffer> {
        let blob = self.params.value(self.net, self.shapes, layer, index)?;
        self.upload(&blob, |_| true)
    }

    /// Lets go of a parameter's pages of its file, after its values were packed.
    pub(crate) fn release(&self, layer: usize, index: usize) -> Result<()> {
        if let Payload::Borrowed(slice) = self.params.value(self.net, self.shapes, layer, index)?.values() {
            slice.release();
        }
        Ok(())
    }

    /// Values in the backend's memory.
    pub(crate) fn buffer(&self, values: Vec<f32>) -> kernels::Result<Buffer> {
        let mut buffer = self.backend.allocate(0)?;
        if buffer.as_host().is_some() {
            return Ok(Buffer::Host(values.into()));
        }
        buffer = self.backend.allocate(values.len())?;
        self.backend.write(&mut buffer, 0, &values)?;
        Ok(buffer)
    }

    /// The error of a layer whose sizes or values the kernels refuse.
    pub(crate) fn refused(&self, step: &Step, source: kernels::Error) -> Error {
        let layer = self.layer(step);
        Error::Layer { layer: layer.name.clone(), kind: layer.type_name.clone(), source }
    }

    fn upload(&self, blob: &Blob, can_share: impl Fn(&HostBuffer) -> bool) -> Result<Buffer> {
        let mut buffer = self.backend.allocate(0)?;
        if buffer.as_host().is_some()
            && let Some(shared) = super::mapped::shared(blob.values()).filter(can_share)
        {
            return Ok(Buffer::Host(shared));
        }
        buffer = self.backend.allocate(blob.count())?;
        let mut start = 0;
        let mut failed = None;
        let mut piece = Vec::new();
        blob.values().read(&mut |bytes| {
            piece.clear();
            piece.extend(bytes.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)));
            if failed.is_none() {
                failed = self.backend.write(&mut buffer, start, &piece).err();
            }
            start += piece.len();
            Ok(())
        })?;
        failed.map_or(Ok(buffer), |error| Err(error.into()))
    }
}
