//! Which models are compared: the bundled ones, and those of a folder of folders.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::workspace;

/// The folders of testdata whose models are always compared.
const BUNDLED: [&str; 2] = ["testdata/fashion", "testdata/chainer"];

/// A weight file and the definitions that go with it, all as good as each other.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) weights: PathBuf,
    pub(crate) definitions: Vec<PathBuf>,
}

impl Model {
    pub(crate) fn definition(&self) -> Option<&Path> {
        self.definitions.first().map(PathBuf::as_path)
    }
}

/// The bundled models, and those of the folder that was named.
pub(crate) fn find(folder: Option<&Path>, only: &[String]) -> Result<Vec<Model>> {
    let mut folders = BUNDLED.map(|folder| workspace::root().join(folder)).to_vec();
    if let Some(folder) = folder {
        let inside = files_of(folder)?.into_iter().filter(|path| path.is_dir());
        folders.push(folder.to_path_buf());
        folders.extend(inside);
    }
    let mut models = Vec::new();
    for folder in folders {
        let files = files_of(&folder)?;
        for weights in files.iter().filter(|path| stem(path).is_some()) {
            let title = folder.file_name().unwrap_or_default().display();
            let name = format!("{title}/{}", file_name(weights));
            let definitions = definitions(weights, &files);
            models.push(Model { name, weights: std::path::absolute(weights)?, definitions });
        }
    }
    let wanted = |text: &String, model: &Model| model.weights.to_string_lossy().contains(text.as_str());
    models.retain(|model| only.is_empty() || only.iter().any(|text| wanted(text, model)));
    Ok(models)
}

/// Definitions of nets that no weights lie beside, in the folders in `folder`. Training nets and solvers are left out: they
/// belong to others.
pub(crate) fn without_weights(folder: Option<&Path>) -> Result<Vec<Model>> {
    let mut models = Vec::new();
    let Some(folder) = folder else { return Ok(models) };
    for folder in files_of(folder)?.into_iter().filter(|path| path.is_dir()) {
        let files = files_of(&folder)?;
        let weights: Vec<_> = files.iter().filter(|path| stem(path).is_some()).collect();
        let taken: Vec<_> = weights.iter().flat_map(|weights| definitions(weights, &files)).collect();
        for path in files.iter().filter(|path| !taken.contains(path)) {
            let name = file_name(path);
            let is_net =
                name.ends_with(".prototxt") && !["solver", "train"].iter().any(|word| name.contains(word));
            if is_net {
                let title = folder.file_name().unwrap_or_default().display();
                let path = std::path::absolute(path)?;
                models.push(Model {
                    name: format!("{title}/{name}"),
                    weights: path.clone(),
                    definitions: vec![path],
                });
            }
        }
    }
    Ok(models)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort_unstable();
    Ok(files)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a weight file is one of HDF5: real Caffe's holds blobs alone, and needs a definition beside it.
pub(crate) fn is_hdf5(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "h5")
}

/// A weight file's name without its extension.
fn stem(path: &Path) -> Option<String> {
    let name = file_name(path);
    [".caffemodel.h5", ".caffemodel"].iter().find_map(|suffix| name.strip_suffix(suffix)).map(str::to_owned)
}

/// The prototxt of the same name, else the folder's deploy nets, else those that are no solver, training nets last.
fn definitions(weights: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
    let rank = |path: &Path| {
        let name = file_name(path);
        let own = name.strip_suffix(".prototxt")?;
        match own {
            _ if own.contains("solver") => None,
            _ if stem(weights).as_deref() == Some(own) => Some(0),
            _ if own.contains("deploy") => Some(1),
            _ if own.contains("train") => Some(3),
            _ => Some(2),
        }
    };
    let best = files.iter().filter_map(|path| rank(path)).min();
    files.iter().filter(|path| best.is_some() && rank(path) == best).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_definitions_are_taken() {
        let of = |names: &[&str]| {
            let files = names.iter().map(PathBuf::from).collect::<Vec<_>>();
            let found = definitions(Path::new("a/lenet.caffemodel"), &files);
            found.iter().map(|path| file_name(path)).collect::<Vec<_>>()
        };
        assert_eq!(of(&["lenet.prototxt", "deploy.prototxt"]), ["lenet.prototxt"]);
        assert_eq!(
            of(&["deploy.prototxt", "deploy_pruned.prototxt", "train.prototxt"]),
            ["deploy.prototxt", "deploy_pruned.prototxt"]
        );
        assert_eq!(of(&["solver.prototxt", "train_val.prototxt"]), ["train_val.prototxt"]);
        assert!(of(&["solver.prototxt"]).is_empty());
    }
}
