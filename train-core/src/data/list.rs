//! A list of image files, as Caffe's ImageData reads it.

use std::path::{Path, PathBuf};

use super::{Error, Picture, Result, Sample, Source, file};

/// Lines of a path and a label. The last space or tab of a line divides them, so that paths may have spaces.
#[derive(Debug)]
pub struct ImageList {
    root: PathBuf,
    images: Vec<(String, i32)>,
}

impl ImageList {
    /// Reads the list; the images are not opened. Their paths begin with `root`, as Caffe's `root_folder`: written before
    /// them, with no `/` added. Empty lines are passed over.
    ///
    /// # Errors
    /// When it cannot be read, or a line has no label, naming it.
    pub fn open(list: impl AsRef<Path>, root: &str) -> Result<Self> {
        Self::open_in(list.as_ref(), root, Path::new(""))
    }

    /// The same, with paths that are no full ones beginning at `base`.
    pub(super) fn open_in(list: &Path, root: &str, base: &Path) -> Result<Self> {
        let mut images = Vec::new();
        for (line, text) in lines(list)? {
            let parts = text.rsplit_once([' ', '\t']);
            let image = parts.and_then(|(path, label)| Some((path.trim_end(), label.parse::<i32>().ok()?)));
            let Some((path, label)) = image.filter(|(path, _)| !path.is_empty()) else {
                let what = format!(
                    "line {line}, `{}`: expected a path, a space and a label, as in `cat.jpg 3`",
                    shown(&text)
                );
                return Err(Error::Source { path: list.to_path_buf(), what });
            };
            images.push((format!("{root}{path}"), label));
        }
        if images.is_empty() {
            return Err(Error::Source {
                path: list.to_path_buf(),
                what: "this list has no images".to_owned(),
            });
        }
        Ok(Self { root: base.to_path_buf(), images })
    }
}

impl Source for ImageList {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, index: usize) -> String {
        self.root.join(&self.images[index].0).display().to_string()
    }

    fn read(&self, index: usize) -> std::result::Result<Sample<'_>, String> {
        let (path, label) = &self.images[index];
        let bytes = file::read(&self.root.join(path))?;
        Ok(Sample { picture: Picture::Encoded(bytes.into()), label: *label })
    }

    fn label(&self, index: usize) -> std::result::Result<i32, String> {
        Ok(self.images[index].1)
    }
}

/// The lines of a list that are not empty, with their numbers from 1.
pub(super) fn lines(list: &Path) -> Result<Vec<(usize, String)>> {
    let wrong = |what: String| Error::Source { path: list.to_path_buf(), what };
    let bytes = file::read(list).map_err(wrong)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("this list is not text in UTF-8".to_owned()))?;
    let lines = text.lines().map(|line| line.trim_end().to_owned());
    Ok((1..).zip(lines).filter(|(_, line)| !line.is_empty()).collect())
}

fn shown(text: &str) -> String {
    let mut shown = text.chars().take(80).collect::<String>();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
