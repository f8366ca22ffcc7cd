//! `validation.json`: how each image was judged.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Result, json};

/// What a validation gave, image by image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// After how many epochs.
    #[serde(deserialize_with = "json::number")]
    pub epoch: f64,
    /// The classes' names.
    pub classes: Vec<String>,
    /// The images, in the data's order.
    pub images: Vec<Judged>,
}

/// An image, and what the net takes it for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Its name: a file, or a data base and a key.
    pub name: String,
    /// The class it is of.
    pub label: usize,
    /// The class with the highest score.
    pub predicted: usize,
    /// What the net gives for the class that it takes it for.
    #[serde(deserialize_with = "json::number")]
    pub probability: f64,
    /// Its picture, from the run's folder: [`RunFolder::mistake_name`](super::RunFolder::mistake_name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// How many images of each class were taken for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// By the class that they are of, and the one that they were taken for. Most pairs of many classes never occur.
    counts: BTreeMap<(usize, usize), u64>,
}

impl Validation {
    /// Writes it to the file at `path`, in the place of one that is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        json::write(path, self)
    }

    /// Reads it from the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, says something else, or speaks of classes that there are not.
    pub fn read(path: &Path) -> Result<Self> {
        let read: Self = json::read(path)?;
        let classes = read.classes.len();
        match read.images.iter().find(|image| image.label.max(image.predicted) >= classes) {
            None => Ok(read),
            Some(image) => Err(Error::File {
                path: path.to_path_buf(),
                what: format!(
                    "image `{}` is of class {}, predicted {}; counted from 0 there are {classes} classes",
                    image.name, image.label, image.predicted
                ),
            }),
        }
    }

    /// A class's name, or its number where it has none.
    pub fn class(&self, index: usize) -> Cow<'_, str> {
        match self.classes.get(index) {
            Some(name) if !name.is_empty() => Cow::Borrowed(name),
            _ => Cow::Owned(index.to_string()),
        }
    }

    /// The images that were taken for another class, those that the net is surest of first.
    pub fn mistakes(&self) -> Vec<&Judged> {
        let mut mistakes = self.images.iter().filter(|image| !image.is_right()).collect::<Vec<_>>();
        mistakes.sort_by(|a, b| b.confidence().total_cmp(&a.confidence()));
        mistakes
    }

    /// How many images of each class were taken for each.
    pub fn confusion(&self) -> Confusion {
        let mut counts = BTreeMap::new();
        for image in &self.images {
            *counts.entry((image.label, image.predicted)).or_insert(0) += 1;
        }
        Confusion { counts }
    }
}

impl Judged {
    /// Whether it was taken for what it is.
    pub fn is_right(&self) -> bool {
        self.label == self.predicted
    }

    /// The probability; less than any where it is no number.
    fn confidence(&self) -> f64 {
        if self.probability.is_nan() { f64::NEG_INFINITY } else { self.probability }
    }
}

impl Confusion {
    /// How many images of class `label` were taken for `predicted`.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        self.counts.get(&(label, predicted)).copied().unwrap_or(0)
    }

    /// How many images are of class `label`.
    pub fn of(&self, label: usize) -> u64 {
        self.counts.range((label, 0)..=(label, usize::MAX)).map(|(_, count)| count).sum()
    }

    /// The part of a class's images that was taken for what it is; `None` where there are none.
    pub fn accuracy_of(&self, label: usize) -> Option<f64> {
        part(self.count(label, label), self.of(label))
    }

    /// The part of all images that was taken for what it is; `None` where there are none.
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.counts.iter().filter(|((label, predicted), _)| label == predicted);
        part(right.map(|(_, count)| count).sum(), self.counts.values().sum())
    }

    /// Pairs of different classes, as (class, taken for, how often): those that occur, the most frequent first.
    pub fn mistaken(&self) -> Vec<(usize, usize, u64)> {
        let pairs = self.counts.iter().filter(|((label, predicted), _)| label != predicted);
        let mut pairs =
            pairs.map(|(&(label, predicted), &count)| (label, predicted, count)).collect::<Vec<_>>();
        // The sort is stable: of equals, the earlier class is first.
        pairs.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        pairs
    }
}

fn part(right: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| right as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn judged(label: usize, predicted: usize, probability: f64) -> Judged {
        Judged { name: format!("{label}-{predicted}"), label, predicted, probability, picture: None }
    }

    fn validation() -> Validation {
        let images = vec![
            judged(0, 0, 0.9),
            judged(0, 2, 0.5),
            judged(2, 0, 0.75),
            judged(2, 0, f64::NAN),
            judged(0, 0, 0.25),
        ];
        Validation { epoch: 3.0, classes: vec!["a".to_owned(), String::new(), "c".to_owned()], images }
    }

    #[test]
    fn mistakes_are_counted_by_class() {
        let confusion = validation().confusion();
        assert_eq!([confusion.count(0, 0), confusion.count(0, 2), confusion.count(1, 1)], [2, 1, 0]);
        assert_eq!([confusion.of(0), confusion.of(1), confusion.of(2)], [3, 0, 2]);
        let accuracies = [0, 1, 2].map(|class| confusion.accuracy_of(class));
        assert_eq!(accuracies, [Some(2.0 / 3.0), None, Some(0.0)]);
        assert_eq!(confusion.accuracy(), Some(0.4));
        assert_eq!(confusion.mistaken(), [(2, 0, 2), (0, 2, 1)]);
        assert_eq!(Validation::default().confusion().accuracy(), None);
    }

    #[test]
    fn the_surest_mistakes_come_first() {
        let validation = validation();
        let mistakes = validation.mistakes();
        let names = mistakes.iter().map(|image| (image.name.as_str(), image.probability)).collect::<Vec<_>>();
        assert_eq!(names[..2], [("2-0", 0.75), ("0-2", 0.5)]);
        assert!(names.len() == 3 && names[2].1.is_nan());
        assert_eq!([0, 1, 9].map(|class| validation.class(class).into_owned()), ["a", "1", "9"]);
    }

    #[test]
    fn what_is_written_is_read_and_classes_are_checked() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("validation.json");
        let mut written = validation();
        written.images[1].picture = Some("mistakes/000.png".to_owned());
        written.write(&path).unwrap();
        let read = Validation::read(&path).unwrap();
        assert!(read.images[3].probability.is_nan());
        written.images.remove(3);
        assert_eq!(
            Validation {
                images: read.images.into_iter().filter(|i| !i.probability.is_nan()).collect(),
                ..read
            },
            written
        );
        assert_eq!(fs::read_to_string(&path).unwrap().matches("picture").count(), 1);
        written.images.push(judged(1, 3, 0.5));
        written.write(&path).unwrap();
        let error = Validation::read(&path).unwrap_err().to_string();
        let expected = "image `1-3` is of class 1, predicted 3; counted from 0 there are 3 classes";
        assert_eq!(error, format!("{}: {expected}", path.display()));
    }
}
