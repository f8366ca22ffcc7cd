//! Why a hook cannot be added.

/// What is wrong: which pattern, which part of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern that matches no layer, and no parameter, that could be trained.
    #[error("`{pattern}` matches no layer with parameters; {}", suggestion(near))]
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

fn suggestion(near: &Near) -> String {
    let list = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match near {
        Near::Names(names) => format!("did you mean {}?", list(names)),
        Near::Nothing(names, _) if names.is_empty() => "the net has none".to_owned(),
        Near::Nothing(names, 0) => format!("there are {}", list(names)),
        Near::Nothing(names, more) => format!("there are {} and {more} more", list(names)),
    }
}
