//! What a step sees while it runs, and while it is made.

use caffe_proto::net::{Layer, LayerShapes, Net, Shapes};
use caffe_proto::{Blob, Payload};
use kernels::{Backend, Buffer, CopyGeometry, HostBuffer};

use crate::error::{Error, Result};
use crate::params::Params;
use crate::plan::{Plan, Step};

/// A step made ready: weights packed, sizes fixed.
pub(crate) trait Operation: Send {
    /// Floats of scratch memory it needs while it runs.
    fn workspace_len(&self) -> usize {
        0
    }

    /// How it computes, where there is a choice.
    fn algorithm(&self) -> Option<&'static str> {
        None
    }

    /// Computes the step's tops. Allocates nothing.
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()>;
}

impl<F: FnMut(&mut Frame<'_>) -> kernels::Result<()> + Send> Operation for F {
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        self(frame)
    }
}

/// A step with one top that needs no scratch memory.
pub(crate) fn one_top(
    mut body: impl FnMut(&Inputs<'_>, &mut Buffer) -> kernels::Result<()> + Send + 'static,
) -> Box<dyn Operation> {
    Box::new(move |frame: &mut Frame<'_>| frame.produce(0, |inputs, top, _| body(inputs, top)))
}

/// A step that does as it likes.
pub(crate) fn free_form(
    body: impl FnMut(&mut Frame<'_>) -> kernels::Result<()> + Send + 'static,
) -> Box<dyn Operation> {
    Box::new(body)
}

/// A step's view of memory.
pub(crate) struct Frame<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) plan: &'a Plan,
    pub(crate) step: &'a Step,
    pub(crate) buffers: &'a mut [Option<Buffer>],
    pub(crate) workspace: &'a mut Buffer,
    pub(crate) shapes: &'a mut [Vec<usize>],
}

/// A step's inputs while one of its tops is computed.
pub(crate) struct Inputs<'a> {
    pub(crate) backend: &'a dyn Backend,
    plan: &'a Plan,
    step: &'a Step,
    buffers: &'a [Option<Buffer>],
}

impl Frame<'_> {
    /// Computes top `top`. `body` gets the inputs, the top's memory, and the scratch memory.
    pub(crate) fn produce(
        &mut self,
        top: usize,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer, &mut Buffer) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        let storage = self.plan.storage(self.step.tops[top]);
        let Some(mut buffer) = self.buffers[storage].take() else {
            unreachable!("a buffer is away only while it is written")
        };
        let inputs =
            Inputs { backend: self.backend, plan: self.plan, step: self.step, buffers: self.buffers };
        let result = body(&inputs, &mut buffer, self.workspace);
        self.buffers[storage] = Some(buffer);
        result
    }

    /// Computes two tops at once.
    pub(crate) fn produce_two(
        &mut self,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer, &mut Buffer) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        let second = self.plan.storage(self.step.tops[1]);
        let Some(mut buffer) = self.buffers[second].take() else {
            unreachable!("a buffer is away only while it is written")
        };
        let result = self.produce(0, |inputs, first, _| body(inputs, first, &mut buffer));
        self.buffers[second] = Some(buffer);
        result
    }

    /// Says how many entries a top's axis has this time.
    pub(crate) fn set_extent(&mut self, top: usize, axis: usize, extent: usize) {
        self.shapes[self.step.tops[top]][axis] = extent;
    }

    pub(crate) fn inputs(&self) -> Inputs<'_> {
        Inputs { backend: self.backend, plan: self.plan, step: self.step, buffers: self.buffers }
    }
}

impl<'a> Inputs<'a> {
    /// Bottom `index`; `None` when its memory is the top's, which then holds its values.
    pub(crate) fn or_in_place(&self, index: usize) -> Option<&'a Buffer> {
        self.buffers[self.plan.storage(self.step.bottoms[index])].as_ref()
    }

    /// Bottom `index`, of a kind of layer that is never computed in place.
    pub(crate) fn get(&self, index: usize) -> &'a Buffer {
        match self.or_in_place(index) {
            Some(buffer) => buffer,
            None => unreachable!("planned in a buffer of its own"),
        }
    }
}

/// Computation in the host's memory.
impl Inputs<'_> {
    /// The first `len` floats of a bottom: where they are if that is main memory, else copied to `staging`.
    pub(crate) fn floats<'s>(
        &'s self,
        index: usize,
        len: usize,
        staging: &'s mut Vec<f32>,
    ) -> kernels::Result<&'s [f32]> {
        let buffer = self.get(index);
        if let Some(floats) = buffer.as_host() {
            return Ok(&floats[..len]);
        }
        staging.resize(len, 0.0);
        self.backend.read(buffer, 0, staging)?;
        Ok(staging)
    }

    /// Copies a whole buffer to the beginning of another.
    pub(crate) fn copy(&self, from: &Buffer, to: &mut Buffer) -> kernels::Result<()> {
        let len = from.len() as u32;
        self.backend.transform_tensor(&CopyGeometry::concat(1, len, 1, 0, len), from, to)
    }
}

/// What a step is made from.
pub(crate) struct Make<'a> {
    pub(crate) net: &'a Net,
    pub(crate) shapes: &'a Shapes,
    pub(crate) params: &'a Params,
    pub(crate) backend: &'a dyn Backend,
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
