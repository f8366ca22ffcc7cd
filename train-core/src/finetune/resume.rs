//! Whether a run can be gone on with.

use caffe_proto::Model;
use crc32fast::Hasher;

use super::{Error, Result};
use crate::run::Settings;

/// Checks that what decides a run's bits is as it was.
pub(super) fn check(old: &Settings, new: &Settings) -> Result<()> {
    let names = |names: &[String]| names.join(", ");
    let replaced = |settings: &Settings| {
        let layers = settings.replaced.iter().map(|layer| format!("{}={}", layer.layer, layer.outputs));
        layers.collect::<Vec<_>>().join(", ")
    };
    let of = |settings: &Settings| {
        [
            ("--seed", settings.seed.to_string()),
            ("the device's arithmetic", settings.arithmetic.clone()),
            ("--batch-size", settings.batch_size.to_string()),
            ("--deterministic, or how algorithms are chosen,", settings.algorithms.clone()),
            ("--optimizer, with its rate and hooks,", settings.optimizer.clone()),
            ("the frozen layers", names(&settings.frozen)),
            ("the schedule of freezing", settings.thaw.clone().unwrap_or_default()),
            ("--replace", replaced(settings)),
            ("the fingerprint of the weights to begin with", settings.parameters.clone()),
            ("the classes", names(&settings.classes)),
            ("the number of training images", settings.training_images.to_string()),
            ("the number of validation images", settings.validation_images.to_string()),
            ("the fingerprint of the images and of what is done to them", settings.images.clone()),
        ]
    };
    for ((what, old), (_, new)) in of(old).into_iter().zip(of(new)) {
        if old != new {
            let shown =
                |text: String| if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") };
            return Err(Error::Changed { what, old: shown(old), new: shown(new) });
        }
    }
    Ok(())
}

/// Tells the parameters of one model from another's.
pub(super) fn checksum(parameters: &Model) -> Result<String> {
    let mut hasher = Hasher::new();
    for layer in &parameters.layers {
        hasher.update(layer.name.as_bytes());
        for blob in &layer.blobs {
            blob.values().read(&mut |piece| {
                hasher.update(piece);
                Ok(())
            })?;
        }
    }
    Ok(format!("{:08x}", hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_algorithms_are_chosen_decides_the_bits() {
        let of = |algorithms: &str| Settings { algorithms: algorithms.to_owned(), ..Settings::default() };
        assert!(check(&of("measured"), &of("measured")).is_ok());
        let told = check(&of("measured"), &of("by sizes")).unwrap_err().to_string();
        let expected = "cannot go on: --deterministic, or how algorithms are chosen, was `measured` when the run was begun, and \
                        is `by sizes` now";
        assert!(told.starts_with(expected), "{told}");
    }
}
