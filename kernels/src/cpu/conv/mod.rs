//! Convolution: one algorithm a file, chosen by shape in [`algorithm`].

mod algorithm;
pub(crate) mod backward_data;
pub(crate) mod backward_filter;
mod channels_last;
mod depthwise;
mod filters;
mod implicit_gemm;
mod interleaved;
mod pointwise;
mod shape;
mod staging;
mod winograd;

pub use algorithm::ConvAlgorithm;
pub(crate) use filters::Filters;
pub(crate) use shape::Shape;

use super::CpuBackend;
use super::gemm::Finish;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// What a forward pass reads and writes; the slices are as long as the geometry says.
pub(crate) struct Operands<'a> {
    /// N×I×spatial.
    pub(crate) x: &'a [f32],
    /// One float an output channel.
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether y's old value is added.
    pub(crate) accumulate: bool,
    /// What is done last.
    pub(crate) finish: Finish,
    /// N×O×spatial.
    pub(crate) y: &'a mut [f32],
    /// As long as the plan asked for.
    pub(crate) workspace: &'a mut [f32],
}

/// A convolution with its algorithm chosen and its weights packed.
#[derive(Debug)]
pub(crate) enum Plan {
    Pointwise(pointwise::Plan),
    ImplicitGemm(Box<implicit_gemm::Plan>),
    Depthwise(depthwise::Plan),
    Winograd(Box<winograd::Plan>),
    ChannelsLast(Box<channels_last::Plan>),
}

impl Plan {
    /// Packs the weights for `algorithm`, which must support the geometry.
    pub(crate) fn new(
        cpu: &CpuBackend,
        algorithm: ConvAlgorithm,
        geometry: &ConvGeometry,
        filters: Filters<'_>,
    ) -> Result<Self> {
        debug_assert!(algorithm.supports(geometry));
        let mut plan = match algorithm {
            ConvAlgorithm::Pointwise => Self::Pointwise(pointwise::Plan::new(cpu, geometry)?),
            ConvAlgorithm::ImplicitGemm => {
                Self::ImplicitGemm(Box::new(implicit_gemm::Plan::new(cpu, geometry)?))
            }
            ConvAlgorithm::Depthwise => Self::Depthwise(depthwise::Plan::new(geometry)?),
            ConvAlgorithm::Winograd => Self::Winograd(Box::new(winograd::Plan::new(cpu, geometry)?)),
            ConvAlgorithm::ChannelsLast => {
                Self::ChannelsLast(Box::new(channels_last::Plan::new(cpu, geometry)?))
            }
        };
        plan.repack(cpu, geometry, filters);
        Ok(plan)
    }

    /// Packs other weights in place of the old.
    pub(crate) fn repack(&mut self, cpu: &CpuBackend, geometry: &ConvGeometry, filters: Filters<'_>) {
        match self {
            Self::Pointwise(plan) => plan.repack(cpu, geometry, filters),
            Self::ImplicitGemm(plan) => plan.repack(cpu, filters),
            Self::Depthwise(plan) => plan.repack(geometry, filters),
            Self::Winograd(plan) => plan.repack(cpu, filters),
            Self::ChannelsLast(plan) => plan.repack(cpu, filters),
        }
    }

    /// The algorithm chosen.
    pub(crate) fn algorithm(&self) -> ConvAlgorithm {
        match self {
            Self::Pointwise(_) => ConvAlgorithm::Pointwise,
            Self::ImplicitGemm(_) => ConvAlgorithm::ImplicitGemm,
            Self::Depthwise(_) => ConvAlgorithm::Depthwise,
            Self::Winograd(_) => ConvAlgorithm::Winograd,
            Self::ChannelsLast(_) => ConvAlgorithm::ChannelsLast,
        }
    }

    /// Floats of workspace that a forward pass needs.
    pub(crate) fn workspace_len(&self) -> usize {
        match self {
            Self::Pointwise(plan) => plan.workspace_len(),
            Self::ImplicitGemm(plan) => plan.workspace_len(),
            Self::Depthwise(_) => 0,
            Self::Winograd(plan) => plan.workspace_len(),
            Self::ChannelsLast(plan) => plan.workspace_len(),
        }
    }

    /// Runs it.
    pub(crate) fn forward(&self, cpu: &CpuBackend, geometry: &ConvGeometry, operands: Operands<'_>) {
        match self {
            Self::Pointwise(plan) => plan.forward(cpu, geometry, operands),
            Self::ImplicitGemm(plan) => plan.forward(cpu, operands),
            Self::Depthwise(plan) => plan.forward(cpu, geometry, operands),
            Self::Winograd(plan) => plan.forward(cpu, operands),
            Self::ChannelsLast(plan) => plan.forward(cpu, operands),
        }
    }
}
