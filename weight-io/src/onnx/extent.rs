//! Extents that follow the batch, and those that do not.

use std::collections::BTreeMap;

use caffe_proto::net::{LayerKind, LayerShapes, Net, Shapes};

/// The extent of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// A number.
    Fixed(usize),
    /// So many times the batch.
    Batch(usize),
}

/// The extents around a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    pub(super) bottoms: Vec<Vec<Extent>>,
    pub(super) tops: Vec<Vec<Extent>>,
    pub(super) params: Vec<Vec<usize>>,
    /// False when the data decide the first extent of the tops.
    pub(super) exact: bool,
}

/// The product of some extents; `None` for a power of the batch, or more than can be counted.
pub(super) fn product(extents: &[Extent]) -> Option<Extent> {
    extents.iter().try_fold(Extent::Fixed(1), |product, &extent| match (product, extent) {
        (Extent::Fixed(a), Extent::Fixed(b)) => a.checked_mul(b).map(Extent::Fixed),
        (Extent::Fixed(a), Extent::Batch(b)) | (Extent::Batch(a), Extent::Fixed(b)) => {
            a.checked_mul(b).map(Extent::Batch)
        }
        (Extent::Batch(_), Extent::Batch(_)) => None,
    })
}

/// The extents with every number as the definition says it.
pub(super) fn fixed(shapes: &Shapes) -> Vec<Around> {
    let all = |shapes: &[Vec<usize>]| shapes.iter().map(|shape| as_fixed(shape)).collect();
    let around = |layer: &LayerShapes| Around {
        bottoms: all(&layer.bottoms),
        tops: all(&layer.tops),
        params: layer.params.clone(),
        exact: layer.exact,
    };
    shapes.layers().iter().map(around).collect()
}

/// The extents with the first one of every input left open: for a net whose inputs are all N×C×H×W or N×C with one N,
/// that runs on another number of samples just as well, and whose blobs have their samples along the first axis.
pub(super) fn with_batch(net: &Net, shapes: &Shapes) -> Option<Vec<Around>> {
    let mut given = BTreeMap::new();
    let mut batch = None;
    for (layer, found) in net.layers.iter().zip(shapes.layers()) {
        if !matches!(layer.kind, LayerKind::Input(_)) {
            continue;
        }
        for (top, shape) in layer.tops.iter().zip(&found.tops) {
            let open = matches!(shape.len(), 2 | 4) && shape[0] > 0;
            if !open || *batch.get_or_insert(shape[0]) != shape[0] {
                return None;
            }
            let mut another = shape.clone();
            another[0] += 1;
            given.insert(top.clone(), another);
        }
    }
    let batch = batch?;
    let others = net.infer_shapes(&given).ok()?;
    let compare = |a: &[Vec<usize>], b: &[Vec<usize>]| {
        a.iter().zip(b).map(|(a, b)| follow(a, b, batch)).collect::<Option<Vec<_>>>()
    };
    let around = |(one, other): (&LayerShapes, &LayerShapes)| {
        Some(Around {
            bottoms: compare(&one.bottoms, &other.bottoms)?,
            tops: compare(&one.tops, &other.tops)?,
            params: (one.params == other.params).then(|| one.params.clone())?,
            exact: one.exact,
        })
    };
    shapes.layers().iter().zip(others.layers()).map(around).collect()
}

/// The extents of a blob whose shape is `one` for a batch of `batch` and `other` for one more.
fn follow(one: &[usize], other: &[usize], batch: usize) -> Option<Vec<Extent>> {
    let extent = |(axis, (&one, &other)): (usize, (&usize, &usize))| {
        if one == other {
            return Some(Extent::Fixed(one));
        }
        let times = one / batch;
        (axis == 0 && one == times * batch && other == times * (batch + 1)).then_some(Extent::Batch(times))
    };
    (one.len() == other.len()).then(|| one.iter().zip(other).enumerate().map(extent).collect())?
}

fn as_fixed(shape: &[usize]) -> Vec<Extent> {
    shape.iter().copied().map(Extent::Fixed).collect()
}
