//! The images of a command line, and what is done to each.

use std::fs;
use std::path::{Path, PathBuf};

use train_core::data::{Border, Color, Crop, Image, Mean, Transform, Transformer};

use super::Arguments;
use crate::failure::Failure;
use crate::notes;

/// The order of channels that was asked for; `None` is the image's own.
#[derive(Clone, Debug)]
pub(super) struct ChannelSwap(Option<Vec<usize>>);

/// How an image gets into the net's input.
pub(super) struct View {
    color: Color,
    dims: [usize; 2],
    crops: Vec<Crop>,
    transformer: Transformer,
    /// Values of one crop.
    len: usize,
}

impl View {
    /// What `arguments` say, for an input of `input` channels, height and width.
    pub(super) fn new(arguments: &Arguments, input: [usize; 3], quiet: bool) -> Result<Self, Failure> {
        let [channels, height, width] = input;
        let dims = arguments.image_dims.unwrap_or([height, width]);
        let crops = if arguments.oversample {
            Crop::ten(dims, [height, width])?.to_vec()
        } else {
            vec![Crop::center(dims, [height, width])?]
        };
        if arguments.oversample && dims == [height, width] {
            let told = format!("without --image-dims larger than {height},{width} the ten crops are two");
            notes::print(&[told], quiet);
        }
        let mut transform = Transform {
            raw_scale: arguments.raw_scale,
            mean: arguments.mean.as_deref().map(mean).transpose()?,
            input_scale: arguments.input_scale,
            ..Transform::usual(channels)
        };
        if let Some(ChannelSwap(order)) = &arguments.channel_swap {
            transform.channel_swap.clone_from(order);
        }
        Ok(Self {
            color: if channels == 1 { Color::Grey } else { Color::Rgb },
            dims,
            crops,
            transformer: transform.for_input(input)?,
            len: channels * height * width,
        })
    }

    /// What is cut from each image.
    pub(super) fn crops(&self) -> &[Crop] {
        &self.crops
    }

    /// Values of one crop.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The crops of the image at `path`, one after the other.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<f32>, Failure> {
        let image = Image::open(path, self.color)?.resized(self.dims, Border::Minimum);
        let mut rows = vec![0.0; self.crops.len() * self.len];
        for (crop, row) in self.crops.iter().zip(rows.chunks_exact_mut(self.len)) {
            self.transformer.apply(&image, *crop, row);
        }
        Ok(rows)
    }
}

/// The files that `named` are, and those in the folders that they are, by name.
pub(super) fn images(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut images = Vec::new();
    for path in named {
        if !path.is_dir() {
            images.push(path.clone());
            continue;
        }
        let failed = |error: std::io::Error| Failure::In(path.clone(), Box::new(error));
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if is_image(&file) && !file.is_dir() {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            return Err(Failure::Message(format!(
                "{}: no .jpg, .jpeg or .png is in this folder",
                path.display()
            )));
        }
        inside.sort();
        images.append(&mut inside);
    }
    Ok(images)
}

/// `256,256`
pub(crate) fn dims(text: &str) -> Result<[usize; 2], String> {
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number > 0);
    text.split_once([',', 'x'])
        .and_then(|(height, width)| Some([number(height)?, number(width)?]))
        .ok_or_else(|| "expected height and width, as in 256,256".to_owned())
}

/// `2,1,0`, or `none`.
pub(super) fn channel_swap(text: &str) -> Result<ChannelSwap, String> {
    if text == "none" {
        return Ok(ChannelSwap(None));
    }
    let order = text.split(',').map(|channel| channel.trim().parse()).collect::<Result<_, _>>();
    order
        .map(|order| ChannelSwap(Some(order)))
        .map_err(|_| "expected channels counted from 0, as in 2,1,0, or none".to_owned())
}

fn mean(text: &str) -> Result<Mean, Failure> {
    // A file of that name comes first; what does not begin as a number must be one.
    let number = text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
    if Path::new(text).exists() || !number { Ok(Mean::open(text)?) } else { Ok(text.parse::<Mean>()?) }
}

fn is_image(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ["jpg", "jpeg", "png"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}
