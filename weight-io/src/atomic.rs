//! A file that appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

/// How a file is put in place.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Replace a file of that name.
    pub force: bool,
    /// Return only when the bytes and the name are on the disk.
    pub sync: bool,
}

/// Writes a small file: under its name it is whole or not there.
///
/// # Errors
/// [`Error::Exists`], [`Error::NotReplaceable`], [`Error::Write`].
pub fn write_file(path: &Path, bytes: &[u8], options: WriteOptions) -> Result<(), Error> {
    let file = AtomicFile::create(path, options)?;
    file.file().write_all(bytes).map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
    file.commit()
}

/// A file being written, without its name until [`AtomicFile::commit`].
///
/// On Linux the file has no name at all until it is whole, so that even a killed process leaves nothing behind.
/// Where the file system cannot do that, and on other systems, it is a hidden file in the same folder.
/// Dropped before the commit, it is gone.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    /// Where it will stand; of a symbolic link, what the link points to.
    target: PathBuf,
    file: File,
    /// Its name until then, where it needs one.
    temporary: Option<Temporary>,
    options: WriteOptions,
}

/// A name that is removed when this is dropped, if it is still there.
#[derive(Debug)]
struct Temporary(PathBuf);

impl AtomicFile {
    /// Begins a file that will stand at `path`.
    pub(crate) fn create(path: &Path, options: WriteOptions) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.to_path_buf(), source };
        let target = follow(path).map_err(failed)?;
        match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Error::NotReplaceable { path: path.to_path_buf(), what: "a folder" });
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(Error::NotReplaceable {
                    path: path.to_path_buf(),
                    what: "a device, pipe or socket",
                });
            }
            Ok(_) if !options.force => return Err(Error::Exists { path: path.to_path_buf() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        if let Some(file) = nameless::create(folder(&target)) {
            return Ok(Self { target, file, temporary: None, options });
        }
        let temporary = Temporary(beside(&target));
        let file =
            File::options().read(true).write(true).create_new(true).open(&temporary.0).map_err(failed)?;
        Ok(Self { target, file, temporary: Some(temporary), options })
    }

    /// The file, for writing.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it will stand.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the file its name.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        self.put_in_place().map_err(|source| {
            // Another program may have made the file while this one was written.
            if source.kind() == io::ErrorKind::AlreadyExists {
                Error::Exists { path: self.target.clone() }
            } else {
                Error::Write { path: self.target.clone(), source }
            }
        })
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        if self.options.sync {
            self.file.sync_all()?;
        }
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None if !self.options.force => {
                nameless::link(&self.file, &self.target)?;
                return self.sync_folder();
            }
            None => {
                // Only a rename replaces: it needs a name, which a file that is whole may have for a moment.
                let temporary = Temporary(beside(&self.target));
                nameless::link(&self.file, &temporary.0)?;
                temporary
            }
        };
        if self.options.force {
            fs::rename(&temporary.0, &self.target)?;
        } else {
            // A link, unlike a rename, never replaces what another program put there meanwhile.
            match fs::hard_link(&temporary.0, &self.target) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    fs::rename(&temporary.0, &self.target)?;
                }
                done => done?,
            }
        }
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        if self.options.sync && cfg!(unix) {
            File::open(folder(&self.target))?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing can be done about a file that cannot be removed, and its name says what it is.
        let _ = fs::remove_file(&self.0);
    }
}

/// What a chain of symbolic links ends at, whether that exists or not.
fn follow(path: &Path) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = folder(&path).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A hidden name in the same folder that no other writer takes.
fn beside(target: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // A file system's limit is 255 bytes: a long name is cut, and the rest tells the writers apart.
    let name = name.chars().take(40).collect::<String>();
    folder(target).join(format!(".{name}.{}-{number}.part", std::process::id()))
}

#[cfg(target_os = "linux")]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

    /// A file without a name; `None` where the file system, or a missing `/proc`, rules it out.
    pub(super) fn create(folder: &Path) -> Option<File> {
        // The process's umask takes away from these.
        let mode = Mode::from_raw_mode(0o666);
        let file = openat(CWD, folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode).ok()?;
        let file = File::from(file);
        std::fs::symlink_metadata(of(&file)).is_ok().then_some(file)
    }

    /// Gives the file a name that must be free.
    pub(super) fn link(file: &File, name: &Path) -> io::Result<()> {
        Ok(linkat(CWD, of(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn of(file: &File) -> String {
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }
}

#[cfg(not(target_os = "linux"))]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn create(_folder: &Path) -> Option<File> {
        None
    }

    pub(super) fn link(_file: &File, _name: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const FORCE: WriteOptions = WriteOptions { force: true, sync: true };

    fn names(folder: &Path) -> Vec<String> {
        let mut names = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>();
        names.sort();
        names
    }

    fn write(path: &Path, bytes: &[u8], options: WriteOptions) -> Result<(), Error> {
        let file = AtomicFile::create(path, options)?;
        file.file().write_all(bytes).unwrap();
        file.commit()
    }

    #[test]
    fn nothing_has_a_name_before_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let file = AtomicFile::create(&path, WriteOptions::default()).unwrap();
        file.file().write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert!(names(folder.path()).is_empty());
        write(&path, b"whole", WriteOptions::default()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["a.npz"]);
    }

    #[test]
    fn a_file_is_replaced_only_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write(&path, b"first", WriteOptions::default()).unwrap();
        let refused = write(&path, b"second", WriteOptions::default()).unwrap_err();
        assert_eq!(refused.to_string(), format!("{} exists already (--force replaces it)", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        write(&path, b"second", FORCE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["a.npz"]);
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let file = AtomicFile::create(&path, WriteOptions::default()).unwrap();
        fs::write(&path, b"theirs").unwrap();
        assert!(matches!(file.commit(), Err(Error::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }

    #[test]
    fn a_folder_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let refused = write(folder.path(), b"", FORCE).unwrap_err();
        assert!(refused.to_string().ends_with("is a folder: only a regular file is replaced"), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_never_replaced_and_a_link_is_followed() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let refused = write(Path::new("/dev/null"), b"", FORCE).unwrap_err();
        assert!(refused.to_string().contains("is a device"), "{refused}");

        let folder = tempfile::tempdir().unwrap();
        let (link, path) = (folder.path().join("link"), folder.path().join("real.npz"));
        symlink("real.npz", &link).unwrap();
        write(&link, b"through", WriteOptions::default()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"through");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0);

        symlink("around", folder.path().join("around")).unwrap();
        assert!(write(&folder.path().join("around"), b"", FORCE).is_err());
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none").join("a.npz");
        assert!(matches!(write(&path, b"", FORCE), Err(Error::Write { .. })));
    }
}
