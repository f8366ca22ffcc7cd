//! What is cut from an image.

use super::{Error, Result};

/// Where a piece of the net's size lies in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// Left and right are exchanged.
    pub mirrored: bool,
}

impl Crop {
    /// The middle of an image of `image` height and width; where it lies between two pixels, the upper or left one.
    ///
    /// # Errors
    /// [`Error::Small`].
    pub fn center(image: [usize; 2], crop: [usize; 2]) -> Result<Self> {
        if crop[0] > image[0] || crop[1] > image[1] {
            return Err(Error::Small { image, crop });
        }
        Ok(Self { top: (image[0] - crop[0]) / 2, left: (image[1] - crop[1]) / 2, mirrored: false })
    }

    /// The ten that Caffe averages over: the corners top left, top right, bottom left, bottom right, the centre, and
    /// the same five mirrored.
    ///
    /// # Errors
    /// [`Error::Small`].
    pub fn ten(image: [usize; 2], crop: [usize; 2]) -> Result<[Self; 10]> {
        let center = Self::center(image, crop)?;
        let (bottom, right) = (image[0] - crop[0], image[1] - crop[1]);
        let at = |top, left| Self { top, left, mirrored: false };
        let five = [at(0, 0), at(0, right), at(bottom, 0), at(bottom, right), center];
        Ok(std::array::from_fn(|index| Self { mirrored: index >= 5, ..five[index % 5] }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_is_rounded_towards_the_first_pixel() {
        let center = |image, crop| Crop::center([image, 9], [crop, 9]).unwrap().top;
        assert_eq!([center(6, 4), center(5, 2), center(5, 4), center(4, 3), center(4, 4)], [1, 1, 0, 0, 0]);
    }

    #[test]
    fn corners_come_in_caffes_order() {
        let ten = Crop::ten([5, 7], [2, 3]).unwrap();
        let places = ten.map(|crop| (crop.top, crop.left, crop.mirrored));
        assert_eq!(places[..5], [(0, 0, false), (0, 4, false), (3, 0, false), (3, 4, false), (1, 2, false)]);
        assert_eq!(places[5..], [(0, 0, true), (0, 4, true), (3, 0, true), (3, 4, true), (1, 2, true)]);
    }

    #[test]
    fn an_image_that_is_too_small_is_refused() {
        let error = Crop::ten([27, 40], [28, 28]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "images of 27×40 (height×width) are smaller than the net's input, 28×28: resize them to that or more"
        );
    }
}
