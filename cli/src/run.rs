//! `rebrew run`: one forward pass of a net.

use std::io::Write;
use std::path::PathBuf;

use caffe_proto::net::Net;
use serde_json::json;
use train_core::{Executor, Options};
use weight_io::{Conversion, Error, Format, Shape, Tensor, Weights, WriteOptions};

use crate::failure::Failure;
use crate::network::{Defined, PhaseName, Reading};
use crate::table::{Align, Table, bytes, thousands};
use crate::{Answer, device, inputs};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The net: a prototxt, or a .caffemodel with its definition inside
    definition: PathBuf,
    /// The weights, of any format; without it those beside the definition in a .caffemodel
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    inputs: inputs::Arguments,
    /// Give noise to the inputs that are not given
    #[arg(long)]
    random_input: bool,
    /// Where the blobs go: an .npz with an array for each
    #[arg(short, long)]
    output: PathBuf,
    /// Write every blob, not only the net's outputs
    #[arg(long, conflicts_with = "keep")]
    all_blobs: bool,
    /// Write this blob besides the net's outputs
    #[arg(long, value_name = "BLOB")]
    keep: Vec<String>,
    /// The phase that the net runs in
    #[arg(long, value_name = "PHASE", default_value = "test")]
    phase: PhaseName,
    #[command(flatten)]
    device: device::Arguments,
    /// The seed of noise, fillers and Dropout
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Fill layers without weights by their fillers
    #[arg(long)]
    fill: bool,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    lenient: bool,
    /// Replace an existing output
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let output = &arguments.output;
    if !matches!(Format::of_name(output), Ok(Format::Npz)) {
        return Err(Failure::Message(format!("{}: blobs are written as .npz: end it so", output.display())));
    }
    if !arguments.force && output.is_file() {
        return Err(Error::Exists { path: output.clone() }.into());
    }
    let cpu = arguments.device.open()?;
    let Arguments { phase, lenient, fill, .. } = *arguments;
    let mut defined = Defined::open(&arguments.definition, Reading { phase, lenient, fill, quiet })?;
    defined.network.set_seed(arguments.seed);
    let noise = arguments.random_input.then_some(arguments.seed);
    let inputs = arguments.inputs.open(&mut defined.network, &arguments.definition, noise)?;
    let network = defined.with_weights(arguments.weights.as_deref())?;

    let options = Options { all_blobs: arguments.all_blobs, keep: arguments.keep.clone() };
    let failed = |error| Failure::of_net(&arguments.definition, error);
    let mut executor = network.executor(&*cpu, &options).map_err(failed)?;
    inputs.put(&mut executor)?;
    executor.forward().map_err(failed)?;

    let mut blobs = Weights::new();
    let mut summaries = Vec::new();
    for name in in_order(network.net(), &executor) {
        let (shape, values) = executor.blob(&name)?;
        summaries.push(Summary::of(name.clone(), shape, &values));
        blobs.insert(name, Tensor::from_f32(shape.to_vec(), &values)?)?;
    }
    let mut conversion = Conversion::to(Format::Npz);
    conversion.write = WriteOptions { force: arguments.force, sync: false };
    conversion.save_weights(&blobs, output, &mut |_, _| ())?;
    report(arguments, &cpu.name(), &summaries, quiet)
}

/// The names of the blobs that can be read, in the order in which the net makes them.
pub(crate) fn in_order(net: &Net, executor: &Executor<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let readable = executor.blobs().map(|(name, _)| name).collect::<std::collections::BTreeSet<_>>();
    let mut seen = std::collections::BTreeSet::new();
    for top in net.layers.iter().flat_map(|layer| &layer.tops) {
        if readable.contains(top.as_str()) && seen.insert(top) {
            names.push(top.clone());
        }
    }
    names
}

/// A blob in a few numbers.
struct Summary {
    name: String,
    shape: Vec<usize>,
    min: f32,
    max: f32,
    mean: f64,
    /// Infinite values and those that are no number.
    not_finite: usize,
}

impl Summary {
    fn of(name: String, shape: &[usize], values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let count = finite().count();
        Self {
            name,
            shape: shape.to_vec(),
            min: finite().reduce(f32::min).unwrap_or(f32::NAN),
            max: finite().reduce(f32::max).unwrap_or(f32::NAN),
            mean: finite().map(f64::from).sum::<f64>() / count as f64,
            not_finite: values.len() - count,
        }
    }
}

fn report(
    arguments: &Arguments,
    device: &str,
    summaries: &[Summary],
    quiet: bool,
) -> Result<Answer, Failure> {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let blobs = summaries.iter().map(|blob| {
            json!({
                "name": blob.name,
                "shape": blob.shape,
                "min": blob.min,
                "max": blob.max,
                "mean": blob.mean,
                "not_finite": blob.not_finite,
            })
        });
        let json = json!({
            "definition": arguments.definition.to_string_lossy(),
            "output": arguments.output.to_string_lossy(),
            "device": device,
            "blobs": blobs.collect::<Vec<_>>(),
        });
        writeln!(out, "{json:#}")?;
    } else if !quiet {
        let mut table = Table::new(&[
            ("blob", Align::Left),
            ("shape", Align::Left),
            ("min", Align::Right),
            ("max", Align::Right),
            ("mean", Align::Right),
            ("not finite", Align::Right),
        ]);
        for blob in summaries {
            let not_finite = blob.not_finite as u64;
            table.row([
                blob.name.clone(),
                Shape(&blob.shape).to_string(),
                format!("{:.4e}", blob.min),
                format!("{:.4e}", blob.max),
                format!("{:.4e}", blob.mean),
                if not_finite == 0 { String::new() } else { thousands(not_finite) },
            ]);
        }
        table.print(&mut out)?;
        let size = std::fs::metadata(&arguments.output).map_or(0, |metadata| metadata.len());
        writeln!(out, "\n{} ({})", arguments.output.display(), bytes(size))?;
    }
    Ok(Answer::Yes)
}
