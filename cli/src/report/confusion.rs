//! What the images of each class were taken for.

use std::fmt;

use png::{BitDepth, ColorType};
use train_core::run::{Confusion, Validation};

use super::Run;
use super::base64::Png;
use crate::markup::Escaped;
use crate::plot::axis::{number, percent};
use crate::table::thousands;

/// Of more classes, a table would not be read.
const MOST_CLASSES: usize = 30;

/// Of more classes, a picture would not be seen.
const MOST_PIXELS: usize = 2048;

/// How wide a picture of a matrix is, about.
const WIDTH: usize = 480;

/// How many of many classes, or pairs of them, are listed.
const LISTED: usize = 20;

pub(super) struct Matrix<'a>(pub(super) &'a Run);

impl fmt::Display for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(validation) = self.0.validation.as_ref().filter(|validation| !validation.images.is_empty())
        else {
            return writeln!(f, "<p class=\"muted\">There is no validation.json with images.</p>");
        };
        let confusion = validation.confusion();
        let images = thousands(validation.images.len() as u64);
        let right = percent(confusion.accuracy().unwrap_or(f64::NAN));
        let epoch = if validation.epoch.is_finite() {
            format!("After epoch {}: {right}", number(validation.epoch))
        } else {
            right
        };
        writeln!(f, "<p>{epoch} of {images} validation images were taken for what they are.</p>")?;
        if validation.classes.len() <= MOST_CLASSES {
            table(f, validation, &confusion)
        } else {
            writeln!(f, "<div class=\"lists\">")?;
            pairs(f, validation, &confusion)?;
            worst(f, validation, &confusion)?;
            writeln!(f, "</div>")?;
            picture(f, validation, &confusion)
        }
    }
}

/// All counts.
fn table(f: &mut fmt::Formatter<'_>, validation: &Validation, confusion: &Confusion) -> fmt::Result {
    let classes = 0..validation.classes.len();
    writeln!(
        f,
        "<table class=\"confusion\">\n<caption>Rows: what they are; columns: what they were taken for</caption>"
    )?;
    write!(f, "<thead><tr><td></td>")?;
    for class in classes.clone() {
        write!(f, "<th scope=\"col\"><span>{}</span></th>", Escaped(&validation.class(class)))?;
    }
    writeln!(f, "<th scope=\"col\"><span>accuracy</span></th></tr></thead>\n<tbody>")?;
    for label in classes.clone() {
        write!(f, "<tr><th scope=\"row\">{}</th>", Escaped(&validation.class(label)))?;
        let all = confusion.of(label);
        for predicted in classes.clone() {
            let count = confusion.count(label, predicted);
            let kind = match (count, label == predicted) {
                (0, _) => "none",
                (_, true) => "right",
                (_, false) => "wrong",
            };
            let part = if all > 0 { count as f64 / all as f64 } else { 0.0 };
            write!(f, "<td class=\"{kind}\" style=\"--part: {part:.3}\">{}</td>", thousands(count))?;
        }
        let accuracy = confusion.accuracy_of(label).map_or_else(|| "no images".to_owned(), percent);
        writeln!(f, "<td class=\"part\">{accuracy}</td></tr>")?;
    }
    writeln!(f, "</tbody>\n</table>")
}

/// Which pairs of classes are mistaken most often.
fn pairs(f: &mut fmt::Formatter<'_>, validation: &Validation, confusion: &Confusion) -> fmt::Result {
    let mistaken = confusion.mistaken();
    writeln!(
        f,
        "<table class=\"list\">\n<caption>The pairs of classes that are mistaken most often, {} of {}</caption>",
        mistaken.len().min(LISTED),
        thousands(mistaken.len() as u64)
    )?;
    writeln!(
        f,
        "<tr><th>is</th><th>was taken for</th><th class=\"number\">images</th><th class=\"number\">of</th></tr>"
    )?;
    for &(label, predicted, count) in mistaken.iter().take(LISTED) {
        let [label_name, predicted] = [label, predicted].map(|class| validation.class(class));
        let (count, all) = (thousands(count), thousands(confusion.of(label)));
        writeln!(
            f,
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{count}</td><td class=\"number\">{all}</td></tr>",
            Escaped(&label_name),
            Escaped(&predicted)
        )?;
    }
    writeln!(f, "</table>")
}

/// Which classes are recognized least.
fn worst(f: &mut fmt::Formatter<'_>, validation: &Validation, confusion: &Confusion) -> fmt::Result {
    let classes = 0..validation.classes.len();
    let mut known =
        classes.filter_map(|class| Some((class, confusion.accuracy_of(class)?))).collect::<Vec<_>>();
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    writeln!(
        f,
        "<table class=\"list\">\n<caption>The classes that are recognized least, {} of {}</caption>",
        known.len().min(LISTED),
        thousands(known.len() as u64)
    )?;
    writeln!(f, "<tr><th>class</th><th class=\"number\">accuracy</th><th class=\"number\">images</th></tr>")?;
    for (class, accuracy) in known.into_iter().take(LISTED) {
        let name = validation.class(class);
        let (accuracy, images) = (percent(accuracy), thousands(confusion.of(class)));
        writeln!(
            f,
            "<tr><td>{}</td><td class=\"number\">{accuracy}</td><td class=\"number\">{images}</td></tr>",
            Escaped(&name)
        )?;
    }
    writeln!(f, "</table>")
}

/// The matrix with a square for each pair.
fn picture(f: &mut fmt::Formatter<'_>, validation: &Validation, confusion: &Confusion) -> fmt::Result {
    let classes = validation.classes.len();
    let drawn = if classes > MOST_PIXELS {
        Err(format!("{classes} classes are too many to draw"))
    } else {
        draw(classes, confusion)
    };
    match drawn {
        Ok(png) => writeln!(
            f,
            "<figure><img class=\"matrix\" alt=\"The confusion matrix of {classes} classes\" src=\"{}\">\
             <figcaption>All {classes} classes; rows: what they are; columns: what they were taken for; blue: right, \
             orange: wrong, the darker the more of the row</figcaption></figure>",
            Png(&png)
        ),
        Err(why) => {
            writeln!(f, "<p class=\"muted\">There is no picture of the matrix: {}.</p>", Escaped(&why))
        }
    }
}

fn draw(classes: usize, confusion: &Confusion) -> Result<Vec<u8>, String> {
    const RIGHT: [u8; 3] = [31, 111, 208];
    const WRONG: [u8; 3] = [209, 96, 10];
    let scale = (WIDTH / classes).max(1);
    let side = classes * scale;
    let mut pixels = vec![255; side * side * 3];
    let wrong = confusion.mistaken();
    let right = (0..classes).map(|class| (class, class, confusion.count(class, class)));
    for (label, predicted, count) in wrong.into_iter().chain(right).filter(|&(_, _, count)| count > 0) {
        let part = 0.35 + 0.65 * count as f32 / confusion.of(label) as f32;
        let color = if label == predicted { RIGHT } else { WRONG };
        let shade = color.map(|channel| (255.0 - part * (255.0 - f32::from(channel))).round() as u8);
        for row in label * scale..(label + 1) * scale {
            for pixel in pixels[(row * side + predicted * scale) * 3..][..scale * 3].chunks_exact_mut(3) {
                pixel.copy_from_slice(&shade);
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side as u32, side as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.map_err(|error| format!("it cannot be encoded: {error}"))?;
    Ok(bytes)
}
