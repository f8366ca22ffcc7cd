//! Why a hook cannot be added.

use std::fmt;

/// What is wrong: which pattern, which part of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern that matches no layer, and no parameter, that could be trained.
    #[error("`{pattern}` matches no layer with parameters; {near}")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Names near it, or patterns that match what it may have meant; where there are none, names of the net.
        near: Near,
    },
    /// A pattern that cannot be read.
    #[error("the pattern `{pattern}`: {what}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A part of a schedule that cannot be read.
    #[error(
        "`{part}` of the schedule: {what}; expected layers with when they are thawed, as in `conv5@2ep, conv4@500it`"
    )]
    Schedule {
        /// The part.
        part: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// What a pattern without a match may have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Near {
    /// These are like it.
    Names(Vec<String>),
    /// Nothing is like it: some of the names there are, and how many more.
    Nothing(Vec<String>, usize),
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Names(names) => write!(f, "did you mean {}?", list(names)),
            Self::Nothing(names, _) if names.is_empty() => f.write_str("the net has none"),
            Self::Nothing(names, 0) => write!(f, "there are {}", list(names)),
            Self::Nothing(names, more) => write!(f, "there are {} and {more} more", list(names)),
        }
    }
}
