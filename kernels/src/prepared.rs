//! Weights packed for a device, with the choice of algorithm made.

use crate::cpu;
#[cfg(device)]
use crate::device;
#[cfg(device)]
use crate::error::Error;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// A convolution ready to run, made by [`Backend::convolution_prepare`](crate::Backend::convolution_prepare).
#[derive(Debug)]
pub struct Convolution {
    pub(crate) geometry: ConvGeometry,
    pub(crate) plan: ConvolutionPlan,
}

#[derive(Debug)]
pub(crate) enum ConvolutionPlan {
    Host(cpu::conv::Plan),
    #[cfg(device)]
    Device(Box<device::Prepared>),
}

impl ConvolutionPlan {
    /// The processor's, for an operation of its.
    #[cfg_attr(not(device), expect(unused_variables, reason = "there is no other"))]
    pub(crate) fn host(&self, op: &'static str) -> Result<&cpu::conv::Plan> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    #[cfg_attr(not(device), expect(unused_variables, reason = "there is no other"))]
    pub(crate) fn host_mut(&mut self, op: &'static str) -> Result<&mut cpu::conv::Plan> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    /// A device's, for an operation of its.
    #[cfg(device)]
    pub(crate) fn device(&self, op: &'static str) -> Result<&device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    #[cfg(device)]
    pub(crate) fn device_mut(&mut self, op: &'static str) -> Result<&mut device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }
}

impl Convolution {
    /// Its sizes.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Floats of workspace that a forward pass needs.
    pub fn workspace_len(&self) -> usize {
        match &self.plan {
            ConvolutionPlan::Host(plan) => plan.workspace_len(),
            #[cfg(device)]
            ConvolutionPlan::Device(plan) => plan.workspace_len(),
        }
    }

    /// The algorithm chosen, in words.
    pub fn algorithm(&self) -> &'static str {
        match &self.plan {
            ConvolutionPlan::Host(plan) => plan.algorithm().name(),
            #[cfg(device)]
            ConvolutionPlan::Device(plan) => plan.name(),
        }
    }
}

/// The gradient of a convolution or a deconvolution with respect to its input, ready to run: made by
/// [`Backend::convolution_backward_data_prepare`](crate::Backend::convolution_backward_data_prepare) and
/// [`Backend::deconvolution_backward_data_prepare`](crate::Backend::deconvolution_backward_data_prepare).
#[derive(Debug)]
pub struct BackwardData {
    pub(crate) geometry: ConvGeometry,
    pub(crate) plan: BackwardDataPlan,
}

#[derive(Debug)]
pub(crate) enum BackwardDataPlan {
    Host(cpu::conv::backward_data::Plan),
    #[cfg(device)]
    Device(device::Prepared),
}

impl BackwardDataPlan {
    /// The processor's, for an operation of its.
    #[cfg_attr(not(device), expect(unused_variables, reason = "there is no other"))]
    pub(crate) fn host(&self, op: &'static str) -> Result<&cpu::conv::backward_data::Plan> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    #[cfg_attr(not(device), expect(unused_variables, reason = "there is no other"))]
    pub(crate) fn host_mut(&mut self, op: &'static str) -> Result<&mut cpu::conv::backward_data::Plan> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    /// A device's, for an operation of its.
    #[cfg(device)]
    pub(crate) fn device(&self, op: &'static str) -> Result<&device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    #[cfg(device)]
    pub(crate) fn device_mut(&mut self, op: &'static str) -> Result<&mut device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }
}

impl BackwardData {
    /// The sizes of the forward operation.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Floats of workspace that a pass needs.
    pub fn workspace_len(&self) -> usize {
        match &self.plan {
            BackwardDataPlan::Host(plan) => plan.workspace_len(),
            #[cfg(device)]
            BackwardDataPlan::Device(plan) => plan.workspace_len(),
        }
    }

    /// The algorithm chosen, in words.
    pub fn algorithm(&self) -> &'static str {
        match &self.plan {
            BackwardDataPlan::Host(plan) => plan.name(),
            #[cfg(device)]
            BackwardDataPlan::Device(plan) => plan.name(),
        }
    }
}

/// A deconvolution ready to run, made by [`Backend::deconvolution_prepare`](crate::Backend::deconvolution_prepare).
#[derive(Debug)]
pub struct Deconvolution {
    pub(crate) geometry: ConvGeometry,
    pub(crate) plan: DeconvolutionPlan,
}

#[derive(Debug)]
pub(crate) enum DeconvolutionPlan {
    Host(Box<cpu::deconv::Plan>),
    #[cfg(device)]
    Device(Box<device::Prepared>),
}

impl DeconvolutionPlan {
    /// The processor's, for an operation of its.
    #[cfg_attr(not(device), expect(unused_variables, reason = "there is no other"))]
    pub(crate) fn host(&self, op: &'static str) -> Result<&cpu::deconv::Plan> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    #[cfg_attr(not(device), expect(unused_variables, reason = "there is no other"))]
    pub(crate) fn host_mut(&mut self, op: &'static str) -> Result<&mut cpu::deconv::Plan> {
        match self {
            Self::Host(plan) => Ok(plan),
            #[cfg(device)]
            Self::Device(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    /// A device's, for an operation of its.
    #[cfg(device)]
    pub(crate) fn device(&self, op: &'static str) -> Result<&device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }

    #[cfg(device)]
    pub(crate) fn device_mut(&mut self, op: &'static str) -> Result<&mut device::Prepared> {
        match self {
            Self::Device(plan) => Ok(plan),
            Self::Host(_) => Err(Error::Elsewhere { op, operand: "what was prepared" }),
        }
    }
}

impl Deconvolution {
    /// Its sizes.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Floats of workspace that a forward pass needs.
    pub fn workspace_len(&self) -> usize {
        match &self.plan {
            DeconvolutionPlan::Host(plan) => plan.workspace_len(),
            #[cfg(device)]
            DeconvolutionPlan::Device(plan) => plan.workspace_len(),
        }
    }
}
