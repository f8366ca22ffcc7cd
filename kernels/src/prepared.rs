//! Weights packed for a device, with the choice of algorithm made.

use crate::cpu;
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
        }
    }

    /// The algorithm chosen, in words.
    pub fn algorithm(&self) -> &'static str {
        match &self.plan {
            ConvolutionPlan::Host(plan) => plan.algorithm().name(),
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
        }
    }

    /// The algorithm chosen, in words.
    pub fn algorithm(&self) -> &'static str {
        match &self.plan {
            BackwardDataPlan::Host(plan) => plan.name(),
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
        }
    }
}
