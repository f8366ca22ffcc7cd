//! The values that go into a net.

use std::path::{Path, PathBuf};

use caffe_proto::net::{LayerKind as K, Net};
use caffe_proto::{FileKind, Storage};
use train_core::{Error, Executor, Network};
use weight_io::{Opened, Shape, Tensor, open_npy};

use crate::failure::Failure;
use crate::noise::Noise;

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// An input's values: NAME=x.npy; x.npy alone where the net has one input; the array of the input's name in an .npz
    #[arg(long, value_name = "NAME=FILE")]
    input: Vec<String>,
    /// The shape of an input, where the definition does not tell it or is to be overruled, as in data=1,3,227,227
    #[arg(long, value_name = "NAME=SHAPE", value_parser = input_shape)]
    input_shape: Vec<(String, Vec<usize>)>,
}

/// What each input of a net gets.
pub(crate) struct Inputs(Vec<Input>);

struct Input {
    name: String,
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    Array(Tensor),
    Noise(Noise),
    /// Of inputs that name rows or classes: noise does not.
    Zeros,
}

impl Arguments {
    /// Opens the arrays for the net that the file at `definition` defines, and gives its inputs their shapes. Those that
    /// are not given get noise, or are an error.
    pub(crate) fn open(
        &self,
        network: &mut Network,
        definition: &Path,
        noise: Option<u64>,
    ) -> Result<Inputs, Failure> {
        let names = names(network.net());
        for (name, shape) in &self.input_shape {
            known(name, &names)?;
            network.set_input_shape(name, shape.clone());
        }
        let mut given = Vec::new();
        for argument in &self.input {
            for (name, tensor, path) in arrays(argument, &names)? {
                if given.iter().any(|input: &Input| input.name == name) {
                    return Err(Failure::Message(format!("--input gives `{name}` twice")));
                }
                let expected = self.expected(network.net(), &name);
                check(&name, expected.as_deref(), tensor.shape(), &path)?;
                network.set_input_shape(&name, tensor.shape());
                given.push(Input { name, shape: tensor.shape().to_vec(), values: Values::Array(tensor) });
            }
        }
        let open = |name: &&String| given.iter().all(|input| input.name != **name);
        let missing = names.iter().filter(open).cloned().collect::<Vec<_>>();
        match noise {
            _ if missing.is_empty() => {}
            None => return Err(self.not_given(network.net(), &missing)),
            Some(seed) => given.extend(self.random(network, definition, missing, seed)?),
        }
        Ok(Inputs(given))
    }

    /// The shape that an input has without an array.
    fn expected(&self, net: &Net, name: &str) -> Option<Vec<usize>> {
        let asked = self.input_shape.iter().find(|(input, _)| input == name);
        asked.map(|(_, shape)| shape.clone()).or_else(|| declared(net, name))
    }

    fn not_given(&self, net: &Net, missing: &[String]) -> Failure {
        let each = missing.iter().map(|name| match self.expected(net, name) {
            Some(shape) => format!("`{name}` of shape {}", Shape(&shape)),
            None => format!("`{name}`, whose shape the definition leaves open"),
        });
        Failure::Message(format!(
            "no values for input{} {}: give them with --input {}=x.npy, or take noise with --random-input",
            if missing.len() == 1 { "" } else { "s" },
            each.collect::<Vec<_>>().join(", "),
            if missing.len() == 1 { &missing[0] } else { "NAME" },
        ))
    }

    fn random(
        &self,
        network: &Network,
        definition: &Path,
        missing: Vec<String>,
        seed: u64,
    ) -> Result<Vec<Input>, Failure> {
        let shapes = network.shapes().map_err(|error| {
            let open = missing.iter().any(|name| self.expected(network.net(), name).is_none());
            if open {
                Failure::Message(format!("{}: {error} (--input-shape NAME=SHAPE)", definition.display()))
            } else {
                Failure::of_net(definition, error)
            }
        })?;
        let input = |name: String| Input {
            shape: shapes.blob(&name).unwrap_or_default().to_vec(),
            values: Values::any(network.net(), &name, seed),
            name,
        };
        Ok(missing.into_iter().map(input).collect())
    }
}

impl Values {
    fn any(net: &Net, name: &str, seed: u64) -> Self {
        if is_index(net, name) { Values::Zeros } else { Values::Noise(Noise::new(seed, name)) }
    }
}

impl Inputs {
    /// Noise for every input of a net whose shapes are known.
    pub(crate) fn noise(executor: &Executor<'_>, net: &Net, seed: u64) -> Self {
        let input = |(name, shape): (&str, &[usize])| Input {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: Values::any(net, name, seed),
        };
        Self(executor.inputs().map(input).collect())
    }

    /// The same for the net in another file: by name, or by place where each has one.
    pub(crate) fn for_other(self, network: &mut Network, path: &Path) -> Result<Self, Failure> {
        let names = names(network.net());
        let mut inputs = self.0;
        if let ([input], [name]) = (inputs.as_mut_slice(), names.as_slice()) {
            input.name.clone_from(name);
        }
        inputs.retain(|input| names.contains(&input.name));
        if let Some(name) = names.iter().find(|name| inputs.iter().all(|input| input.name != **name)) {
            return Err(Failure::Message(format!(
                "{}: its net has an input `{name}` that the first file's net has not",
                path.display()
            )));
        }
        for input in &inputs {
            network.set_input_shape(&input.name, input.shape.clone());
        }
        Ok(Self(inputs))
    }

    /// Puts the values where the net reads them.
    pub(crate) fn put(&self, executor: &mut Executor<'_>) -> Result<(), Failure> {
        for Input { name, shape, values } in &self.0 {
            let count = shape.iter().product();
            let values = match values {
                Values::Array(tensor) => tensor.to_f32()?,
                Values::Noise(noise) => noise.clone().values(count),
                Values::Zeros => vec![0.0; count],
            };
            executor.set_input(name, &values)?;
        }
        Ok(())
    }
}

/// `data=1,3,227,227`
pub(crate) fn input_shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, shape) = text.split_once('=').ok_or("expected NAME=SHAPE, as in data=1,3,227,227")?;
    let shape =
        shape.split([',', 'x']).map(|extent| extent.trim().parse::<usize>()).collect::<Result<_, _>>();
    let shape = shape.map_err(|_| "expected whole numbers with commas, as in data=1,3,227,227")?;
    Ok((name.to_owned(), shape))
}

/// The blobs that come from outside: tops of inputs and of layers that would read data.
fn names(net: &Net) -> Vec<String> {
    net.layers.iter().filter(|layer| layer.is_given()).flat_map(|layer| layer.tops.iter().cloned()).collect()
}

fn known(name: &str, names: &[String]) -> Result<(), Failure> {
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(Error::NoInput { name: name.to_owned(), known: names.to_vec() }.into())
}

/// The arrays that an argument names, each with its input and its file.
fn arrays(argument: &str, names: &[String]) -> Result<Vec<(String, Tensor, PathBuf)>, Failure> {
    let (name, path) = match argument.split_once('=') {
        Some((name, path)) => (Some(name), Path::new(path)),
        None => (None, Path::new(argument)),
    };
    if let Some(name) = name {
        known(name, names)?;
    }
    let storage = Storage::open(path)?;
    if FileKind::of(&storage) == FileKind::Zip {
        let failed = |error| Failure::within(path, error);
        let set = Opened::read(&storage).map_err(failed)?.as_written();
        if let Some(name) = name {
            return Ok(vec![(name.to_owned(), set.get(name).map_err(failed)?.clone(), path.to_path_buf())]);
        }
        let found = names.iter().filter_map(|name| {
            set.find(name).map(|tensor| (name.clone(), tensor.clone(), path.to_path_buf()))
        });
        let found = found.collect::<Vec<_>>();
        if found.is_empty() {
            let inputs = crate::notes::list(names);
            return Err(Failure::Message(format!(
                "{}: none of its arrays is named as an input of the net: {inputs}",
                path.display()
            )));
        }
        return Ok(found);
    }
    let tensor = open_npy(path)?;
    match (name, names) {
        (Some(name), _) => Ok(vec![(name.to_owned(), tensor, path.to_path_buf())]),
        (None, [only]) => Ok(vec![(only.clone(), tensor, path.to_path_buf())]),
        (None, _) => Err(Failure::Message(format!(
            "the net has {} inputs: say which one {argument} is for, as in --input {}={argument}",
            names.len(),
            names.first().map_or("NAME", String::as_str)
        ))),
    }
}

/// Whether an array fits an input: another batch does.
fn check(name: &str, expected: Option<&[usize]>, found: &[usize], path: &Path) -> Result<(), Failure> {
    let Some(expected) = expected else { return Ok(()) };
    if expected.len() == found.len() && expected.iter().skip(1).eq(found.iter().skip(1)) {
        return Ok(());
    }
    let asked = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    Err(Failure::Message(format!(
        "{}: input `{name}` has shape {}, the array has {}: only the first extent may be another (to run the net at that \
         size: --input-shape {name}={asked})",
        path.display(),
        Shape(expected),
        Shape(found)
    )))
}

/// The shape that the definition gives an input.
fn declared(net: &Net, name: &str) -> Option<Vec<usize>> {
    let layer =
        net.layers.iter().find(|layer| layer.kind.is_source() && layer.tops.iter().any(|top| top == name))?;
    let top = layer.tops.iter().position(|top| top == name)?;
    match &layer.kind {
        K::Input(p) => {
            let shape = if p.shapes.len() == 1 { p.shapes.first() } else { p.shapes.get(top) };
            shape.map(|shape| shape.iter().map(|&extent| extent as usize).collect())
        }
        K::MemoryData(p) if top == 0 => Some(p.shape.to_vec()),
        _ => None,
    }
}

/// Whether a layer takes the input for numbers of classes or rows, or for marks.
fn is_index(net: &Net, name: &str) -> bool {
    net.layers.iter().any(|layer| {
        layer.bottoms.iter().enumerate().any(|(place, bottom)| {
            bottom == name
                && match layer.kind {
                    K::Embed(_) => true,
                    K::Accuracy(_)
                    | K::SoftmaxWithLoss(_)
                    | K::InfogainLoss(_)
                    | K::MultinomialLogisticLoss
                    | K::HingeLoss { .. }
                    | K::SigmoidCrossEntropyLoss(_)
                    | K::BatchReindex
                    | K::Lstm(_)
                    | K::Rnn(_) => place == 1,
                    K::ContrastiveLoss(_) => place == 2,
                    _ => false,
                }
        })
    })
}
