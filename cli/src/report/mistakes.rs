//! Images that were taken for another class.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

use train_core::run::{Judged, MOST_MISTAKES, RunFolder};

use super::Run;
use super::base64::Png;
use crate::markup::Escaped;
use crate::plot::axis::percent;
use crate::table::thousands;

/// The largest picture that is put into the page.
const MOST_BYTES: u64 = 4 << 20;

pub(super) struct Pictures<'a>(pub(super) &'a Run);

impl fmt::Display for Pictures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(validation) = self.0.validation.as_ref().filter(|validation| !validation.images.is_empty())
        else {
            return writeln!(f, "<p class=\"muted\">There is no validation.json with images.</p>");
        };
        let mistakes = validation.mistakes();
        if mistakes.is_empty() {
            return writeln!(f, "<p>Every image was taken for what it is.</p>");
        }
        let (shown, all) = (mistakes.len().min(MOST_MISTAKES), thousands(mistakes.len() as u64));
        let what = if mistakes.len() == 1 { "image was" } else { "images were" };
        writeln!(f, "<p>{all} {what} taken for another class; {shown} shown.</p>\n<div class=\"pictures\">")?;
        for mistake in mistakes.into_iter().take(MOST_MISTAKES) {
            let [label, predicted] = [mistake.label, mistake.predicted].map(|class| validation.class(class));
            write!(f, "<figure>")?;
            match picture(&self.0.folder, mistake) {
                Ok(Some(png)) => {
                    write!(f, "<img alt=\"{}\" src=\"{}\">", Escaped(&mistake.name), Png(&png))?;
                }
                Ok(None) => write!(f, "<div class=\"missing\">no picture</div>")?,
                Err(why) => {
                    write!(f, "<div class=\"missing\">no picture: {}</div>", Escaped(&why.to_string()))?;
                }
            }
            writeln!(
                f,
                "<figcaption><b>{}</b>, taken for <b>{}</b> ({})<br>{}</figcaption></figure>",
                Escaped(&label),
                Escaped(&predicted),
                percent(mistake.probability),
                Escaped(&mistake.name)
            )?;
        }
        writeln!(f, "</div>")
    }
}

/// The picture's file, if it has one.
fn picture(folder: &RunFolder, image: &Judged) -> io::Result<Option<Vec<u8>>> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let Some(name) = &image.picture else { return Ok(None) };
    let path =
        folder.mistake(name).ok_or_else(|| io::Error::other(format!("{name} is not in `mistakes`")))?;
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("{name} is larger than {MOST_BYTES} bytes")));
    }
    if !bytes.starts_with(SIGNATURE) {
        return Err(io::Error::other(format!("{name} is no PNG")));
    }
    Ok(Some(bytes))
}
