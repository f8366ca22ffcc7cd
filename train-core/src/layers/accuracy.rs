//! The share of right labels.

use caffe_proto::net::params::AccuracyParams;
use kernels::AccuracyGeometry;

use super::frame::{Operation, free_form};
use super::loss::{scores, site};
use super::make::Make;
use crate::error::Result;
use crate::plan::Step;

/// A label is right when fewer than `top_k` other scores are as high as its own: ties count against it. A second top has
/// the share for each class.
pub(super) fn accuracy(make: &Make<'_>, step: &Step, p: &AccuracyParams) -> Result<Box<dyn Operation>> {
    let top_k = u32::try_from(p.top_k).unwrap_or(u32::MAX);
    let geometry =
        AccuracyGeometry { scores: scores(make, step, p.axis), top_k, ignore_label: p.ignore_label };
    let (site, has_second_top) = (site(step), make.shapes(step).tops.len() > 1);
    let mut totals = make.backend.allocate(make.backend.loss_totals_len())?;
    Ok(free_form(move |frame| {
        if has_second_top {
            return frame.produce_two(|inputs, share, by_class| {
                let (x, label) = (inputs.get(0), inputs.get(1));
                inputs.backend.accuracy_forward(&geometry, site, x, label, share, Some(by_class), &mut totals)
            });
        }
        frame.produce(0, |inputs, share, _| {
            let (x, label) = (inputs.get(0), inputs.get(1));
            inputs.backend.accuracy_forward(&geometry, site, x, label, share, None, &mut totals)
        })
    }))
}
