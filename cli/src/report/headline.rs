//! The name of a run, and how good it was.

use std::fmt;

use super::{Run, words};
use crate::markup::Escaped;
use crate::plot::axis::{number, percent};
use crate::table::thousands;

pub(super) struct Headline<'a>(pub(super) &'a Run);

impl fmt::Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = &self.0.history;
        writeln!(f, "<h1>{}</h1>", Escaped(&history.name))?;
        if history.is_empty() {
            return writeln!(f, "<p>No step was done yet.</p>");
        }
        writeln!(f, "<div class=\"figures\">")?;
        let mut figure = |value: &str, what: &str| {
            writeln!(f, "<div><b>{}</b><span>{}</span></div>", Escaped(value), Escaped(what))
        };
        match history.best() {
            Some(best) => {
                let at = if best.epoch.is_finite() { best.epoch } else { history.epoch_at(best.iteration) };
                let what = format!("best validation accuracy, epoch {}", number(at));
                figure(&percent(best.accuracy), &what)?;
            }
            None => figure("—", "no validation accuracy yet")?,
        }
        let planned = self.0.settings.as_ref().map_or(0, |settings| settings.epochs);
        if let Some(done) = history.epochs() {
            let what =
                if planned > 0 { format!("of {planned} epochs done") } else { "epochs done".to_owned() };
            figure(&number(done), &what)?;
        }
        figure(&thousands(history.iterations()), "steps")?;
        let batch_size = self.0.settings.as_ref().map_or(0, |settings| settings.batch_size);
        let seconds = history.seconds(batch_size);
        if batch_size > 0 && seconds > 0.0 {
            figure(&words::duration(seconds), "to train and validate")?;
        }
        if let Some(rate) = history.images_per_second() {
            figure(&thousands(rate.round() as u64), "images a second, median")?;
        }
        writeln!(f, "</div>")
    }
}
