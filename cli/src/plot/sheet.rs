//! Kernels side by side.

use png::{BitDepth, ColorType};

/// The most tiles, or matrix entries, drawn in either direction where a row is a filter.
const MOST_TILES: usize = 64;
const MOST_ENTRIES: usize = 2048;

/// How wide or high a picture is, about, unless another scale is asked for.
const USUAL: usize = 800;

/// The most pixels of a picture.
const MOST_PIXELS: usize = 1 << 28;

/// Between tiles.
const GAP: u8 = 255;

/// Which values become black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Norm {
    /// The largest absolute value of all.
    Sheet,
    /// The largest of each filter.
    Filter,
    /// This, and those beyond it.
    Most(f32),
}

/// A picture in which a value is a pixel.
pub(crate) struct Sheet {
    width: usize,
    height: usize,
    /// 1, or 3 for colours.
    channels: usize,
    pixels: Vec<u8>,
    notes: Vec<String>,
}

/// A picture, encoded.
pub(crate) struct Png {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) bytes: Vec<u8>,
}

/// Where tiles are.
struct Grid {
    rows: usize,
    columns: usize,
    /// A tile's height and width.
    tile: [usize; 2],
    gap: usize,
}

impl Sheet {
    /// The picture of weights of `shape`, unless they have another number of axes than 2 or 4, or none of them any value.
    /// With `bgr`, the first of three input channels is blue.
    pub(crate) fn new(shape: &[usize], values: &[f32], norm: Norm, bgr: bool) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mut notes = Vec::new();
        let broken = values.iter().filter(|value| !value.is_finite()).count();
        if broken > 0 {
            notes.push(format!("{broken} values are no finite numbers: they are drawn as 0"));
        }
        let filters = shape[0];
        let most =
            |of: usize| largest(&values[values.len() / filters * of..values.len() / filters * (of + 1)]);
        let over_all = largest(values);
        let scale = |filter| match norm {
            Norm::Sheet => over_all,
            Norm::Filter => most(filter),
            Norm::Most(most) => most,
        };
        Some(match *shape {
            [_, inputs] => {
                let rows = capped(filters, MOST_ENTRIES, "outputs", &mut notes);
                let columns = capped(inputs, MOST_ENTRIES, "inputs", &mut notes);
                let mut sheet = Self::blank(&Grid { rows, columns, tile: [1, 1], gap: 0 }, 1, notes);
                for row in 0..rows {
                    for column in 0..columns {
                        sheet.pixels[row * columns + column] =
                            shade(values[row * inputs + column], scale(row));
                    }
                }
                sheet
            }
            [_, inputs, height, width] => {
                let tile = [height, width];
                let area = height * width;
                let together = matches!(inputs, 1 | 3);
                let grid = if together {
                    let columns = filters.isqrt() + usize::from(filters.isqrt().pow(2) < filters);
                    Grid { rows: filters.div_ceil(columns), columns, tile, gap: 1 }
                } else {
                    let rows = capped(filters, MOST_TILES, "filters", &mut notes);
                    Grid {
                        rows,
                        columns: capped(inputs, MOST_TILES, "input channels", &mut notes),
                        tile,
                        gap: 1,
                    }
                };
                let channels = if inputs == 3 { 3 } else { 1 };
                let mut sheet = Self::blank(&grid, channels, notes);
                for row in 0..grid.rows {
                    for column in 0..grid.columns {
                        let (filter, input) =
                            if together { (row * grid.columns + column, 0) } else { (row, column) };
                        if filter >= filters {
                            continue;
                        }
                        let kernel = &values[(filter * inputs + input) * area..][..channels * area];
                        sheet.draw(&grid, [row, column], kernel, scale(filter), bgr);
                    }
                }
                sheet
            }
            _ => return None,
        })
    }

    /// What is not in the picture.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The factor that makes the longer side about 800 pixels.
    pub(crate) fn usual_scale(&self) -> usize {
        self.scale_to(USUAL)
    }

    /// The factor that makes the longer side about `side` pixels.
    pub(crate) fn scale_to(&self, side: usize) -> usize {
        let longer = self.width.max(self.height);
        ((side + longer / 2) / longer).max(1)
    }

    /// The picture with every value `scale` pixels wide and high.
    pub(crate) fn png(&self, scale: usize) -> Result<Png, String> {
        let extent = |side: usize| side.checked_mul(scale);
        let (Some(width), Some(height)) = (extent(self.width), extent(self.height)) else {
            return Err(format!("--scale {scale} makes too large a picture"));
        };
        if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(format!(
                "--scale {scale} makes {width}×{height} pixels, more than {MOST_PIXELS}: give a smaller one"
            ));
        }
        let mut pixels = Vec::with_capacity(width * height * self.channels);
        for row in self.pixels.chunks_exact(self.width * self.channels) {
            let start = pixels.len();
            for pixel in row.chunks_exact(self.channels) {
                for _ in 0..scale {
                    pixels.extend_from_slice(pixel);
                }
            }
            for _ in 1..scale {
                pixels.extend_from_within(start..start + width * self.channels);
            }
        }
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
        encoder.set_color(if self.channels == 3 { ColorType::Rgb } else { ColorType::Grayscale });
        encoder.set_depth(BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
        written.map_err(|error| format!("cannot encode the picture: {error}"))?;
        Ok(Png { width, height, bytes })
    }

    fn blank(grid: &Grid, channels: usize, notes: Vec<String>) -> Self {
        let side = |tiles: usize, extent: usize| tiles * (extent + grid.gap) - grid.gap;
        let (height, width) = (side(grid.rows, grid.tile[0]), side(grid.columns, grid.tile[1]));
        Self { width, height, channels, pixels: vec![GAP; height * width * channels], notes }
    }

    fn draw(&mut self, grid: &Grid, at: [usize; 2], kernel: &[f32], scale: f32, bgr: bool) {
        let [height, width] = grid.tile;
        let (top, left) = (at[0] * (height + grid.gap), at[1] * (width + grid.gap));
        for (channel, plane) in kernel.chunks_exact(height * width).enumerate() {
            let channel = if bgr { self.channels - 1 - channel } else { channel };
            for (place, &value) in plane.iter().enumerate() {
                let pixel = (top + place / width) * self.width + left + place % width;
                self.pixels[pixel * self.channels + channel] = shade(value, scale);
            }
        }
    }
}

/// The largest absolute value of those that are numbers.
fn largest(values: &[f32]) -> f32 {
    values.iter().filter(|value| value.is_finite()).fold(0.0, |most, value| most.max(value.abs()))
}

/// 128 for 0; black and white for the largest absolute value.
fn shade(value: f32, largest: f32) -> u8 {
    if largest > 0.0 && value.is_finite() {
        (value / largest).mul_add(127.5, 127.5).round() as u8
    } else {
        128
    }
}

fn capped(there: usize, most: usize, what: &str, notes: &mut Vec<String>) -> usize {
    if there > most {
        notes.push(format!("the first {most} of {there} {what} are drawn"));
    }
    there.min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_grey_and_signs_are_symmetrical() {
        assert_eq!([-2.0, -1.0, 0.0, 1.0, 2.0].map(|value| shade(value, 2.0)), [0, 64, 128, 191, 255]);
        assert_eq!([shade(0.0, 0.0), shade(f32::NAN, 1.0)], [128, 128]);
        let sheet = Sheet::new(&[1, 3], &[-9.0, 0.5, 1.0], Norm::Most(1.0), true).unwrap();
        assert_eq!(sheet.pixels, [0, 191, 255]);
    }

    #[test]
    fn colour_tiles_are_rgb_from_bgr_in_a_square() {
        // Two filters of one pixel: blue, and half as much red.
        let values = [1.0, 0.0, 0.0, 0.0, 0.0, 0.5];
        let sheet = Sheet::new(&[2, 3, 1, 1], &values, Norm::Sheet, true).unwrap();
        assert_eq!((sheet.width, sheet.height, sheet.channels), (3, 1, 3));
        assert_eq!(sheet.pixels, [128, 128, 255, GAP, GAP, GAP, 191, 128, 128]);
        let each = Sheet::new(&[2, 3, 1, 1], &values, Norm::Filter, false).unwrap();
        assert_eq!(each.pixels, [255, 128, 128, GAP, GAP, GAP, 128, 128, 255]);
    }

    #[test]
    fn other_channels_are_a_row_a_filter() {
        let values = (0..2 * 4 * 2).map(|value| value as f32).collect::<Vec<_>>();
        let sheet = Sheet::new(&[2, 4, 1, 2], &values, Norm::Sheet, true).unwrap();
        assert_eq!((sheet.width, sheet.height), (4 * 3 - 1, 3));
        assert_eq!(sheet.pixels[2 * 11 + 9..], [shade(14.0, 15.0), 255]);
    }

    #[test]
    fn many_filters_are_capped_with_a_note() {
        let sheet = Sheet::new(&[1, 100, 1, 1], &[0.0; 100], Norm::Sheet, true).unwrap();
        assert_eq!(sheet.notes(), ["the first 64 of 100 input channels are drawn"]);
        assert!(Sheet::new(&[3], &[0.0; 3], Norm::Sheet, true).is_none());
    }

    #[test]
    fn a_value_is_a_square_of_pixels() {
        let sheet = Sheet::new(&[1, 2], &[-1.0, 1.0], Norm::Sheet, true).unwrap();
        assert_eq!((sheet.usual_scale(), sheet.scale_to(7)), (400, 4));
        let picture = sheet.png(2).unwrap();
        assert_eq!((picture.width, picture.height), (4, 2));
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture.bytes)).read_info().unwrap();
        let mut pixels = [0; 8];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, [0, 0, 255, 255, 0, 0, 255, 255]);
        assert!(sheet.png(usize::MAX).is_err());
        assert!(sheet.png(1 << 20).is_err());
    }
}
