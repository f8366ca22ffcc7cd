//! `rebrew train`: what `caffe train` does with a solver's file.

mod log;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use caffe_proto::proto::SolverParameter;
use caffe_proto::solver::read_solver;
use caffe_proto::{SolverState, Storage};
use train_core::session::{Session, snapshot_paths};
use train_core::{Match, MatchReport, Network};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::network::WeightsFile;
use crate::notes::{self, list};
use crate::{Answer, device, text_options};
use log::Log;

/// Train a net as `caffe train` does: the same solver.prototxt in, the same snapshots out
///
/// Snapshots are PREFIX_iter_N.caffemodel and .solverstate; real Caffe goes on from them, and this program from Caffe's. Ctrl-C
/// writes one and stops.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The solver's prototxt
    solver: PathBuf,
    /// Weights to begin with, of any format, by layer name; several with commas
    #[arg(short, long, value_name = "FILE", value_delimiter = ',', conflicts_with = "snapshot")]
    weights: Vec<PathBuf>,
    /// Go on from this .solverstate
    #[arg(short, long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Append what happens to this file as JSON lines, which `plot curves` draws
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// The seed of everything random, in place of the solver's random_seed
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    device: device::Arguments,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    lenient: bool,
}

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let path = &arguments.solver;
    let options = text_options(arguments.lenient);
    let text = Storage::open(path)?;
    let (solver, warnings) = read_solver(&text, options)?;
    notes::print(&warnings, quiet);
    let base = base(&solver, path);
    let seed = arguments.seed.unwrap_or_else(|| seed(&solver));
    let cpu = arguments.device.open()?;

    let state = match &arguments.snapshot {
        Some(path) => Some((SolverState::read(&Storage::open(path)?)?, path)),
        None => None,
    };
    let weights = match &state {
        Some((state, path)) => {
            vec![Session::weights_of(state, path, &base).map_err(|error| of(path, error))?]
        }
        None if arguments.weights.is_empty() => {
            let listed = solver.weights.iter().flat_map(|list| list.split(','));
            listed.map(|file| base.join(file.trim())).collect()
        }
        None => arguments.weights.clone(),
    };
    let mut weights =
        weights.iter().map(|path| WeightsFile::open(path, quiet)).collect::<Result<Vec<_>, _>>()?;

    let mut first = true;
    let mut initialise = |network: &mut Network| -> train_core::Result<()> {
        for file in &mut weights {
            let report = file.give(network, Match::ByName)?;
            if std::mem::take(&mut first) {
                tell_match(&report, quiet);
            }
        }
        Ok(())
    };
    let opened = Session::open_with(&solver, &base, &cpu, seed, options, &mut initialise);
    let mut session = opened.map_err(|error| of(path, error))?;
    session.set_threads(cpu.threads());
    notes::print(session.notes(), quiet);
    if let Some((state, path)) = &state {
        session.restore(state).map_err(|error| of(path, error))?;
    }
    may_write(&solver, &base)?;
    train(arguments, &solver, &base, &mut session, quiet)
}

fn train(
    arguments: &Arguments,
    solver: &SolverParameter,
    base: &Path,
    session: &mut Session<'_>,
    quiet: bool,
) -> Result<Answer, Failure> {
    let interrupt = Interrupt::listen()?;
    let resumed = arguments.snapshot.is_some().then(|| session.trainer().iteration());
    let mut log = Log::new(solver, arguments.metrics.as_deref(), resumed, quiet)?;
    log.begin(session);
    let outcome = session.run(&mut || interrupt.is_wanted(), &mut |event| log.tell(&event));
    log.end();
    outcome.map_err(|error| of(&arguments.solver, error))?;
    if session.is_stopped() && !quiet {
        let iteration = session.trainer().iteration();
        let (_, state) = snapshot_paths(solver, base, iteration);
        let solver_file = arguments.solver.display();
        eprintln!("stopped after {iteration} iterations");
        if state.is_file() {
            eprintln!("to go on: rebrew train {solver_file} --snapshot {}", state.display());
        }
    }
    Ok(Answer::Yes)
}

/// Where paths begin: where we stand, as for Caffe, or beside the solver if that is where its net is.
fn base(solver: &SolverParameter, path: &Path) -> PathBuf {
    let beside = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let net = [&solver.net, &solver.train_net].into_iter().flatten().next();
    match net {
        Some(net) if !Path::new(net).is_file() && beside.join(net).is_file() => beside,
        _ => PathBuf::new(),
    }
}

/// The solver's seed. Without one Caffe takes the time.
fn seed(solver: &SolverParameter) -> u64 {
    u64::try_from(solver.random_seed()).unwrap_or_else(|_| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::from(time.subsec_nanos()))
    })
}

/// Hours of training that cannot be saved shall not begin.
fn may_write(solver: &SolverParameter, base: &Path) -> Result<(), Failure> {
    let (weights, _) = snapshot_paths(solver, base, 0);
    let folder = weights.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "snapshots shall go to {}, which is no folder: make it, or change the solver's snapshot_prefix",
        folder.display()
    )))
}

fn tell_match(report: &MatchReport, quiet: bool) {
    let mut told = Vec::new();
    if !report.missing.is_empty() {
        told.push(format!("filled by their fillers: {}", list(&report.missing)));
    }
    if !report.unused.is_empty() {
        told.push(format!("the net has no use for these weights: {}", list(&report.unused)));
    }
    notes::print(&told, quiet);
}

fn of(path: &Path, error: train_core::Error) -> Failure {
    Failure::of_net(path, error)
}
