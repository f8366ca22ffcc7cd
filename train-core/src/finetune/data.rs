//! The images to learn from and to judge by.

use std::path::Path;
use std::sync::Arc;

use caffe_proto::net::params;
use caffe_proto::proto::Phase;

use super::{Error, ImageOptions, Request, Result};
use crate::data::{AnySource, Decode, Images, Mean, Preparation, Selected, Source as _};
use crate::features::Fingerprint;
use crate::surgery::{ImageInput, Reading};

/// The images of a run, as the net takes them.
pub struct Sets {
    /// To learn from.
    pub train: Arc<Images>,
    /// To judge by.
    pub validation: Arc<Images>,
    /// The classes' names.
    pub classes: Vec<String>,
    /// Tells the images to learn from, and what is done to them, from others.
    pub train_fingerprint: Fingerprint,
    /// The same of those to judge by.
    pub validation_fingerprint: Fingerprint,
    /// Tells both sets from others wherever they lie: the names of files, labels, and what is done to images.
    pub(super) terms: Fingerprint,
    pub(super) labels: [Vec<i32>; 2],
}

/// Images that were chosen, and nothing done to them yet.
struct Chosen {
    selected: Selected,
    are_files: bool,
    identity: Fingerprint,
    name: String,
}

/// Opens the images that `request` names for `input`, of so many channels, and gives the shape that they have then.
pub(super) fn open(
    request: &Request<'_>,
    input: &ImageInput,
    channels: Option<usize>,
    notes: &mut Vec<String>,
) -> Result<(Sets, Vec<usize>)> {
    let train = choose(request, &request.data, input)?;
    let (train, validation) = if let Some(path) = &request.validation {
        let validation = choose(request, path, input)?;
        let selected = validation.selected.numbered_as(train.selected.classes())?;
        (train, Chosen { selected, ..validation })
    } else {
        let (rest, tenth) = train.selected.held_out(request.seed);
        let all = rest.len() + tenth.len();
        notes.push(format!("{} of {all} images are held out to judge by", tenth.len()));
        let like = |selected| Chosen { selected, name: train.name.clone(), ..train };
        (like(rest), like(tenth))
    };
    for set in [&train, &validation] {
        if set.selected.is_empty() {
            let what = if request.validation.is_some() {
                "no images are left"
            } else {
                "too few images to hold some out"
            };
            return Err(Error::TooFew { data: set.name.clone(), what: what.to_owned() });
        }
    }
    let mut classes = train.selected.classes().to_vec();
    if let Some(names) = &request.class_names {
        if names.len() < classes.len() {
            return Err(Error::ClassNames { found: names.len(), classes: classes.len() });
        }
        classes = match &request.classes {
            Some(chosen) => chosen.iter().filter_map(|&class| names.get(class).cloned()).collect(),
            None => names[..classes.len()].to_vec(),
        };
    }
    let labels = [train.selected.labels().to_vec(), validation.selected.labels().to_vec()];
    let (of_train, shape) =
        images(request, input, channels, input.train.as_ref(), Phase::Train, &train, notes)?;
    let mut shaped = input.clone();
    shaped.shape = Some(shape.clone());
    let (of_validation, _) = images(
        request,
        &shaped,
        Some(shape[0]),
        input.test.as_ref(),
        Phase::Test,
        &validation,
        &mut Vec::new(),
    )?;
    let add_terms = |print: &mut Fingerprint, chosen: &Chosen, images: &Images| {
        chosen.selected.samples().iter().for_each(|sample| print.stream(&sample.to_le_bytes()));
        chosen.selected.labels().iter().for_each(|label| print.stream(&label.to_le_bytes()));
        print.add(format!("{:?}", images.transform()).as_bytes());
        print.add(format!("{:?}", images.preparation()).as_bytes());
    };
    let fingerprint = |chosen: &Chosen, images: &Images| {
        let mut print = chosen.identity;
        add_terms(&mut print, chosen, images);
        print
    };
    let mut terms = Fingerprint::default();
    for (chosen, images) in [(&train, &of_train), (&validation, &of_validation)] {
        add_terms(&mut terms, chosen, images);
        for index in (0..chosen.selected.len()).filter(|_| chosen.are_files) {
            let name = chosen.selected.name(index);
            terms.add(Path::new(&name).file_name().unwrap_or_default().as_encoded_bytes());
        }
    }
    let sets = Sets {
        terms,
        train_fingerprint: fingerprint(&train, &of_train),
        validation_fingerprint: fingerprint(&validation, &of_validation),
        train: Arc::new(of_train),
        validation: Arc::new(of_validation),
        classes,
        labels,
    };
    Ok((sets, shape))
}

fn choose(request: &Request<'_>, path: &Path, input: &ImageInput) -> Result<Chosen> {
    let opened = AnySource::open(path, [&input.blob, &input.label])?;
    let mut identity = Fingerprint::default();
    opened.identity(&mut |bytes| identity.add(bytes));
    let mut selected = Selected::of(Arc::clone(&opened.source), request.classes.as_deref())?;
    if let Some(limit) = request.limit.filter(|_| path == request.data) {
        selected = selected.limited(limit);
    }
    Ok(Chosen { selected, are_files: opened.are_files, identity, name: path.display().to_string() })
}

/// Brings images to the net's input: those that `reading` reads so, else as the request says.
fn images(
    request: &Request<'_>,
    input: &ImageInput,
    channels: Option<usize>,
    reading: Option<&Reading>,
    phase: Phase,
    chosen: &Chosen,
    notes: &mut Vec<String>,
) -> Result<(Images, Vec<usize>)> {
    let ImageOptions { mean, scale, dims, crop, mirror } = &request.image;
    let mut transform = reading.map_or_else(usual, |reading| reading.transform.clone());
    match (mean, reading) {
        (Some(mean), _) => transform.mean = read_mean(mean)?,
        (None, Some(reading)) => transform.mean = found_mean(request, reading)?,
        (None, None) => {}
    }
    transform.scale = scale.unwrap_or(transform.scale);
    transform.mirror = phase == Phase::Train && (transform.mirror || *mirror);
    let declared = input.shape.as_ref().filter(|shape| shape.len() == 3);
    let size = crop.or(declared.map(|shape| [shape[1], shape[2]])).or(transform.crop);
    let mut resize = dims.or(reading.and_then(|reading| reading.resize));
    if let (None, params::Mean::File(file), Some(size), true) =
        (resize, &transform.mean, size, chosen.are_files)
        && let Ok(Mean::Image { shape, .. }) = Mean::open(file)
        && shape[1] >= size[0]
        && shape[2] >= size[1]
        && shape[1..] != size
    {
        notes.push(format!("images are resized to {}×{}, the mean's size, and cropped", shape[1], shape[2]));
        resize = Some([shape[1], shape[2]]);
    }
    if chosen.are_files {
        resize = resize.or(size);
        if resize.is_none() {
            return Err(Error::NoSize { input: input.blob.clone() });
        }
    }
    let decode = match channels {
        Some(1) => Decode::Grey,
        Some(3) => Decode::Color,
        _ => Decode::AsIs,
    };
    let preparation = Preparation { decode, resize };
    let source = || Box::new(chosen.selected.clone());
    let whole = params::Transform { crop: None, ..usual() };
    let found = Images::new(source(), preparation, &whole, phase, Path::new(""))?.transform().image();
    let size = size.unwrap_or([found[1], found[2]]);
    transform.crop = Some(size).filter(|size| *size != found[1..]);
    // A row of numbers is taken as it is.
    let is_row = input.shape.as_ref().is_some_and(|shape| shape.len() != 3);
    let shape = match &input.shape {
        Some(shape) if is_row => shape.clone(),
        _ => vec![channels.unwrap_or(found[0]), size[0], size[1]],
    };
    let fits = if is_row {
        transform.crop = None;
        shape.iter().product::<usize>() == found.iter().product::<usize>()
    } else {
        shape[0] == found[0]
    };
    if !fits {
        return Err(Error::ImageShape {
            input: input.blob.clone(),
            expected: shape,
            found: found.to_vec(),
            data: chosen.name.clone(),
        });
    }
    Ok((Images::new(source(), preparation, &transform, phase, Path::new(""))?, shape))
}

/// Caffe's own: nothing is done to 0..255 in BGR.
fn usual() -> params::Transform {
    params::Transform {
        scale: 1.0,
        mirror: false,
        crop: None,
        mean: params::Mean::None,
        force_color: false,
        force_gray: false,
    }
}

fn read_mean(text: &str) -> Result<params::Mean> {
    // A file of that name comes first; what does not begin as a number must be one.
    let number = text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
    if Path::new(text).exists() || !number {
        // Errors tell the file's fault now, not among the images.
        Mean::open(text)?;
        return Ok(params::Mean::File(text.to_owned()));
    }
    match text.parse::<Mean>()? {
        Mean::Channels(values) | Mean::Image { values, .. } => Ok(params::Mean::Values(values)),
    }
}

/// The mean that a data layer names: where the program was started, or beside the definition.
fn found_mean(request: &Request<'_>, reading: &Reading) -> Result<params::Mean> {
    let params::Mean::File(file) = &reading.transform.mean else { return Ok(reading.transform.mean.clone()) };
    let places = [Path::new(file).to_path_buf(), request.base.join(file)];
    match places.iter().find(|path| path.exists()) {
        Some(path) => Ok(params::Mean::File(path.to_string_lossy().into_owned())),
        None => Err(Error::NoMean { layer: reading.layer.clone(), file: file.clone() }),
    }
}
