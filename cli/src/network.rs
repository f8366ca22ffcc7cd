//! A net with its weights, from the files that a command names.

use std::path::{Path, PathBuf};

use caffe_proto::proto::{NetParameter, NetState, Phase};
use caffe_proto::{Model, open_definition};
use clap::ValueEnum;
use train_core::{Match, MatchReport, Network};
use weight_io::chainer::Options;
use weight_io::{Format, Opened};

use crate::failure::Failure;
use crate::notes::{self, list};
use crate::text_options;

/// Which of its phases a net runs in.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PhaseName {
    Test,
    Train,
}

/// How a net is made from files.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) phase: PhaseName,
    /// Unknown fields of a prototxt are warnings.
    pub(crate) lenient: bool,
    /// Layers without weights are filled by their fillers.
    pub(crate) fill: bool,
    pub(crate) quiet: bool,
}

/// A net whose weights are still to be given.
pub(crate) struct Defined {
    pub(crate) network: Network,
    pub(crate) path: PathBuf,
    /// The blobs beside the definition, if there are any.
    own: Model,
    reading: Reading,
}

impl Defined {
    /// The net that the definition at `path` makes.
    pub(crate) fn open(path: &Path, reading: Reading) -> Result<Self, Failure> {
        let mut own = open_definition(path, text_options(reading.lenient))?;
        notes::print(&own.notes, reading.quiet);
        let definition = own.definition.take().unwrap_or_default();
        let phase = match reading.phase {
            PhaseName::Test => Phase::Test,
            PhaseName::Train => Phase::Train,
        };
        let state = NetState { phase: Some(phase.into()), ..NetState::default() };
        let saved = !own.layers.is_empty();
        let network = define(definition, &state, saved, path)?;
        network.check_kinds().map_err(|error| Failure::of_net(path, error))?;
        Ok(Self { network, path: path.to_path_buf(), own, reading })
    }

    /// Gives the net its weights: those in the file at `weights`, or those beside the definition.
    pub(crate) fn with_weights(mut self, weights: Option<&Path>) -> Result<Network, Failure> {
        let source = weights.unwrap_or(&self.path).to_path_buf();
        let report = match weights {
            Some(path) => {
                let mut file = WeightsFile::open(path, self.reading.quiet)?;
                file.give(&mut self.network, Match::ByName)
            }
            None => self.network.initialise_from_model(&self.own, Match::ByName),
        };
        let report = report.map_err(|error| Failure::of_net(&source, error))?;
        let missing = self.without_any(&report);
        if !missing.is_empty() && !self.reading.fill {
            let source = source.display();
            return Err(Failure::Message(if weights.is_none() && report.matched.is_empty() {
                format!(
                    "{source} holds no weights: give them with --weights, or fill the layers by their fillers with --fill"
                )
            } else {
                format!(
                    "{source} holds no weights for {} of the net's layers: {} (--fill fills them by their fillers)",
                    missing.len(),
                    list(&missing)
                )
            }));
        }
        let mut told = Vec::new();
        if !missing.is_empty() {
            told.push(format!("filled by their fillers: {}", list(&missing)));
        }
        if !report.unused.is_empty() {
            told.push(format!("the net has no use for these weights: {}", list(&report.unused)));
        }
        notes::print(&told, self.reading.quiet);
        Ok(self.network)
    }

    /// Layers that were given nothing and share nothing.
    fn without_any(&self, report: &MatchReport) -> Vec<String> {
        let net = self.network.net();
        let has_own = |name: &&String| {
            net.layer(name).is_none_or(|layer| layer.params.iter().any(|param| param.owner.is_none()))
        };
        report.missing.iter().filter(has_own).cloned().collect()
    }
}

/// A file of weights of any format, open.
pub(crate) struct WeightsFile {
    opened: Opened,
    quiet: bool,
}

impl WeightsFile {
    pub(crate) fn open(path: &Path, quiet: bool) -> Result<Self, Failure> {
        let opened = Opened::open(path).map_err(|error| Failure::within(path, error))?;
        notes::print(opened.notes(), quiet);
        Ok(Self { opened, quiet })
    }

    /// Gives a net the weights of its layers' names.
    pub(crate) fn give(&mut self, network: &mut Network, by: Match) -> train_core::Result<MatchReport> {
        if self.opened.format() == Format::CaffemodelHdf5 {
            // Caffe writes a shared blob there once: only the definition tells who else has it.
            self.opened.define(network.definition().clone());
        }
        if self.opened.format().is_caffe() {
            let (model, told) = self.opened.model()?;
            notes::print(&told, self.quiet);
            return network.initialise_from_model(&model, by);
        }
        let (weights, told) = self.opened.weights(Options::default())?;
        notes::print(&told, self.quiet);
        network.initialise_from(&weights, by)
    }
}

/// The net that a definition, from the file at `path`, makes.
///
/// One that Caffe `saved` with the weights says what it was when it was trained: each layer its phase, which would keep
/// Dropout at work, and the rules by which layers were chosen, which would leave out the data. Then these do not count.
pub(crate) fn define(
    mut definition: NetParameter,
    state: &NetState,
    saved: bool,
    path: &Path,
) -> Result<Network, Failure> {
    let made = |definition| Network::new(definition, state).map_err(|error| Failure::of_net(path, error));
    if !saved {
        return made(definition);
    }
    for layer in &mut definition.layer {
        layer.phase = None;
    }
    // Another program may have saved the layers of both phases: then the rules are needed.
    let by_rules = made(definition.clone());
    if by_rules.is_ok() {
        return by_rules;
    }
    for layer in &mut definition.layer {
        layer.include.clear();
        layer.exclude.clear();
    }
    made(definition).or(by_rules)
}
