//! When layers are thawed.

use super::{Error, Moment};

/// How long layers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until so many epochs are done.
    Epoch(u64),
    /// Until so many iterations are done.
    Iteration(u64),
}

impl Until {
    /// Whether it has come.
    pub fn is_over(self, moment: Moment) -> bool {
        match self {
            Self::Epoch(epoch) => moment.epoch >= epoch,
            Self::Iteration(iteration) => moment.iteration >= iteration,
        }
    }
}

/// The parts of a schedule: patterns, and when what they match is thawed, if ever.
pub(super) fn parse(text: &str) -> Result<Vec<(&str, Option<Until>)>, Error> {
    split(text).into_iter().map(str::trim).map(part).collect()
}

fn part(part: &str) -> Result<(&str, Option<Until>), Error> {
    let refuse = |what| Error::Schedule { part: part.to_owned(), what };
    let Some((pattern, until)) = part.rsplit_once('@') else {
        return if part.is_empty() { Err(refuse("it is empty")) } else { Ok((part, None)) };
    };
    let (pattern, until) = (pattern.trim(), until.trim());
    if pattern.is_empty() {
        return Err(refuse("it names no layers"));
    }
    let digits = until.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = until.split_at(digits);
    let count = count.parse().map_err(|_| refuse("there is no number behind `@`"))?;
    match unit.trim() {
        "ep" | "epoch" | "epochs" => Ok((pattern, Some(Until::Epoch(count)))),
        "it" | "iter" | "iteration" | "iterations" => Ok((pattern, Some(Until::Iteration(count)))),
        _ => Err(refuse("the number's unit is neither `ep` nor `it`")),
    }
}

/// Cut at commas, but not at those in sets.
fn split(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(move |letter| {
        inside = match letter {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        letter == ',' && !inside
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let parts = parse("conv5@2ep, conv4@4 epochs,conv[1,2] @ 500it , fc*").unwrap();
        let expected = [
            ("conv5", Some(Until::Epoch(2))),
            ("conv4", Some(Until::Epoch(4))),
            ("conv[1,2]", Some(Until::Iteration(500))),
            ("fc*", None),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn what_is_no_schedule() {
        for (text, part, what) in [
            ("conv5@2ep,", "", "empty"),
            ("conv5@ep", "conv5@ep", "no number"),
            ("conv5@2", "conv5@2", "unit"),
            ("a, conv5@2 weeks", "conv5@2 weeks", "unit"),
            ("@2ep", "@2ep", "no layers"),
            ("conv5@99999999999999999999ep", "conv5@99999999999999999999ep", "no number"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{part}`")) && error.contains(what), "{error}");
        }
    }
}
