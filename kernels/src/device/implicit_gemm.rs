//! Launches of `cu/convolution_*.cu`: a convolution's pass as one product, whose image is seen through windows.
//!
//! Going forward, a pixel's place is `pixel · stride − pad` and a tap's `tap · dilation`. On the way back to the data it is
//! `pixel + pad` and `−tap · dilation`, and only sums that the stride divides are places of dy: [`phases`](super::phases) says
//! which pixels and taps those are, and makes a product of each kind.

use super::DeviceBackend;
use super::call::Parameter;
use super::convolution::{Operands, Pass, extents, last_axes, phases, result_len};
use super::driver::Address;
use super::gemm::{Cut, Epilogue, Tile};
use super::phases::Phases;
use super::source::{CONVOLUTION_2D, CONVOLUTION_3D, CONVOLUTION_6D, CONVOLUTION_TF32, Module};
use crate::error::Result;
use crate::geometry::{ConvGeometry, MAX_SPATIAL};

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
    across: u32,
    down: u32,
    splits: u32,
    part: u32,
    part_stride: u32,
    epilogue: Epilogue,
}

// SAFETY: as cu/convolution.cuh has it.
unsafe impl Parameter for Product {}

impl DeviceBackend {
    pub(super) fn convolution_product(
        &self,
        geometry: &ConvGeometry,
        pass: Pass,
        cut: &Cut,
        operands: &Operands<'_>,
    ) -> Result<()> {
        let len = result_len(geometry, pass);
        let parts = cut.splits > 1;
        let target = if parts { operands.workspace } else { operands.result };
        let product = product(geometry, pass);
        let product = Product {
            image: operands.image.address(),
            rows: operands.rows.address(),
            result: target.address(),
            across: cut.tiles[0] * product.phases.number(),
            down: cut.tiles[1],
            splits: cut.splits,
            part: cut.part,
            part_stride: if parts { len as u32 } else { 0 },
            epilogue: operands.epilogue,
            ..product
        };
        let (module, kernel) = kernel(cut.tile, geometry.rank);
        let mut call = self.call(module, kernel).value(&product);
        call.reads(operands.image);
        call.reads(operands.rows);
        call.writes(target, if parts { cut.workspace_len(len) } else { len });
        call.launch(cut.grid(geometry.group, product.phases.number()), 256)?;
        self.add_parts(cut, operands.epilogue, operands.result, operands.workspace, len)
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
        across: 1,
        down: 1,
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
