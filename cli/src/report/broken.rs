//! Images that could not be used.

use std::fmt;

use super::Run;
use crate::markup::Escaped;
use crate::table::thousands;

/// How many are listed.
const LISTED: usize = 100;

pub(super) struct List<'a>(pub(super) &'a Run);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = &self.0.history.broken;
        let (shown, all) = (broken.len().min(LISTED), thousands(broken.len() as u64));
        writeln!(f, "<table class=\"list\">\n<caption>{shown} of {all}</caption>")?;
        for (name, what) in broken.iter().take(LISTED) {
            writeln!(f, "<tr><td>{}</td><td>{}</td></tr>", Escaped(name), Escaped(what))?;
        }
        writeln!(f, "</table>")
    }
}
