//! Where a run's files are.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Error, Result};

/// The most pictures of mistakes that a run keeps.
pub const MOST_MISTAKES: usize = 48;

/// Pictures of mistakes.
const MISTAKES: &str = "mistakes";

const SETTINGS: &str = "run.json";
const METRICS: &str = "metrics.jsonl";
const VALIDATION: &str = "validation.json";
const FILTERS: &str = "filters.npz";
const TRAIN_VAL: &str = "train_val.prototxt";
const DEPLOY: &str = "deploy.prototxt";
const BEST: &str = "best.caffemodel";
const LAST: &str = "last.caffemodel";
const LABELS: &str = "labels.txt";
const STATE: &str = "state.npz";

/// The files that a run writes.
const FILES: [&str; 10] =
    [SETTINGS, METRICS, VALIDATION, FILTERS, TRAIN_VAL, DEPLOY, BEST, LAST, LABELS, STATE];

/// The folder of a training run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder, for a run from the start. With `force`, the files of a run that is there are removed, and no
    /// others.
    ///
    /// # Errors
    /// [`Error::Exists`] when a run is there, and when the folder cannot be made.
    pub fn create(path: impl Into<PathBuf>, force: bool) -> Result<Self> {
        let path = path.into();
        let failed = |source| Error::Write { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(failed)?;
        if !force {
            Self::check_free(&path)?;
        }
        clear(&path)?;
        let folder = path.join(MISTAKES);
        fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder, source })?;
        Ok(Self { path })
    }

    /// Whether a run can begin at `path` without `force`.
    ///
    /// # Errors
    /// [`Error::Exists`] when a run is there.
    pub fn check_free(path: &Path) -> Result<()> {
        match FILES.into_iter().chain([MISTAKES]).find(|name| path.join(name).exists()) {
            Some(found) => Err(Error::Exists { path: path.to_path_buf(), found }),
            None => Ok(()),
        }
    }

    /// The folder of a run that was started.
    ///
    /// # Errors
    /// [`Error::NotARun`] when there is no folder, or no metrics in it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let found = Self { path };
        let what = if !found.path.exists() {
            "there is none"
        } else if !found.path.is_dir() {
            "it is a file"
        } else if !found.metrics().is_file() {
            "it has no `metrics.jsonl`"
        } else {
            return Ok(found);
        };
        Err(Error::NotARun { path: found.path, what })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the run was started: [`Settings`](super::Settings).
    pub fn settings(&self) -> PathBuf {
        self.path.join(SETTINGS)
    }

    /// What happened: [`Metric`](super::Metric)s.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// What the best epoch's validation gave: [`Validation`](super::Validation).
    pub fn validation(&self) -> PathBuf {
        self.path.join(VALIDATION)
    }

    /// Where the picture of the mistake at `index` is, within the folder: what
    /// [`Judged::picture`](super::Judged::picture) says.
    pub fn mistake_name(index: usize) -> String {
        format!("{MISTAKES}/{index:03}.png")
    }

    /// Where a picture of that name is; `None` for a name that leads out of the folder of mistakes.
    pub fn mistake(&self, name: &str) -> Option<PathBuf> {
        let mut parts = Path::new(name).components();
        let inside = parts.next() == Some(Component::Normal(MISTAKES.as_ref()))
            && matches!(parts.next(), Some(Component::Normal(_)))
            && parts.next().is_none();
        inside.then(|| self.path.join(name))
    }

    /// The first convolution's weights before and after: [`Filters`](super::Filters).
    pub fn filters(&self) -> PathBuf {
        self.path.join(FILTERS)
    }

    /// The net that is trained.
    pub fn train_val(&self) -> PathBuf {
        self.path.join(TRAIN_VAL)
    }

    /// The net that classifies.
    pub fn deploy(&self) -> PathBuf {
        self.path.join(DEPLOY)
    }

    /// The weights of the epoch with the best validation.
    pub fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The weights of the last snapshot.
    pub fn last(&self) -> PathBuf {
        self.path.join(LAST)
    }

    /// The classes' names, one a line.
    pub fn labels(&self) -> PathBuf {
        self.path.join(LABELS)
    }

    /// What a resumed run goes on from, beside the weights.
    pub fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }
}

/// Removes a run's files, and the pictures by the names that a run gives them.
fn clear(path: &Path) -> Result<()> {
    let pictures = (0..MOST_MISTAKES).map(RunFolder::mistake_name);
    for name in FILES.into_iter().map(str::to_owned).chain(pictures) {
        let file = path.join(name);
        match fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Write { path: file, source });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_replaced_only_when_told_and_nothing_else_is() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/b");
        let run = RunFolder::create(&path, false).unwrap();
        fs::write(run.metrics(), "{}").unwrap();
        fs::write(run.mistake(&RunFolder::mistake_name(7)).unwrap(), "old").unwrap();
        fs::write(path.join("mine.txt"), "mine").unwrap();
        fs::write(path.join("mistakes/mine.txt"), "mine").unwrap();
        let refused = RunFolder::create(&path, false).unwrap_err().to_string();
        let expected = format!(
            "{} holds a training run already: `metrics.jsonl` (--resume continues it, --force replaces it)",
            path.display()
        );
        assert_eq!(refused, expected);
        let again = RunFolder::create(&path, true).unwrap();
        assert_eq!(again, run);
        assert!(!run.metrics().exists() && !path.join("mistakes/007.png").exists());
        assert!(path.join("mine.txt").exists() && path.join("mistakes/mine.txt").exists());
    }

    #[test]
    fn what_is_no_run_says_why() {
        let scratch = tempfile::tempdir().unwrap();
        let none = scratch.path().join("none");
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, why) in [
            (none.as_path(), "there is none"),
            (file.as_path(), "it is a file"),
            (scratch.path(), "it has no `metrics.jsonl`"),
        ] {
            let expected = format!("{} is no folder of a training run: {why}", path.display());
            assert_eq!(RunFolder::open(path).unwrap_err().to_string(), expected);
        }
        assert!(matches!(RunFolder::create(&file, true), Err(Error::Write { .. })));
    }

    #[test]
    fn pictures_are_within_their_folder() {
        let run = RunFolder { path: PathBuf::from("RUN") };
        assert_eq!(run.mistake(&RunFolder::mistake_name(3)), Some(PathBuf::from("RUN/mistakes/003.png")));
        for name in ["", "mistakes", "a.png", "mistakes/../run.json", "../mistakes/a.png", "/mistakes/a.png"]
        {
            assert_eq!(run.mistake(name), None, "{name}");
        }
    }
}
