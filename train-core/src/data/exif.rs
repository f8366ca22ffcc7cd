//! How a camera was held: the orientation that a JPEG's Exif data note (Exif 2.32, 4.6.4; TIFF 6.0 for the container).

use super::pixels::{Layout, Pixels};

/// What has to be done for the image to stand upright: 1 is nothing, up to 8.
pub(super) fn orientation(exif: &[u8]) -> u16 {
    const ORIENTATION: u16 = 0x0112;
    const SHORT: u16 = 3;
    let number = |at: usize| -> Option<u16> {
        let bytes = [*exif.get(at)?, *exif.get(at + 1)?];
        match exif.get(..4)? {
            b"II*\0" => Some(u16::from_le_bytes(bytes)),
            b"MM\0*" => Some(u16::from_be_bytes(bytes)),
            _ => None,
        }
    };
    let read = || {
        let is_big = exif.first() == Some(&b'M');
        let (high, low) = if is_big { (number(4)?, number(6)?) } else { (number(6)?, number(4)?) };
        let fields = (usize::from(high) << 16) + usize::from(low);
        let mut fields = (0..usize::from(number(fields)?)).map(|field| fields + 2 + 12 * field);
        let field = fields.find(|&field| number(field) == Some(ORIENTATION))?;
        (number(field + 2)? == SHORT).then(|| number(field + 8))?
    };
    read().filter(|orientation| (1..=8).contains(orientation)).unwrap_or(1)
}

/// The image upright.
///
/// # Panics
/// When it is kept channel by channel.
pub(super) fn upright(image: Pixels<'static>, orientation: u16) -> Pixels<'static> {
    assert_eq!(image.layout, Layout::Interleaved, "layout of the image");
    if orientation == 1 {
        return image;
    }
    let [channels, height, width] = image.shape;
    let is_turned = orientation >= 5;
    let [new_height, new_width] = if is_turned { [width, height] } else { [height, width] };
    let mut bytes = Vec::with_capacity(image.bytes.len());
    for y in 0..new_height {
        for x in 0..new_width {
            let (row, column) = if is_turned { (x, y) } else { (y, x) };
            let row = if matches!(orientation, 3 | 4 | 6 | 7) { height - 1 - row } else { row };
            let column = if matches!(orientation, 2 | 3 | 7 | 8) { width - 1 - column } else { column };
            bytes.extend_from_slice(&image.bytes[(row * width + column) * channels..][..channels]);
        }
    }
    Pixels { shape: [channels, new_height, new_width], bytes: bytes.into(), layout: image.layout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orientation_is_found_in_both_byte_orders() {
        let little = b"II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x01\0\0\0aaaa\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!((orientation(little), orientation(big)), (6, 8));
        for bytes in [&little[..], &big[..]] {
            for len in 0..bytes.len() {
                let _ = orientation(&bytes[..len]);
                let mut damaged = bytes.to_vec();
                damaged[len] = 0xff;
                let _ = orientation(&damaged);
            }
        }
        assert_eq!(orientation(b""), 1);
    }
}
