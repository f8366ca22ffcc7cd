//! The shapes that layers need their blobs to have.

use caffe_proto::Blob;
use caffe_proto::net::{Layer, LayerKind};

use crate::{Error, Shape};

/// An axis of a needed shape: its extent, where the definition tells it.
pub(crate) type Extent = Option<usize>;

/// What a layer needs one of its blobs to be.
#[derive(Clone, Debug)]
pub(crate) struct Need<'a> {
    pub(crate) layer: &'a Layer,
    /// What the blob is, for messages: `weight`, `bias`.
    pub(crate) what: &'static str,
    /// Its shape; `None` where the definition does not tell even the number of axes.
    pub(crate) shape: Option<Vec<Extent>>,
}

impl Need<'_> {
    /// The shape that Caffe's rule of compatibility gives the blob: the needed one, if the found one equals it but for
    /// leading ones, as those of old files (1×1×O×I) do.
    pub(crate) fn fit(&self, blob: &Blob) -> Result<Vec<usize>, Error> {
        let found = blob.shape();
        let Some(needed) = &self.shape else { return Ok(found.to_vec()) };
        let extra = found.len().saturating_sub(needed.len());
        let (leading, rest) = found.split_at(extra);
        let missing = needed.len() - rest.len();
        // A legacy shape has four axes at all times: those that a longer one has before them are ones.
        let padded = std::iter::repeat_n(&1, if blob.is_legacy() { missing } else { 0 }).chain(rest);
        let padded = padded.copied().collect::<Vec<_>>();
        if leading.iter().all(|&extent| extent == 1) && self.matches(&padded) {
            Ok(padded)
        } else {
            Err(self.mismatch(found, "blob"))
        }
    }

    /// Whether a shape is the needed one.
    pub(crate) fn matches(&self, found: &[usize]) -> bool {
        self.shape.as_ref().is_none_or(|needed| {
            needed.len() == found.len()
                && needed
                    .iter()
                    .zip(found)
                    .all(|(needed, found)| needed.is_none_or(|extent| extent == *found))
        })
    }

    /// The error of values of another shape; `holder` is what holds them.
    pub(crate) fn mismatch(&self, found: &[usize], holder: &str) -> Error {
        let Self { what, shape, .. } = self;
        let needed = shape.as_deref().unwrap_or_default();
        let known = needed.iter().copied().collect::<Option<Vec<_>>>();
        let (count, needed_count) =
            (found.iter().product::<usize>(), known.as_ref().map(|known| known.iter().product::<usize>()));
        let text = match (known, needed_count) {
            (Some(known), Some(needed_count)) if needed_count != count => {
                let hint = self.hint(count, needed_count);
                format!(
                    "{what} {holder} holds {count} values, shape {} needs {needed_count}{hint}",
                    Shape(&known)
                )
            }
            _ => format!("{what} {holder} has shape {}, needs {}", Shape(found), pattern(needed)),
        };
        self.error(text)
    }

    /// The layer's error that `what` describes.
    pub(crate) fn error(&self, what: impl Into<String>) -> Error {
        error(self.layer, what)
    }

    /// A group that one side has and the other has not is the usual reason.
    fn hint(&self, count: usize, needed: usize) -> String {
        let (LayerKind::Convolution(params) | LayerKind::Deconvolution(params)) = &self.layer.kind else {
            return String::new();
        };
        if self.what != "weight" {
            String::new()
        } else if params.group == 1 && count > 0 && needed.is_multiple_of(count) {
            format!(" (is `group: {}` missing in the definition?)", needed / count)
        } else if params.group > 1 && count == needed * params.group {
            format!(" (is `group: {}` too much in the definition?)", params.group)
        } else {
            String::new()
        }
    }
}

/// The error of a layer.
pub(crate) fn error(layer: &Layer, what: impl Into<String>) -> Error {
    Error::Layer { layer: layer.name.clone(), kind: layer.type_name.clone(), what: what.into() }
}

fn pattern(needed: &[Extent]) -> String {
    if needed.is_empty() {
        return "scalar".to_owned();
    }
    let extent = |extent: &Extent| extent.map_or_else(|| "any".to_owned(), |extent| extent.to_string());
    needed.iter().map(extent).collect::<Vec<_>>().join("×")
}
