//! Where the parameters are while hooks look at them.

use kernels::Buffer;

use super::ParamView;
use super::operation::Operation;

/// Parameters in main memory, or in a device's.
#[derive(Debug)]
pub(super) enum Place<'p, 'v> {
    Host(&'p mut [ParamView<'v>]),
    Device(&'p mut Remote<'v>),
}

/// Parameters in a device's memory. What hooks do to their gradients is noted, to be done there; once a hook asks for
/// numbers, they are fetched, and all is done here.
#[derive(Debug)]
pub(super) struct Remote<'v> {
    buffers: Vec<(&'v Buffer, Option<&'v Buffer>)>,
    counts: Vec<usize>,
    pub(super) notes: Vec<Operation>,
    pub(super) fetched: Option<Vec<Fetched>>,
    /// Why something could not be fetched; zeros stand for it.
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
    pub(super) fn new(buffers: Vec<(&'v Buffer, Option<&'v Buffer>)>, counts: Vec<usize>) -> Self {
        Self { buffers, counts, notes: Vec::new(), fetched: None, failure: None }
    }

    /// Fetches the values and gradients of these parameters, once.
    pub(super) fn fetch(&mut self, active: &[usize]) {
        if self.fetched.is_some() {
            return;
        }
        let mut all: Vec<Fetched> = self.buffers.iter().map(|_| Fetched::default()).collect();
        for &index in active {
            let (value, grad) = self.buffers[index];
            all[index] =
                Fetched { value: self.read(value, index), grad: grad.map(|grad| self.read(grad, index)) };
        }
        self.fetched = Some(all);
    }

    /// Fetches the values of a parameter that is not updated.
    pub(super) fn fetch_value(&mut self, index: usize) {
        if self.fetched.as_ref().is_some_and(|all| all[index].value.is_empty()) {
            let value = self.read(self.buffers[index].0, index);
            if let Some(all) = &mut self.fetched {
                all[index].value = value;
            }
        }
    }

    fn read(&mut self, buffer: &Buffer, index: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.counts[index]];
        if let Err(error) = buffer.read(&mut values) {
            self.failure.get_or_insert(error);
        }
        values
    }
}

impl Fetched {
    pub(super) fn view(&mut self) -> ParamView<'_> {
        ParamView { value: &mut self.value, grad: self.grad.as_deref_mut() }
    }
}
