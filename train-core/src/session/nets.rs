//! The nets that a solver's file names (Caffe's Solver::InitTrainNet and InitTestNets).

use std::path::Path;

use caffe_proto::proto::{NetParameter, NetState, Phase, SolverParameter};
use caffe_proto::{open_definition, text, upgrade};

use crate::error::{Error, Result};

/// A net of a solver, before its data are opened.
pub(super) struct Named {
    pub(super) definition: NetParameter,
    pub(super) state: NetState,
    /// What its reader was told.
    pub(super) notes: Vec<String>,
}

/// The net that learns.
pub(super) fn train_net(solver: &SolverParameter, base: &Path, options: text::Options) -> Result<Named> {
    let given = [
        solver.train_net_param.is_some(),
        solver.train_net.is_some(),
        solver.net_param.is_some(),
        solver.net.is_some(),
    ];
    if given.iter().filter(|&&given| given).count() != 1 {
        let what = "it must have one of `net`, `train_net`, `net_param` and `train_net_param`".to_owned();
        return Err(Error::SolverFile { what });
    }
    let param = solver.train_net_param.as_ref().or(solver.net_param.as_ref());
    let path = solver.train_net.as_deref().or(solver.net.as_deref());
    named(param, path, base, options, Phase::Train, solver.train_state.as_ref())
}

/// The nets that are tested, with how many batches each.
pub(super) fn test_nets(
    solver: &SolverParameter,
    base: &Path,
    options: text::Options,
) -> Result<Vec<(Named, usize)>> {
    let refuse = |what: String| Err(Error::SolverFile { what });
    let mut sources: Vec<(Option<&NetParameter>, Option<&str>)> =
        solver.test_net_param.iter().map(|param| (Some(param), None)).collect();
    sources.extend(solver.test_net.iter().map(|path| (None, Some(path.as_str()))));
    let (own, iters) = (sources.len(), solver.test_iter.len());
    let general = (solver.net_param.as_ref(), solver.net.as_deref());
    if general == (None, None) {
        if iters != own {
            return refuse(format!("it has {iters} `test_iter` for {own} test nets: give one for each"));
        }
    } else if iters < own {
        return refuse(format!("it has {iters} `test_iter` for {own} test nets: give one for each"));
    } else {
        sources.extend(std::iter::repeat_n(general, iters - own));
    }
    let states = &solver.test_state;
    if !states.is_empty() && states.len() != sources.len() {
        return refuse(format!("it has {} `test_state` for {} test nets", states.len(), sources.len()));
    }
    if !sources.is_empty() && solver.test_interval() <= 0 {
        return refuse("it has nets to test, and no `test_interval`".to_owned());
    }
    let mut nets = Vec::with_capacity(sources.len());
    for (at, (param, path)) in sources.into_iter().enumerate() {
        let Ok(count) = usize::try_from(solver.test_iter[at]) else {
            return refuse(format!("`test_iter: {}` is less than nothing", solver.test_iter[at]));
        };
        nets.push((named(param, path, base, options, Phase::Test, states.get(at))?, count));
    }
    Ok(nets)
}

fn named(
    param: Option<&NetParameter>,
    path: Option<&str>,
    base: &Path,
    options: text::Options,
    phase: Phase,
    more: Option<&NetState>,
) -> Result<Named> {
    let mut model = match (param, path) {
        (Some(param), _) => upgrade(base, param.clone(), Vec::new())?,
        (None, path) => open_definition(base.join(path.unwrap_or_default()), options)?,
    };
    let definition = model.definition.take().unwrap_or_default();
    let mut state = NetState { phase: Some(phase.into()), ..NetState::default() };
    for other in [definition.state.as_ref(), more].into_iter().flatten() {
        merge(&mut state, other);
    }
    Ok(Named { definition, state, notes: model.notes })
}

/// As protobuf merges: what is given replaces, and lists grow.
fn merge(state: &mut NetState, other: &NetState) {
    state.phase = other.phase.or(state.phase);
    state.level = other.level.or(state.level);
    state.stage.extend(other.stage.iter().cloned());
}
