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
//! `pixel + pad` and `−tap · dilation`, and only sums that the stride divides are places of dy.

use super::DeviceBackend;
use super::call::{Parameter, Target};
use super::driver::Address;
use super::gemm::{self, Batch, Cut, Epilogue, Matrix, Tile};
use super::memory::DeviceBuffer;
use super::source::{
    CONVOLUTION_2D, CONVOLUTION_3D, CONVOLUTION_6D, CONVOLUTION_TF32, DEPTHWISE, GEMM, Module,
};
use super::winograd::Winograd;
use crate::cpu::ConvAlgorithm;
use crate::error::Result;
use crate::geometry::{ConvGeometry, MAX_SPATIAL};

/// Which of a convolution's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    Data,
    Filter,
}

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
            Plan::Winograd(_) => "Winograd F(4x4,3x3)",
            Plan::Product(Cut { tile: Tile::Tf32, .. }) => "implicit GEMM, TF32",
            Plan::Product(_) => "implicit GEMM",
        }
    }
}

/// How a pass is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    /// Seen through windows.
    Product(Cut),
    /// Where it is.
    Depthwise,
    /// As a batch of plain products: an image's pixels are columns.
    Pointwise(Cut),
    Winograd(Winograd),
}

impl Plan {
    pub(crate) fn workspace_len(&self, len: usize) -> usize {
        match self {
            Self::Product(cut) | Self::Pointwise(cut) => cut.workspace_len(len),
            Self::Depthwise => 0,
            Self::Winograd(winograd) => winograd.workspace_len(),
        }
    }
}

/// `Walk` of cu/convolution.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Walk {
    extent: [u32; MAX_SPATIAL],
    inner: u32,
    start: [i32; MAX_SPATIAL],
    scale: [i32; MAX_SPATIAL],
    outer: u32,
}

/// `Convolution` of cu/convolution.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Product {
    m: u32,
    n: u32,
    k: u32,
    columns: Walk,
    steps: Walk,
    extent: [i32; MAX_SPATIAL],
    stride: [i32; MAX_SPATIAL],
    divisor: [i32; MAX_SPATIAL],
    image: Address,
    rows: Address,
    row_stride: u32,
    row_outer: u32,
    image_group: u32,
    row_group: u32,
    result_group: u32,
    result: Address,
    result_row: u32,
    result_outer: u32,
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
    /// How a pass is computed.
    pub(crate) fn convolution_plan(&self, geometry: &ConvGeometry, pass: Pass) -> Plan {
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
        if pass != Pass::Filter && ConvAlgorithm::Pointwise.supports(geometry) {
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
        Plan::Product(cut(extents(geometry, pass), groups))
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
            Plan::Pointwise(cut) => self.pointwise(geometry, pass, &cut, operands),
            Plan::Winograd(winograd) => self.winograd(&winograd, operands),
        }
    }

    /// Images and groups are a batch of products: channels by channels times channels by pixels.
    fn pointwise(
        &self,
        geometry: &ConvGeometry,
        pass: Pass,
        cut: &Cut,
        operands: &Operands<'_>,
    ) -> Result<()> {
        let [m, _, k] = extents(geometry, pass).map(|extent| extent as u32);
        let pixels = geometry.input_pixels() as u32;
        let (rows, image) = (operands.rows, operands.image);
        let batch = Batch {
            sizes: [m, pixels, k],
            a: Matrix::new(rows.address(), [m, k], pass == Pass::Data).stepping(0, m * k),
            b: Matrix::new(image.address(), [pixels, k], true)
                .stepping(geometry.group * k * pixels, k * pixels),
            counts: [geometry.batch, geometry.group],
        };
        let mut call = self.call(&GEMM, gemm::kernel(cut.tile));
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
        let divided = product.divisor != [1; MAX_SPATIAL];
        let (module, kernel) = kernel(cut.tile, geometry.rank, divided);
        let mut call = self.call(module, kernel).value(&product);
        call.reads(operands.image);
        call.reads(operands.rows);
        call.writes(target, if parts { cut.workspace_len(len) } else { len });
        call.launch([cut.tiles[0], cut.tiles[1], geometry.group * cut.splits], 256)?;
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

/// Rows, columns and sums of one group's product.
fn extents(geometry: &ConvGeometry, pass: Pass) -> [usize; 3] {
    let (inputs, outputs, taps) = (geometry.group_inputs(), geometry.group_outputs(), geometry.taps());
    let batch = geometry.batch as usize;
    let (seen, made) = (batch * geometry.input_pixels(), batch * geometry.output_pixels());
    match pass {
        Pass::Forward => [outputs, made, inputs * taps],
        Pass::Data => [inputs, seen, outputs * taps],
        Pass::Filter => [outputs, inputs * taps, made],
    }
}

fn kernel(tile: Tile, rank: u32, divided: bool) -> (&'static Module, &'static str) {
    match (tile, rank, divided) {
        (Tile::Tf32, _, false) => (&CONVOLUTION_TF32, "convolution_tf32"),
        (Tile::Tf32, _, true) => (&CONVOLUTION_TF32, "convolution_tf32_divided"),
        (Tile::Large, 1..=2, false) => (&CONVOLUTION_2D, "convolution_128_2d"),
        (Tile::Large, 1..=2, true) => (&CONVOLUTION_2D, "convolution_128_2d_divided"),
        (Tile::Small, 1..=2, false) => (&CONVOLUTION_2D, "convolution_64_2d"),
        (Tile::Small, 1..=2, true) => (&CONVOLUTION_2D, "convolution_64_2d_divided"),
        (Tile::Large, 3, false) => (&CONVOLUTION_3D, "convolution_128_3d"),
        (Tile::Large, 3, true) => (&CONVOLUTION_3D, "convolution_128_3d_divided"),
        (Tile::Small, 3, false) => (&CONVOLUTION_3D, "convolution_64_3d"),
        (Tile::Small, 3, true) => (&CONVOLUTION_3D, "convolution_64_3d_divided"),
        (Tile::Large, _, false) => (&CONVOLUTION_6D, "convolution_128_6d"),
        (Tile::Large, _, true) => (&CONVOLUTION_6D, "convolution_128_6d_divided"),
        (Tile::Small, _, false) => (&CONVOLUTION_6D, "convolution_64_6d"),
        (Tile::Small, _, true) => (&CONVOLUTION_6D, "convolution_64_6d_divided"),
    }
}

/// All but the addresses and the cut.
fn product(geometry: &ConvGeometry, pass: Pass) -> Product {
    let [m, n, k] = extents(geometry, pass).map(|extent| extent as u32);
    let (inputs, outputs) = (geometry.group_inputs() as u32, geometry.group_outputs() as u32);
    let taps = geometry.taps() as u32;
    let (in_pixels, out_pixels) = (geometry.input_pixels() as u32, geometry.output_pixels() as u32);
    let (input, output) = (Image::new(geometry, &geometry.input), Image::new(geometry, &geometry.output()));
    let kernel = Image::new(geometry, &geometry.kernel);
    let signed =
        |values: &[u32; MAX_SPATIAL], rest: i32| last_axes(geometry, &values.map(|value| value as i32), rest);
    let (stride, dilation) = (signed(&geometry.stride, 0), signed(&geometry.dilation, 0));
    let pad = signed(&geometry.pad, 0);
    let negative = |values: [i32; MAX_SPATIAL]| values.map(|value| -value);
    let none = [0; MAX_SPATIAL];
    let walk = |image: &Image, start, scale, outer| Walk {
        extent: image.extent,
        inner: image.extent.iter().product(),
        start,
        scale,
        outer,
    };
    let seen = if pass == Pass::Data { &output } else { &input };
    let common = Product {
        m,
        n,
        k,
        columns: walk(&kernel, none, none, 0),
        steps: walk(&kernel, none, none, 0),
        extent: seen.extent.map(|extent| extent as i32),
        stride: seen.strides(),
        divisor: [1; MAX_SPATIAL],
        image: 0,
        rows: 0,
        row_stride: 0,
        row_outer: 0,
        image_group: 0,
        row_group: 0,
        result_group: 0,
        result: 0,
        result_row: 0,
        result_outer: 0,
        splits: 1,
        part: k,
        part_stride: 0,
        epilogue: Epilogue::adding(false),
    };
    match pass {
        Pass::Forward => Product {
            columns: walk(&output, negative(pad), stride, geometry.input_channels * in_pixels),
            steps: walk(&kernel, none, dilation, in_pixels),
            row_stride: k,
            row_outer: taps,
            image_group: inputs * in_pixels,
            row_group: outputs * k,
            result_group: outputs * out_pixels,
            result_row: out_pixels,
            result_outer: geometry.output_channels * out_pixels,
            ..common
        },
        Pass::Data => Product {
            columns: walk(
                &input,
                pad,
                last_axes(geometry, &[1; MAX_SPATIAL], 0),
                geometry.output_channels * out_pixels,
            ),
            steps: walk(&kernel, none, negative(dilation), out_pixels),
            divisor: signed(&geometry.stride, 1),
            row_stride: taps,
            row_outer: inputs * taps,
            image_group: outputs * out_pixels,
            row_group: outputs * inputs * taps,
            result_group: inputs * in_pixels,
            result_row: in_pixels,
            result_outer: geometry.input_channels * in_pixels,
            ..common
        },
        Pass::Filter => Product {
            columns: walk(&kernel, negative(pad), dilation, in_pixels),
            steps: walk(&output, none, stride, geometry.input_channels * in_pixels),
            row_stride: out_pixels,
            row_outer: geometry.output_channels * out_pixels,
            image_group: inputs * in_pixels,
            row_group: outputs * out_pixels,
            result_group: outputs * n,
            result_row: n,
            result_outer: taps,
            ..common
        },
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
    fn strides(&self) -> [i32; MAX_SPATIAL] {
        let mut strides = [1; MAX_SPATIAL];
        for axis in (0..MAX_SPATIAL - 1).rev() {
            strides[axis] = strides[axis + 1] * self.extent[axis + 1] as i32;
        }
        strides
    }
}

/// The first `rank` entries moved to the end, `rest` before them.
fn last_axes<T: Copy>(geometry: &ConvGeometry, values: &[T; MAX_SPATIAL], rest: T) -> [T; MAX_SPATIAL] {
    let first = MAX_SPATIAL - geometry.rank as usize;
    std::array::from_fn(|axis| if axis < first { rest } else { values[axis - first] })
}
