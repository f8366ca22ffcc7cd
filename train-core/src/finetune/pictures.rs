//! Pictures of images that were taken for something else.

use std::borrow::Cow;
use std::path::Path;

use png::{BitDepth, ColorType, Encoder};
use weight_io::{WriteOptions, write_file};

use crate::data::{Decode, Layout, Picture, Pixels, Source};
use crate::run::Error;

/// Writes a sample's image to the PNG file at `path`. One that cannot be read, or has neither one nor three channels, is left
/// out: false.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(source: &dyn Source, sample: usize, path: &Path) -> Result<bool, Error> {
    let Some((color, [height, width], bytes)) = pixels(source, sample) else { return Ok(false) };
    let mut png = Vec::new();
    let mut encoder = Encoder::new(&mut png, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    let encoded = encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes));
    if encoded.is_err() {
        return Ok(false);
    }
    write_file(path, &png, WriteOptions { force: true, sync: false })?;
    Ok(true)
}

/// Pixel by pixel, RGB or grey.
fn pixels(source: &dyn Source, sample: usize) -> Option<(ColorType, [usize; 2], Vec<u8>)> {
    let pixels = match source.read(sample).ok()?.picture {
        Picture::Encoded(bytes) => Pixels::decode(&bytes, Decode::AsIs).ok()?,
        Picture::Pixels(pixels) => pixels,
        Picture::Values { shape, values } => {
            // Numbers of any range: the least is black, the greatest white.
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let range = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
            let byte = |&value: &f32| ((value - least) / range.max(f32::MIN_POSITIVE) * 255.0) as u8;
            let bytes: Cow<'_, [u8]> = values.iter().map(byte).collect::<Vec<_>>().into();
            Pixels { shape, bytes, layout: Layout::Planes }
        }
    };
    let [channels, height, width] = pixels.shape;
    let color = match channels {
        1 => ColorType::Grayscale,
        3 => ColorType::Rgb,
        _ => return None,
    };
    let bytes = match pixels.layout {
        Layout::Interleaved => pixels.bytes.into_owned(),
        Layout::Planes => {
            let plane = height * width;
            // Of colours, plane 0 is blue.
            let order =
                (0..plane).flat_map(|at| (0..channels).rev().map(move |channel| channel * plane + at));
            order.map(|at| pixels.bytes[at]).collect()
        }
    };
    Some((color, [height, width], bytes))
}
