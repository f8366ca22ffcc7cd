//! How a run went.

use std::fmt;
use std::slice;

use super::Run;
use crate::plot::curves::{Over, chart};

pub(super) struct Curves<'a>(pub(super) &'a Run);

impl fmt::Display for Curves<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = slice::from_ref(&self.0.history);
        if self.0.history.is_empty() {
            return writeln!(f, "<p class=\"muted\">There is no step and no validation yet.</p>");
        }
        f.write_str(&chart(history, Over::usual(history)).inline())
    }
}
