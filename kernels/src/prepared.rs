//! Weights packed for a device, with the choice of algorithm made.

use crate::cpu;
#[cfg(device)]
use crate::device;
#[cfg(device)]
use crate::error::Error;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// A convolution ready to run, made by [`convolution_prepare`](crate::ConvolutionOps::convolution_prepare).
#[derive(Debug)]
pub struct Convolution {
    pub(crate) geometry: ConvGeometry,
    pub(crate) plan: MadeFor<cpu::conv::Plan>,
}

impl Convolution {
    /// Its sizes.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Floats of workspace that a forward pass needs.
    pub fn workspace_len(&self) -> usize {
        match &self.plan {
            MadeFor::Host(plan) => plan.workspace_len(),
            #[cfg(device)]
            MadeFor::Device(plan) => plan.workspace_len(),
        }
    }

    /// The algorithm chosen, in words.
    pub fn algorithm(&self) -> &'static str {
        match &self.plan {
            MadeFor::Host(plan) => plan.algorithm().name(),
            #[cfg(device)]
            MadeFor::Device(plan) => plan.name(),
        }
    }
}

/// The gradient of a convolution or a deconvolution with respect to its input, ready to run: made by
/// [`convolution_backward_data_prepare`](crate::ConvolutionOps::convolution_backward_data_prepare) and
/// [`deconvolution_backward_data_prepare`](crate::DeconvolutionOps::deconvolution_backward_data_prepare).
#[derive(Debug)]
pub struct BackwardData {
    pub(crate) geometry: ConvGeometry,
    pub(crate) plan: MadeFor<cpu::conv::backward_data::Plan>,
}

impl BackwardData {
    /// The sizes of the forward operation.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Floats of workspace that a pass needs.
    pub fn workspace_len(&self) -> usize {
        match &self.plan {
            MadeFor::Host(plan) => plan.workspace_len(),
            #[cfg(device)]
            MadeFor::Device(plan) => plan.workspace_len(),
        }
    }

    /// The algorithm chosen, in words.
    pub fn algorithm(&self) -> &'static str {
        match &self.plan {
            MadeFor::Host(plan) => plan.name(),
            #[cfg(device)]
            MadeFor::Device(plan) => plan.name(),
        }
    }
}

/// A deconvolution ready to run, made by [`deconvolution_prepare`](crate::DeconvolutionOps::deconvolution_prepare).
#[derive(Debug)]
pub struct Deconvolution {
    pub(crate) geometry: ConvGeometry,
    pub(crate) plan: MadeFor<cpu::deconv::Plan>,
}

impl Deconvolution {
    /// Its sizes.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Floats of workspace that a forward pass needs.
    pub fn workspace_len(&self) -> usize {
        match &self.plan {
            MadeFor::Host(plan) => plan.workspace_len(),
            #[cfg(device)]
            MadeFor::Device(plan) => plan.workspace_len(),
        }
    }
}

/// What was made ready, by the kind of device it was made for: `H` on the processor.
#[derive(Debug)]
pub(crate) enum MadeFor<H> {
    Host(Box<H>),
    #[cfg(device)]
    Device(Box<device::Prepared>),
}

#[cfg_attr(not(device), expect(unused_variables, reason = "there is no other device to name"))]
impl<H> MadeFor<H> {
    /// The processor's, for an operation of its.
    pub(crate) fn host(&self, op: &'static str) -> Result<&H> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(elsewhere(op)),
        }
    }

    pub(crate) fn host_mut(&mut self, op: &'static str) -> Result<&mut H> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(elsewhere(op)),
        }
    }

    /// A device's, for an operation of its.
    #[cfg(device)]
    pub(crate) fn device(&self, op: &'static str) -> Result<&device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(elsewhere(op)),
        }
    }

    #[cfg(device)]
    pub(crate) fn device_mut(&mut self, op: &'static str) -> Result<&mut device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(elsewhere(op)),
        }
    }
}

#[cfg(device)]
fn elsewhere(op: &'static str) -> Error {
    Error::Elsewhere { op, operand: "what was prepared" }
}
