//! A convolution's three passes, and how each is computed.
//!
//! Each pass is `result[m][n] = Σₖ rows[m][k] · image[place(n) + place(k)]`:
//!
//! | pass | rows | image | m | n | k |
//! | --- | --- | --- | --- | --- | --- |
//! | forward | weights | x | output channel | image, output pixel | input channel, tap |
//! | data | weights | dy | input channel | image, input pixel | output channel, tap |
//! | filter | dy | x | output channel | input channel, tap | image, output pixel |

use super::DeviceBackend;
use super::call::Target;
use super::gemm::{Cut, Epilogue};
use super::memory::DeviceBuffer;
use super::phases::Phases;
use super::winograd::Winograd;
use crate::cpu::ConvAlgorithm;
use crate::error::Result;
use crate::geometry::{ConvGeometry, MAX_SPATIAL};

/// Which of a convolution's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    Forward,
    Data,
    Filter,
}

/// How a pass is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Seen through windows.
    Product(Cut),
    /// Where it is.
    Depthwise,
    /// As a batch of plain products: an image's pixels are columns, or on the way to the weights steps of the sum.
    Pointwise(Cut),
    /// The same by cuBLAS.
    PointwiseBlas,
    Winograd(Winograd),
}

impl Plan {
    /// Whether cuBLAS can be given a pass as a batch of plain products: on the way to the weights, sums over several images come in
    /// runs, which it does not know.
    pub(crate) fn is_for_blas(geometry: &ConvGeometry, pass: Pass) -> bool {
        let in_runs = pass == Pass::Filter && geometry.batch > 1 && geometry.input_pixels() > 1;
        ConvAlgorithm::Pointwise.supports(geometry) && !in_runs
    }

    /// Floats of the weights as the plan wants them.
    pub(crate) fn weight_len(&self, geometry: &ConvGeometry) -> usize {
        match self {
            Self::Winograd(winograd) => winograd.weight_len(),
            _ => geometry.weight_len(),
        }
    }

    pub(crate) fn workspace_len(&self, len: usize) -> usize {
        match self {
            Self::Product(cut) | Self::Pointwise(cut) => cut.workspace_len(len),
            Self::Depthwise | Self::PointwiseBlas => 0,
            Self::Winograd(winograd) => winograd.workspace_len(),
        }
    }
}

/// What a pass reads and writes, checked.
pub(crate) struct Operands<'a> {
    /// The weights, or dy of the filter's pass.
    pub(crate) rows: &'a DeviceBuffer,
    /// x, or dy of the data's pass.
    pub(crate) image: &'a DeviceBuffer,
    pub(crate) epilogue: Epilogue,
    pub(crate) result: &'a Target<'a>,
    pub(crate) workspace: &'a Target<'a>,
}

/// Floats of a pass's result.
pub(crate) fn result_len(geometry: &ConvGeometry, pass: Pass) -> usize {
    match pass {
        Pass::Forward => geometry.output_len(),
        Pass::Data => geometry.input_len(),
        Pass::Filter => geometry.weight_len(),
    }
}

impl DeviceBackend {
    /// How a pass is computed, by sizes alone.
    pub(crate) fn convolution_plan_by_sizes(&self, geometry: &ConvGeometry, pass: Pass) -> Plan {
        let (tf32, multiprocessors) = (self.uses_tf32(), self.driver.multiprocessors());
        let cut = |sizes, products| Cut::new(sizes, products, tf32 && geometry.rank <= 2, multiprocessors);
        let algorithm = self.algorithm.filter(|algorithm| algorithm.supports(geometry));
        let forced = |wanted| algorithm == Some(wanted);
        let free = algorithm.is_none();
        let single = geometry.rank == 2 && geometry.group > 1 && geometry.group_inputs() == 1;
        if single && (free || forced(ConvAlgorithm::Depthwise)) {
            return Plan::Depthwise;
        }
        let groups = geometry.group as usize;
        let pointwise = ConvAlgorithm::Pointwise.supports(geometry);
        if pointwise && pass == Pass::Filter && (free || forced(ConvAlgorithm::Pointwise)) {
            return Plan::Pointwise(cut(extents(geometry, pass), groups));
        }
        if pointwise && pass != Pass::Filter {
            let [m, n, k] = extents(geometry, pass);
            let batch = geometry.batch as usize;
            let separate = cut([m, n / batch.max(1), k], batch * groups);
            // An image's last tile is the emptier the smaller the image; together they have one last tile.
            let pixels = geometry.input_pixels();
            let wasted = pixels.next_multiple_of(separate.tile.extent()) - pixels;
            let pays = batch == 1 || 8 * wasted <= pixels;
            if forced(ConvAlgorithm::Pointwise) || (free && pays) {
                return Plan::Pointwise(separate);
            }
        }
        if let Some(winograd) = Winograd::new(geometry, pass, tf32, multiprocessors)
            && (forced(ConvAlgorithm::Winograd) || (free && winograd.pays()))
        {
            return Plan::Winograd(winograd);
        }
        let phases = phases(geometry, pass).number() as usize;
        Plan::Product(cut(extents(geometry, pass), groups * phases))
    }

    pub(crate) fn convolution_pass(
        &self,
        geometry: &ConvGeometry,
        pass: Pass,
        plan: Plan,
        operands: &Operands<'_>,
    ) -> Result<()> {
        match plan {
            Plan::Product(cut) => self.convolution_product(geometry, pass, &cut, operands),
            Plan::Depthwise => self.depthwise(geometry, pass, operands),
            Plan::Pointwise(cut) => self.pointwise(geometry, pass, Some(&cut), operands),
            Plan::PointwiseBlas => self.pointwise(geometry, pass, None, operands),
            Plan::Winograd(winograd) => self.winograd(&winograd, operands),
        }
    }
}

/// The phases of a pass: several where it goes back through a stride.
pub(crate) fn phases(geometry: &ConvGeometry, pass: Pass) -> Phases {
    if pass != Pass::Data {
        return Phases::one();
    }
    let ConvGeometry { input, stride, dilation, .. } = geometry;
    let axes = |values, rest| last_axes(geometry, values, rest);
    Phases::new(axes(input, 1), axes(stride, 1), axes(dilation, 1))
}

/// Rows, columns and sums of one product: a group's, and of its largest phase.
pub(crate) fn extents(geometry: &ConvGeometry, pass: Pass) -> [usize; 3] {
    let (inputs, outputs, taps) = (geometry.group_inputs(), geometry.group_outputs(), geometry.taps());
    let batch = geometry.batch as usize;
    let made = batch * geometry.output_pixels();
    match pass {
        Pass::Forward => [outputs, made, inputs * taps],
        Pass::Data => {
            let axes = |extents| last_axes(geometry, extents, 1);
            let [pixels, taps] =
                phases(geometry, pass).largest(axes(&geometry.input), axes(&geometry.kernel));
            [inputs, batch * pixels, outputs * taps]
        }
        Pass::Filter => [outputs, inputs * taps, made],
    }
}

/// The first `rank` entries moved to the end, `rest` before them.
pub(crate) fn last_axes<T: Copy>(
    geometry: &ConvGeometry,
    values: &[T; MAX_SPATIAL],
    rest: T,
) -> [T; MAX_SPATIAL] {
    let first = MAX_SPATIAL - geometry.rank as usize;
    std::array::from_fn(|axis| if axis < first { rest } else { values[axis - first] })
}
