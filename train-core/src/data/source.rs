//! Where images and their labels come from.

use std::borrow::Cow;

use super::pixels::Pixels;

/// Images with labels, any of which can be read at any time, from any thread.
pub trait Source: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// What to call one in a message: its file, or its place in a data base.
    fn name(&self, index: usize) -> String;

    /// Reads one.
    ///
    /// # Errors
    /// In words, without the name: why this one cannot be read.
    fn read(&self, index: usize) -> Result<Sample<'_>, String>;

    /// The class of one, without the image where that can be had.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn label(&self, index: usize) -> Result<i32, String> {
        Ok(self.read(index)?.label)
    }

    /// The names of the classes, label by label; none where only numbers are known.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An image and its class.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// The image.
    pub picture: Picture<'a>,
    /// The class, from 0.
    pub label: i32,
}

/// An image as it is kept.
#[derive(Clone, Debug)]
pub enum Picture<'a> {
    /// A JPEG's or PNG's bytes.
    Encoded(Cow<'a, [u8]>),
    /// Bytes, one a channel of a pixel.
    Pixels(Pixels<'a>),
    /// Other numbers.
    Values {
        /// Channels, height and width.
        shape: [usize; 3],
        /// Channel by channel.
        values: Cow<'a, [f32]>,
    },
}
