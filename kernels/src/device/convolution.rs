//! Launches of `cu/convolution_*.cu` and `cu/depthwise.cu`: a convolution's three passes as one product.
//!
//! Each pass is `result[m][n] = Σₖ rows[m][k] · image[place(n) + place(k)]`:
//!
//! | pass | rows | image | m | n | k |
//! | --- | --- | --- | --- | --- | --- |
//! | forward | weights | x | output channel | image, output pixel | input channel, tap |
//! | data | weights | dy | input channel | image, input pixel | output channel, tap |
//! | filter | dy | x | output channel | input channel, tap | image, output pixel |
//!
//! Going forward, a pixel's place is `pixel · stride − pad` and a tap's `tap · dilation`. On the way back to the data it is
//! `pixel + pad` and `−tap · dilation`, and only sums that the stride divides are places of dy: [`phases`](super::phases) says
//! which pixels and taps those are, and makes a product of each kind.

use super::DeviceBackend;
use super::call::{Parameter, Target};
use super::driver::Address;
use super::gemm::{Batch, Cut, Epilogue, Matrix, Tile};
use super::memory::DeviceBuffer;
use super::phases::Phases;
use super::source::{CONVOLUTION_2D, CONVOLUTION_3D, CONVOLUTION_6D, CONVOLUTION_TF32, DEPTHWISE, Module};
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

/// `Walk` of cu/convolution.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Walk {
    count: u32,
    extent: [u32; MAX_SPATIAL],
    scale: [i32; MAX_SPATIAL],
    outer: u32,
    other: [u32; MAX_SPATIAL],
    other_outer: u32,
}

impl Walk {
    /// Along each axis, every so manieth position only.
    fn every(self, step: [u32; MAX_SPATIAL]) -> Self {
        Self { other: std::array::from_fn(|axis| self.other[axis] * step[axis]), ..self }
    }
}

/// `Convolution` of cu/convolution.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Product {
    m: u32,
    columns: Walk,
    steps: Walk,
    start: [i32; MAX_SPATIAL],
    phases: Phases,
    extent: [i32; MAX_SPATIAL],
    stride: [i32; MAX_SPATIAL],
    image: Address,
    rows: Address,
    row_stride: u32,
    image_group: u32,
    row_group: u32,
    result_group: u32,
    result: Address,
    result_row: u32,
    splits: u32,
    part: u32,
    part_stride: u32,
    epilogue: Epilogue,
}

// SAFETY: as cu/convolution.cuh has it.
unsafe impl Parameter for Product {}

/// `Depthwise` of cu/depthwise.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Depthwise {
    batch: u32,
    input_channels: u32,
    output_channels: u32,
    input: [u32; 2],
    output: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    pad: [u32; 2],
    dilation: [u32; 2],
}

// SAFETY: as cu/depthwise.cu has it.
unsafe impl Parameter for Depthwise {}

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
            if separate.fits(batch * groups) && (forced(ConvAlgorithm::Pointwise) || (free && pays)) {
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

    /// Groups are a batch of products. On the way to the weights channels by pixels times pixels by channels, of all images; else
    /// images are a batch too, of channels by channels times channels by pixels. Without a cut they are cuBLAS's.
    fn pointwise(
        &self,
        geometry: &ConvGeometry,
        pass: Pass,
        cut: Option<&Cut>,
        operands: &Operands<'_>,
    ) -> Result<()> {
        let [m, n, k] = extents(geometry, pass).map(|extent| extent as u32);
        let pixels = geometry.input_pixels() as u32;
        let (rows, image) = (operands.rows, operands.image);
        let batch = if pass == Pass::Filter {
            let channels = |buffer: &DeviceBuffer, of_group: u32| {
                Matrix::in_runs(buffer.address(), of_group, pixels, geometry.group * of_group * pixels)
                    .stepping(0, of_group * pixels)
            };
            Batch {
                sizes: [m, n, k],
                a: channels(rows, m),
                b: channels(image, n),
                counts: [1, geometry.group],
            }
        } else {
            Batch {
                sizes: [m, pixels, k],
                a: Matrix::new(rows.address(), [m, k], pass == Pass::Data).stepping(0, m * k),
                b: Matrix::new(image.address(), [pixels, k], true)
                    .stepping(geometry.group * k * pixels, k * pixels),
                counts: [geometry.batch, geometry.group],
            }
        };
        let Some(cut) = cut else {
            return self.batch_by_blas(&batch, operands.epilogue, operands.result);
        };
        let mut call = self.gemm_call(cut.tile);
        call.reads(rows);
        call.reads(image);
        self.batch(call, &batch, cut, operands.epilogue, operands.result, operands.workspace)
    }

    fn convolution_product(
        &self,
        geometry: &ConvGeometry,
        pass: Pass,
        cut: &Cut,
        operands: &Operands<'_>,
    ) -> Result<()> {
        let len = result_len(geometry, pass);
        let parts = cut.splits > 1;
        let target = if parts { operands.workspace } else { operands.result };
        let product = Product {
            image: operands.image.address(),
            rows: operands.rows.address(),
            result: target.address(),
            splits: cut.splits,
            part: cut.part,
            part_stride: if parts { len as u32 } else { 0 },
            epilogue: operands.epilogue,
            ..product(geometry, pass)
        };
        let (module, kernel) = kernel(cut.tile, geometry.rank);
        let mut call = self.call(module, kernel).value(&product);
        call.reads(operands.image);
        call.reads(operands.rows);
        call.writes(target, if parts { cut.workspace_len(len) } else { len });
        let across = cut.tiles[0] * product.phases.number();
        call.launch([across, cut.tiles[1], geometry.group * cut.splits], 256)?;
        self.add_parts(cut, operands.epilogue, operands.result, operands.workspace, len)
    }

    fn depthwise(&self, geometry: &ConvGeometry, pass: Pass, operands: &Operands<'_>) -> Result<()> {
        let pair = |values: &[u32; MAX_SPATIAL]| [values[0], values[1]];
        let sizes = Depthwise {
            batch: geometry.batch,
            input_channels: geometry.input_channels,
            output_channels: geometry.output_channels,
            input: pair(&geometry.input),
            output: pair(&geometry.output()),
            kernel: pair(&geometry.kernel),
            stride: pair(&geometry.stride),
            pad: pair(&geometry.pad),
            dilation: pair(&geometry.dilation),
        };
        let Operands { rows, image, epilogue, result, .. } = operands;
        let len = result_len(geometry, pass);
        let count = len as u32;
        if pass == Pass::Filter {
            let call = self.call(&DEPTHWISE, "depthwise_backward_filter").value(&sizes);
            let call = call.input(image).input(rows).value(epilogue).output(result, len);
            return call.blocks(len, geometry.batch as usize * geometry.output_pixels());
        }
        let kernel = if pass == Pass::Forward { "depthwise_forward" } else { "depthwise_backward_data" };
        let call = self.call(&DEPTHWISE, kernel).value(&sizes).count(count as usize);
        call.input(rows).input(image).value(epilogue).output(result, len).over(len)
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

fn kernel(tile: Tile, rank: u32) -> (&'static Module, &'static str) {
    match (tile, rank) {
        (Tile::Tf32, _) => (&CONVOLUTION_TF32, "convolution_tf32"),
        (Tile::Large, 1..=2) => (&CONVOLUTION_2D, "convolution_128_2d"),
        (Tile::Small, 1..=2) => (&CONVOLUTION_2D, "convolution_64_2d"),
        (Tile::Large, 3) => (&CONVOLUTION_3D, "convolution_128_3d"),
        (Tile::Small, 3) => (&CONVOLUTION_3D, "convolution_64_3d"),
        (Tile::Large, _) => (&CONVOLUTION_6D, "convolution_128_6d"),
        (Tile::Small, _) => (&CONVOLUTION_6D, "convolution_64_6d"),
    }
}

/// All but the addresses and the cut.
fn product(geometry: &ConvGeometry, pass: Pass) -> Product {
    let [m, n, k] = extents(geometry, pass).map(|extent| extent as u32);
    let (inputs, outputs) = (geometry.group_inputs() as u32, geometry.group_outputs() as u32);
    let taps = geometry.taps() as u32;
    let (in_pixels, out_pixels) = (geometry.input_pixels() as u32, geometry.output_pixels() as u32);
    let (in_image, out_image) = (geometry.input_channels * in_pixels, geometry.output_channels * out_pixels);
    let input = Image::new(geometry, &geometry.input);
    let output = Image::new(geometry, &geometry.output());
    let kernel = Image::new(geometry, &geometry.kernel);
    let signed = |values: &[u32; MAX_SPATIAL]| last_axes(geometry, &values.map(|value| value as i32), 0);
    let (stride, dilation) = (signed(&geometry.stride), signed(&geometry.dilation));
    let pad = signed(&geometry.pad);
    let before = pad.map(|pad| -pad);
    let phases = phases(geometry, pass);
    // Columns and steps; the place of the first column, and the image that is seen.
    let (columns, steps, start, seen) = match pass {
        Pass::Forward => (
            output.walk(geometry.batch, stride, in_image, out_image),
            kernel.walk(inputs, dilation, in_pixels, taps),
            before,
            &input,
        ),
        Pass::Data => (
            input.walk(geometry.batch, [1; MAX_SPATIAL], out_image, in_image).every(phases.stride),
            kernel.walk(outputs, phases.tap_scale(), out_pixels, inputs * taps).every(phases.period),
            pad,
            &output,
        ),
        Pass::Filter => (
            kernel.walk(inputs, dilation, in_pixels, taps),
            output.walk(geometry.batch, stride, in_image, out_image),
            before,
            &input,
        ),
    };
    let [row_stride, image_group, row_group, result_group, result_row] = match pass {
        Pass::Forward => [k, inputs * in_pixels, outputs * k, outputs * out_pixels, out_pixels],
        Pass::Data => [taps, outputs * out_pixels, outputs * inputs * taps, inputs * in_pixels, in_pixels],
        Pass::Filter => [out_pixels, inputs * in_pixels, outputs * out_pixels, outputs * n, n],
    };
    Product {
        m,
        columns,
        steps,
        start,
        phases,
        extent: seen.extent.map(|extent| extent as i32),
        stride: seen.strides().map(|stride| stride as i32),
        image: 0,
        rows: 0,
        row_stride,
        image_group,
        row_group,
        result_group,
        result: 0,
        result_row,
        splits: 1,
        part: k,
        part_stride: 0,
        epilogue: Epilogue::adding(false),
    }
}

/// Extents at the end of the kernel's six axes; those before them are 1.
struct Image {
    extent: [u32; MAX_SPATIAL],
}

impl Image {
    fn new(geometry: &ConvGeometry, extents: &[u32; MAX_SPATIAL]) -> Self {
        Self { extent: last_axes(geometry, extents, 1) }
    }

    /// Floats from one position to the next along each axis.
    fn strides(&self) -> [u32; MAX_SPATIAL] {
        let mut strides = [1; MAX_SPATIAL];
        for axis in (0..MAX_SPATIAL - 1).rev() {
            strides[axis] = strides[axis + 1] * self.extent[axis + 1];
        }
        strides
    }

    /// `count` of them, one after the other: `outer` floats of the seen image apart, and `other_outer` of what else is walked
    /// along.
    fn walk(&self, count: u32, scale: [i32; MAX_SPATIAL], outer: u32, other_outer: u32) -> Walk {
        Walk { count, extent: self.extent, scale, outer, other: self.strides(), other_outer }
    }
}

/// The first `rank` entries moved to the end, `rest` before them.
fn last_axes<T: Copy>(geometry: &ConvGeometry, values: &[T; MAX_SPATIAL], rest: T) -> [T; MAX_SPATIAL] {
    let first = MAX_SPATIAL - geometry.rank as usize;
    std::array::from_fn(|axis| if axis < first { rest } else { values[axis - first] })
}
