//! `rebrew plot curves`: how runs went, as one picture.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use weight_io::{WriteOptions, write_file};

use super::axis::{Axis, number, percent};
use super::chart::{Chart, Key, Line, Mark, Panel, Ring, Style};
use super::history::{History, Step, Validated};
use super::smooth::{smoothed, thinned};
use crate::Answer;
use crate::failure::Failure;
use crate::table::thousands;

/// A loss, or a learning rate, is drawn on a logarithmic axis where its largest value is more than so many times the
/// smallest.
const WIDE_LOSS: f64 = 100.0;
const WIDE_RATE: f64 = 20.0;

/// Draw loss and accuracy of training runs as one SVG
///
/// Training is a thin line, faint as it was and smoothed; validation has points. Several runs share the axes, to be compared.
/// Where layers were thawed or a run was resumed, a line is marked. The loss has a logarithmic axis where it changes by more
/// than 100 times.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folders of runs, as `finetune` writes them, or files of metrics, as `train --metrics` does
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The picture to write, an .svg
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What the horizontal axis counts; epochs, where all runs tell theirs
    #[arg(long, value_name = "UNIT")]
    over: Option<Over>,
    /// Replace an existing output
    #[arg(long)]
    force: bool,
}

/// What the horizontal axis counts.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Over {
    Epochs,
    Iterations,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let output = arguments.output.display();
    if !arguments.output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) {
        return Err(Failure::Message(format!("an SVG is written: end {output} in .svg")));
    }
    let histories = arguments.runs.iter().map(|path| History::read(path));
    let mut histories = histories.collect::<Result<Vec<_>, _>>()?;
    for (history, path) in histories.iter().zip(&arguments.runs) {
        if history.is_empty() {
            let path = path.display();
            return Err(Failure::Message(format!("{path}: there is no step and no validation to draw yet")));
        }
    }
    tell_apart(&mut histories, &arguments.runs);
    let over = arguments.over.unwrap_or_else(|| Over::usual(&histories));
    let unknown = histories.iter().zip(&arguments.runs).find(|(history, _)| history.epochs().is_none());
    if let (Over::Epochs, Some((_, path))) = (over, unknown) {
        let path = path.display();
        return Err(Failure::Message(format!("{path}: no epochs are told: draw it --over iterations")));
    }
    let svg = chart(&histories, over).document();
    write_file(&arguments.output, svg.as_bytes(), WriteOptions { force: arguments.force, sync: false })?;
    if !quiet {
        let runs = histories.iter().map(|history| history.name.as_str()).collect::<Vec<_>>().join(", ");
        let longest = histories.iter().map(History::iterations).max().unwrap_or(0);
        let longest = thousands(longest);
        let runs = crate::table::printable(&runs);
        writeln!(io::stdout().lock(), "{runs} → {output} ({longest} iterations)")?;
    }
    Ok(Answer::Yes)
}

impl Over {
    /// Epochs, where all runs tell theirs.
    pub(crate) fn usual(histories: &[History]) -> Self {
        if histories.iter().all(|history| history.epochs().is_some()) {
            Self::Epochs
        } else {
            Self::Iterations
        }
    }

    /// Where an iteration is.
    pub(crate) fn at(self, history: &History, iteration: u64) -> f64 {
        match self {
            Self::Epochs => history.epoch_at(iteration),
            Self::Iterations => iteration as f64,
        }
    }

    /// From the start to the end of the longest run.
    pub(crate) fn axis(self, histories: &[History]) -> Axis {
        let ends = histories.iter().map(|history| match self {
            Self::Epochs => history.epochs().unwrap_or(0.0),
            Self::Iterations => history.iterations() as f64,
        });
        Axis::to(ends.fold(0.0, f64::max))
    }

    /// What a value on it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epochs => "epoch",
            Self::Iterations => "iteration",
        }
    }
}

impl History {
    fn trained(&self, over: Over, value: impl Fn(&Step) -> f64) -> Vec<[f64; 2]> {
        let at = |step: &Step| match over {
            Over::Epochs if step.epoch.is_finite() => step.epoch,
            _ => over.at(self, step.iteration),
        };
        self.steps.iter().map(|step| [at(step), value(step)]).collect()
    }

    fn validated(&self, over: Over, value: impl Fn(&Validated) -> f64) -> Vec<[f64; 2]> {
        self.validations.iter().map(|check| [self.place(over, check), value(check)]).collect()
    }

    fn place(&self, over: Over, check: &Validated) -> f64 {
        match over {
            Over::Epochs if check.epoch.is_finite() => check.epoch,
            _ => over.at(self, check.iteration),
        }
    }
}

/// The curves of runs that have something to draw.
pub(crate) fn chart(histories: &[History], over: Over) -> Chart {
    let loss = lines(histories, over, |step| step.loss, |check| check.loss);
    let accuracy = lines(histories, over, |step| step.accuracy, |check| check.accuracy);
    let rate = histories.iter().enumerate().map(|(color, history)| Line {
        color,
        style: Style::Steps,
        points: thinned(history.trained(over, |step| step.rate)),
    });
    let mut accuracy = Panel::of("accuracy", 220.0, f64::INFINITY, accuracy);
    if let Some(panel) = &mut accuracy {
        panel.axis = panel.axis.percent();
        let best = histories.iter().enumerate().filter_map(|(color, history)| {
            let best = history.best()?;
            Some(Ring { color, at: [history.place(over, best), best.accuracy] })
        });
        panel.rings = best.collect();
    }
    let panels = [
        Panel::of("loss", 220.0, WIDE_LOSS, loss),
        accuracy,
        Panel::of("learning rate", 80.0, WIDE_RATE, rate.collect()).map(|mut panel| {
            panel.axis = panel.axis.with_ticks(3);
            panel
        }),
    ];
    let names = histories.iter().map(|history| history.name.as_str()).collect::<Vec<_>>().join(", ");
    Chart {
        label: format!("Loss, accuracy and learning rate of {names}"),
        width: 820.0,
        across: over.name(),
        axis: over.axis(histories),
        panels: panels.into_iter().flatten().collect(),
        marks: marks(histories, over),
        keys: keys(histories, over),
        note: "thin: training, faint as it was and smoothed; points: validation, the best in a ring",
    }
}

/// A value's lines: of each run, training and validation.
fn lines(
    histories: &[History],
    over: Over,
    trained: impl Fn(&Step) -> f64,
    validated: impl Fn(&Validated) -> f64,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (color, history) in histories.iter().enumerate() {
        let points = history.trained(over, &trained);
        let smooth = smoothed(&points);
        let style = if smooth.is_some() { Style::Faint } else { Style::Plain };
        lines.push(Line { color, style, points: thinned(points) });
        if let Some(points) = smooth {
            lines.push(Line { color, style: Style::Plain, points: thinned(points) });
        }
    }
    // On top of all training.
    for (color, history) in histories.iter().enumerate() {
        lines.push(Line { color, style: Style::Points, points: history.validated(over, &validated) });
    }
    lines
}

/// Where layers were thawed, and where runs were resumed.
fn marks(histories: &[History], over: Over) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (color, history) in histories.iter().enumerate() {
        let color = (histories.len() > 1).then_some(color);
        for (iteration, layers) in &history.thawed {
            let text = format!("{} thawed", some(layers));
            marks.push(Mark { at: over.at(history, *iteration), text, color });
        }
        for iteration in &history.resumed {
            marks.push(Mark { at: over.at(history, *iteration), text: "resumed".to_owned(), color });
        }
    }
    marks.sort_by(|a, b| a.at.total_cmp(&b.at));
    marks
}

/// Each run's name, and how good it was.
fn keys(histories: &[History], over: Over) -> Vec<Key> {
    let text = |history: &History| match history.best() {
        Some(best) => {
            let (accuracy, at) = (percent(best.accuracy), number(history.place(over, best)));
            format!("{}: best {accuracy}, {} {at}", history.name, over.name())
        }
        None => history.name.clone(),
    };
    histories.iter().enumerate().map(|(color, history)| Key { color, text: text(history) }).collect()
}

/// The first of several names, and how many more there are.
fn some(layers: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = layers.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match layers.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Gives runs whose folders have one name their paths as names.
fn tell_apart(histories: &mut [History], paths: &[PathBuf]) {
    let mut seen = HashSet::new();
    let distinct = histories.iter().all(|history| seen.insert(history.name.clone()));
    if !distinct {
        for (history, path) in histories.iter_mut().zip(paths) {
            history.name = path.to_string_lossy().into_owned();
        }
    }
}
