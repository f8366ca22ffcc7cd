//! `run.json`: how a run was started.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Result, json};

/// What a run was started with. A field that a file does not have is empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The command line, the program first.
    pub command: Vec<String>,
    /// The program's version.
    pub version: String,
    /// When it was started: RFC 3339, as in `2026-03-01T12:30:00Z`.
    pub started: String,
    /// The net's definition: a file.
    pub definition: String,
    /// The weights that training began with: a file; none from scratch.
    pub weights: Option<String>,
    /// What it was computed on, in words.
    pub device: String,
    /// What decides the bits of that device's results.
    pub arithmetic: String,
    /// How a device's algorithms were chosen: `measured` or `by sizes`; nothing on the processor, which has no choice.
    pub algorithms: String,
    /// What all that is random came from.
    pub seed: u64,
    /// How many times the training images were to be gone through.
    pub epochs: u64,
    /// Images a step.
    pub batch_size: u64,
    /// The rule and its hyperparameters, as text.
    pub optimizer: String,
    /// The learning rate at the start.
    #[serde(deserialize_with = "json::number")]
    pub rate: f64,
    /// The layers that were frozen at the start.
    pub frozen: Vec<String>,
    /// When frozen layers were to be thawed, as in `conv5@2ep, conv4@4ep`.
    pub thaw: Option<String>,
    /// The layers that were made anew.
    pub replaced: Vec<Replaced>,
    /// The classes' names, in the order of the net's outputs.
    pub classes: Vec<String>,
    /// Tells these images, and what is done to them, from others.
    pub images: String,
    /// Tells the parameters at the start from others.
    pub parameters: String,
    /// Images to learn from.
    pub training_images: u64,
    /// Images to judge by.
    pub validation_images: u64,
    /// Which features of frozen layers were cached and where, or why none were.
    pub cache: String,
    /// The layer whose weights `filters.npz` holds.
    pub first_convolution: Option<String>,
}

/// A layer that was made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The layer's name.
    pub layer: String,
    /// How many outputs it has now.
    pub outputs: u64,
    /// How many it had.
    pub old_outputs: u64,
}

impl Settings {
    /// Writes them to the file at `path`, in the place of one that is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        json::write(path, self)
    }

    /// Reads them from the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or says something else.
    pub fn read(path: &Path) -> Result<Self> {
        json::read(path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run.json");
        let settings = Settings {
            command: vec!["rebrew".to_owned(), "fine tune".to_owned(), "<&\u{1}\u{fffd}>".to_owned()],
            weights: Some("a.caffemodel".to_owned()),
            seed: u64::MAX,
            rate: 1e-3,
            replaced: vec![Replaced { layer: "fc8".to_owned(), outputs: 10, old_outputs: 1000 }],
            ..Settings::default()
        };
        settings.write(&path).unwrap();
        assert_eq!(Settings::read(&path).unwrap(), settings);
        Settings { epochs: 7, rate: f64::INFINITY, ..settings }.write(&path).unwrap();
        let again = Settings::read(&path).unwrap();
        assert!(again.epochs == 7 && again.rate.is_nan());
    }

    #[test]
    fn fields_may_be_missing_and_files_may_be_broken() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run.json");
        fs::write(&path, r#"{ "seed": 3, "of another version": [] }"#).unwrap();
        assert_eq!(Settings::read(&path).unwrap(), Settings { seed: 3, ..Settings::default() });
        fs::write(&path, "{ \"seed\": -3 }").unwrap();
        let error = Settings::read(&path).unwrap_err().to_string();
        let expected = "run.json: invalid value: integer `-3`, expected u64 at line 1 column 12";
        assert!(error.ends_with(expected), "{error}");
        let error = Settings::read(&scratch.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }
}
