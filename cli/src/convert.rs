//! `rebrew convert`: weights from one format to another.

use std::io::Write;
use std::path::{Path, PathBuf};

use caffe_proto::open_definition;
use clap::ValueEnum;
use serde_json::json;
use weight_io::chainer::{BatchNorm, Conv, Options};
use weight_io::{
    Comparison, Conversion, Dtype, Format, Note, Opened, Tensor, Tolerance, Weights, WriteOptions, compare,
};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::table::{bytes, thousands};
use crate::{Answer, diff, notes, text_options};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A .caffemodel, .caffemodel.h5, .npz, .h5 or .safetensors, told by its content
    input: PathBuf,
    /// What to write; its ending says the format
    #[arg(short, long)]
    output: PathBuf,
    /// The net's definition, a prototxt; without it the one inside the caffemodel serves
    #[arg(long, value_name = "PROTOTXT")]
    definition: Option<PathBuf>,
    /// The format to write, whatever the output's ending
    #[arg(long, value_name = "FORMAT")]
    to: Option<To>,
    /// Group convolution for Chainer: as it is, or one dense array with zeros between the groups as CaffeFunction makes
    #[arg(long, value_name = "LAYOUT", default_value = "grouped")]
    conv: ConvLayout,
    /// BatchNorm for Chainer: apart from Scale as in Caffe, or the two in one link with gamma and beta
    #[arg(long, value_name = "FORM", default_value = "caffe")]
    batchnorm: BatchNormForm,
    /// Deflate the arrays of .npz and .h5 files
    #[arg(long)]
    compress: bool,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    lenient: bool,
    /// Read the output again and compare it with the input, value by value; exit 1 if they differ
    #[arg(long)]
    verify: bool,
    /// Return only when the output is on the disk
    #[arg(long)]
    sync: bool,
    /// Replace an existing output
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    Npz,
    H5,
    Safetensors,
    Onnx,
    Caffemodel,
    #[value(name = "caffemodel.h5")]
    CaffemodelH5,
}

#[derive(Clone, Copy, ValueEnum)]
enum ConvLayout {
    Grouped,
    Dense,
}

#[derive(Clone, Copy, ValueEnum)]
enum BatchNormForm {
    Caffe,
    Folded,
}

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let mut conversion = Conversion::to(match arguments.to {
        Some(to) => to.into(),
        None => Format::of_name(&arguments.output)?,
    });
    conversion.compress = arguments.compress;
    conversion.write = WriteOptions { force: arguments.force, sync: arguments.sync };
    conversion.layout = Options {
        conv: match arguments.conv {
            ConvLayout::Grouped => Conv::Grouped,
            ConvLayout::Dense => Conv::Dense,
        },
        batchnorm: match arguments.batchnorm {
            BatchNormForm::Caffe => BatchNorm::Caffe,
            BatchNormForm::Folded => BatchNorm::Folded,
        },
    };
    if arguments.verify && conversion.format == Format::Onnx {
        return Err(Failure::Message("an .onnx is written, not read: leave out --verify".to_owned()));
    }
    let input = open(&arguments.input, arguments.definition.as_deref(), arguments.lenient, quiet)?;
    let expected = if arguments.verify { Some(expected(&input, arguments, conversion)?) } else { None };
    let told = {
        let mut progress = Progress::new("converting", quiet);
        conversion
            .run(&input, &arguments.output, &mut |done, total| progress.report(done, total))
            .map_err(|error| Failure::within(&arguments.input, error))?
    };
    notes::print(&told, quiet);
    let verified =
        expected.map(|expected| verify(&expected, arguments, conversion.format, quiet)).transpose()?;
    report(arguments, &input, conversion.format, &told, verified.as_ref(), quiet)?;
    Ok(if verified.is_none_or(|comparison: Comparison| comparison.is_equal()) {
        Answer::Yes
    } else {
        Answer::No
    })
}

/// Opens a weight file and gives it the definition, if there is one.
pub(crate) fn open(
    path: &Path,
    definition: Option<&Path>,
    lenient: bool,
    quiet: bool,
) -> Result<Opened, Failure> {
    let mut opened = Opened::open(path).map_err(|error| Failure::within(path, error))?;
    if let Some(path) = definition {
        let model = open_definition(path, text_options(lenient))?;
        notes::print(&model.notes, quiet);
        if let Some(definition) = model.definition {
            opened.define(definition);
        }
    }
    Ok(opened)
}

/// A model's blobs as they are, named `layer/number`: what two files that no definition names are compared by.
pub(crate) fn blobs(opened: &Opened) -> Result<Weights, weight_io::Error> {
    let mut weights = Weights::new();
    for layer in &opened.model()?.0.layers {
        for (number, blob) in layer.blobs.iter().enumerate().filter(|(_, blob)| !blob.is_absent()) {
            let tensor = Tensor::new(Dtype::F32, blob.shape().to_vec(), blob.values().clone())?;
            let mut name = format!("{}/{number}", layer.name);
            // Two layers may have one name.
            while weights.find(&name).is_some() {
                name.push('\'');
            }
            weights.insert(name, tensor)?;
        }
    }
    Ok(weights)
}

/// What the output must hold, in its layout: blobs as they are for Caffe's formats, else named tensors.
fn expected(input: &Opened, arguments: &Arguments, conversion: Conversion) -> Result<Weights, Failure> {
    let tensors = if conversion.format.is_caffe() {
        blobs(input)
    } else {
        input.weights(conversion.layout).map(|(weights, _)| weights)
    };
    tensors.map_err(|error| Failure::within(&arguments.input, error))
}

/// Reads the output and compares it with what it must hold. Values must be equal.
fn verify(
    expected: &Weights,
    arguments: &Arguments,
    format: Format,
    quiet: bool,
) -> Result<Comparison, Failure> {
    let failed = |error| Failure::within(&arguments.output, error);
    let output = Opened::open(&arguments.output).map_err(failed)?;
    let found = if format.is_caffe() { blobs(&output).map_err(failed)? } else { output.as_written() };
    let mut progress = Progress::new("comparing", quiet);
    Ok(compare(expected, &found, Tolerance::default(), &mut |done, total| progress.report(done, total))?)
}

fn report(
    arguments: &Arguments,
    input: &Opened,
    format: Format,
    told: &[Note],
    verified: Option<&Comparison>,
    quiet: bool,
) -> Result<(), Failure> {
    let size = std::fs::metadata(&arguments.output).map_or(0, |metadata| metadata.len());
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let json = json!({
            "input": arguments.input.to_string_lossy(),
            "input_format": input.format().to_string(),
            "output": arguments.output.to_string_lossy(),
            "output_format": format.to_string(),
            "bytes": size,
            "verified": verified.map(Comparison::is_equal),
            "differences": verified.filter(|comparison| !comparison.is_equal()).map(diff::json),
            "notes": told.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        writeln!(out, "{json:#}")?;
        return Ok(());
    }
    if !quiet {
        writeln!(
            out,
            "{} → {} ({format}, {})",
            arguments.input.display(),
            arguments.output.display(),
            bytes(size)
        )?;
    }
    match verified {
        Some(comparison) if comparison.is_equal() && !quiet => {
            let values = comparison.compared.iter().map(|difference| difference.count).sum();
            let tensors = comparison.compared.len();
            writeln!(out, "read again: {tensors} tensors, {} values, all equal", thousands(values))?;
        }
        Some(comparison) if !comparison.is_equal() => {
            writeln!(out, "read again: not equal")?;
            diff::print(comparison, &mut out)?;
        }
        _ => {}
    }
    Ok(())
}

impl From<To> for Format {
    fn from(to: To) -> Self {
        match to {
            To::Npz => Format::Npz,
            To::H5 => Format::ChainerHdf5,
            To::Safetensors => Format::Safetensors,
            To::Onnx => Format::Onnx,
            To::Caffemodel => Format::Caffemodel,
            To::CaffemodelH5 => Format::CaffemodelHdf5,
        }
    }
}
