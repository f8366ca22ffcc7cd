//! What a solver's file may ask for beyond Caffe.

use caffe_proto::proto::{SolverParameter, Type};

use crate::error::{Error, Result};

/// Refuses fields of forks that would make a run another one, and gives those that only tell less than Caffe would.
pub(super) fn check(solver: &SolverParameter) -> Result<Vec<String>> {
    let asked = [
        ("stagelr", !solver.stagelr.is_empty()),
        ("stageiter", !solver.stageiter.is_empty()),
        ("plateau_winsize", !solver.plateau_winsize.is_empty()),
        ("rampup_interval", solver.rampup_interval() != 0),
        ("min_lr", solver.min_lr() != 0.0),
        ("momentum_policy", solver.momentum_policy() != "fixed"),
        ("weight_decay_policy", solver.weight_decay_policy() != "fixed"),
        ("larc", solver.larc()),
        ("test_and_snapshot_last_epochs", solver.test_and_snapshot_last_epochs() != 0),
        ("solver_data_type", solver.solver_data_type.is_some_and(|it| it != i32::from(Type::Float))),
        ("clamp_weights_lower", solver.clamp_weights_lower.is_some()),
        ("eval_type", solver.eval_type() != "classification"),
    ];
    let asked: Vec<&str> = asked.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if !asked.is_empty() {
        let what = format!(
            "it has {}, of a fork of Caffe's, without which it would be another training: remove {}",
            asked.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            if asked.len() == 1 { "it" } else { "them" },
        );
        return Err(Error::SolverFile { what });
    }
    if solver.max_iter.is_none() {
        return Err(Error::SolverFile { what: "it has no `max_iter`: how long shall it train?".to_owned() });
    }
    let mut notes = Vec::new();
    if solver.debug_info() {
        notes.push("`debug_info` is passed over: nothing is printed of single layers".to_owned());
    }
    if solver.snapshot_diff() {
        notes.push("`snapshot_diff` is passed over: gradients are not written".to_owned());
    }
    Ok(notes)
}
