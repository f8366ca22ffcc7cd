//! Where the parameters are while hooks look at them.

use std::fmt;

use kernels::Buffer;

use super::operation::Operation;
use super::{ParamBuffers, ParamView};

/// Parameters in main memory, or in a device's.
#[derive(Debug)]
pub(super) enum Place<'p, 'v> {
    Host(&'p mut [ParamView<'v>]),
    Device(&'p mut Remote<'v>),
}

/// Where numbers of parameters in a device's memory are fetched from, once a hook asks for them. What cannot be fetched is left as it
/// is; whoever has the source knows why.
pub(crate) trait Source {
    /// Copies the values of a parameter.
    fn value(&mut self, index: usize, values: &mut [f32]);

    /// Copies the gradient of a parameter that has one.
    fn gradient(&mut self, index: usize, values: &mut [f32]);
}

/// Parameters in a device's memory. What hooks do to their gradients is noted, to be done there; once a hook asks for
/// numbers, they are fetched, and all is done here.
pub(super) struct Remote<'v> {
    source: &'v mut dyn Source,
    counts: Vec<usize>,
    pub(super) notes: Vec<Operation>,
    pub(super) fetched: Option<Vec<Fetched>>,
}

/// Buffers with gradients and values that are there.
pub(super) struct Buffers<'v> {
    buffers: Vec<(&'v Buffer, Option<&'v Buffer>)>,
    /// Why something could not be fetched.
    pub(super) failure: Option<kernels::Error>,
}

/// A parameter's values and gradient as far as they were fetched.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) value: Vec<f32>,
    pub(super) grad: Option<Vec<f32>>,
}

impl<'v> Place<'_, 'v> {
    pub(super) fn reborrow(&mut self) -> Place<'_, 'v> {
        match self {
            Self::Host(views) => Place::Host(views),
            Self::Device(remote) => Place::Device(remote),
        }
    }

    /// A parameter's values and gradient in main memory, as far as they are there.
    pub(super) fn view(&self, index: usize) -> (&[f32], Option<&[f32]>) {
        match self {
            Self::Host(views) => (views[index].value, views[index].grad.as_deref()),
            Self::Device(remote) => match &remote.fetched {
                Some(fetched) => (&fetched[index].value, fetched[index].grad.as_deref()),
                None => (&[], None),
            },
        }
    }

    /// The same to change.
    pub(super) fn view_mut(&mut self, index: usize) -> ParamView<'_> {
        match self {
            Self::Host(views) => {
                ParamView { value: views[index].value, grad: views[index].grad.as_deref_mut() }
            }
            Self::Device(remote) => match &mut remote.fetched {
                Some(fetched) => fetched[index].view(),
                None => ParamView { value: &mut [], grad: None },
            },
        }
    }
}

impl<'v> Remote<'v> {
    /// Parameters of `counts` values.
    pub(super) fn new(source: &'v mut dyn Source, counts: Vec<usize>) -> Self {
        Self { source, counts, notes: Vec::new(), fetched: None }
    }

    /// Fetches the values and gradients of these parameters, once.
    pub(super) fn fetch(&mut self, active: &[usize]) {
        if self.fetched.is_some() {
            return;
        }
        let mut all: Vec<Fetched> = self.counts.iter().map(|_| Fetched::default()).collect();
        for &index in active {
            let mut grad = vec![0.0; self.counts[index]];
            self.source.gradient(index, &mut grad);
            all[index] = Fetched { value: self.value(index), grad: Some(grad) };
        }
        self.fetched = Some(all);
    }

    /// Fetches the values of a parameter that is not updated.
    pub(super) fn fetch_value(&mut self, index: usize) {
        if self.fetched.as_ref().is_some_and(|all| all[index].value.is_empty()) {
            let value = self.value(index);
            if let Some(all) = &mut self.fetched {
                all[index].value = value;
            }
        }
    }

    fn value(&mut self, index: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.counts[index]];
        self.source.value(index, &mut values);
        values
    }
}

impl fmt::Debug for Remote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source: _, counts, notes, fetched } = self;
        f.debug_struct("Remote")
            .field("counts", counts)
            .field("notes", notes)
            .field("fetched", &fetched.is_some())
            .finish()
    }
}

impl<'v> Buffers<'v> {
    pub(super) fn new(params: &'v [ParamBuffers<'_>]) -> Self {
        let buffers = params.iter().map(|param| (&*param.value, param.grad.as_deref()));
        Self { buffers: buffers.collect(), failure: None }
    }

    fn read(&mut self, buffer: Option<&Buffer>, values: &mut [f32]) {
        if let Some(Err(error)) = buffer.map(|buffer| buffer.read(values)) {
            self.failure.get_or_insert(error);
        }
    }
}

impl Source for Buffers<'_> {
    fn value(&mut self, index: usize, values: &mut [f32]) {
        self.read(Some(self.buffers[index].0), values);
    }

    fn gradient(&mut self, index: usize, values: &mut [f32]) {
        self.read(self.buffers[index].1, values);
    }
}

impl Fetched {
    pub(super) fn view(&mut self) -> ParamView<'_> {
        ParamView { value: &mut self.value, grad: self.grad.as_deref_mut() }
    }
}
