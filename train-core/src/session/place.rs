//! Where a run stands beside what Caffe saves: kept in the `.solverstate`, where Caffe passes over it.

use serde_json::{Value, json};

use crate::data::Position;
use crate::error::{Error, Result};

/// The place of a run in its data and its random numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) passes: u64,
    pub(super) train: Vec<Position>,
    pub(super) tests: Vec<Vec<Position>>,
}

impl Place {
    pub(super) fn to_text(&self) -> String {
        let list = |all: &[Position]| all.iter().map(|at| json!([at.epoch, at.index])).collect::<Vec<_>>();
        let tests: Vec<Vec<Value>> = self.tests.iter().map(|test| list(test)).collect();
        json!({ "passes": self.passes, "train": list(&self.train), "tests": tests }).to_string()
    }

    pub(super) fn from_text(text: &str) -> Result<Self> {
        let read = || {
            let value: Value = serde_json::from_str(text).ok()?;
            let position = |at: &Value| {
                let index = usize::try_from(at.get(1)?.as_u64()?).ok()?;
                Some(Position { epoch: at.get(0)?.as_u64()?, index })
            };
            let list = |all: &Value| all.as_array()?.iter().map(position).collect::<Option<Vec<_>>>();
            Some(Self {
                passes: value.get("passes")?.as_u64()?,
                train: list(value.get("train")?)?,
                tests: value.get("tests")?.as_array()?.iter().map(list).collect::<Option<_>>()?,
            })
        };
        read().ok_or_else(|| Error::State {
            key: "place".to_owned(),
            what: "cannot be read: is the file damaged, or written by a newer program?".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let at = |epoch, index| Position { epoch, index };
        let place = Place { passes: 7, train: vec![at(1, 2), at(0, 9)], tests: vec![vec![], vec![at(3, 4)]] };
        assert_eq!(Place::from_text(&place.to_text()).unwrap(), place);
        for broken in
            ["", "{}", r#"{"passes":1,"train":[[1]],"tests":[]}"#, r#"{"passes":-1,"train":[],"tests":[]}"#]
        {
            assert!(Place::from_text(broken).unwrap_err().to_string().contains("cannot be read"), "{broken}");
        }
    }
}
