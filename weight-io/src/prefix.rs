//! The first parts of names that Chainer's wrappers and snapshots add.

use crate::container::Contents;
use crate::{Error, Note, Weights};

/// Where a trainer's snapshot keeps the model.
const SNAPSHOT: &str = "updater/model:main/";

/// What everything else in a snapshot begins with.
const SNAPSHOT_REST: [&str; 3] = ["updater/model:", "updater/optimizer:", "updater/iterator:"];

/// What wrappers around a net add to every name: `L.Classifier`, and the path that `namedparams` gives.
const WRAPPERS: [&str; 2] = ["/", "predictor/"];

/// The weights without what wrappers added, and what else the file holds.
///
/// # Errors
/// [`Error::Tensor`] for something among the weights that is no tensor of numbers.
pub(crate) fn unwrap(contents: Contents) -> Result<(Weights, Vec<Note>), Error> {
    let Contents { mut weights, mut rejected } = contents;
    let mut notes = Vec::new();
    if weights.iter().any(|(name, _)| name.starts_with(SNAPSHOT)) {
        let model = weights.renamed(|name| name.strip_prefix(SNAPSHOT).map(str::to_owned))?;
        let others = weights.len() - model.len();
        let outside = rejected.len();
        rejected.retain(|(name, _)| name.starts_with(SNAPSHOT));
        notes.push(Note::Prefix { prefix: SNAPSHOT.to_owned() });
        let count = others + outside - rejected.len();
        if count > 0 {
            let what = if weights.iter().any(|(name, _)| name.starts_with("updater/optimizer:")) {
                "the trainer's and the optimizer's state"
            } else {
                "the trainer's state"
            };
            notes.push(Note::PassedOver { what, count });
        }
        weights = model;
    } else if let Some((name, _)) =
        weights.iter().find(|(name, _)| SNAPSHOT_REST.iter().any(|start| name.starts_with(start)))
    {
        let what = format!("it is from a trainer's snapshot, whose model is expected under `{SNAPSHOT}`");
        return Err(Error::Tensor { name: name.to_owned(), what });
    }
    if let Some((name, what)) = rejected.into_iter().next() {
        return Err(Error::Tensor { name, what });
    }
    for prefix in WRAPPERS {
        let all = weights.iter().all(|(name, _)| {
            // A layer may be called like a wrapper: then a parameter's name is all that would be left.
            name.strip_prefix(prefix).is_some_and(|rest| rest.contains('/'))
        });
        if all && !weights.is_empty() {
            weights = weights.renamed(|name| name.strip_prefix(prefix).map(str::to_owned))?;
            notes.push(Note::Prefix { prefix: prefix.to_owned() });
        }
    }
    Ok((weights, notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn contents(names: &[&str]) -> Contents {
        let mut contents = Contents::default();
        for name in names {
            contents.weights.insert(*name, Tensor::from_f32(vec![], &[1.0]).unwrap()).unwrap();
        }
        contents
    }

    fn names(weights: &Weights) -> Vec<&str> {
        weights.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_snapshot_is_cut_down_to_its_model() {
        let mut snapshot = contents(&[
            "updater/model:main/predictor/conv1/W",
            "updater/model:main/predictor/conv1/b",
            "updater/optimizer:main/predictor/conv1/W/m",
            "updater/iterator:main/epoch",
        ]);
        snapshot.reject("extensions/LogReport/_log".to_owned(), "text");
        let (weights, notes) = unwrap(snapshot).unwrap();
        assert_eq!(names(&weights), ["conv1/W", "conv1/b"]);
        assert_eq!(
            notes.iter().map(Note::to_string).collect::<Vec<_>>(),
            [
                "all names begin with `updater/model:main/`: taken off",
                "3 tensors of the trainer's and the optimizer's state passed over",
                "all names begin with `predictor/`: taken off",
            ]
        );
    }

    #[test]
    fn a_layer_called_like_a_wrapper_stays() {
        let (weights, notes) = unwrap(contents(&["predictor/W", "predictor/b"])).unwrap();
        assert_eq!(names(&weights), ["predictor/W", "predictor/b"]);
        assert!(notes.is_empty());
    }

    #[test]
    fn what_is_no_tensor_is_an_error_among_the_weights() {
        let mut file = contents(&["conv1/W"]);
        file.reject("conv2/W".to_owned(), "it holds Python objects");
        assert_eq!(unwrap(file).unwrap_err().to_string(), "tensor `conv2/W`: it holds Python objects");
        let error = unwrap(contents(&["updater/iterator:main/epoch"])).unwrap_err();
        assert!(error.to_string().contains("a trainer's snapshot"), "{error}");
    }
}
