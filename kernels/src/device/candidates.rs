//! What there is to choose from: every way in which a product or a convolution's pass can be computed, and is worth trying.

use std::fmt;

use super::DeviceBackend;
use super::convolution::{Pass, Plan, extents, phases};
use super::gemm::{Cut, ProductPlan, Tile};
use super::winograd::Winograd;
use crate::cpu::ConvAlgorithm;
use crate::geometry::{ConvGeometry, GemmGeometry};

/// One of several ways. Names tell those of a shape apart, and stay the same from one run to the next.
pub(crate) trait Candidate: Copy {
    /// In a word or two.
    fn name(&self) -> String;
}

impl Candidate for Cut {
    fn name(&self) -> String {
        let tile = match self.tile {
            Tile::Small => "64",
            Tile::Large => "128",
            Tile::Tf32 => "128 TF32",
        };
        format!("{tile} in {}", self.splits)
    }
}

impl Candidate for ProductPlan {
    fn name(&self) -> String {
        match self {
            Self::Tiles(cut) => format!("tiles of {}", cut.name()),
            Self::Blas => "cuBLAS".to_owned(),
        }
    }
}

impl Candidate for Plan {
    fn name(&self) -> String {
        match self {
            Self::Product(cut) => format!("implicit GEMM, tiles of {}", cut.name()),
            Self::Depthwise => "depthwise".to_owned(),
            Self::Pointwise(cut) => format!("1x1 GEMM, tiles of {}", cut.name()),
            Self::PointwiseBlas => "1x1 GEMM, cuBLAS".to_owned(),
            Self::Winograd(winograd) if winograd.by_blas => "Winograd, cuBLAS".to_owned(),
            Self::Winograd(_) => "Winograd".to_owned(),
        }
    }
}

/// What of a product decides how fast it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProductShape {
    sizes: [u32; 3],
    transpose: [bool; 2],
    pub(crate) tf32: bool,
}

impl ProductShape {
    pub(crate) fn new(geometry: &GemmGeometry, tf32: bool) -> Self {
        let GemmGeometry { m, n, k, transpose_a, transpose_b, .. } = *geometry;
        Self { sizes: [m, n, k], transpose: [transpose_a, transpose_b], tf32 }
    }

    pub(crate) fn geometry(&self) -> GemmGeometry {
        let [m, n, k] = self.sizes;
        let [transpose_a, transpose_b] = self.transpose;
        GemmGeometry { transpose_a, transpose_b, ..GemmGeometry::new(m, n, k) }
    }

    pub(crate) fn extents(&self) -> [usize; 3] {
        self.sizes.map(|extent| extent as usize)
    }

    /// Floats of A, B and C.
    pub(crate) fn lens(&self) -> [usize; 3] {
        let [m, n, k] = self.extents();
        [m * k, n * k, m * n]
    }
}

impl fmt::Display for ProductShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([m, n, k], [a, b]) = (self.sizes, self.transpose.map(|turned| if turned { "T" } else { "" }));
        write!(f, "product A{a} B{b}, {m}x{n}, sums of {k}, {}", arithmetic(self.tf32))
    }
}

/// A convolution's pass in a line.
pub(crate) fn convolution_shape(geometry: &ConvGeometry, pass: Pass, tf32: bool) -> String {
    let rank = geometry.rank as usize;
    let axes = |values: &[u32]| values[..rank].iter().map(u32::to_string).collect::<Vec<_>>().join("x");
    let ConvGeometry { batch, input_channels, output_channels, group, .. } = geometry;
    let pass = match pass {
        Pass::Forward => "forward",
        Pass::Data => "backward data",
        Pass::Filter => "backward filter",
    };
    format!(
        "convolution {pass}, {batch} x {input_channels} x {} to {output_channels}, group {group}, kernel {}, stride {}, \
         pad {}, dilation {}, {}",
        axes(&geometry.input),
        axes(&geometry.kernel),
        axes(&geometry.stride),
        axes(&geometry.pad),
        axes(&geometry.dilation),
        arithmetic(tf32),
    )
}

fn arithmetic(tf32: bool) -> &'static str {
    if tf32 { "TF32" } else { "f32" }
}

/// The first of each list is what sizes alone choose.
impl DeviceBackend {
    pub(crate) fn product_candidates(&self, shape: &ProductShape) -> Vec<ProductPlan> {
        let mut plans = vec![self.product_plan_by_sizes(shape)];
        add(&mut plans, self.cuts(shape.extents(), 1, shape.tf32).into_iter().map(ProductPlan::Tiles));
        add(&mut plans, self.blas().map(|_| ProductPlan::Blas));
        plans
    }

    pub(crate) fn convolution_candidates(&self, geometry: &ConvGeometry, pass: Pass) -> Vec<Plan> {
        let mut plans = vec![self.convolution_plan_by_sizes(geometry, pass)];
        let (groups, batch) = (geometry.group as usize, geometry.batch as usize);
        let (tf32, blas) = (self.uses_tf32(), self.blas().is_some());
        let sizes = extents(geometry, pass);
        // The kernels for three axes and more have no tensor cores.
        let products = groups * phases(geometry, pass).number() as usize;
        let cuts = self.cuts(sizes, products, tf32 && geometry.rank <= 2);
        add(&mut plans, cuts.into_iter().map(Plan::Product));
        if ConvAlgorithm::Depthwise.supports(geometry) && geometry.group > 1 {
            add(&mut plans, [Plan::Depthwise]);
        }
        if ConvAlgorithm::Pointwise.supports(geometry) {
            let [m, n, k] = sizes;
            let cuts = if pass == Pass::Filter {
                self.cuts(sizes, groups, tf32)
            } else {
                self.cuts([m, n / batch.max(1), k], batch * groups, tf32)
            };
            add(&mut plans, cuts.into_iter().map(Plan::Pointwise));
        }
        add(&mut plans, (blas && Plan::is_for_blas(geometry, pass)).then_some(Plan::PointwiseBlas));
        if let Some(winograd) = Winograd::new(geometry, pass, tf32, self.driver.multiprocessors()) {
            add(&mut plans, [Plan::Winograd(winograd)]);
            add(&mut plans, blas.then_some(Plan::Winograd(winograd.with_blas())));
        }
        plans
    }

    /// cuBLAS for the products that are plain ones, else what sizes choose.
    pub(crate) fn convolution_plan_by_blas(&self, geometry: &ConvGeometry, pass: Pass) -> Plan {
        if Plan::is_for_blas(geometry, pass) {
            return Plan::PointwiseBlas;
        }
        match self.convolution_plan_by_sizes(geometry, pass) {
            Plan::Winograd(winograd) => Plan::Winograd(winograd.with_blas()),
            plan => plan,
        }
    }

    /// `products` products of m×n, cut in the ways that may be fastest: with each kind of tile, sums whole and in parts.
    fn cuts(&self, [m, n, k]: [usize; 3], products: usize, tf32: bool) -> Vec<Cut> {
        /// Shorter parts cannot pay.
        const SHORTEST: usize = 64;
        const MOST: usize = 64;
        let mut cuts = Vec::new();
        for tile in [Tile::Small, Tile::Large, Tile::Tf32] {
            // A tile of which three quarters are empty is never the better one.
            let fills = tile == Tile::Small || m.max(n) > 64 && 2 * m.min(n) > 64;
            if !fills || tile == Tile::Tf32 && !tf32 {
                continue;
            }
            let blocks: usize = [m, n].map(|extent| extent.div_ceil(tile.extent())).iter().product();
            // Parts for one to four blocks a multiprocessor.
            let multiprocessors = self.driver.multiprocessors() as usize;
            let splits = [1, 2, 4].map(|each| each * multiprocessors / (blocks * products).max(1));
            for splits in [1].into_iter().chain(splits) {
                let cut = Cut::of(tile, [m, n, k], splits.min(k / SHORTEST).clamp(1, MOST));
                if !cuts.contains(&cut) {
                    cuts.push(cut);
                }
            }
        }
        cuts
    }
}

fn add<P: Candidate + PartialEq>(plans: &mut Vec<P>, more: impl IntoIterator<Item = P>) {
    for plan in more {
        if !plans.contains(&plan) {
            plans.push(plan);
        }
    }
}

#[cfg(all(test, feature = "emulate"))]
mod tests;
