//! What each layer puts out, over time: what a frozen layer's inputs do, the layers above must follow.

use std::fmt;

use super::Run;
use crate::markup::Escaped;
use crate::plot::axis::Axis;
use crate::plot::chart::{Band, Chart, Line, Mark, Panel, Style};
use crate::plot::curves::Over;

/// Of more layers, these many are drawn.
const MOST_LAYERS: usize = 96;

pub(super) struct Multiples<'a>(pub(super) &'a Run);

/// One layer's outputs, as (moment, mean, standard deviation).
struct Series<'a> {
    layer: &'a str,
    points: Vec<[f64; 3]>,
}

impl fmt::Display for Multiples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0;
        let over = Over::usual(std::slice::from_ref(&run.history));
        let series = series(run, over);
        if series.is_empty() {
            return writeln!(f, "<p class=\"muted\">The metrics have no outputs of layers.</p>");
        }
        writeln!(
            f,
            "<p>Over {}s: the line is the mean of a layer's outputs, the band one standard deviation to either side. Where \
             the mean of a layer moves, the layers above it have to follow; freezing is meant to hold it still.</p>\n\
             <div class=\"multiples\">",
            over.name()
        )?;
        let axis = over.axis(std::slice::from_ref(&run.history));
        for series in series.iter().take(MOST_LAYERS) {
            if let Some(chart) = series.chart(run, over, axis) {
                write!(f, "<figure>{}<figcaption>{}</figcaption></figure>", chart.inline(), series.moved())?;
            } else {
                let layer = Escaped(series.layer);
                write!(f, "<figure><figcaption>{layer}: no output is a finite number</figcaption></figure>")?;
            }
        }
        writeln!(f, "</div>")?;
        match series.len().saturating_sub(MOST_LAYERS) {
            0 => Ok(()),
            more => writeln!(f, "<p class=\"muted\">{more} more layers are not drawn.</p>"),
        }
    }
}

/// The layers in the order in which they are first told.
fn series(run: &Run, over: Over) -> Vec<Series<'_>> {
    let mut series: Vec<Series<'_>> = Vec::new();
    for (iteration, layers) in &run.history.outputs {
        let at = over.at(&run.history, *iteration);
        for (place, output) in layers.iter().enumerate() {
            let point = [at, output.mean, output.deviation];
            // Nearly always each time the same layers in the same order.
            let known = match series.get(place) {
                Some(known) if known.layer == output.layer => Some(place),
                _ => series.iter().position(|known| known.layer == output.layer),
            };
            match known {
                Some(known) => series[known].points.push(point),
                None => series.push(Series { layer: &output.layer, points: vec![point] }),
            }
        }
    }
    series
}

impl Series<'_> {
    fn chart(&self, run: &Run, over: Over, axis: Axis) -> Option<Chart> {
        let means = self.points.iter().map(|&[at, mean, _]| [at, mean]).collect();
        let edges = self.points.iter().map(|&[at, mean, deviation]| [at, mean - deviation, mean + deviation]);
        let edges = edges.collect::<Vec<_>>();
        let frozen = run
            .settings
            .as_ref()
            .is_some_and(|settings| settings.frozen.iter().any(|name| name == self.layer));
        let thawed =
            run.history.thawed.iter().filter(|(_, layers)| layers.iter().any(|name| name == self.layer));
        let marks = thawed.map(|(iteration, _)| Mark {
            at: over.at(&run.history, *iteration),
            text: "thawed".to_owned(),
            color: None,
        });
        let marks = marks.collect::<Vec<_>>();
        let title = match (frozen, marks.is_empty()) {
            (true, true) => format!("{} (frozen)", self.layer),
            (true, false) => format!("{} (frozen at first)", self.layer),
            (false, _) => self.layer.to_owned(),
        };
        let values = edges.iter().flat_map(|&[_, low, high]| [low, high]);
        let values = values.chain(self.points.iter().map(|point| point[1]));
        let mut panel = Panel::of(
            &title,
            96.0,
            f64::INFINITY,
            vec![Line { color: 0, style: Style::Plain, points: means }],
        )?;
        panel.axis = Axis::around(values, f64::INFINITY)?.with_ticks(4);
        panel.bands = vec![Band { color: 0, edges }];
        Some(Chart {
            label: format!("Mean output of {} over {}s", self.layer, over.name()),
            width: 300.0,
            across: "",
            axis: axis.with_ticks(4),
            panels: vec![panel],
            marks,
            keys: Vec::new(),
            note: "",
        })
    }

    /// How far the mean has come, measured by how far outputs were spread at first.
    fn moved(&self) -> String {
        let known = |point: &&[f64; 3]| point.iter().all(|value| value.is_finite());
        let (first, last) = (self.points.iter().find(known), self.points.iter().rfind(known));
        match first.zip(last) {
            Some(([_, from, spread], [_, to, _])) if *spread > 0.0 => {
                format!("mean moved by {:+.2} standard deviations", (to - from) / spread)
            }
            _ => "the outputs were all the same at first".to_owned(),
        }
    }
}
