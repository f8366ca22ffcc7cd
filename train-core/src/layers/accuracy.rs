//! The share of right labels.

use caffe_proto::net::params::AccuracyParams;
use kernels::AxisGeometry;

use super::frame::Operation;
use super::host::{is_ignored, label, on_host};
use super::make::Make;
use super::{axis, extents};
use crate::plan::Step;

/// A label is right when fewer than `top_k` other scores are as high as its own: ties count against it. A second top has
/// the share for each class.
pub(super) fn accuracy(make: &Make<'_>, step: &Step, p: &AccuracyParams) -> Box<dyn Operation> {
    let scores = extents(&make.shapes(step).bottoms[0]);
    let along = axis(p.axis, scores.len());
    let AxisGeometry { axis: classes, inner, .. } = AxisGeometry::around(&scores, along, along + 1);
    let (classes, inner) = (classes as usize, inner as usize);
    let (top_k, ignore_label) = (p.top_k, p.ignore_label);
    let mut per_class = vec![(0_u32, 0_u32); classes];
    on_host(make, step, "accuracy", move |bottoms, tops| {
        per_class.fill((0, 0));
        for (place, &given) in bottoms[1].iter().enumerate() {
            if is_ignored(given, ignore_label) {
                continue;
            }
            let class = label(given, classes)?;
            let score = |class| bottoms[0][(place / inner * classes + class) * inner + place % inner];
            let own = score(class);
            let as_high = (0..classes).filter(|&other| score(other) >= own).count();
            let (right, seen) = &mut per_class[class];
            // A NaN is not as high as itself; it is right, as in Caffe.
            *right += u32::from(as_high <= top_k);
            *seen += 1;
        }
        let (right, seen) = per_class.iter().fold((0, 0), |sum, class| (sum.0 + class.0, sum.1 + class.1));
        tops[0][0] = share(right, seen);
        if let Some(second) = tops.get_mut(1) {
            second.iter_mut().zip(&per_class).for_each(|(top, &(right, seen))| *top = share(right, seen));
        }
        Ok(())
    })
}

fn share(right: u32, seen: u32) -> f32 {
    if seen == 0 { 0.0 } else { right as f32 / seen as f32 }
}
