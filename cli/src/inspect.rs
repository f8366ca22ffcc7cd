//! `rebrew inspect`: what a file holds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caffe_proto::net::{Cost, Layer, LayerKind, Net, Shapes};
use caffe_proto::proto::{NetParameter, NetState};
use caffe_proto::{
    Blob, Error, FileKind, Generation, Model, SolverState, Storage, open_definition, read_binaryproto,
    read_caffemodel_h5,
};
use serde_json::{Value, json};
use train_core::{Match, Plan};
use weight_io::chainer::Options;
use weight_io::{Opened, Shape, Weights};

use crate::failure::Failure;
use crate::inputs::input_shape;
use crate::network::define;
use crate::table::{Align, Table, bytes, thousands};
use crate::timing::{self, Timing};
use crate::{Answer, notes, text_options};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A .caffemodel, .caffemodel.h5, .prototxt, .npz, .h5, .safetensors, .binaryproto or .solverstate
    model: PathBuf,
    /// The net's definition, a prototxt; without it the one inside the caffemodel serves
    #[arg(long, value_name = "PROTOTXT")]
    definition: Option<PathBuf>,
    /// The shape of an input that the definition does not tell, as in data=1,3,227,227
    #[arg(long, value_name = "NAME=SHAPE", value_parser = input_shape)]
    input: Vec<(String, Vec<usize>)>,
    #[command(flatten)]
    timing: timing::Arguments,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    lenient: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let storage = Storage::open(&arguments.model)?;
    let report = match FileKind::of(&storage) {
        FileKind::Net | FileKind::Text => inspect_model(
            arguments,
            open_definition(&arguments.model, text_options(arguments.lenient))?,
            quiet,
        )?,
        FileKind::Blob => blobs_report("binaryproto", &[read_binaryproto(&storage)?], json!({})),
        FileKind::SolverState => solver_report(&SolverState::read(&storage)?),
        FileKind::Hdf5 => inspect_hdf5(arguments, &storage, quiet)?,
        _ => inspect_weights(arguments, quiet)?,
    };
    if arguments.timing.is_wanted() && report.timing.is_none() {
        let name = arguments.model.display();
        return Err(Failure::Message(format!(
            "{name}: --time needs a net's definition: a prototxt or a .caffemodel"
        )));
    }
    report.print(arguments)?;
    Ok(Answer::Yes)
}

/// What is printed: lines over and under a table, or one JSON value.
struct Report {
    heading: Vec<String>,
    table: Table,
    closing: Vec<String>,
    json: Value,
    timing: Option<Timing>,
}

impl Report {
    fn print(&self, arguments: &Arguments) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        if arguments.json {
            let mut json = json!({ "file": arguments.model.to_string_lossy() });
            if let (Some(all), Some(own)) = (json.as_object_mut(), self.json.as_object()) {
                all.extend(own.clone());
                if let Some(timing) = &self.timing {
                    all.insert("time".to_owned(), timing.json.clone());
                }
            }
            writeln!(out, "{json:#}")?;
            return Ok(());
        }
        let name = arguments.model.file_name().unwrap_or(arguments.model.as_os_str()).to_string_lossy();
        for (index, line) in self.heading.iter().enumerate() {
            writeln!(out, "{}{line}", if index == 0 { format!("{name}: ") } else { String::new() })?;
        }
        if !self.table.is_empty() {
            writeln!(out)?;
            self.table.print(&mut out)?;
        }
        if !self.closing.is_empty() {
            writeln!(out)?;
        }
        for line in &self.closing {
            writeln!(out, "{line}")?;
        }
        if let Some(timing) = &self.timing {
            writeln!(out, "\n{}\n", timing.heading)?;
            timing.table.print(&mut out)?;
            writeln!(out)?;
            for line in &timing.closing {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}

/// A `.caffemodel.h5`, a `.solverstate.h5`, or what Chainer saved.
fn inspect_hdf5(arguments: &Arguments, storage: &Arc<Storage>, quiet: bool) -> Result<Report, Failure> {
    if let Ok(model) = read_caffemodel_h5(storage) {
        return inspect_model(arguments, model, quiet);
    }
    if let Ok(state) = SolverState::read(storage) {
        return Ok(solver_report(&state));
    }
    inspect_weights(arguments, quiet)
}

fn inspect_weights(arguments: &Arguments, quiet: bool) -> Result<Report, Failure> {
    let failed = |error| Failure::within(&arguments.model, error);
    let opened = Opened::open(&arguments.model).map_err(failed)?;
    notes::print(opened.notes(), quiet);
    Ok(weights_report(&opened.weights(Options::default()).map_err(failed)?.0))
}

fn inspect_model(arguments: &Arguments, mut model: Model, quiet: bool) -> Result<Report, Failure> {
    if let Some(path) = &arguments.definition {
        let definition = open_definition(path, text_options(arguments.lenient))?;
        model.definition = definition.definition;
        model.notes.extend(definition.notes);
    }
    notes::print(&model.notes, quiet);
    let Some(definition) = &model.definition else {
        return Ok(bare_report(&model));
    };
    // A definition with rules is shown as it runs; one that no Caffe would build is shown layer by layer.
    let path = arguments.definition.as_ref().unwrap_or(&arguments.model);
    let as_it_runs = Net::new(definition, &NetState::default());
    let runs = as_it_runs.is_ok();
    let net = as_it_runs.or_else(|_| Net::unfiltered(definition));
    let net = net.map_err(|error| Failure::within(path, error))?;
    let shapes = net.infer_shapes(&arguments.input.iter().cloned().collect());
    if let Err(error @ Error::Layer { kind, .. }) = &shapes
        && kind == "input"
    {
        return Err(Failure::Message(error.to_string()));
    }
    let strangers = model.layers.iter().filter(|own| !own.blobs.is_empty() && net.layer(&own.name).is_none());
    let strangers =
        strangers.map(|own| format!("layer `{}` is in the file and not in the definition", own.name));
    notes::print(&strangers.collect::<Vec<_>>(), quiet);
    let plan = shapes.as_ref().ok().filter(|_| runs);
    let plan = plan.map(|shapes| {
        Plan::new(&net, shapes, &train_core::Options::default()).map_err(|error| error.to_string())
    });
    let mut report = net_report(&net, &model, shapes.as_ref().map_err(ToString::to_string), plan.as_ref());
    if arguments.timing.is_wanted() {
        report.timing = Some(time(arguments, definition, &model, path)?);
    }
    Ok(report)
}

fn time(
    arguments: &Arguments,
    definition: &NetParameter,
    model: &Model,
    path: &Path,
) -> Result<Timing, Failure> {
    let saved = arguments.definition.is_none() && !model.layers.is_empty();
    let mut network = define(definition.clone(), &NetState::default(), saved, path)?;
    for (name, shape) in &arguments.input {
        network.set_input_shape(name, shape.clone());
    }
    // What has no weights is filled: that takes as long.
    network
        .initialise_from_model(model, Match::ByName)
        .map_err(|error| Failure::of_net(&arguments.model, error))?;
    arguments.timing.measure(&network, path)
}

fn net_report(
    net: &Net,
    model: &Model,
    shapes: Result<&Shapes, String>,
    plan: Option<&Result<Plan, String>>,
) -> Report {
    let costs = shapes.as_ref().ok().map(|shapes| net.costs(shapes));
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("type", Align::Left),
        ("bottoms", Align::Left),
        ("tops", Align::Left),
        ("output", Align::Left),
        ("group", Align::Right),
        ("parameters", Align::Left),
        ("count", Align::Right),
        ("MACs", Align::Right),
        ("activations", Align::Right),
    ]);
    let holds_blobs = model.layers.iter().any(|own| !own.blobs.is_empty());
    let mut layers = Vec::new();
    let mut total = 0u64;
    for (index, layer) in net.layers.iter().enumerate() {
        let found = shapes.as_ref().ok().map(|shapes| &shapes.layers()[index]);
        let blobs = model.layers.iter().find(|blobs| blobs.name == layer.name && !blobs.blobs.is_empty());
        let parameters = match (blobs, found) {
            (Some(blobs), _) => blobs.blobs.iter().map(|blob| blob.shape().to_vec()).collect(),
            (None, Some(found)) if !holds_blobs => found.params.clone(),
            (None, _) => Vec::new(),
        };
        let absent = holds_blobs && blobs.is_none() && layer.kind.blob_count(layer.bottoms.len()) > Some(0);
        let count =
            parameters.iter().map(|shape| shape.iter().map(|&extent| extent as u64).product::<u64>()).sum();
        total += count;
        let outputs = found.map_or(&[][..], |found| &found.tops);
        let cost = costs.as_ref().map_or_else(Cost::default, |costs| costs[index]);
        let group = group(layer);
        let some = |number: u64| if number == 0 { String::new() } else { thousands(number) };
        table.row([
            layer.name.clone(),
            layer.type_name.clone(),
            layer.bottoms.join(", "),
            layer.tops.join(", "),
            join_shapes(outputs),
            group.map_or_else(String::new, |group| group.to_string()),
            if absent { "not in the file".to_owned() } else { join_shapes(&parameters) },
            some(count),
            some(cost.macs),
            if cost.activation_bytes == 0 { String::new() } else { bytes(cost.activation_bytes) },
        ]);
        layers.push(json!({
            "name": layer.name,
            "type": layer.type_name,
            "bottoms": layer.bottoms,
            "tops": layer.tops,
            "outputs": found.map(|found| &found.tops),
            "group": group,
            "parameters": parameters,
            "parameter_count": count,
            "in_file": blobs.is_some(),
            "macs": costs.as_ref().map(|_| cost.macs),
            "activation_bytes": costs.as_ref().map(|_| cost.activation_bytes),
        }));
    }
    let mut closing = vec![format!("{} parameters, {}", thousands(total), bytes(total * 4))];
    let sums = costs.map(|costs| {
        let macs = costs.iter().map(|cost| cost.macs).fold(0, u64::saturating_add);
        let activations = costs.iter().map(|cost| cost.activation_bytes).fold(0, u64::saturating_add);
        (macs, activations)
    });
    // Blobs take over the memory of those that are used up.
    let held = plan.and_then(|plan| plan.as_ref().ok()).map(|plan| 4 * plan.blob_floats() as u64);
    match (&sums, &shapes) {
        (Some((macs, activations)), _) => closing.push(format!(
            "{} multiply-accumulates, {} of activations{}",
            thousands(*macs),
            bytes(*activations),
            held.map_or_else(String::new, |held| format!(", {} at a time when it runs", bytes(held)))
        )),
        (None, Err(why)) => closing.push(format!("output shapes are not known: {why} (--input NAME=SHAPE)")),
        (None, Ok(_)) => {}
    }
    let refusal = plan.and_then(|plan| plan.as_ref().err()).cloned();
    closing.extend(refusal.clone());
    Report {
        heading: vec![format!(
            "{}, {}, {} layers",
            if net.name.is_empty() {
                "a net without a name".to_owned()
            } else {
                format!("net `{}`", net.name)
            },
            generation(model.generation),
            net.layers.len()
        )],
        table,
        closing,
        json: json!({
            "format": generation(model.generation),
            "name": net.name,
            "inputs": net.inputs,
            "outputs": net.outputs,
            "layers": layers,
            "parameter_count": total,
            "macs": sums.map(|(macs, _)| macs),
            "activation_bytes": sums.map(|(_, activations)| activations),
            "running_bytes": held,
            "shapes_unknown": shapes.err(),
            "cannot_run": refusal,
            "notes": model.notes,
        }),
        timing: None,
    }
}

/// A `.caffemodel.h5` without a definition: names and blobs.
fn bare_report(model: &Model) -> Report {
    let mut table = Table::new(&[("layer", Align::Left), ("blobs", Align::Left), ("count", Align::Right)]);
    let mut layers = Vec::new();
    let mut total = 0;
    for layer in &model.layers {
        let shapes = layer.blobs.iter().map(|blob| blob.shape().to_vec()).collect::<Vec<_>>();
        let count = layer.blobs.iter().map(|blob| blob.count() as u64).sum::<u64>();
        total += count;
        table.row([layer.name.clone(), join_shapes(&shapes), thousands(count)]);
        layers.push(json!({ "name": layer.name, "parameters": shapes, "parameter_count": count }));
    }
    Report {
        heading: vec![format!("{}, {} layers", generation(model.generation), model.layers.len())],
        table,
        closing: vec![
            format!("{} parameters, {}", thousands(total), bytes(total * 4)),
            "types and connections are not in this file: give its prototxt with --definition".to_owned(),
        ],
        json: json!({ "format": generation(model.generation), "layers": layers, "parameter_count": total }),
        timing: None,
    }
}

fn weights_report(weights: &Weights) -> Report {
    let mut table = Table::new(&[
        ("tensor", Align::Left),
        ("type", Align::Left),
        ("shape", Align::Left),
        ("count", Align::Right),
    ]);
    let mut tensors = Vec::new();
    let mut total = 0;
    for (name, tensor) in weights.iter() {
        total += tensor.count() as u64;
        let shape = Shape(tensor.shape()).to_string();
        table.row([name.to_owned(), tensor.dtype().to_string(), shape, thousands(tensor.count() as u64)]);
        tensors.push(json!({ "name": name, "dtype": tensor.dtype().to_string(), "shape": tensor.shape() }));
    }
    Report {
        heading: vec![format!("{} tensors", weights.len())],
        table,
        closing: vec![format!("{} values, {}", thousands(total), bytes(weights.byte_count()))],
        json: json!({ "tensors": tensors, "count": total, "metadata": weights.metadata() }),
        timing: None,
    }
}

fn solver_report(state: &SolverState) -> Report {
    let mut report = blobs_report(
        "solverstate",
        &state.history,
        json!({ "iter": state.iter, "current_step": state.current_step, "learned_net": state.learned_net }),
    );
    report.heading = vec![
        format!(
            "solverstate at iteration {}, {} blobs of history",
            thousands(state.iter as u64),
            state.history.len()
        ),
        format!("weights: {}", state.learned_net.as_deref().unwrap_or("not named")),
    ];
    report
}

fn blobs_report(format: &str, blobs: &[Blob], more: Value) -> Report {
    let mut table = Table::new(&[("blob", Align::Right), ("shape", Align::Left), ("count", Align::Right)]);
    let shapes = blobs.iter().map(|blob| blob.shape().to_vec()).collect::<Vec<_>>();
    for (index, blob) in blobs.iter().enumerate() {
        table.row([index.to_string(), Shape(blob.shape()).to_string(), thousands(blob.count() as u64)]);
    }
    let mut json = more;
    json["format"] = json!(format);
    json["shapes"] = json!(shapes);
    Report {
        heading: vec![format!("{format}, {} blob{}", blobs.len(), if blobs.len() == 1 { "" } else { "s" })],
        table,
        closing: Vec::new(),
        json,
        timing: None,
    }
}

fn group(layer: &Layer) -> Option<usize> {
    match &layer.kind {
        LayerKind::Convolution(params) | LayerKind::Deconvolution(params) if params.group > 1 => {
            Some(params.group)
        }
        _ => None,
    }
}

fn join_shapes(shapes: &[Vec<usize>]) -> String {
    shapes.iter().map(|shape| Shape(shape).to_string()).collect::<Vec<_>>().join(", ")
}

fn generation(generation: Generation) -> &'static str {
    match generation {
        Generation::V0 => "V0",
        Generation::V1 => "V1",
        Generation::V2 => "V2",
        Generation::Hdf5 => "caffemodel.h5",
    }
}
