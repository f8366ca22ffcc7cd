//! Launches of `cu/gemm.cu`: which tile, into how many parts the sum is cut, and where the parts go.

use super::DeviceBackend;
use super::call::{Call, Parameter, Target};
use super::driver::{Address, Extents};
use super::memory::DeviceBuffer;
use super::source::{GEMM, GEMM_1_NAIVE, GEMM_2_TILES, GEMM_3_REGISTERS, GEMM_WGMMA, Module};
use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::geometry::{GemmGeometry, InnerProductGeometry};

/// The versions of the product that `cu/README.md` goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GemmVersion {
    /// A thread an element, everything from global memory.
    Naive,
    /// Tiles in shared memory.
    Tiles,
    /// 8×8 elements a thread in registers.
    Registers,
}

/// What happens to sums on their way out: `Epilogue` of cu/tiles.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Epilogue {
    bias: Address,
    divisor: u32,
    modulo: u32,
    alpha: f32,
    beta: f32,
    finish: u32,
    terms: [f32; 2],
}

// SAFETY: as cu/tiles.cuh has it.
unsafe impl Parameter for Epilogue {}

impl Epilogue {
    /// `c = alpha · sum + beta · c`.
    pub(crate) fn scaled(alpha: f32, beta: f32) -> Self {
        Self { bias: 0, divisor: 1, modulo: 1, alpha, beta, finish: 0, terms: [0.0; 2] }
    }

    /// `c = sum`, or added to what is there.
    pub(crate) fn adding(accumulate: bool) -> Self {
        Self::scaled(1.0, f32::from(u8::from(accumulate)))
    }

    /// With a bias for element i of c: entry `(i / divisor) % modulo`.
    pub(crate) fn with_bias(self, bias: Option<&DeviceBuffer>, divisor: usize, modulo: usize) -> Self {
        let bias = bias.map_or(0, DeviceBuffer::address);
        Self { bias, divisor: divisor as u32, modulo: modulo as u32, ..self }
    }

    /// Alpha and beta, which every library's product has, and what then remains to be done.
    pub(crate) fn apart(self) -> ([f32; 2], Option<Self>) {
        let rest = Self { alpha: 1.0, beta: 0.0, ..self };
        ([self.alpha, self.beta], (self.bias != 0 || self.finish != 0).then_some(rest))
    }

    /// With what of an activation can be done at once; the rest must follow.
    pub(crate) fn with_activation(self, activation: Activation) -> (Self, Activation) {
        let (finish, terms) = match activation {
            Activation::Relu => (1, [0.0; 2]),
            Activation::LeakyRelu { slope } => (2, [slope, 0.0]),
            Activation::Relu6 => (3, [0.0, 6.0]),
            Activation::Clip { low, high } => (3, [low, high]),
            rest => return (self, rest),
        };
        (Self { finish, terms, ..self }, Activation::Identity)
    }
}

/// One operand: `Matrix` of cu/gemm.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub(crate) at: Address,
    pub(crate) along: u32,
    pub(crate) down: u32,
    pub(crate) outer: u32,
    pub(crate) inner: u32,
    aligned: u32,
    run: u32,
    next_run: u32,
}

impl Matrix {
    /// An operand of `extent` rows (of the left one) or columns (of the right one), whose sums have length k. They lie side by
    /// side, or else each in one piece.
    pub(crate) fn new(at: Address, [extent, k]: [u32; 2], side_by_side: bool) -> Self {
        Self {
            at,
            along: if side_by_side { 1 } else { k },
            down: if side_by_side { extent } else { 1 },
            outer: 0,
            inner: 0,
            aligned: u32::from(
                if side_by_side { extent } else { k }.is_multiple_of(4) && at.is_multiple_of(16),
            ),
            run: 0,
            next_run: 0,
        }
    }

    /// Of `extent` rows or columns, whose sums come in runs of `run` floats, `next_run` floats apart.
    pub(crate) fn in_runs(at: Address, extent: u32, run: u32, next_run: u32) -> Self {
        if run == 1 {
            return Self { down: next_run, ..Self::new(at, [extent, 1], true) };
        }
        Self { along: run, run, next_run, ..Self::new(at, [extent, run], false) }
    }

    /// Of a batch: floats from one product to the next.
    pub(crate) fn stepping(self, outer: u32, inner: u32) -> Self {
        let aligned = self.aligned * u32::from(outer.is_multiple_of(4) && inner.is_multiple_of(4));
        Self { outer, inner, aligned, ..self }
    }
}

/// Products of the same sizes.
pub(crate) struct Batch {
    /// m, n, k.
    pub(crate) sizes: [u32; 3],
    pub(crate) a: Matrix,
    pub(crate) b: Matrix,
    /// Outer and inner products.
    pub(crate) counts: [u32; 2],
}

/// `Gemm` of cu/gemm.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Gemm {
    m: u32,
    n: u32,
    k: u32,
    a: Matrix,
    b: Matrix,
    c: Address,
    across: u32,
    down: u32,
    splits: u32,
    inner_count: u32,
    part: u32,
    part_stride: u32,
    epilogue: Epilogue,
}

// SAFETY: as cu/gemm.cuh has it.
unsafe impl Parameter for Gemm {}

/// A square tile of the result, and how it is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tile {
    Small,
    Large,
    Tf32,
}

impl Tile {
    /// The tile for a product of m×n. A large one reads each operand half as often; a small one wastes less at the borders and
    /// makes four times the blocks.
    pub(crate) fn choose(m: usize, n: usize, tf32: bool) -> Self {
        match (m > 64 && n > 64, tf32) {
            (false, _) => Self::Small,
            (true, false) => Self::Large,
            (true, true) => Self::Tf32,
        }
    }

    pub(crate) fn extent(self) -> usize {
        if self == Self::Small { 64 } else { 128 }
    }

    /// Steps of the sum in a slice.
    fn depth(self) -> usize {
        if self == Self::Large { 8 } else { 16 }
    }
}

/// How a product is cut among blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) tile: Tile,
    /// Into how many parts each sum is cut, and how long they are.
    pub(crate) splits: u32,
    pub(crate) part: u32,
    /// Tiles across and down.
    pub(crate) tiles: [u32; 2],
}

impl Cut {
    /// For `products` products of m×n, sums of length k, on so many multiprocessors. Sizes alone decide, so the same sizes give
    /// the same bits on the same kind of device.
    pub(crate) fn new([m, n, k]: [usize; 3], products: usize, tf32: bool, multiprocessors: u32) -> Self {
        /// Shorter parts would spend their time on writing and adding up.
        const SHORTEST: usize = 256;
        const MOST: usize = 64;
        let tile = Tile::choose(m, n, tf32);
        let tiles = [n, m].map(|extent| extent.div_ceil(tile.extent()));
        let blocks = (tiles[0] * tiles[1] * products).max(1);
        let wanted = (2 * multiprocessors as usize) / blocks;
        Self::of(tile, [m, n, k], wanted.min(k / SHORTEST).clamp(1, MOST))
    }

    /// With these tiles, and sums cut into so many parts or as many as whole slices make.
    pub(crate) fn of(tile: Tile, [m, n, k]: [usize; 3], splits: usize) -> Self {
        let tiles = [n, m].map(|extent| extent.div_ceil(tile.extent()));
        let part = k.div_ceil(splits).next_multiple_of(tile.depth()).max(tile.depth());
        let splits = k.div_ceil(part).max(1);
        Self { tile, splits: splits as u32, part: part as u32, tiles: tiles.map(|count| count as u32) }
    }

    /// The blocks for so many products, of `phases` phases each: all along the grid's first axis, which has room for 2³¹ − 1.
    /// The others end at 65535, and rows would at 4 million. What 32 bits cannot count becomes a number that drivers refuse.
    pub(crate) fn grid(&self, products: u32, phases: u32) -> Extents {
        let [across, down] = self.tiles;
        let counts = [across, phases, down, self.splits, products];
        [counts.into_iter().fold(1, u32::saturating_mul), 1, 1]
    }

    /// The same tiles for sums, of length k, in one part.
    pub(crate) fn whole(self, k: usize) -> Self {
        Self { splits: 1, part: k.next_multiple_of(self.tile.depth()).max(self.tile.depth()) as u32, ..self }
    }

    /// The same for another number of columns.
    pub(crate) fn with_columns(self, n: usize) -> Self {
        Self { tiles: [n.div_ceil(self.tile.extent()) as u32, self.tiles[1]], ..self }
    }

    /// Floats of workspace for the parts of a result of `len`.
    pub(crate) fn workspace_len(&self, len: usize) -> usize {
        if self.splits > 1 { self.splits as usize * len } else { 0 }
    }
}

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProductPlan {
    /// By our kernels.
    Tiles(Cut),
    /// By cuBLAS.
    Blas,
}

impl ProductPlan {
    /// Floats of workspace for a result of `len`.
    pub(crate) fn workspace_len(&self, len: usize) -> usize {
        match self {
            Self::Tiles(cut) => cut.workspace_len(len),
            Self::Blas => 0,
        }
    }
}

impl DeviceBackend {
    /// `C = A · B` for row-major m×k and k×n, by one of the versions of the product that are kept for what they teach.
    pub fn gemm_version(
        &self,
        version: GemmVersion,
        [m, n, k]: [u32; 3],
        a: &Buffer,
        b: &Buffer,
        c: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "gemm_version";
        /// Blocks along a grid's second axis.
        const MOST_DOWN: u32 = 65_535;
        let [rows, columns, depth] = [m, n, k].map(|extent| extent as usize);
        let (a, b) = (self.take(OP, "a", a, rows * depth)?, self.take(OP, "b", b, depth * columns)?);
        let c = self.take_mut(OP, "c", c, rows * columns)?;
        let (call, tile) = match version {
            GemmVersion::Naive => (self.call(&GEMM_1_NAIVE, "gemm_1_naive"), 16),
            GemmVersion::Tiles => (self.call(&GEMM_2_TILES, "gemm_2_tiles"), 32),
            GemmVersion::Registers => (self.call(&GEMM_3_REGISTERS, "gemm_3_registers"), 128),
        };
        let grid = [n.div_ceil(tile), m.div_ceil(tile), 1];
        if grid[1] > MOST_DOWN {
            let what = format!("{m} rows are {} tiles of {tile}; {MOST_DOWN} are possible", grid[1]);
            return Err(Error::geometry(OP, what));
        }
        let call = call
            .count(m as usize)
            .count(n as usize)
            .count(k as usize)
            .input(a)
            .input(b)
            .output(&c, rows * columns);
        call.launch(grid, 256)
    }

    /// The call of the kernel for a tile.
    pub(crate) fn gemm_call(&self, tile: Tile) -> Call<'_> {
        let (module, kernel): (&'static Module, _) = match tile {
            Tile::Small => (&GEMM, "gemm_64"),
            Tile::Large => (&GEMM, "gemm_128"),
            Tile::Tf32 if self.driver.has_wgmma() => (&GEMM_WGMMA, "gemm_wgmma"),
            Tile::Tf32 => (&GEMM, "gemm_tf32"),
        };
        self.call(module, kernel)
    }

    /// The product, operands checked: `workspace` is as long as the plan asks for.
    pub(crate) fn product(
        &self,
        geometry: &GemmGeometry,
        plan: &ProductPlan,
        [a, b]: [&DeviceBuffer; 2],
        epilogue: Epilogue,
        c: &Target<'_>,
        workspace: &Target<'_>,
    ) -> Result<()> {
        let GemmGeometry { m, n, k, transpose_a, transpose_b, .. } = *geometry;
        let batch = Batch {
            sizes: [m, n, k],
            a: Matrix::new(a.address(), [m, k], transpose_a),
            b: Matrix::new(b.address(), [n, k], !transpose_b),
            counts: [1, 1],
        };
        match plan {
            ProductPlan::Tiles(cut) => {
                let mut call = self.gemm_call(cut.tile);
                call.reads(a);
                call.reads(b);
                self.batch(call, &batch, cut, epilogue, c, workspace)
            }
            ProductPlan::Blas => self.batch_by_blas(&batch, epilogue, c),
        }
    }

    /// A batch of products, one behind the other in `c`; `call` knows what they read.
    pub(crate) fn batch(
        &self,
        call: Call<'_>,
        batch: &Batch,
        cut: &Cut,
        epilogue: Epilogue,
        c: &Target<'_>,
        workspace: &Target<'_>,
    ) -> Result<()> {
        let [m, n, k] = batch.sizes;
        let products = batch.counts[0] * batch.counts[1];
        let len = products as usize * m as usize * n as usize;
        let parts = cut.splits > 1;
        let target = if parts { workspace } else { c };
        let gemm = Gemm {
            m,
            n,
            k,
            a: batch.a,
            b: batch.b,
            c: target.address(),
            across: cut.tiles[0],
            down: cut.tiles[1],
            splits: cut.splits,
            inner_count: batch.counts[1],
            part: cut.part,
            part_stride: if parts { len as u32 } else { 0 },
            epilogue,
        };
        let mut call = call.value(&gemm);
        call.writes(target, if parts { cut.workspace_len(len) } else { len });
        call.launch(cut.grid(products, 1), 256)?;
        self.add_parts(cut, epilogue, c, workspace, len)
    }

    /// The second half of a product that is cut into parts.
    pub(crate) fn add_parts(
        &self,
        cut: &Cut,
        epilogue: Epilogue,
        c: &Target<'_>,
        workspace: &Target<'_>,
        len: usize,
    ) -> Result<()> {
        if cut.splits < 2 {
            return Ok(());
        }
        let count = len as u32;
        let call: Call<'_> =
            self.call(&GEMM, "add_parts").count(count as usize).count(cut.splits as usize).source(workspace);
        call.value(&epilogue).output(c, len).over(len)
    }

    /// The product that an inner product is.
    pub(crate) fn inner_product_gemm(geometry: &InnerProductGeometry) -> GemmGeometry {
        let InnerProductGeometry { batch, inputs, outputs, transpose } = *geometry;
        GemmGeometry { transpose_b: !transpose, ..GemmGeometry::new(batch, outputs, inputs) }
    }

    /// The product that gives the gradient of an inner product's weights, in the order in which they lie.
    pub(crate) fn inner_product_filter_gemm(geometry: &InnerProductGeometry) -> GemmGeometry {
        let InnerProductGeometry { batch, inputs, outputs, transpose } = *geometry;
        let (m, n) = if transpose { (inputs, outputs) } else { (outputs, inputs) };
        GemmGeometry { transpose_a: true, ..GemmGeometry::new(m, n, batch) }
    }
}
