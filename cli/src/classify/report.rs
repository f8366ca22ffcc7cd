//! What is printed of each image.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::table::{Align, Table, printable};

/// The names of classes.
pub(super) struct Labels {
    name: String,
    lines: Vec<String>,
}

/// Results: printed one by one, or gathered for JSON.
pub(super) struct Report {
    top: usize,
    labels: Option<Labels>,
    images: Option<Vec<Value>>,
    printed: usize,
    failures: usize,
}

impl Labels {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::Message(format!("cannot open {}: {error}", path.display()));
        let bytes = fs::read(path).map_err(failed)?;
        // Lists of the time are not always UTF-8.
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.trim_start_matches('\u{feff}').trim_end().lines().map(|line| line.trim().to_owned());
        Ok(Self { name: path.display().to_string(), lines: lines.collect() })
    }

    /// What to say when there are more or fewer names than classes.
    pub(super) fn misfit(&self, classes: usize) -> Option<String> {
        let found = self.lines.len();
        (found != classes).then(|| format!("{} has {found} lines, the net has {classes} classes", self.name))
    }

    fn get(&self, class: usize) -> Option<&str> {
        self.lines.get(class).map(String::as_str)
    }
}

impl Report {
    pub(super) fn new(top: usize, labels: Option<Labels>, json: bool) -> Self {
        Self { top, labels, images: json.then(Vec::new), printed: 0, failures: 0 }
    }

    /// An image's score for each class.
    pub(super) fn scores(&mut self, path: &Path, scores: &[f32], out: &mut dyn Write) -> io::Result<()> {
        let best = best(scores, self.top);
        let label = |class| self.labels.as_ref().and_then(|labels| labels.get(class));
        if let Some(images) = &mut self.images {
            let classes = best
                .iter()
                .map(|&class| json!({ "class": class, "label": label(class), "score": scores[class] }));
            images.push(json!({ "image": path.to_string_lossy(), "classes": classes.collect::<Vec<_>>() }));
            return Ok(());
        }
        let mut table = Table::new(&[
            ("rank", Align::Right),
            ("score", Align::Right),
            ("class", Align::Right),
            ("label", Align::Left),
        ]);
        for (rank, &class) in best.iter().enumerate() {
            let label = label(class).unwrap_or_default().to_owned();
            table.row([(rank + 1).to_string(), format!("{:.4}", scores[class]), class.to_string(), label]);
        }
        if self.printed > 0 {
            writeln!(out)?;
        }
        self.printed += 1;
        writeln!(out, "{}", printable(&path.to_string_lossy()))?;
        table.print(out)
    }

    /// An image that could not be read.
    pub(super) fn failed(&mut self, path: &Path, error: &str) {
        self.failures += 1;
        if let Some(images) = &mut self.images {
            images.push(json!({ "image": path.to_string_lossy(), "error": error }));
        }
    }

    /// How many images could not be read.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    /// Prints what was gathered.
    pub(super) fn finish(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.images {
            Some(images) => writeln!(out, "{:#}", json!({ "images": images })),
            None => Ok(()),
        }
    }
}

/// The `top` classes with the highest scores; of equals, the first. What is no number comes last.
fn best(scores: &[f32], top: usize) -> Vec<usize> {
    let mut classes = (0..scores.len()).collect::<Vec<_>>();
    let key = |class: usize| if scores[class].is_nan() { f32::NEG_INFINITY } else { scores[class] };
    classes.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    classes.truncate(top);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_scores_come_first() {
        assert_eq!(best(&[0.1, 0.7, f32::NAN, 0.7, 0.2], 4), [1, 3, 4, 0]);
        assert_eq!(best(&[0.0, -0.0, f32::NEG_INFINITY], 9), [0, 1, 2]);
    }
}
