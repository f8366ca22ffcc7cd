//! `rebrew diff`: how much two weight files differ, tensor by tensor.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};
use weight_io::chainer::Options;
use weight_io::{Comparison, Opened, Shape, Tolerance, compare};

use crate::Answer;
use crate::convert::{blobs, open};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::table::{Align, Table, thousands};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The first file, of any format
    first: PathBuf,
    /// The second file, of any format
    second: PathBuf,
    /// The net's definition, a prototxt, for a .caffemodel.h5 or a definition better than the caffemodel's own
    #[arg(long, value_name = "PROTOTXT")]
    definition: Option<PathBuf>,
    /// How far values may be apart, relative to the second file's
    #[arg(long, default_value_t = 0.0)]
    rtol: f64,
    /// How far values may be apart, absolutely
    #[arg(long, default_value_t = 0.0)]
    atol: f64,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    lenient: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let tolerance = |name: &str, value: f64| {
        let valid = value >= 0.0;
        valid
            .then_some(value)
            .ok_or_else(|| Failure::Message(format!("--{name} is {value}, expected 0 or more")))
    };
    let tolerance =
        Tolerance { rtol: tolerance("rtol", arguments.rtol)?, atol: tolerance("atol", arguments.atol)? };
    let mut files = Vec::new();
    for path in [&arguments.first, &arguments.second] {
        let mut opened = open(path, None, arguments.lenient, quiet)?;
        // Tensors have their names; only blobs need a definition to name them.
        if opened.format().is_caffe() && arguments.definition.is_some() {
            opened = open(path, arguments.definition.as_deref(), arguments.lenient, quiet)?;
        }
        files.push(opened);
    }
    // Of two files of one model, the one that holds the definition serves for both.
    let definition = files.iter().find_map(|file| file.definition().cloned());
    if let Some(definition) = definition {
        for file in &mut files {
            if file.format().is_caffe() && file.definition().is_none() {
                file.define(definition.clone());
            }
        }
    }
    let unnamed = files.iter().all(|file| file.format().is_caffe() && file.definition().is_none());
    let named = |file: &Opened, path| {
        let tensors =
            if unnamed { blobs(file) } else { file.weights(Options::default()).map(|(weights, _)| weights) };
        tensors.map_err(|error| Failure::within(path, error))
    };
    let first = named(&files[0], &arguments.first)?;
    let second = named(&files[1], &arguments.second)?;
    let comparison = {
        let mut progress = Progress::new("comparing", quiet);
        compare(&first, &second, tolerance, &mut |done, total| progress.report(done, total))?
    };
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", json(&comparison))?;
    } else if !quiet {
        print(&comparison, &mut out)?;
    }
    Ok(if comparison.is_equal() { Answer::Yes } else { Answer::No })
}

/// Prints what differs, and how much is equal.
pub(crate) fn print(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&[
        ("tensor", Align::Left),
        ("differ", Align::Right),
        ("of", Align::Right),
        ("largest difference", Align::Right),
        ("relative", Align::Right),
        ("", Align::Left),
    ]);
    let (over, within) = comparison.compared.iter().partition::<Vec<_>, _>(|difference| difference.over > 0);
    for difference in &over {
        table.row([
            difference.name.clone(),
            thousands(difference.over),
            thousands(difference.count),
            format!("{:.3e}", difference.max_abs),
            format!("{:.3e}", difference.max_rel),
            difference.lifted.unwrap_or_default().to_owned(),
        ]);
    }
    if !table.is_empty() {
        table.print(out)?;
        writeln!(out)?;
    }
    for (name, first, second) in &comparison.shapes {
        writeln!(out, "{name}: shapes differ, {} and {}", Shape(first), Shape(second))?;
    }
    for (which, names) in [("first", &comparison.only_first), ("second", &comparison.only_second)] {
        for name in names {
            writeln!(out, "{name}: only in the {which} file")?;
        }
    }
    let values = within.iter().map(|difference| difference.count).sum();
    let furthest = within.iter().map(|difference| difference.max_abs).fold(0.0, f64::max);
    let equal = if furthest > 0.0 {
        format!("equal within the tolerance, {furthest:.3e} at most")
    } else {
        "equal".into()
    };
    writeln!(out, "{} tensors, {} values {equal}", within.len(), thousands(values))?;
    let lifted = within.iter().filter_map(|difference| Some((&difference.name, difference.lifted?)));
    for (name, lifted) in lifted {
        writeln!(out, "{name}: {lifted}")?;
    }
    Ok(())
}

/// The same for programs.
pub(crate) fn json(comparison: &Comparison) -> Value {
    let compared = comparison.compared.iter().map(|difference| {
        json!({
            "name": difference.name,
            "count": difference.count,
            "over": difference.over,
            "max_abs": number(difference.max_abs),
            "max_rel": number(difference.max_rel),
            "largest": number(difference.largest),
            "lifted": difference.lifted,
        })
    });
    let shapes = comparison
        .shapes
        .iter()
        .map(|(name, first, second)| json!({ "name": name, "first": first, "second": second }));
    json!({
        "equal": comparison.is_equal(),
        "compared": compared.collect::<Vec<_>>(),
        "only_first": comparison.only_first,
        "only_second": comparison.only_second,
        "shapes": shapes.collect::<Vec<_>>(),
    })
}

/// JSON has no infinity and no NaN: those are text.
pub(crate) fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}
