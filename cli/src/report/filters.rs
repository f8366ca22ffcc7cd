//! The first convolution's kernels, before and after.

use std::fmt;

use train_core::run::Filters;
use weight_io::Shape;

use super::Run;
use super::base64::Png;
use crate::markup::Escaped;
use crate::plot::axis::{number, percent};
use crate::plot::sheet::{Norm, Sheet};

/// How wide or high a sheet is, about.
const SIDE: usize = 290;

pub(super) struct Sheets<'a>(pub(super) &'a Run);

impl fmt::Display for Sheets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(filters) = &self.0.filters else {
            return writeln!(f, "<p class=\"muted\">There is no filters.npz.</p>");
        };
        match Drawn::of(filters) {
            Ok(drawn) => {
                let layer =
                    self.0.settings.as_ref().and_then(|settings| settings.first_convolution.as_deref());
                drawn.write(f, layer)
            }
            Err(why) => writeln!(f, "<p class=\"muted\">filters.npz cannot be drawn: {}.</p>", Escaped(&why)),
        }
    }
}

/// Sheets, encoded.
struct Drawn {
    shape: Vec<usize>,
    /// What is not in the pictures.
    notes: Vec<String>,
    before: Vec<u8>,
    after: Vec<u8>,
    /// None where nothing has changed.
    change: Option<Vec<u8>>,
    /// The largest absolute value before and after.
    largest: f32,
    /// The weight that has changed most, and by how much.
    most: (usize, f32),
}

impl Drawn {
    fn of(filters: &Filters) -> Result<Self, String> {
        let shape = filters.before.shape().to_vec();
        let values = [&filters.before, &filters.after]
            .map(|tensor| tensor.to_f32().map_err(|error| error.to_string()));
        let [before, after] = values;
        let (before, after) = (before?, after?);
        let change = before.iter().zip(&after).map(|(before, after)| after - before).collect::<Vec<_>>();
        let size = |value: f32| if value.is_finite() { value.abs() } else { 0.0 };
        // One scale for both, so that they compare.
        let largest = before.iter().chain(&after).fold(0.0, |most: f32, &value| most.max(size(value)));
        let most = change.iter().copied().enumerate();
        let most = most.max_by(|a, b| size(a.1).total_cmp(&size(b.1))).unwrap_or((0, 0.0));
        let draw = |values: &[f32], norm| {
            let sheet = Sheet::new(&shape, values, norm, true)
                .ok_or_else(|| format!("they have shape {}, and kernels have 4 axes", Shape(&shape)))?;
            Ok::<_, String>((sheet.png(sheet.scale_to(SIDE))?.bytes, sheet.notes().to_vec()))
        };
        let (before, notes) = draw(&before, Norm::Most(largest))?;
        let (after, more) = draw(&after, Norm::Most(largest))?;
        let change = if size(most.1) > 0.0 { Some(draw(&change, Norm::Sheet)?.0) } else { None };
        let mut notes = notes;
        notes.extend(more);
        notes.dedup();
        Ok(Self { shape, notes, before, after, change, largest, most })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, layer: Option<&str>) -> fmt::Result {
        let shape = Shape(&self.shape);
        if let Some(layer) = layer {
            writeln!(f, "<p>Layer {}, {shape}; middle grey is 0.</p>", Escaped(layer))?;
        } else {
            writeln!(f, "<p>{shape}; middle grey is 0.</p>")?;
        }
        for note in &self.notes {
            writeln!(f, "<p class=\"muted\">{}.</p>", Escaped(note))?;
        }
        writeln!(f, "<div class=\"sheets\">")?;
        sheet(f, "before training", &self.before)?;
        sheet(f, "at the best epoch", &self.after)?;
        if let Some(change) = &self.change {
            sheet(f, "the change, its largest black or white", change)?;
        }
        writeln!(f, "</div>")?;
        if self.change.is_none() {
            return writeln!(f, "<p>No weight has changed: its bits are those it began with.</p>");
        }
        let (index, change) = self.most;
        let place = coordinates(&self.shape, index);
        let [filter, rest @ ..] = place.as_slice() else { return Ok(()) };
        let rest = rest.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        writeln!(
            f,
            "<p>The largest change is {}, {} of the largest weight, in filter {filter} at ({rest}).</p>",
            number(f64::from(change)),
            percent(f64::from(change.abs() / self.largest))
        )
    }
}

fn sheet(f: &mut fmt::Formatter<'_>, what: &str, png: &[u8]) -> fmt::Result {
    writeln!(f, "<figure><img alt=\"{what}\" src=\"{}\"><figcaption>{what}</figcaption></figure>", Png(png))
}

/// Where in an array of `shape` the value at `index` is.
fn coordinates(shape: &[usize], mut index: usize) -> Vec<usize> {
    let mut place = vec![0; shape.len()];
    for (at, &extent) in place.iter_mut().zip(shape).rev() {
        (*at, index) = (index % extent.max(1), index / extent.max(1));
    }
    place
}

#[cfg(test)]
mod tests {
    use weight_io::Tensor;

    use super::*;

    #[test]
    fn the_largest_change_has_its_place() {
        let before = Tensor::from_f32(vec![2, 1, 1, 2], &[0.5, -2.0, f32::NAN, 1.0]).unwrap();
        let after = Tensor::from_f32(vec![2, 1, 1, 2], &[0.5, -1.5, 0.0, 0.0]).unwrap();
        let drawn = Drawn::of(&Filters { before: before.clone(), after }).unwrap();
        assert_eq!((drawn.most, drawn.largest), ((3, -1.0), 2.0));
        assert_eq!(coordinates(&drawn.shape, 3), [1, 0, 0, 1]);
        assert!(drawn.change.is_some());
        let same = Drawn::of(&Filters { before: before.clone(), after: before }).unwrap();
        assert!(same.change.is_none());
    }

    #[test]
    fn what_is_no_kernel_says_so() {
        let bias = Tensor::from_f32(vec![3], &[0.0; 3]).unwrap();
        let why = Drawn::of(&Filters { before: bias.clone(), after: bias }).err().unwrap();
        assert_eq!(why, "they have shape 3, and kernels have 4 axes");
    }
}
