//! `rebrew classify`: a net's scores for images, as pycaffe's Classifier computes them.

mod feed;
mod inputs;
mod model;
mod report;

use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::path::PathBuf;

pub(crate) use inputs::dims;

use crate::classify::feed::Feed;
use crate::classify::model::Model;
use crate::classify::report::{Labels, Report};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{Answer, device, notes};

/// Tell what is in images: a net's scores for its classes
///
/// An image is read as red, green and blue from 0 to 1 (as grey for a net of one channel), resized to --image-dims, and its
/// middle is cut out, or ten crops with --oversample. The channels are swapped, the values multiplied by --raw-scale,
/// the mean subtracted, and the rest multiplied by --input-scale. Left alone, that gives 0..255 in BGR order, which nearly
/// every Caffe net takes; most want a --mean beside it. Resizing is bilinear without anti-aliasing, as pycaffe's.
///
/// Exit codes: 0, every image has its scores; 1, some images could not be read, and the others have theirs; 2, it could not
/// run, or no image could be read.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The net to run, a deploy prototxt: one with an Input layer
    definition: PathBuf,
    /// The weights, of any format
    #[arg(short, long, value_name = "FILE")]
    weights: PathBuf,
    /// JPEG and PNG files, and folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The names of the classes, one a line, such as synset_words.txt
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// What is subtracted: a .binaryproto, a .npy, or numbers in the order of the net's channels, as in 104,117,123
    #[arg(long, value_name = "FILE|NUMBERS")]
    mean: Option<String>,
    /// The size that images are resized to before crops are cut; the net's input size, unless given
    #[arg(long, value_name = "H,W", value_parser = inputs::dims)]
    image_dims: Option<[usize; 2]>,
    /// The factor of pixels, which are from 0 to 1, before the mean is subtracted
    #[arg(long, value_name = "S", default_value_t = 255.0, allow_negative_numbers = true)]
    raw_scale: f32,
    /// Which of the image's channels (RGB) each of the net's is, or none; 2,1,0 (BGR) for three channels, unless given
    #[arg(long, value_name = "ORDER", value_parser = inputs::channel_swap)]
    channel_swap: Option<inputs::ChannelSwap>,
    /// The factor of what is left once the mean is subtracted
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_negative_numbers = true)]
    input_scale: f32,
    /// Average over ten crops: the corners, the centre, and these mirrored
    #[arg(long)]
    oversample: bool,
    /// The blob with the scores; the net's only output, or the one that a Softmax makes, unless given
    #[arg(long, value_name = "BLOB")]
    output: Option<String>,
    /// How many classes to print for each image
    #[arg(long, value_name = "K", default_value = "5")]
    top: NonZero<usize>,
    /// How many crops go through the net at a time; up to 16, unless given
    #[arg(long, value_name = "N")]
    batch: Option<NonZero<usize>>,
    #[command(flatten)]
    device: device::Arguments,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    lenient: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let labels = arguments.labels.as_deref().map(Labels::open).transpose()?;
    let images = inputs::images(&arguments.images)?;
    let model = Model::open(arguments, quiet)?;
    let view = inputs::View::new(arguments, model.input(), quiet)?;
    let backend = arguments.device.open()?;
    let mut classifier = model.classifier(arguments, images.len() * view.crops().len(), &*backend)?;
    if let Some(labels) = &labels {
        notes::print(&labels.misfit(classifier.classes()).into_iter().collect::<Vec<_>>(), quiet);
    }

    let mut report = Report::new(arguments.top.get(), labels, arguments.json);
    // On a terminal the results show how far it is.
    let silent = quiet || (io::stdout().is_terminal() && !arguments.json);
    let mut progress = Progress::counting("classifying", silent);
    let mut out = io::stdout().lock();
    let mut done = 0;
    Feed { images: &images, view: &view }.run(&mut classifier, &mut |path, scores| {
        done += 1;
        match &scores {
            Ok(scores) => report.scores(path, scores, &mut out)?,
            // The only image's is what ends the program.
            Err(error) if images.len() == 1 => return Err(Failure::Message(error.clone())),
            Err(error) => {
                progress.suspend(|| eprintln!("rebrew: {}", notes::lines(error)));
                report.failed(path, error);
            }
        }
        progress.report(done, images.len() as u64);
        Ok(())
    })?;
    drop(progress);
    let failed = report.failures();
    if failed == images.len() {
        return Err(Failure::Message(format!("none of the {failed} images could be read")));
    }
    report.finish(&mut out)?;
    out.flush()?;
    if failed > 0 {
        eprintln!("rebrew: {failed} of {} images could not be read", images.len());
        return Ok(Answer::No);
    }
    Ok(Answer::Yes)
}
