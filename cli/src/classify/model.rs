//! The net that scores images.

use caffe_proto::net::{LayerKind, Net};
use kernels::Backend;
use train_core::{Executor, Network, Options};
use weight_io::Shape;

use super::Arguments;
use crate::failure::Failure;
use crate::network::{Defined, PhaseName, Reading};
use crate::notes::list;

/// The most crops at a time, unless another number is asked for: more gain little and take memory.
const BATCH: usize = 16;

/// A net with one image input, and which of its blobs holds the scores.
pub(super) struct Model {
    network: Network,
    input: String,
    /// Of the definition.
    shape: [usize; 4],
    output: String,
}

/// The net made ready for a number of crops at a time.
pub(super) struct Classifier<'b> {
    executor: Executor<'b>,
    input: String,
    output: String,
    batch: usize,
    classes: usize,
}

impl Model {
    pub(super) fn open(arguments: &Arguments, quiet: bool) -> Result<Self, Failure> {
        let reading = Reading { phase: PhaseName::Test, lenient: arguments.lenient, fill: false, quiet };
        let defined = Defined::open(&arguments.definition, reading)?;
        let refused = |what: String| Failure::Message(format!("{}: {what}", arguments.definition.display()));
        let net = defined.network.net();
        let input = image_input(net).map_err(refused)?;
        let output = match &arguments.output {
            Some(name) => name.clone(),
            None => scores(net).map_err(refused)?,
        };
        let lists_detections = net
            .layers
            .iter()
            .any(|layer| layer.tops.contains(&output) && matches!(layer.kind, LayerKind::DetectionOutput(_)));
        if lists_detections {
            return Err(refused(format!(
                "`{output}` lists what is where in an image, and no scores of classes"
            )));
        }
        let shapes =
            defined.network.shapes().map_err(|error| Failure::of_net(&arguments.definition, error))?;
        let shape = shapes.blob(&input).unwrap_or_default();
        let Ok(shape @ [_, 1 | 3, _, _]) = <[usize; 4]>::try_from(shape) else {
            return Err(refused(format!(
                "input `{input}` has shape {}, expected N×C×H×W with 1 or 3 channels: images go in there",
                Shape(shape)
            )));
        };
        let network = defined.with_weights(Some(&arguments.weights))?;
        Ok(Self { network, input, shape, output })
    }

    /// Channels, height and width of the input.
    pub(super) fn input(&self) -> [usize; 3] {
        [self.shape[1], self.shape[2], self.shape[3]]
    }

    /// Makes the net ready for `crops` crops in all.
    pub(super) fn classifier<'b>(
        mut self,
        arguments: &Arguments,
        crops: usize,
        backend: &'b dyn Backend,
    ) -> Result<Classifier<'b>, Failure> {
        let failed = |error| Failure::of_net(&arguments.definition, error);
        // As few batches as need be, and these alike.
        let usual = crops.div_ceil(crops.div_ceil(BATCH).max(1)).max(1);
        let mut batch = arguments.batch.map_or(usual, |batch| batch.get().min(crops.max(1)));
        let [channels, height, width] = self.input();
        self.network.set_input_shape(&self.input, vec![batch, channels, height, width]);
        let fits = |network: &Network, batch| {
            let shapes = network.shapes().ok();
            shapes.is_none_or(|shapes| {
                shapes.blob(&self.output).is_none_or(|shape| shape.first() == Some(&batch))
            })
        };
        // A Reshape may name the definition's own batch.
        if arguments.batch.is_none() && (self.network.shapes().is_err() || !fits(&self.network, batch)) {
            batch = self.shape[0];
            self.network.set_input_shape(&self.input, self.shape.to_vec());
        }
        let options = Options { keep: vec![self.output.clone()], ..Options::default() };
        let executor = self.network.executor(backend, &options).map_err(failed)?;
        let shape = executor.blobs().find(|(name, _)| *name == self.output);
        let shape = shape.map(|(_, shape)| shape.to_vec()).unwrap_or_default();
        let classes = match *shape {
            [found, ref rest @ ..]
                if found == batch && rest.iter().filter(|&&extent| extent != 1).count() < 2 =>
            {
                rest.iter().product()
            }
            _ => 0,
        };
        if classes == 0 {
            return Err(Failure::Message(format!(
                "{}: `{}` has shape {}, expected a score for each class of each of {batch} images, {batch}×C: name another \
                 blob with --output",
                arguments.definition.display(),
                self.output,
                Shape(&shape)
            )));
        }
        Ok(Classifier { executor, input: self.input, output: self.output, batch, classes })
    }
}

impl Classifier<'_> {
    /// How many crops go in at a time.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// How many scores a crop has.
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// The scores of a batch of crops.
    pub(super) fn scores(&mut self, crops: &[f32], scores: &mut [f32]) -> Result<(), Failure> {
        self.executor.set_input(&self.input, crops)?;
        self.executor.forward()?;
        Ok(self.executor.read(&self.output, scores)?)
    }
}

/// The input that images go into.
fn image_input(net: &Net) -> Result<String, String> {
    let tops = net.layers.iter().filter(|layer| matches!(layer.kind, LayerKind::Input(_)));
    let inputs = tops.flat_map(|layer| &layer.tops).cloned().collect::<Vec<_>>();
    if let [input] = inputs.as_slice() {
        return Ok(input.clone());
    }
    let data =
        net.layers.iter().find(|layer| layer.kind.is_source() && !matches!(layer.kind, LayerKind::Input(_)));
    Err(match data {
        Some(layer) if inputs.is_empty() => format!(
            "layer `{}` ({}) reads data of its own, as nets for training do: give the deploy prototxt, which has an Input \
             layer",
            layer.name, layer.type_name
        ),
        _ if inputs.is_empty() => "the net has no Input layer: give the deploy prototxt".to_owned(),
        _ => format!("the net has {} inputs, {}: expected one, for images", inputs.len(), list(&inputs)),
    })
}

/// The output that holds the scores: the only one, or the only one that is made by a Softmax.
fn scores(net: &Net) -> Result<String, String> {
    if let [output] = net.outputs.as_slice() {
        return Ok(output.clone());
    }
    let softmax = net.layers.iter().filter(|layer| matches!(layer.kind, LayerKind::Softmax { .. }));
    let softmax =
        softmax.flat_map(|layer| &layer.tops).filter(|top| net.outputs.contains(top)).collect::<Vec<_>>();
    match softmax.as_slice() {
        [output] => Ok((*output).clone()),
        _ => Err(format!(
            "the net has {} outputs, {}: name the one with the scores with --output",
            net.outputs.len(),
            list(&net.outputs)
        )),
    }
}
