//! From the root to every object.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::{Format, Reader};
use super::dataset::{Dataset, Header, most_bytes};
use super::error::{Error, Problem, shown};
use super::grid::MAX_CHUNKS;
use super::group::{self, Link, Target};
use super::object_header;

/// An object and the names that lead to it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The names from below the root to the object; no name holds a `/`.
    pub path: Vec<String>,
    /// What is there.
    pub object: Object,
}

/// What a path leads to.
#[derive(Debug, Clone)]
pub enum Object {
    /// A group, whose links have entries of their own.
    Group,
    /// A dataset.
    Dataset(Dataset),
    /// Something that is not followed or not read, in words: a link to another path or file, a datatype.
    Other(String),
}

/// How deep groups may nest.
const MAX_DEPTH: usize = 32;
/// How many entries a file may have, objects with several paths counted for each.
const MAX_ENTRIES: u64 = 1 << 16;
/// How much memory their paths may take.
const MAX_PATHS: u64 = 1 << 25;

pub(super) fn entries(format: &Arc<Format>, root: u64) -> Result<Vec<Entry>, Error> {
    let mut walk = Walk { format, reader: Reader::new(format), known: HashMap::new(), links: 0 };
    let mut path: Vec<String> = Vec::new();
    let fail = |path: &[String], problem| Error::Read {
        file: format.storage.path().to_path_buf(),
        object: shown(path),
        problem,
    };

    let Known::Group(links) = walk.object(root).map_err(|problem| fail(&path, problem))? else {
        return Err(fail(&path, Problem::Invalid("the root is not a group".into())));
    };
    let mut entries = Vec::new();
    let mut tally = Tally { entries: 0, paths: 0, values: 0, chunks: 0, file: format.storage.len() as u64 };
    // The groups on the way to here, each with the place of its next link.
    let mut open = vec![(root, links, 0)];
    while let Some((_, links, next)) = open.last_mut() {
        let Some(link) = links.get(*next).cloned() else {
            open.pop();
            path.pop();
            continue;
        };
        *next += 1;
        path.push(link.name);
        tally.count_path(&path).map_err(|problem| fail(&path, problem))?;
        let mut inside = None;
        let object = match link.target {
            Target::Soft(target) => Object::Other(format!("a soft link to `{}`", target.escape_debug())),
            Target::External => Object::Other("a link to another file".into()),
            Target::Custom(kind) => Object::Other(format!("a link of type {kind}")),
            Target::Object(address) => match walk.object(address).map_err(|problem| fail(&path, problem))? {
                Known::Dataset(header) => {
                    let dataset = Dataset::new(&shown(&path), header);
                    tally.count_values(&dataset).map_err(|problem| fail(&path, problem))?;
                    Object::Dataset(dataset)
                }
                Known::Other(words) => Object::Other(words),
                Known::Group(links) => {
                    if open.iter().any(|(above, ..)| *above == address) {
                        return Err(fail(&path, Problem::Invalid("the group holds itself".into())));
                    }
                    if open.len() > MAX_DEPTH {
                        let (found, limit) = (open.len() as u64, MAX_DEPTH as u64);
                        return Err(fail(&path, Problem::Limit { what: "levels of groups", found, limit }));
                    }
                    inside = Some((address, links, 0));
                    Object::Group
                }
            },
        };
        entries.push(Entry { path: path.clone(), object });
        match inside {
            Some(group) => open.push(group),
            None => {
                path.pop();
            }
        }
    }
    Ok(entries)
}

/// The objects met so far, so that one with many paths is read once.
struct Walk<'a> {
    format: &'a Arc<Format>,
    reader: Reader<'a>,
    known: HashMap<u64, Known>,
    links: u64,
}

#[derive(Clone)]
enum Known {
    Group(Arc<Vec<Link>>),
    Dataset(Arc<Header>),
    Other(String),
}

impl Walk<'_> {
    fn object(&mut self, address: u64) -> Result<Known, Problem> {
        if let Some(known) = self.known.get(&address) {
            return Ok(known.clone());
        }
        let messages = object_header::messages(&self.reader, address)?;
        let known = if group::is_group(&messages) {
            let links = group::links(&self.reader, &messages)?;
            self.links += links.len() as u64;
            within("links", self.links, MAX_ENTRIES)?;
            Known::Group(Arc::new(links))
        } else {
            match Header::read(&self.reader, self.format, &messages) {
                Ok(Some(header)) => Known::Dataset(Arc::new(header)),
                Ok(None) => Known::Other("neither a group nor a dataset".into()),
                Err(Problem::Unsupported(words)) => {
                    Known::Other(format!("a dataset that is not read: {words}"))
                }
                Err(problem) => return Err(problem),
            }
        };
        self.known.insert(address, known.clone());
        Ok(known)
    }
}

/// What a walk has found in all.
struct Tally {
    entries: u64,
    paths: u64,
    values: u64,
    chunks: u64,
    file: u64,
}

impl Tally {
    fn count_path(&mut self, path: &[String]) -> Result<(), Problem> {
        self.entries += 1;
        within("groups and datasets", self.entries, MAX_ENTRIES)?;
        self.paths += path.iter().map(|name| name.len() as u64 + 48).sum::<u64>();
        within("bytes of paths", self.paths, MAX_PATHS)
    }

    fn count_values(&mut self, dataset: &Dataset) -> Result<(), Problem> {
        self.values = self.values.saturating_add(dataset.bytes().unwrap_or(u64::MAX));
        within("bytes of values that a file of this size can hold", self.values, most_bytes(self.file))?;
        // Each chunk that is stored has an address in the file.
        self.chunks = self.chunks.saturating_add(dataset.chunks());
        within("chunks that a file of this size can hold", self.chunks, MAX_CHUNKS + self.file / 8)
    }
}

fn within(what: &'static str, found: u64, limit: u64) -> Result<(), Problem> {
    if found > limit { Err(Problem::Limit { what, found, limit }) } else { Ok(()) }
}
