//! A step made ready, and what it sees while it runs.

use kernels::{Backend, Buffer, CopyGeometry, Random};

use crate::plan::{Plan, Step, ValueId};

/// A step made ready: weights packed, sizes fixed.
pub(crate) trait Operation: Send {
    /// Floats of scratch memory it needs while it runs forward.
    fn workspace_len(&self) -> usize {
        0
    }

    /// How it computes, where there is a choice.
    fn algorithm(&self) -> Option<&'static str> {
        None
    }

    /// Whether a pass that is not done leaves nothing behind in main memory that the next one goes by.
    fn is_steady(&self) -> bool {
        true
    }

    /// Computes the step's tops. Allocates nothing, but in a first pass of training.
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()>;

    /// Computes those gradients of the bottoms and parameters that the frame wants. Allocates nothing but in a first pass.
    fn backward(&mut self, _frame: &mut Frame<'_>) -> kernels::Result<()> {
        Err(kernels::Error::Geometry { op: "backward", what: "no gradient of it is computed".to_owned() })
    }
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

/// A step with one top, and with a gradient.
pub(crate) fn one_top_with_gradient(
    mut forward: impl FnMut(&Inputs<'_>, &mut Buffer) -> kernels::Result<()> + Send + 'static,
    mut backward: impl FnMut(&mut Frame<'_>) -> kernels::Result<()> + Send + 'static,
) -> Box<dyn Operation> {
    with_gradient(
        (),
        move |(), frame| frame.produce(0, |inputs, top, _| forward(inputs, top)),
        move |(), frame| backward(frame),
    )
}

/// A step that does as it likes, with a gradient, and what it keeps from the one pass for the other.
pub(crate) fn with_gradient<S, F, B>(kept: S, forward: F, backward: B) -> Box<dyn Operation>
where
    S: Send + 'static,
    F: FnMut(&mut S, &mut Frame<'_>) -> kernels::Result<()> + Send + 'static,
    B: FnMut(&mut S, &mut Frame<'_>) -> kernels::Result<()> + Send + 'static,
{
    Box::new(WithGradient { kept, forward, backward })
}

/// A step's view of memory.
pub(crate) struct Frame<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) plan: &'a Plan,
    pub(crate) step: &'a Step,
    pub(crate) buffers: &'a mut [Option<Buffer>],
    pub(crate) workspace: &'a mut Buffer,
    pub(crate) shapes: &'a mut [Vec<usize>],
    /// The number of the pass, where operations that draw numbers read it.
    pub(crate) clock: &'a Buffer,
    pub(crate) training: Option<Training<'a>>,
}

/// What a frame has in training besides.
pub(crate) struct Training<'a> {
    /// Memory of gradients: one that is read after the pass has its own, others hand it on.
    pub(crate) diffs: &'a mut [Option<Buffer>],
    /// By storage: where its gradient is among them. The memory may be longer than the gradient.
    pub(crate) places: &'a [usize],
    /// By storage: gradients that are zero whatever their memory holds, which saves clearing what is written over.
    pub(crate) cleared: &'a mut [bool],
    /// As long as the longest gradient that was added up so far.
    pub(crate) scratch: &'a mut Option<Buffer>,
    /// Which gradients are wanted; none while a forward pass runs.
    pub(crate) flow: &'a Flow,
    /// How often each parameter was changed, by storage.
    pub(crate) versions: &'a [u64],
    /// Whether nothing of the layer may change.
    pub(crate) frozen: bool,
}

/// Which gradients a step computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) bottoms: Vec<Want>,
    pub(crate) params: Vec<Want>,
}

/// What happens to one gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Want {
    /// It is not computed.
    #[default]
    Nothing,
    /// It is the first of a pass: what there was is forgotten.
    First,
    /// It is added to what there is.
    More,
}

/// What a gradient is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Bottom(usize),
    Param(usize),
}

/// A step's inputs while one of its tops or gradients is computed.
pub(crate) struct Inputs<'a> {
    pub(crate) backend: &'a dyn Backend,
    plan: &'a Plan,
    step: &'a Step,
    clock: &'a Buffer,
    buffers: &'a [Option<Buffer>],
    gradients: Gradients<'a>,
}

/// What of gradients a step's inputs show, in training.
#[derive(Clone, Copy, Default)]
struct Gradients<'a> {
    diffs: &'a [Option<Buffer>],
    places: &'a [usize],
    versions: &'a [u64],
}

/// A parameter's values: the step's own, or in training those that an optimizer changes.
pub(crate) enum Weight {
    Own(Buffer),
    Trained(usize),
}

impl Training<'_> {
    fn shown(&self) -> Gradients<'_> {
        Gradients { diffs: self.diffs, places: self.places, versions: self.versions }
    }
}

impl Weight {
    pub(crate) fn get<'b>(&'b self, inputs: &Inputs<'b>) -> &'b Buffer {
        match self {
            Self::Own(buffer) => buffer,
            Self::Trained(index) => inputs.param(*index),
        }
    }
}

impl Frame<'_> {
    /// Computes top `top`. `body` gets the inputs, the top's memory, and the scratch memory.
    pub(crate) fn produce(
        &mut self,
        top: usize,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer, &mut Buffer) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        self.change(self.step.tops[top], body)
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

    /// Says that what is in the memory of the step's tops counts no more, unless it is computed in place.
    pub(crate) fn discard_tops(&mut self) -> kernels::Result<()> {
        let plan = self.plan;
        for &top in &self.step.tops {
            let storage = plan.storage(top);
            let mut read = self.step.bottoms.iter().chain(&self.step.accumulate);
            if !read.any(|&value| plan.storage(value) == storage)
                && let Some(buffer) = &mut self.buffers[storage]
            {
                self.backend.discard(buffer)?;
            }
        }
        Ok(())
    }

    /// Changes a parameter while the layer runs forward: in training only, and not of a frozen layer.
    pub(crate) fn change_param(
        &mut self,
        index: usize,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        self.change(self.step.params[index], |inputs, param, _| body(inputs, param))
    }

    /// Says how many entries a top's axis has this time.
    pub(crate) fn set_extent(&mut self, top: usize, axis: usize, extent: usize) {
        self.shapes[self.step.tops[top]][axis] = extent;
    }

    pub(crate) fn inputs(&self) -> Inputs<'_> {
        let gradients = self.training.as_ref().map(Training::shown).unwrap_or_default();
        let (backend, plan, step, clock) = (self.backend, self.plan, self.step, self.clock);
        Inputs { backend, plan, step, clock, buffers: self.buffers, gradients }
    }

    fn change(
        &mut self,
        value: ValueId,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer, &mut Buffer) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        let storage = self.plan.storage(value);
        let Some(mut buffer) = self.buffers[storage].take() else {
            unreachable!("a buffer is away only while it is written")
        };
        let gradients = self.training.as_ref().map(Training::shown).unwrap_or_default();
        let (backend, plan, step, clock) = (self.backend, self.plan, self.step, self.clock);
        let inputs = Inputs { backend, plan, step, clock, buffers: self.buffers, gradients };
        let result = body(&inputs, &mut buffer, self.workspace);
        self.buffers[storage] = Some(buffer);
        result
    }
}

/// Gradients.
impl Frame<'_> {
    /// Whether nothing of the layer may change, nor be left to chance.
    pub(crate) fn is_frozen(&self) -> bool {
        self.training.as_ref().is_some_and(|training| training.frozen)
    }

    pub(crate) fn wants(&self, of: Of) -> bool {
        self.want(of) != Want::Nothing
    }

    /// Computes a gradient, if it is wanted. `body` gets the inputs, the gradient's memory, scratch memory that it makes as
    /// long as it needs, and whether to add to what there is.
    pub(crate) fn gradient(
        &mut self,
        of: Of,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer, &mut Buffer, bool) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        let want = self.want(of);
        let (Some(training), true) = (&mut self.training, want != Want::Nothing) else { return Ok(()) };
        let storage = self.plan.storage(value_of(self.step, of));
        let place = training.places[storage];
        let Some(mut gradient) = training.diffs[place].take() else {
            unreachable!("what is wanted has memory, and is away only while it is written")
        };
        let inputs = Inputs {
            backend: self.backend,
            plan: self.plan,
            step: self.step,
            clock: self.clock,
            buffers: self.buffers,
            gradients: training.shown(),
        };
        let more = want == Want::More && !training.cleared[storage];
        let ready = if more { Ok(()) } else { self.backend.discard(&mut gradient) };
        let result = ready.and_then(|()| body(&inputs, &mut gradient, self.workspace, more));
        training.cleared[storage] = false;
        training.diffs[place] = Some(gradient);
        result
    }

    /// The same of a `body` that writes over what there is.
    pub(crate) fn overwrite(
        &mut self,
        of: Of,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        let len = self.len(of);
        let mut scratch = self.training.as_mut().and_then(|training| training.scratch.take());
        let result = self.gradient(of, |inputs, gradient, _, more| {
            if !more {
                return body(inputs, gradient);
            }
            let scratch = match &mut scratch {
                Some(scratch) if scratch.len() >= len => scratch,
                other => other.insert(inputs.backend.allocate(len)?),
            };
            inputs.backend.discard(scratch)?;
            body(inputs, scratch)?;
            inputs.backend.axpy(1.0, len, scratch, gradient)
        });
        if let Some(training) = &mut self.training {
            *training.scratch = scratch;
        }
        result
    }

    /// The same of a `body` that adds to what there is.
    pub(crate) fn add(
        &mut self,
        of: Of,
        body: impl FnOnce(&Inputs<'_>, &mut Buffer) -> kernels::Result<()>,
    ) -> kernels::Result<()> {
        let len = self.len(of);
        self.gradient(of, |inputs, gradient, _, more| {
            if !more {
                inputs.backend.fill(gradient, len, 0.0)?;
            }
            body(inputs, gradient)
        })
    }

    /// The gradient of top 0 is that of the bottom or parameter.
    pub(crate) fn pass_on(&mut self, of: Of) -> kernels::Result<()> {
        let len = self.len(of);
        self.gradient(of, |inputs, gradient, _, more| {
            let dy = inputs.top_gradient(0);
            if more {
                return inputs.backend.axpy(1.0, len, dy, gradient);
            }
            inputs.copy_first(len, dy, gradient)
        })
    }

    /// Floats of a gradient that is wanted, whatever its memory has.
    pub(crate) fn len(&self, of: Of) -> usize {
        if self.wants(of) { self.plan.storages[self.plan.storage(value_of(self.step, of))] } else { 0 }
    }

    fn want(&self, of: Of) -> Want {
        let wants = self.training.as_ref().and_then(|training| match of {
            Of::Bottom(index) => training.flow.bottoms.get(index),
            Of::Param(index) => training.flow.params.get(index),
        });
        wants.copied().unwrap_or_default()
    }
}

impl Inputs<'_> {
    /// How often a parameter was changed.
    pub(crate) fn version(&self, param: usize) -> u64 {
        let storage = self.plan.storage(self.step.params[param]);
        self.gradients.versions.get(storage).copied().unwrap_or(0)
    }
}

impl<'a> Inputs<'a> {
    /// This pass's numbers for a key: in a backward pass those of the forward pass before it.
    pub(crate) fn random(&self, key: u64) -> Random<'a> {
        Random { key, clock: self.clock }
    }

    /// A parameter, in training.
    pub(crate) fn param(&self, index: usize) -> &'a Buffer {
        present(self.buffers, self.plan.storage(self.step.params[index]))
    }

    /// A top's values, in a backward pass.
    pub(crate) fn top(&self, index: usize) -> &'a Buffer {
        present(self.buffers, self.plan.storage(self.step.tops[index]))
    }

    /// A top's gradient, in a backward pass.
    pub(crate) fn top_gradient(&self, index: usize) -> &'a Buffer {
        present(self.gradients.diffs, self.gradients.places[self.plan.storage(self.step.tops[index])])
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
        self.copy_first(from.len(), from, to)
    }

    /// Copies the first `len` floats.
    pub(crate) fn copy_first(&self, len: usize, from: &Buffer, to: &mut Buffer) -> kernels::Result<()> {
        let len = len as u32;
        self.backend.transform_tensor(&CopyGeometry::concat(1, len, 1, 0, len), from, to)
    }
}

struct WithGradient<S, F, B> {
    kept: S,
    forward: F,
    backward: B,
}

impl<S, F, B> Operation for WithGradient<S, F, B>
where
    S: Send,
    F: FnMut(&mut S, &mut Frame<'_>) -> kernels::Result<()> + Send,
    B: FnMut(&mut S, &mut Frame<'_>) -> kernels::Result<()> + Send,
{
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        (self.forward)(&mut self.kept, frame)
    }

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        (self.backward)(&mut self.kept, frame)
    }
}

/// Makes scratch memory at least so long.
pub(crate) fn at_least(backend: &dyn Backend, buffer: &mut Buffer, len: usize) -> kernels::Result<()> {
    if buffer.len() < len {
        *buffer = backend.allocate(len)?;
    }
    Ok(())
}

fn value_of(step: &Step, of: Of) -> ValueId {
    match of {
        Of::Bottom(index) => step.bottoms[index],
        Of::Param(index) => step.params[index],
    }
}

fn present(buffers: &[Option<Buffer>], storage: usize) -> &Buffer {
    match &buffers[storage] {
        Some(buffer) => buffer,
        None => unreachable!("planned in a buffer of its own"),
    }
}
