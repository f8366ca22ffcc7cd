//! The gradient of a convolution with respect to its input: `dx (+)= Σ w · dy`, over the windows that a pixel is in.
//!
//! With stride 1 that is a convolution of dy itself: with the kernels turned around, the channels' roles exchanged and as
//! much padding as the kernel reaches beyond the old. So every forward algorithm serves. With other strides it is a
//! deconvolution; with one channel a group, the taps' shares are added where they belong.

use super::{ConvAlgorithm, Filters, Operands, depthwise};
use crate::cpu::gemm::Finish;
use crate::cpu::{CpuBackend, deconv};
use crate::error::Result;
use crate::geometry::{ConvGeometry, MAX_SPATIAL};

/// Weights packed for the gradient.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The forward convolution's; of a deconvolution, the convolution's that it transposes.
    geometry: ConvGeometry,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// A convolution of dy, of this geometry.
    Mirrored(ConvGeometry, super::Plan),
    Transposed(Box<deconv::Plan>),
    Depthwise(depthwise::Plan),
    /// The gradient of a deconvolution: the convolution that it transposes.
    Plain(super::Plan),
}

impl Plan {
    /// For a convolution.
    pub(crate) fn new(cpu: &CpuBackend, geometry: &ConvGeometry, weights: &[f32]) -> Result<Self> {
        let mirrored = mirrored(geometry);
        let single = geometry.rank == 2 && geometry.group_inputs() == 1 && geometry.group > 1;
        let way = match mirrored {
            Some(mirrored) if !single || geometry.group_outputs() == 1 => {
                let filters = Filters::backward(geometry, weights);
                let algorithm = ConvAlgorithm::choose(&mirrored);
                Way::Mirrored(mirrored, super::Plan::new(cpu, algorithm, &mirrored, filters)?)
            }
            _ if single => {
                let mut plan = depthwise::Plan::new(geometry)?;
                plan.repack(geometry, Filters::forward(geometry, weights));
                Way::Depthwise(plan)
            }
            _ => Way::Transposed(Box::new(deconv::Plan::new(cpu, geometry, weights)?)),
        };
        Ok(Self { geometry: *geometry, way })
    }

    /// For a deconvolution, `geometry` being that of the convolution it transposes.
    pub(crate) fn of_deconvolution(
        cpu: &CpuBackend,
        geometry: &ConvGeometry,
        weights: &[f32],
    ) -> Result<Self> {
        let filters = Filters::forward(geometry, weights);
        let plan = super::Plan::new(cpu, ConvAlgorithm::choose(geometry), geometry, filters)?;
        Ok(Self { geometry: *geometry, way: Way::Plain(plan) })
    }

    /// Packs other weights in place of the old.
    pub(crate) fn repack(&mut self, cpu: &CpuBackend, weights: &[f32]) {
        let geometry = &self.geometry;
        match &mut self.way {
            Way::Mirrored(mirrored, plan) => {
                plan.repack(cpu, mirrored, Filters::backward(geometry, weights));
            }
            Way::Transposed(plan) => plan.repack(cpu, weights),
            Way::Depthwise(plan) => plan.repack(geometry, Filters::forward(geometry, weights)),
            Way::Plain(plan) => plan.repack(cpu, geometry, Filters::forward(geometry, weights)),
        }
    }

    /// Floats of weights.
    pub(crate) fn weight_len(&self) -> usize {
        self.geometry.weight_len()
    }

    /// Floats of dy.
    pub(crate) fn gradient_len(&self) -> usize {
        match &self.way {
            Way::Plain(_) => self.geometry.input_len(),
            _ => self.geometry.output_len(),
        }
    }

    /// Floats of dx.
    pub(crate) fn input_len(&self) -> usize {
        match &self.way {
            Way::Plain(_) => self.geometry.output_len(),
            _ => self.geometry.input_len(),
        }
    }

    /// Floats of workspace that [`run`](Plan::run) needs.
    pub(crate) fn workspace_len(&self) -> usize {
        match &self.way {
            Way::Mirrored(_, plan) | Way::Plain(plan) => plan.workspace_len(),
            Way::Transposed(plan) => plan.workspace_len(),
            Way::Depthwise(_) => 0,
        }
    }

    /// In words.
    pub(crate) fn name(&self) -> &'static str {
        match &self.way {
            Way::Mirrored(_, plan) | Way::Plain(plan) => plan.algorithm().name(),
            Way::Transposed(_) => "transposed GEMM",
            Way::Depthwise(_) => "depthwise",
        }
    }

    /// The slices are as long as the lengths above say.
    pub(crate) fn run(
        &self,
        cpu: &CpuBackend,
        dy: &[f32],
        accumulate: bool,
        dx: &mut [f32],
        workspace: &mut [f32],
    ) {
        let operands =
            |x, y, workspace| Operands { x, bias: None, accumulate, finish: Finish::Keep, y, workspace };
        match &self.way {
            Way::Mirrored(mirrored, plan) => plan.forward(cpu, mirrored, operands(dy, dx, workspace)),
            Way::Transposed(plan) => plan.forward(cpu, operands(dy, dx, workspace)),
            Way::Depthwise(plan) => plan.backward_data(cpu, &self.geometry, dy, accumulate, dx),
            Way::Plain(plan) => plan.forward(cpu, &self.geometry, operands(dy, dx, workspace)),
        }
    }
}

/// The convolution that takes dy to dx, if it is one: `pad' = d(k−1) − pad` must not be negative.
fn mirrored(geometry: &ConvGeometry) -> Option<ConvGeometry> {
    let mut pad = [0; MAX_SPATIAL];
    for (axis, pad) in pad.iter_mut().enumerate().take(geometry.rank as usize) {
        if geometry.stride[axis] != 1 {
            return None;
        }
        let reach = geometry.dilation[axis] * (geometry.kernel[axis] - 1);
        *pad = reach.checked_sub(geometry.pad[axis])?;
    }
    Some(ConvGeometry {
        input_channels: geometry.output_channels,
        output_channels: geometry.input_channels,
        input: geometry.output(),
        pad,
        ..*geometry
    })
}
