//! What was found to be fastest, kept in a file: a line for each shape.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::cache;

/// The most bytes of a file that are read: room for a hundred thousand shapes.
const MOST: u64 = 16 << 20;

/// Shapes and the names of their algorithms, found with one device, driver and set of kernels.
pub(crate) struct Choices {
    file: Option<PathBuf>,
    /// What they were found with: the file's first line.
    environment: String,
    names: BTreeMap<String, String>,
}

impl Choices {
    /// Those that were kept in `folder`, if there is one. What cannot be read, or is of another environment, does not count.
    pub(crate) fn open(folder: Option<&Path>, environment: &str) -> Self {
        let environment = environment.replace(['\n', '\t'], " ");
        let name = format!("{:032x}.txt", cache::hash(environment.as_bytes()));
        let mut choices =
            Self { file: folder.map(|folder| folder.join(name)), environment, names: BTreeMap::new() };
        choices.read();
        choices
    }

    /// The name of a shape's algorithm.
    pub(crate) fn get(&self, shape: &str) -> Option<&str> {
        self.names.get(shape).map(String::as_str)
    }

    /// Keeps a shape's, along with what other processes have found meanwhile. A file that cannot be written costs time in the next
    /// run, and nothing else.
    pub(crate) fn insert(&mut self, shape: &str, name: &str) {
        self.read();
        self.names.insert(shape.to_owned(), name.to_owned());
        let Some(file) = &self.file else { return };
        let lines = self.names.iter().flat_map(|(shape, name)| [shape, "\t", name, "\n"]);
        let text: String = [&self.environment, "\n"].into_iter().chain(lines).collect();
        let _ = cache::keep(file, text.as_bytes());
    }

    /// Adds what the file has. Lines that are none of ours are passed over; a last line without its end was not written by us.
    fn read(&mut self) {
        let Some(file) = self.file.as_deref().and_then(|file| File::open(file).ok()) else { return };
        let mut bytes = Vec::new();
        if file.take(MOST).read_to_end(&mut bytes).is_err() {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        if lines.next() != Some(&*self.environment) {
            return;
        }
        for (shape, name) in lines.filter_map(|line| line.split_once('\t')) {
            self.names.entry(shape.to_owned()).or_insert_with(|| name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processes: each keeps what the other wrote, and its own on top.
    #[test]
    fn two_at_once_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let [mut one, mut other] = [0; 2].map(|_| Choices::open(Some(folder.path()), "a\tdevice\nhere"));
        one.insert("first", "ours");
        other.insert("second", "theirs");
        other.insert("first", "theirs");
        one.insert("third", "ours");
        let both = Choices::open(Some(folder.path()), "a\tdevice\nhere");
        let found = ["first", "second", "third", "fourth"].map(|shape| both.get(shape));
        assert_eq!(found, [Some("ours"), Some("theirs"), Some("ours"), None]);
    }

    #[test]
    fn files_are_never_half_written() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let folder = folder.path();
                scope.spawn(move || {
                    let mut choices = Choices::open(Some(folder), "a device");
                    for shape in 0..20 {
                        choices.insert(&format!("{writer}, {shape}"), "x");
                        let seen = Choices::open(Some(folder), "a device");
                        assert!(seen.names.values().all(|name| name == "x"));
                        assert!(!seen.names.is_empty());
                    }
                });
            }
        });
        // What is left behind is one whole file.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
