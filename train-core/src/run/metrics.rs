//! `metrics.jsonl`: what happened, a line at a time.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weight_io::{WriteOptions, write_file};

use super::{Error, Result, json};

/// Something that happened. Iterations are counted from 1, by the updates that are done; epochs are times through the
/// training images, with a fraction. What is not finite is `null` in the file and NaN here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// A step, or the mean of those since the last of these lines.
    Step {
        /// The last step of these.
        iteration: u64,
        /// Where that is in the epochs.
        #[serde(deserialize_with = "json::number")]
        epoch: f64,
        /// The loss.
        #[serde(deserialize_with = "json::number")]
        loss: f64,
        /// Of the images, the part that was classified right: 0 to 1. NaN where that is not known.
        #[serde(deserialize_with = "json::number")]
        accuracy: f64,
        /// The learning rate.
        #[serde(deserialize_with = "json::number")]
        rate: f64,
        /// How many images a second these took, with all that a step does.
        #[serde(deserialize_with = "json::number")]
        images_per_second: f64,
    },
    /// The validation images, judged.
    Validation {
        /// After which step.
        iteration: u64,
        /// Where that is in the epochs.
        #[serde(deserialize_with = "json::number")]
        epoch: f64,
        /// The mean loss.
        #[serde(deserialize_with = "json::number")]
        loss: f64,
        /// The part that was classified right: 0 to 1.
        #[serde(deserialize_with = "json::number")]
        accuracy: f64,
        /// How many images there were.
        images: u64,
        /// How long it took.
        #[serde(deserialize_with = "json::number")]
        seconds: f64,
    },
    /// What layers put out, over the images of a step or of a validation.
    Outputs {
        /// After which step.
        iteration: u64,
        /// The layers, in the net's order.
        layers: Vec<LayerOutput>,
    },
    /// Layers that were frozen learn from here on.
    Thawed {
        /// After which step.
        iteration: u64,
        /// Their names.
        layers: Vec<String>,
    },
    /// The weights were written.
    Snapshot {
        /// After which step.
        iteration: u64,
        /// Where that is in the epochs.
        #[serde(deserialize_with = "json::number")]
        epoch: f64,
        /// Whether no validation before was as good.
        best: bool,
    },
    /// The run was broken off, and goes on from here.
    Resumed {
        /// After which step.
        iteration: u64,
    },
    /// An image that could not be used.
    Broken {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What a layer puts out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerOutput {
    /// The layer's name.
    pub layer: String,
    /// The mean of all its outputs.
    #[serde(deserialize_with = "json::number")]
    pub mean: f64,
    /// Their standard deviation.
    #[serde(deserialize_with = "json::number")]
    pub deviation: f64,
}

impl Metric {
    /// After which step it happened; a broken image is met at no step that is known.
    pub fn iteration(&self) -> Option<u64> {
        match self {
            Self::Step { iteration, .. }
            | Self::Validation { iteration, .. }
            | Self::Outputs { iteration, .. }
            | Self::Thawed { iteration, .. }
            | Self::Snapshot { iteration, .. }
            | Self::Resumed { iteration } => Some(*iteration),
            Self::Broken { .. } => None,
        }
    }
}

/// Appends to a file of metrics. A line is in the file when [`MetricsWriter::write`] returns.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: File,
}

impl MetricsWriter {
    /// Begins a file, in the place of one that is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        write_file(path, b"", WriteOptions { force: true, sync: false })?;
        Self::append(path)
    }

    /// Goes on with the file of a run that is resumed after step `iteration`: what happened later is dropped, broken
    /// images met since included, and a line says that it was resumed. A file that is missing is begun.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn resume(path: &Path, iteration: u64) -> Result<Self> {
        let mut metrics = if path.exists() { read_metrics(path)? } else { Vec::new() };
        let earlier = |metric: &Metric| metric.iteration().is_some_and(|at| at <= iteration);
        let last = metrics.iter().rposition(earlier);
        metrics.truncate(last.map_or(0, |last| last + 1));
        metrics.retain(|metric| metric.iteration().is_none_or(|at| at <= iteration));
        metrics.push(Metric::Resumed { iteration });
        let mut bytes = Vec::new();
        for metric in &metrics {
            line(metric, &mut bytes).map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
        }
        write_file(path, &bytes, WriteOptions { force: true, sync: false })?;
        Self::append(path)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, metric: &Metric) -> Result<()> {
        let mut bytes = Vec::new();
        line(metric, &mut bytes)
            .and_then(|()| self.file.write_all(&bytes))
            .map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    fn append(path: &Path) -> Result<Self> {
        let file = File::options().append(true).open(path);
        let file = file.map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
        Ok(Self { path: path.to_path_buf(), file })
    }
}

/// Reads all lines of the file at `path`. A last line that ends half-way is left out: whoever wrote it was killed, or
/// is about to write the rest.
///
/// # Errors
/// When the file cannot be read; [`Error::Line`] for a line that is no metric.
pub fn read_metrics(path: &Path) -> Result<Vec<Metric>> {
    let failed = |source| Error::Read { path: path.to_path_buf(), source };
    let mut file = BufReader::new(fs::File::open(path).map_err(failed)?);
    let (mut metrics, mut bytes) = (Vec::new(), Vec::new());
    for line in 1.. {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            break;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let whole = bytes.pop_if(|byte| *byte == b'\n').is_some();
        match serde_json::from_slice(&bytes) {
            Ok(metric) => metrics.push(metric),
            Err(_) if !whole => break,
            Err(error) => {
                // A line of the file is all that the parser sees: to it, the number is always 1.
                let what = error.to_string().replace(" at line 1 column ", " at column ");
                return Err(Error::Line { path: path.to_path_buf(), line, what });
            }
        }
    }
    Ok(metrics)
}

fn line(metric: &Metric, bytes: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *bytes, metric)?;
    bytes.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(iteration: u64) -> Metric {
        Metric::Step {
            iteration,
            epoch: iteration as f64 / 4.0,
            loss: 2.5,
            accuracy: 0.25,
            rate: 1e-3,
            images_per_second: 512.5,
        }
    }

    fn broken(name: &str) -> Metric {
        Metric::Broken { name: name.to_owned(), what: "it is empty".to_owned() }
    }

    fn one_of_each() -> Vec<Metric> {
        let layer = LayerOutput { layer: "conv1".to_owned(), mean: -0.5, deviation: 1.25 };
        vec![
            step(1),
            Metric::Outputs { iteration: 1, layers: vec![layer] },
            Metric::Thawed { iteration: 1, layers: vec!["conv1".to_owned(), "<&\n>".to_owned()] },
            broken("a/b \u{fffd}.png"),
            Metric::Validation {
                iteration: 4,
                epoch: 1.0,
                loss: 0.125,
                accuracy: 0.5,
                images: 100,
                seconds: 0.75,
            },
            Metric::Snapshot { iteration: 4, epoch: 1.0, best: true },
            Metric::Resumed { iteration: 4 },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("metrics.jsonl");
        let mut writer = MetricsWriter::create(&path).unwrap();
        for (done, metric) in one_of_each().iter().enumerate() {
            writer.write(metric).unwrap();
            assert_eq!(read_metrics(&path).unwrap(), one_of_each()[..=done]);
        }
        let text = fs::read_to_string(&path).unwrap();
        let first = r#"{"kind":"step","iteration":1,"epoch":0.25,"loss":2.5,"accuracy":0.25,"rate":0.001,"images_per_second":512.5}"#;
        assert_eq!(text.lines().next(), Some(first));
        assert_eq!(text.lines().last(), Some(r#"{"kind":"resumed","iteration":4}"#));
    }

    #[test]
    fn what_is_not_finite_is_null() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("metrics.jsonl");
        let mut writer = MetricsWriter::create(&path).unwrap();
        for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let Metric::Step { iteration, epoch, accuracy, rate, images_per_second, .. } = step(1) else {
                unreachable!()
            };
            writer
                .write(&Metric::Step { iteration, epoch, loss, accuracy, rate, images_per_second })
                .unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().matches(r#""loss":null"#).count(), 3);
        for metric in read_metrics(&path).unwrap() {
            assert!(matches!(metric, Metric::Step { loss, accuracy: 0.25, .. } if loss.is_nan()));
        }
    }

    #[test]
    fn a_last_line_may_end_half_way_and_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("metrics.jsonl");
        fs::write(&path, "{\"kind\":\"resumed\",\"iteration\":4}\n\n{\"kind\":\"resu").unwrap();
        assert_eq!(read_metrics(&path).unwrap(), [Metric::Resumed { iteration: 4 }]);
        for (text, expected) in [
            ("\n{\"kind\":\"resu\n{}", "line 2: EOF while parsing a string at column 13"),
            (
                "{\"kind\":\"resumed\",\"iteration\":4}\n{\"kind\":\"other\"}\n",
                "line 2: unknown variant `other`, expected one of `step`, `validation`, `outputs`, `thawed`, \
                 `snapshot`, `resumed`, `broken` at column 15",
            ),
            ("{\"kind\":\"resumed\"}\n", "line 1: missing field `iteration`"),
            ("\u{fffd}\n", "line 1: expected value at column 1"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_metrics(&path).unwrap_err().to_string();
            assert_eq!(error, format!("{}, {expected}", path.display()));
        }
    }

    #[test]
    fn a_resumed_run_has_no_line_of_what_came_later() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("metrics.jsonl");
        let mut writer = MetricsWriter::create(&path).unwrap();
        let before = [step(1), broken("a"), step(2), broken("b"), step(3), broken("c")];
        for metric in &before {
            writer.write(metric).unwrap();
        }
        writer.file.write_all(b"{\"kind\":").unwrap();
        drop(writer);
        let mut writer = MetricsWriter::resume(&path, 2).unwrap();
        writer.write(&step(3)).unwrap();
        let expected = [step(1), broken("a"), step(2), Metric::Resumed { iteration: 2 }, step(3)];
        assert_eq!(read_metrics(&path).unwrap(), expected);
        drop(writer);
        MetricsWriter::resume(&path, 0).unwrap();
        assert_eq!(read_metrics(&path).unwrap(), [Metric::Resumed { iteration: 0 }]);
        fs::remove_file(&path).unwrap();
        MetricsWriter::resume(&path, 5).unwrap();
        assert_eq!(read_metrics(&path).unwrap(), [Metric::Resumed { iteration: 5 }]);
    }
}
