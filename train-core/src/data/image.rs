//! Images in memory, and how they are read from files.

use std::path::Path;

use super::pixels::{self, Decoded, Values};
use super::{Border, Error, Result, resize};
use caffe_proto::{FileKind, Storage, not_a};

/// The most pixels of an image that is read: a file of a few bytes can claim any number.
pub const MAX_PIXELS: usize = 1 << 27;

/// The channels that an image is read with, whatever its file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// One: of colours, 0.2125 R + 0.7154 G + 0.0721 B, as skimage has it.
    Grey,
    /// Red, green, blue: of a grey image, the same three times.
    Rgb,
}

/// Pixels from 0 to 1, row by row, a pixel's channels beside each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

impl Image {
    /// An image of `height` rows of `width` pixels.
    ///
    /// # Panics
    /// When `values` are not as many as that needs.
    pub fn new(height: usize, width: usize, channels: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), height * width * channels, "values of {height}×{width}×{channels}");
        Self { height, width, channels, values }
    }

    /// Reads a JPEG or PNG, told by its content. Alpha is left out, as is a rotation that the camera noted beside the
    /// pixels: pycaffe knows neither.
    ///
    /// # Errors
    /// When the file cannot be opened, is no such image, is damaged, or has more than [`MAX_PIXELS`] pixels.
    pub fn open(path: impl AsRef<Path>, color: Color) -> Result<Self> {
        let storage = Storage::open(path)?;
        let decoded = if pixels::is_jpeg(&storage) {
            pixels::jpeg(&storage, false)
        } else if pixels::is_png(&storage) {
            pixels::png(&storage)
        } else {
            return Err(no_image(&storage));
        };
        match decoded {
            Ok(decoded) => Ok(unit(decoded).colored(color)),
            Err(what) => Err(Error::Image { path: storage.path().to_path_buf(), what }),
        }
    }

    /// Height and width.
    pub fn dims(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// How many channels a pixel has.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The pixels, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The image in another size, between the pixels linear. Pixels are areas: the centre of the first is at one half.
    /// An image that shrinks is sampled and not averaged, as skimage's `resize` does with `order=1` and without
    /// `anti_aliasing`.
    pub fn resized(self, dims: [usize; 2], border: Border) -> Self {
        if self.dims() == dims { self } else { resize::linear(&self, dims, border) }
    }

    fn colored(self, color: Color) -> Self {
        let values = match (color, self.channels) {
            (Color::Grey, 3) => {
                let luma = |pixel: &[f32]| 0.2125 * pixel[0] + 0.7154 * pixel[1] + 0.0721 * pixel[2];
                self.values.chunks_exact(3).map(luma).collect()
            }
            (Color::Rgb, 1) => self.values.iter().flat_map(|&value| [value; 3]).collect(),
            _ => return self,
        };
        let channels = if color == Color::Grey { 1 } else { 3 };
        Self { channels, values, ..self }
    }
}

fn no_image(storage: &Storage) -> Error {
    let wanted = "a JPEG or PNG image";
    let kind = FileKind::of(storage);
    match kind {
        FileKind::Empty | FileKind::Html | FileKind::LfsPointer | FileKind::Compressed | FileKind::Tar => {
            not_a(storage, wanted, kind).into()
        }
        // What `not_a` advises is for models.
        _ => {
            let what = format!("expected {wanted}, but this is {kind}");
            Error::Image { path: storage.path().to_path_buf(), what }
        }
    }
}

/// The pixels from 0 to 1.
fn unit(decoded: Decoded) -> Image {
    let values = match decoded.values {
        Values::Eight(values) => values.into_iter().map(|value| f32::from(value) / 255.0).collect(),
        Values::Sixteen(values) => values.into_iter().map(|value| f32::from(value) / 65535.0).collect(),
    };
    Image::new(decoded.height, decoded.width, decoded.channels, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::png::{BitDepth, ColorType};

    fn png(bytes: &[u8]) -> std::result::Result<Image, String> {
        pixels::png(bytes).map(unit)
    }

    fn jpeg(bytes: &[u8]) -> std::result::Result<Image, String> {
        pixels::jpeg(bytes, false).map(unit)
    }

    fn encoded(color: ColorType, depth: BitDepth, size: (u32, u32), pixels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, size.0, size.1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(&[255, 0, 0, 0, 0, 51][..]);
        }
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        bytes
    }

    #[test]
    fn every_kind_of_png_becomes_grey_or_rgb() {
        use BitDepth::{Eight, One, Sixteen};
        let half = 51.0 / 255.0;
        for (color, depth, pixels, expected) in [
            (ColorType::Grayscale, Eight, &[51, 255][..], &[half, 1.0][..]),
            (ColorType::Grayscale, One, &[0b1000_0000], &[1.0, 0.0]),
            (ColorType::Grayscale, Sixteen, &[0x33, 0x33, 0, 1], &[half, 1.0 / 65535.0]),
            (ColorType::GrayscaleAlpha, Eight, &[51, 9, 255, 9], &[half, 1.0]),
            (ColorType::Rgb, Eight, &[0, 51, 255, 255, 0, 0], &[0.0, half, 1.0, 1.0, 0.0, 0.0]),
            (ColorType::Rgba, Eight, &[0, 51, 255, 9, 255, 0, 0, 9], &[0.0, half, 1.0, 1.0, 0.0, 0.0]),
            (ColorType::Indexed, Eight, &[1, 0], &[0.0, 0.0, half, 1.0, 0.0, 0.0]),
        ] {
            let image = png(&encoded(color, depth, (2, 1), pixels)).unwrap();
            assert_eq!((image.height, image.width, image.values.as_slice()), (1, 2, expected), "{color:?}");
        }
    }

    #[test]
    fn colours_become_grey_and_grey_becomes_colours() {
        let image = Image::new(1, 1, 3, vec![1.0, 0.0, 0.5]).colored(Color::Grey);
        assert_eq!(image, Image::new(1, 1, 1, vec![0.2125 + 0.5 * 0.0721]));
        assert_eq!(image.clone().colored(Color::Grey), image);
        assert_eq!(Image::new(1, 1, 1, vec![0.5]).colored(Color::Rgb), Image::new(1, 1, 3, vec![0.5; 3]));
    }

    #[test]
    fn an_image_of_too_many_pixels_is_refused_before_it_is_decoded() {
        let mut bytes = encoded(ColorType::Grayscale, BitDepth::Eight, (1, 1), &[0]);
        bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let crc = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let error = png(&bytes).unwrap_err();
        assert_eq!(error, "65536×65536 pixels are more than the 134217728 that are read");
    }

    #[test]
    fn any_bytes_are_an_image_or_an_error() {
        let mut bytes = encoded(ColorType::Rgb, BitDepth::Eight, (2, 1), &[0, 51, 255, 255, 0, 0]);
        for at in 8..bytes.len() {
            bytes[at] ^= 0x55;
            let _ = png(&bytes);
            let _ = png(&bytes[..at]);
            bytes[at] ^= 0x55;
        }
        // Cut within the pixels, none is made up.
        assert!(png(&bytes[..45]).is_err());
        let _ = jpeg(b"\xff\xd8\xff");
        let _ = jpeg(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01");
    }

    #[test]
    fn a_damaged_jpeg_is_an_image_or_an_error() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/classify");
        for name in ["photo.jpg", "grey.jpg"] {
            let mut bytes = std::fs::read(format!("{folder}/{name}")).unwrap();
            for at in 3..bytes.len() {
                for bits in [0xff, 0x10, 0x01] {
                    bytes[at] ^= bits;
                    let _ = jpeg(&bytes);
                    bytes[at] ^= bits;
                }
                let cut = jpeg(&bytes[..at]);
                assert!(cut.is_err() || at + 64 > bytes.len(), "{name} cut at {at}");
            }
        }
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
