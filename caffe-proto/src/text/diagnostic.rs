//! Faults found in a text, and how they are shown: place, line of text, and a run of carets.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::Error;

/// Something wrong, or passed over, at one place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from one.
    pub line: usize,
    /// The column, counted in characters from one.
    pub column: usize,
    /// What is wrong, where in the message it is, and what was perhaps meant.
    pub what: String,
    /// What to do about it, where there is something.
    pub help: Option<&'static str>,
    excerpt: Excerpt,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, what, help, excerpt } = self;
        writeln!(f, "{}:{line}:{column}: {what}", path.display())?;
        let margin = line.to_string().len();
        writeln!(f, "{line} | {}", excerpt.text)?;
        write!(f, "{:margin$} | {}{}", "", excerpt.indent, "^".repeat(excerpt.carets))?;
        match help {
            Some(help) => write!(f, "\n{:margin$} = {help}", ""),
            None => Ok(()),
        }
    }
}

/// The part of a line around a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// As wide as the text in front of the carets.
    indent: String,
    carets: usize,
}

/// A fault before anybody has looked up its line.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    span: Range<usize>,
    what: String,
    help: Option<&'static str>,
}

impl Fault {
    pub(super) fn new(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { span, what: what.into(), help: None }
    }

    pub(super) fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// Why the parser stopped.
#[derive(Debug)]
pub(super) enum Stop {
    Fault(Box<Fault>),
    TooLarge { what: String, limit: u64 },
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(Box::new(fault))
    }
}

impl Stop {
    pub(super) fn into_error(self, path: &Path, text: &[u8]) -> Error {
        match self {
            Stop::Fault(fault) => Error::Text(Box::new(Locator::new(path, text).locate(*fault))),
            Stop::TooLarge { what, limit } => Error::TooLarge { path: path.to_path_buf(), what, limit },
        }
    }
}

/// Finds lines and columns, going through the text once for any number of faults in their order.
#[derive(Debug)]
pub(super) struct Locator<'a> {
    path: &'a Path,
    text: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
    column: usize,
}

impl<'a> Locator<'a> {
    pub(super) fn new(path: &'a Path, text: &'a [u8]) -> Self {
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { path, text, at, line: 1, line_start: at, column: 1 }
    }

    /// Shows a fault; none may start before the last one that was shown.
    pub(super) fn locate(&mut self, fault: Fault) -> Diagnostic {
        let start = fault.span.start.clamp(self.at, self.text.len());
        for (offset, &byte) in (self.at..).zip(&self.text[self.at..start]) {
            if byte == b'\n' {
                self.line += 1;
                self.line_start = offset + 1;
                self.column = 1;
            } else if !continues_character(byte) {
                self.column += 1;
            }
        }
        self.at = start;
        Diagnostic {
            path: self.path.to_path_buf(),
            line: self.line,
            column: self.column,
            what: fault.what,
            help: fault.help,
            excerpt: self.excerpt(start..fault.span.end.max(start)),
        }
    }

    /// The text around `span`: its whole line, or as much of a long line as fits a screen.
    fn excerpt(&self, span: Range<usize>) -> Excerpt {
        const BEFORE: usize = 60;
        const AFTER: usize = 60;
        let is_start = |&at: &usize| self.text.get(at).is_none_or(|&byte| !continues_character(byte));
        let mut from = span.start.saturating_sub(BEFORE).max(self.line_start);
        from = (from..span.start).find(is_start).unwrap_or(span.start);
        let limit = self.text.len().min(span.start + AFTER);
        let line_end = self.text[span.start..limit].iter().position(|&byte| byte == b'\n');
        let mut to = line_end.map_or(limit, |length| span.start + length);
        let cut = line_end.is_none() && limit < self.text.len();
        to = (span.start..=to).rev().find(is_start).unwrap_or(to);

        let before = printable(&self.text[from..span.start]);
        let marked = printable(&self.text[span.start..span.end.min(to)]);
        let rest = printable(&self.text[span.end.min(to)..to]);
        let ellipsis = if from > self.line_start { "…" } else { "" };
        let indent = before.chars().map(|character| if character == '\t' { '\t' } else { ' ' });
        Excerpt {
            indent: ellipsis.chars().map(|_| ' ').chain(indent).collect(),
            carets: marked.chars().count().max(1),
            text: format!("{ellipsis}{before}{marked}{}{}", rest.trim_end(), if cut { "…" } else { "" }),
        }
    }
}

/// As UTF-8 that moves no cursor: a file must not be able to steer a terminal.
fn printable(text: &[u8]) -> String {
    let keep =
        |character: char| if character.is_control() && character != '\t' { '\u{fffd}' } else { character };
    String::from_utf8_lossy(text).trim_end_matches('\r').chars().map(keep).collect()
}

fn continues_character(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
