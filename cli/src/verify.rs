//! `rebrew verify`: whether two files of one net compute the same.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use caffe_proto::{FileKind, Storage};
use kernels::Backend;
use serde_json::{Value, json};
use train_core::{Executor, Network, Options};
use weight_io::Shape;

use crate::diff::number;
use crate::failure::Failure;
use crate::inputs::{self, Inputs};
use crate::network::{Defined, PhaseName, Reading};
use crate::run::in_order;
use crate::table::{Align, Table};
use crate::{Answer, device};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The first file of weights, of any format
    first: PathBuf,
    /// The second, as converted from the first
    second: PathBuf,
    /// The net's definition, a prototxt; without it the one inside the first file serves
    #[arg(long, value_name = "PROTOTXT")]
    definition: Option<PathBuf>,
    /// The second file's definition; without it the one inside that file, or the first file's
    #[arg(long, value_name = "PROTOTXT")]
    definition_out: Option<PathBuf>,
    #[command(flatten)]
    inputs: inputs::Arguments,
    /// How far a blob's values may be apart, relative to the largest of the first net's
    #[arg(long, default_value_t = 1e-5)]
    rtol: f64,
    /// The seed of the noise that inputs get which are not given
    #[arg(long, default_value_t = 0)]
    seed: u64,
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
    if arguments.rtol.is_nan() || arguments.rtol < 0.0 {
        return Err(Failure::Message(format!("--rtol is {}, expected 0 or more", arguments.rtol)));
    }
    let (first, second) = definitions(arguments)?;
    let cpu = arguments.device.open()?;
    let reading = Reading { phase: PhaseName::Test, lenient: arguments.lenient, fill: false, quiet };
    let mut one = Defined::open(first, reading)?;
    let mut other = Defined::open(second, reading)?;
    let inputs = arguments.inputs.open(&mut one.network, first, Some(arguments.seed))?;
    let one = one.with_weights(beside(&arguments.first, first))?;
    let (one, inputs) = Pass::run(one, first, inputs, &*cpu)?;
    let inputs = inputs.for_other(&mut other.network, second)?;
    let other = other.with_weights(beside(&arguments.second, second))?;
    let (other, _) = Pass::run(other, second, inputs, &*cpu)?;

    let comparison = Comparison::of(&one, &other)?;
    if comparison.compared.is_empty() {
        return Err(Failure::Message(format!(
            "{} and {} have no blob of one name: nothing can be compared",
            arguments.first.display(),
            arguments.second.display()
        )));
    }
    let equal = comparison.is_within(arguments.rtol);
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", comparison.json(arguments.rtol))?;
    } else if !quiet {
        comparison.print(arguments.rtol, &mut out)?;
    }
    Ok(if equal { Answer::Yes } else { Answer::No })
}

/// The file that defines each of the two nets.
fn definitions(arguments: &Arguments) -> Result<(&Path, &Path), Failure> {
    let first_own = holds_definition(&arguments.first)?.then_some(arguments.first.as_path());
    let second_own = holds_definition(&arguments.second)?.then_some(arguments.second.as_path());
    let given = arguments.definition.as_deref();
    let second_given = arguments.definition_out.as_deref().or(second_own);
    let first = given.or(first_own).or(second_given).ok_or_else(|| {
        Failure::Message(format!(
            "{}: running it needs the net's definition: give it with --definition",
            arguments.first.display()
        ))
    })?;
    Ok((first, second_given.unwrap_or(first)))
}

fn holds_definition(path: &Path) -> Result<bool, Failure> {
    match FileKind::of(&Storage::open(path)?) {
        FileKind::Onnx => Err(Failure::Message(format!(
            "{}: an .onnx is written, not run: verify the weights in another format, or run it where it is to be used",
            path.display()
        ))),
        kind => Ok(kind == FileKind::Net),
    }
}

/// The weights, unless they are in the definition's own file.
fn beside<'a>(weights: &'a Path, definition: &Path) -> Option<&'a Path> {
    (weights != definition).then_some(weights)
}

/// A net that has run.
struct Pass<'b> {
    network: Network,
    executor: Executor<'b>,
}

impl<'b> Pass<'b> {
    fn run(
        network: Network,
        path: &Path,
        inputs: Inputs,
        backend: &'b dyn Backend,
    ) -> Result<(Self, Inputs), Failure> {
        let failed = |error| Failure::of_net(path, error);
        let options = Options { all_blobs: true, ..Options::default() };
        let mut executor = network.executor(backend, &options).map_err(failed)?;
        inputs.put(&mut executor)?;
        executor.forward().map_err(failed)?;
        Ok((Self { network, executor }, inputs))
    }
}

/// How far two passes are apart.
struct Comparison {
    compared: Vec<Difference>,
    /// Blobs of one name and two shapes.
    shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
    only_first: Vec<String>,
    only_second: Vec<String>,
    /// Outputs of the first net that the second has not.
    lost: Vec<String>,
}

struct Difference {
    name: String,
    shape: Vec<usize>,
    max_abs: f64,
    relative: f64,
}

impl Comparison {
    fn of(first: &Pass<'_>, second: &Pass<'_>) -> Result<Self, Failure> {
        let names = in_order(first.network.net(), &first.executor);
        let others = in_order(second.network.net(), &second.executor);
        let mut comparison = Self {
            compared: Vec::new(),
            shapes: Vec::new(),
            only_first: Vec::new(),
            only_second: others.iter().filter(|name| !names.contains(name)).cloned().collect(),
            lost: first.executor.outputs().iter().filter(|name| !others.contains(name)).cloned().collect(),
        };
        for name in names {
            if !others.contains(&name) {
                comparison.only_first.push(name);
                continue;
            }
            let (shape, values) = first.executor.blob(&name)?;
            let (other_shape, other_values) = second.executor.blob(&name)?;
            if shape == other_shape {
                comparison.compared.push(Difference::of(name, shape, &values, &other_values));
            } else {
                comparison.shapes.push((name, shape.to_vec(), other_shape.to_vec()));
            }
        }
        Ok(comparison)
    }

    fn is_within(&self, rtol: f64) -> bool {
        self.shapes.is_empty()
            && self.lost.is_empty()
            && self.compared.iter().all(|difference| difference.relative <= rtol)
    }

    fn print(&self, rtol: f64, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&[
            ("blob", Align::Left),
            ("shape", Align::Left),
            ("largest difference", Align::Right),
            ("relative", Align::Right),
            ("", Align::Left),
        ]);
        for difference in &self.compared {
            table.row([
                difference.name.clone(),
                Shape(&difference.shape).to_string(),
                format!("{:.3e}", difference.max_abs),
                format!("{:.3e}", difference.relative),
                if difference.relative > rtol { "differs".to_owned() } else { String::new() },
            ]);
        }
        table.print(out)?;
        writeln!(out)?;
        for (name, first, second) in &self.shapes {
            writeln!(out, "{name}: shapes differ, {} and {}", Shape(first), Shape(second))?;
        }
        for (which, names) in [("first", &self.only_first), ("second", &self.only_second)] {
            for name in names {
                let lost =
                    if which == "first" && self.lost.contains(name) { ", whose output it is" } else { "" };
                writeln!(out, "{name}: only in the {which} net{lost}")?;
            }
        }
        let over = self.compared.iter().filter(|difference| difference.relative > rtol).count();
        let worst = self.compared.iter().map(|difference| difference.relative).fold(0.0, f64::max);
        let count = self.compared.len();
        if over == 0 {
            writeln!(out, "{count} blobs are equal within {rtol:e}, {worst:.3e} at most")
        } else {
            writeln!(out, "{over} of {count} blobs differ by more than {rtol:e}, {worst:.3e} at most")
        }
    }

    fn json(&self, rtol: f64) -> Value {
        let compared = self.compared.iter().map(|difference| {
            json!({
                "name": difference.name,
                "shape": difference.shape,
                "max_abs": number(difference.max_abs),
                "relative": number(difference.relative),
                "over": difference.relative > rtol,
            })
        });
        let shapes = self.shapes.iter();
        let shapes =
            shapes.map(|(name, first, second)| json!({ "name": name, "first": first, "second": second }));
        json!({
            "equal": self.is_within(rtol),
            "rtol": rtol,
            "compared": compared.collect::<Vec<_>>(),
            "shapes": shapes.collect::<Vec<_>>(),
            "only_first": self.only_first,
            "only_second": self.only_second,
            "lost_outputs": self.lost,
        })
    }
}

impl Difference {
    /// The largest difference, also as a share of the largest value. Equal infinities and two values that are no number
    /// do not differ.
    fn of(name: String, shape: &[usize], first: &[f32], second: &[f32]) -> Self {
        let mut max_abs = 0.0f64;
        let mut largest = 0.0f64;
        for (&a, &b) in first.iter().zip(second) {
            let difference = (f64::from(a) - f64::from(b)).abs();
            if a != b && !(a.is_nan() && b.is_nan()) {
                max_abs = max_abs.max(if difference.is_nan() { f64::INFINITY } else { difference });
            }
            if a.is_finite() {
                largest = largest.max(f64::from(a).abs());
            }
        }
        let relative = if max_abs == 0.0 { 0.0 } else { max_abs / largest };
        Self { name, shape: shape.to_vec(), max_abs, relative }
    }
}
