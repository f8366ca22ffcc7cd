//! What a command tells beside its result.

use std::fmt::Display;

use crate::table::printable;

/// Prints each note on the error output.
pub(crate) fn print<N: Display>(notes: &[N], quiet: bool) {
    for note in notes.iter().filter(|_| !quiet) {
        eprintln!("note: {}", lines(&note.to_string()));
    }
}

/// A message of one or more lines, each printable.
pub(crate) fn lines(message: &str) -> String {
    message.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// At most eight of `names`, and how many more there are.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
