//! Convolutions, deconvolutions and gradients ready to run.

use super::DeviceBackend;
use super::convolution::{Operands, Pass, Plan, result_len};
use super::gemm::{Cut, Epilogue, Tile};
use super::memory::DeviceBuffer;
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::geometry::ConvGeometry;

/// A convolution, a deconvolution or a gradient ready to run: its own weights, and how it is computed.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The convolution's; of a deconvolution, that of the convolution it transposes.
    pub(crate) geometry: ConvGeometry,
    pub(crate) pass: Pass,
    /// As they are given, or transformed.
    pub(crate) weights: DeviceBuffer,
    pub(crate) plan: Plan,
}

impl Prepared {
    pub(crate) fn workspace_len(&self) -> usize {
        self.plan.workspace_len(result_len(&self.geometry, self.pass))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.plan {
            Plan::Depthwise => "depthwise",
            Plan::Pointwise(_) => "1x1 GEMM",
            Plan::PointwiseBlas => "1x1 GEMM, cuBLAS",
            Plan::Winograd(winograd) if winograd.by_blas => "Winograd F(4x4,3x3), cuBLAS",
            Plan::Winograd(_) => "Winograd F(4x4,3x3)",
            Plan::Product(Cut { tile: Tile::Tf32, .. }) => "implicit GEMM, TF32",
            Plan::Product(_) => "implicit GEMM",
        }
    }
}

impl DeviceBackend {
    /// A convolution's pass with a copy of the weights.
    pub(super) fn prepare(
        &self,
        op: &'static str,
        geometry: &ConvGeometry,
        pass: Pass,
        weights: &Buffer,
    ) -> Result<Prepared> {
        let plan = self.convolution_plan(geometry, pass);
        let own = DeviceBuffer::zeroed(&self.driver, plan.weight_len(geometry))?;
        let mut prepared = Prepared { geometry: *geometry, pass, weights: own, plan };
        self.repack(op, &mut prepared, weights)?;
        Ok(prepared)
    }

    pub(super) fn repack(&self, op: &'static str, prepared: &mut Prepared, weights: &Buffer) -> Result<()> {
        let len = prepared.geometry.weight_len();
        let weights = self.take(op, "weights", weights, len)?;
        match prepared.plan {
            Plan::Winograd(winograd) => self.winograd_weights(&winograd, weights, &mut prepared.weights),
            _ => self.driver.copy(weights.address(), prepared.weights.address(), len),
        }
    }

    /// Runs what was prepared; `names` are the operands' in messages.
    #[expect(clippy::too_many_arguments, reason = "what the operations have")]
    pub(super) fn run(
        &self,
        op: &'static str,
        prepared: &Prepared,
        names: [&'static str; 2],
        image: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        result: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        let geometry = &prepared.geometry;
        if !prepared.weights.is_of(&self.driver) {
            return Err(Error::Elsewhere { op, operand: "what was prepared" });
        }
        let (image_len, channels, pixels) = match prepared.pass {
            Pass::Data => (geometry.output_len(), geometry.input_channels, geometry.input_pixels()),
            _ => (geometry.input_len(), geometry.output_channels, geometry.output_pixels()),
        };
        let len = result_len(geometry, prepared.pass);
        let bias = self.take_if(op, "bias", epilogue.bias, channels as usize)?;
        let (finish, rest) = Epilogue::adding(epilogue.accumulate)
            .with_bias(bias, pixels, channels as usize)
            .with_activation(epilogue.activation);
        let result = self.take_mut(op, names[1], result, len)?;
        let operands = Operands {
            rows: &prepared.weights,
            image: self.take(op, names[0], image, image_len)?,
            epilogue: finish,
            result: &result,
            workspace: &self.take_mut(op, "the workspace", workspace, prepared.workspace_len())?,
        };
        self.convolution_pass(geometry, prepared.pass, prepared.plan, &operands)?;
        self.apply(rest, len, &result)
    }

    pub(super) fn filter_gradient(
        &self,
        op: &'static str,
        geometry: &ConvGeometry,
        [x, dy]: [&DeviceBuffer; 2],
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        let plan = self.convolution_plan(geometry, Pass::Filter);
        let needed = plan.workspace_len(geometry.weight_len());
        let operands = Operands {
            rows: dy,
            image: x,
            epilogue: Epilogue::adding(accumulate),
            result: &self.take_mut(op, "dw", dw, geometry.weight_len())?,
            workspace: &self.take_mut(op, "the workspace", workspace, needed)?,
        };
        self.convolution_pass(geometry, Pass::Filter, plan, &operands)
    }
}
