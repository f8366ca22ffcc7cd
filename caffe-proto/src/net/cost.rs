//! What a forward pass costs.

use super::{Layer, LayerKind, LayerShapes, Net, Shapes};

/// The cost of one layer's forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications with an addition, of convolutions and matrix products; 0 of all else.
    pub macs: u64,
    /// Bytes of the f32 tops that are not rewritten bottoms.
    pub activation_bytes: u64,
}

impl Net {
    /// The cost of each layer, in order.
    pub fn costs(&self, shapes: &Shapes) -> Vec<Cost> {
        self.layers.iter().zip(shapes.layers()).map(|(layer, shapes)| cost(layer, shapes)).collect()
    }
}

fn cost(layer: &Layer, shapes: &LayerShapes) -> Cost {
    let new = shapes.tops.iter().enumerate().filter(|(top, _)| !layer.is_in_place(*top));
    Cost {
        macs: macs(&layer.kind, shapes),
        activation_bytes: new.map(|(_, top)| 4 * values(top)).fold(0, u64::saturating_add),
    }
}

fn macs(kind: &LayerKind, shapes: &LayerShapes) -> u64 {
    let weights = |index: usize| shapes.params.get(index).map_or(0, |shape| values(shape));
    let each = |blobs: &[Vec<usize>], factor: u64| {
        blobs.iter().map(|blob| values(blob).saturating_mul(factor)).fold(0, u64::saturating_add)
    };
    // The products behind one value of a top (of a bottom, when the convolution is transposed): all but axis 0.
    let products = shapes.params.first().map_or(0, |shape| values(shape.get(1..).unwrap_or(&[])));
    let steps = || {
        let dims = shapes.bottoms.first().map_or(&[][..], Vec::as_slice);
        (values(dims.get(..2).unwrap_or(&[0])), dims.get(1).map_or(0, |&streams| streams as u64))
    };
    match kind {
        LayerKind::Convolution(_) | LayerKind::DepthwiseConvolution(_) => each(&shapes.tops, products),
        LayerKind::Deconvolution(_) => each(&shapes.bottoms, products),
        LayerKind::InnerProduct(p) => {
            let rows = shapes.tops.first().map_or(0, |top| values(top)) / p.num_output.max(1) as u64;
            rows.saturating_mul(weights(0))
        }
        LayerKind::Lstm(p) => {
            let (steps, streams) = steps();
            let (fixed, recurrent) = if p.has_static_input(shapes.bottoms.len(), 2) {
                (weights(2), weights(3))
            } else {
                (0, weights(2))
            };
            steps.saturating_mul(weights(0) + recurrent).saturating_add(streams.saturating_mul(fixed))
        }
        LayerKind::Rnn(p) => {
            let (steps, streams) = steps();
            let (fixed, after) =
                if p.has_static_input(shapes.bottoms.len(), 1) { (weights(2), 3) } else { (0, 2) };
            let every_step = weights(0) + weights(after) + weights(after + 1);
            steps.saturating_mul(every_step).saturating_add(streams.saturating_mul(fixed))
        }
        _ => 0,
    }
}

fn values(shape: &[usize]) -> u64 {
    shape.iter().map(|&extent| extent as u64).fold(1, u64::saturating_mul)
}
