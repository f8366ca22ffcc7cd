//! The folder that features are kept in.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Error, Features, Fingerprint, Result};

/// The most bytes that all files of features may take.
pub const MOST_BYTES: u64 = 16 << 30;

/// How files are called that are not whole.
pub(super) const PARTIAL: &str = ".partial";
const ENDING: &str = "features";
/// After so long nobody writes at a file any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder of features.
#[derive(Clone, Debug)]
pub struct FeatureCache {
    folder: PathBuf,
}

impl FeatureCache {
    /// The user's: in the folder that `REBREW_CACHE` names, or `~/.cache/rebrew`; `None` where there is neither.
    pub fn of_user() -> Option<Self> {
        let named = env::var_os("REBREW_CACHE").filter(|name| !name.is_empty()).map(PathBuf::from);
        let home = || env::var_os("HOME").filter(|home| !home.is_empty());
        let base = named.or_else(|| home().map(|home| Path::new(&home).join(".cache/rebrew")))?;
        Some(Self { folder: base.join("features") })
    }

    /// One in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is kept under this fingerprint; it counts as used now.
    pub fn find(&self, fingerprint: Fingerprint) -> Option<Features> {
        let path = self.path(fingerprint);
        let features = Features::open(&path, fingerprint)?;
        // Where the time cannot be set, it goes earlier than it might.
        let _ =
            File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(features)
    }

    /// Where features of this fingerprint are to be written.
    pub(super) fn path(&self, fingerprint: Fingerprint) -> PathBuf {
        self.folder.join(format!("{fingerprint}.{ENDING}"))
    }

    /// Makes room for so many bytes: makes the folder, and removes files that were not used for longest.
    pub(super) fn make_room(&self, needed: u64) -> Result<()> {
        if needed > MOST_BYTES {
            return Err(Error::TooLarge { needed, limit: MOST_BYTES });
        }
        let failed = |source| Error::Write { path: self.folder.clone(), source };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        self.shrink(MOST_BYTES - needed, SystemTime::now()).map_err(failed)
    }

    fn shrink(&self, limit: u64, now: SystemTime) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(PARTIAL) && now.duration_since(used).is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(&path);
            } else if path.extension().is_some_and(|ending| ending == ENDING) {
                files.push((used, metadata.len(), path));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if total <= limit {
                break;
            }
            // A file in use stays mapped until it is let go.
            fs::remove_file(&path)?;
            total -= len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let scratch = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let put = |name: &str, len: usize, age: u64| {
            let path = scratch.path().join(name);
            fs::write(&path, vec![0; len]).unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        };
        put("old.features", 40, 900);
        put("new.features", 40, 10);
        put("mid.features", 40, 500);
        put(".old.features.1.partial", 40, 2 * ABANDONED.as_secs());
        put(".new.features.1.partial", 40, 5);
        put("mine.txt", 400, 99_999);
        FeatureCache::new(scratch.path()).shrink(90, now).unwrap();
        let mut left = fs::read_dir(scratch.path()).unwrap();
        let mut left =
            left.by_ref().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
        left.sort();
        assert_eq!(left, [".new.features.1.partial", "mid.features", "mine.txt", "new.features"]);
    }

    #[test]
    fn more_than_all_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let error = FeatureCache::new(scratch.path()).make_room(MOST_BYTES + 1).unwrap_err().to_string();
        assert!(error.contains("17179869185 bytes of features are more than 17179869184"), "{error}");
    }
}
