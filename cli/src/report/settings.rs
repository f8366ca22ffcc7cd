//! How a run was started.

use std::fmt;

use train_core::run::Settings;

use super::{Run, words};
use crate::markup::Escaped;
use crate::plot::axis::number;
use crate::table::thousands;

pub(super) struct Table<'a>(pub(super) &'a Run);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(settings) = &self.0.settings else {
            return writeln!(f, "<p class=\"muted\">There is no run.json.</p>");
        };
        writeln!(f, "<pre><code>{}</code></pre>", Escaped(&words::command(&settings.command)))?;
        writeln!(f, "<table class=\"settings\">")?;
        for (name, value) in rows(settings) {
            writeln!(f, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", Escaped(name), Escaped(&value))?;
        }
        let resumed = &self.0.history.resumed;
        if !resumed.is_empty() {
            let after = resumed.iter().map(|&iteration| thousands(iteration)).collect::<Vec<_>>().join(", ");
            writeln!(f, "<tr><th scope=\"row\">resumed</th><td>after step {after}</td></tr>")?;
        }
        writeln!(f, "</table>")
    }
}

/// Names and values; those that the file does not tell are left out.
fn rows(settings: &Settings) -> Vec<(&'static str, String)> {
    let replaced = settings.replaced.iter().map(|replaced| {
        format!("{}: {} outputs in the place of {}", replaced.layer, replaced.outputs, replaced.old_outputs)
    });
    let count = |count: u64| if count > 0 { thousands(count) } else { String::new() };
    let mut rows = vec![
        ("started", settings.started.clone()),
        ("version", settings.version.clone()),
        ("definition", settings.definition.clone()),
        ("weights", settings.weights.clone().unwrap_or_else(|| "none: from scratch".to_owned())),
        ("replaced layers", replaced.collect::<Vec<_>>().join("; ")),
        ("frozen layers", words::names(&settings.frozen)),
        ("thaw schedule", settings.thaw.clone().unwrap_or_default()),
        ("cached features", settings.cache.clone()),
        ("optimizer", settings.optimizer.clone()),
        ("learning rate", if settings.rate.is_finite() { number(settings.rate) } else { String::new() }),
        ("epochs", count(settings.epochs)),
        ("batch size", count(settings.batch_size)),
        ("training images", count(settings.training_images)),
        ("validation images", thousands(settings.validation_images)),
        ("classes", classes(&settings.classes)),
        ("seed", settings.seed.to_string()),
        ("device", settings.device.clone()),
        ("algorithms", settings.algorithms.clone()),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

/// How many, and what the first are called.
fn classes(classes: &[String]) -> String {
    const SHOWN: usize = 30;
    if classes.is_empty() {
        return String::new();
    }
    let shown = classes.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if classes.len() > SHOWN { ", …" } else { "" };
    format!("{}: {shown}{more}", classes.len())
}
