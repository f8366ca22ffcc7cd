//! A folder for each class.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, Picture, Result, Sample, Source, file};

/// The images below the folders of a folder. The folders' names in the order of their bytes are the classes 0, 1, 2, …; the
/// images of a class are in the order of their paths. Names that begin with a dot are passed over.
#[derive(Debug)]
pub struct ClassFolders {
    classes: Vec<String>,
    images: Vec<(PathBuf, i32)>,
    ignored: usize,
}

/// What image files are called.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];
/// How deep folders may nest: a link can lead back up.
const MAX_DEPTH: usize = 16;

impl ClassFolders {
    /// Lists the files of `folder`; none is opened.
    ///
    /// # Errors
    /// When there is no such folder, it has no folders in it, or one of them has no image.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let wrong =
            |path: &Path, what: &str| Error::Source { path: path.to_path_buf(), what: what.to_owned() };
        let mut this = Self { classes: Vec::new(), images: Vec::new(), ignored: 0 };
        for path in listed(folder)? {
            if !path.is_dir() {
                this.ignored += 1;
                continue;
            }
            let label = this.classes.len() as i32;
            this.classes.push(name(&path));
            let before = this.images.len();
            this.collect(&path, label, 1)?;
            if this.images.len() == before {
                return Err(wrong(
                    &path,
                    "this class has no images (.jpg, .jpeg or .png): remove its folder, or fill it",
                ));
            }
        }
        if this.classes.is_empty() {
            return Err(wrong(folder, "expected a folder for each class in it, with images in each"));
        }
        Ok(this)
    }

    /// How many files are neither `.jpg`, `.jpeg` nor `.png`, or lie outside every class.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    fn collect(&mut self, folder: &Path, label: i32, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            let what =
                format!("more than {MAX_DEPTH} folders in each other: does one link to another above it?");
            return Err(Error::Source { path: folder.to_path_buf(), what });
        }
        for path in listed(folder)? {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if path.is_dir() {
                self.collect(&path, label, depth + 1)?;
            } else if ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)) {
                self.images.push((path, label));
            } else {
                self.ignored += 1;
            }
        }
        Ok(())
    }
}

impl Source for ClassFolders {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, index: usize) -> String {
        self.images[index].0.display().to_string()
    }

    fn read(&self, index: usize) -> std::result::Result<Sample<'_>, String> {
        let (path, label) = &self.images[index];
        Ok(Sample { picture: Picture::Encoded(file::read(path)?.into()), label: *label })
    }

    fn label(&self, index: usize) -> std::result::Result<i32, String> {
        Ok(self.images[index].1)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// What is in a folder, in the order of the names' bytes.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| caffe_proto::Error::Open { path: folder.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
