//! How shapes are written in messages.

use std::fmt;

/// Displays a shape as `256×48×5×5`, a scalar's as `scalar`.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a>(pub &'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else { return f.pad("scalar") };
        let text = rest.iter().fold(first.to_string(), |text, extent| format!("{text}×{extent}"));
        f.pad(&text)
    }
}
