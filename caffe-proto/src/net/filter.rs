//! Which layers a net has in a given phase, level and stage.

use crate::proto::{LayerParameter, NetState, NetStateRule};

/// Whether a layer is in: with `include` rules when one of them is met, else when no `exclude` rule is.
///
/// # Errors
/// A layer with both kinds of rules.
pub(super) fn is_in(layer: &LayerParameter, state: &NetState) -> Result<bool, String> {
    if !layer.include.is_empty() && !layer.exclude.is_empty() {
        return Err(format!(
            "it has {} include and {} exclude rules; Caffe takes one kind or the other: remove one",
            layer.include.len(),
            layer.exclude.len()
        ));
    }
    Ok(if layer.include.is_empty() {
        !layer.exclude.iter().any(|rule| is_met(rule, state))
    } else {
        layer.include.iter().any(|rule| is_met(rule, state))
    })
}

fn is_met(rule: &NetStateRule, state: &NetState) -> bool {
    rule.phase.is_none_or(|_| rule.phase() == state.phase())
        && rule.min_level.is_none_or(|least| state.level() >= least)
        && rule.max_level.is_none_or(|most| state.level() <= most)
        && rule.stage.iter().all(|stage| state.stage.contains(stage))
        && !rule.not_stage.iter().any(|stage| state.stage.contains(stage))
}
