//! Images as bytes: what JPEG and PNG files hold, and what OpenCV makes of them for Caffe.

use std::borrow::Cow;

use png::{BitDepth, ColorType, Transformations};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{MAX_PIXELS, exif};

/// The channels that an encoded image is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// Those that it has: one or three. Alpha is left out, which Caffe keeps as a fourth. A JPEG stays as the camera was
    /// held, which otherwise is put right: so does OpenCV for Caffe.
    AsIs,
    /// Three: a grey image is the same in each.
    Color,
    /// One: of colours, 0.299 R + 0.587 G + 0.114 B, as libjpeg and libpng do it for OpenCV.
    Grey,
}

/// An image of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels<'a> {
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// The values, in the order that `layout` says.
    pub bytes: Cow<'a, [u8]>,
    /// The order of the values.
    pub layout: Layout,
}

/// The order of an image's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Channel by channel, BGR: as Caffe has them.
    Planes,
    /// Pixel by pixel, RGB: as image files have them.
    Interleaved,
}

/// What a file holds, bit depth aside: pixel by pixel, RGB.
pub(super) struct Decoded {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Three or one.
    pub(super) channels: usize,
    pub(super) values: Values,
    /// 1 to 8, as Exif has it.
    pub(super) orientation: u16,
}

pub(super) enum Values {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

impl Pixels<'static> {
    /// Decodes a JPEG or PNG, told by its content. Of 16 bits a channel the upper 8 are taken.
    ///
    /// # Errors
    /// In words: it is no such image, is damaged, or has more than [`MAX_PIXELS`] pixels.
    pub fn decode(bytes: &[u8], to: Decode) -> Result<Self, String> {
        let decoded = if is_jpeg(bytes) {
            jpeg(bytes, to == Decode::Grey)?
        } else if is_png(bytes) {
            png(bytes)?
        } else {
            return Err("expected a JPEG or PNG image, but this is something else".to_owned());
        };
        let Decoded { height, width, channels, values, orientation } = decoded;
        let bytes = match values {
            Values::Eight(bytes) => bytes,
            Values::Sixteen(values) => values.into_iter().map(|value| (value >> 8) as u8).collect(),
        };
        let (channels, bytes) = match (to, channels) {
            (Decode::Color, 1) => (3, bytes.iter().flat_map(|&byte| [byte; 3]).collect()),
            (Decode::Grey, 3) => (1, bytes.chunks_exact(3).map(grey).collect()),
            _ => (channels, bytes),
        };
        let pixels =
            Self { shape: [channels, height, width], bytes: bytes.into(), layout: Layout::Interleaved };
        Ok(if to == Decode::AsIs { pixels } else { exif::upright(pixels, orientation) })
    }
}

/// Whether the bytes are a JPEG's.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xd8\xff")
}

/// Whether the bytes are a PNG's.
pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// `luma` asks for the brightness that a JPEG of colours keeps by itself.
pub(super) fn jpeg(bytes: &[u8], luma: bool) -> Result<Decoded, String> {
    let damaged = |error| format!("this JPEG cannot be decoded: {error}");
    let limits = DecoderOptions::default().set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), limits);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder
        .info()
        .map(|info| (usize::from(info.width), usize::from(info.height)))
        .ok_or("this JPEG says no size")?;
    check_size(width, height)?;
    let kept = decoder.input_colorspace();
    let grey = kept == Some(ColorSpace::Luma) || luma && kept == Some(ColorSpace::YCbCr);
    let (wanted, channels) = if grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(limits.jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(damaged)?;
    if pixels.len() != width * height * channels {
        return Err("the colours of this JPEG are of a kind that is not known".to_owned());
    }
    let orientation = decoder.exif().map_or(1, |exif| exif::orientation(exif));
    Ok(Decoded { height, width, channels, values: Values::Eight(pixels), orientation })
}

pub(super) fn png(bytes: &[u8]) -> Result<Decoded, String> {
    let damaged = |error| format!("this PNG cannot be decoded: {error}");
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = reader.info().size();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("this PNG is too large")?];
    let frame = reader.next_frame(&mut pixels).map_err(damaged)?;
    let there = match frame.color_type {
        ColorType::Grayscale | ColorType::Indexed => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    };
    let channels = if there < 3 { 1 } else { 3 };
    pixels.truncate(frame.buffer_size());
    let values = if frame.bit_depth == BitDepth::Sixteen {
        let (pairs, _) = pixels.as_chunks::<2>();
        let kept = pairs.chunks_exact(there).flat_map(|pixel| &pixel[..channels]);
        Values::Sixteen(kept.map(|&pair| u16::from_be_bytes(pair)).collect())
    } else if channels == there {
        Values::Eight(pixels)
    } else {
        Values::Eight(pixels.chunks_exact(there).flat_map(|pixel| &pixel[..channels]).copied().collect())
    };
    Ok(Decoded { height, width, channels, values, orientation: 1 })
}

/// libpng's whole numbers: of 32768, rounded down.
fn grey(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
    ((9797 * red + 19234 * green + 3737 * blue) >> 15) as u8
}

fn check_size(width: usize, height: usize) -> Result<(), String> {
    match width.checked_mul(height) {
        Some(0) => Err("the image has no pixels".to_owned()),
        Some(pixels) if pixels <= MAX_PIXELS => Ok(()),
        _ => Err(format!("{width}×{height} pixels are more than the {MAX_PIXELS} that are read")),
    }
}
