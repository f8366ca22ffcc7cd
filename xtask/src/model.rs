//! AlexNet and VGG16 with random weights, as a caffemodel of today's form and as a prototxt.
//!
//! The wire format is written here by hand, for the tasks may not lean on the crates that they measure.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// One of the large models that the measurements run on.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Model {
    /// 61 million parameters, 244 MB
    Alexnet,
    /// 138 million parameters, 553 MB
    Vgg16,
}

/// The files of a model in the cache folder.
pub(crate) struct Files {
    pub(crate) weights: PathBuf,
    pub(crate) definition: PathBuf,
}

impl Model {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alexnet => "AlexNet",
            Self::Vgg16 => "VGG16",
        }
    }

    /// Makes the model's files, unless they are there.
    pub(crate) fn make(self, folder: &Path) -> Result<Files> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let stem = self.name().to_lowercase();
        let files = Files {
            weights: folder.join(format!("{stem}.caffemodel")),
            definition: folder.join(format!("{stem}.prototxt")),
        };
        if !files.weights.exists() {
            eprintln!("Making {} …", files.weights.display());
            let net = self.net();
            fs::write(&files.definition, net.text())?;
            let partial = files.weights.with_extension("partial");
            let mut writer = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
            net.write(&mut writer).with_context(|| format!("cannot write {}", partial.display()))?;
            writer.into_inner()?.sync_all()?;
            fs::rename(&partial, &files.weights)?;
        }
        Ok(files)
    }

    fn net(self) -> Net {
        match self {
            Self::Alexnet => alexnet(),
            Self::Vgg16 => vgg16(),
        }
    }
}

fn alexnet() -> Net {
    let mut net = Net::new("AlexNet", [1, 3, 227, 227]);
    net.convolution(
        "conv1",
        "num_output: 96 kernel_size: 11 stride: 4",
        &[(1, 96), (4, 11), (6, 4)],
        [96, 3, 11, 11],
    );
    net.relu("relu1").norm("norm1").pool("pool1", 3);
    let conv2 = [(1, 256), (3, 2), (4, 5), (5, 2)];
    net.convolution("conv2", "num_output: 256 pad: 2 kernel_size: 5 group: 2", &conv2, [256, 48, 5, 5]);
    net.relu("relu2").norm("norm2").pool("pool2", 3);
    let conv3 = [(1, 384), (3, 1), (4, 3)];
    net.convolution("conv3", "num_output: 384 pad: 1 kernel_size: 3", &conv3, [384, 256, 3, 3]);
    net.relu("relu3");
    let conv4 = [(1, 384), (3, 1), (4, 3), (5, 2)];
    net.convolution("conv4", "num_output: 384 pad: 1 kernel_size: 3 group: 2", &conv4, [384, 192, 3, 3]);
    net.relu("relu4");
    let conv5 = [(1, 256), (3, 1), (4, 3), (5, 2)];
    net.convolution("conv5", "num_output: 256 pad: 1 kernel_size: 3 group: 2", &conv5, [256, 192, 3, 3]);
    net.relu("relu5").pool("pool5", 3);
    net.classifier(256 * 6 * 6);
    net
}

fn vgg16() -> Net {
    let mut net = Net::new("VGG16", [1, 3, 224, 224]);
    let mut channels = 3;
    for (stage, (depth, width)) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate() {
        let stage = stage + 1;
        for index in 1..=depth {
            let text = format!("num_output: {width} pad: 1 kernel_size: 3");
            let fields = [(1, width), (3, 1), (4, 3)];
            net.convolution(&format!("conv{stage}_{index}"), &text, &fields, [width, channels, 3, 3]);
            net.relu(&format!("relu{stage}_{index}"));
            channels = width;
        }
        net.pool(&format!("pool{stage}"), 2);
    }
    net.classifier(512 * 7 * 7);
    net
}

/// A chain of layers.
struct Net {
    name: &'static str,
    layers: Vec<Layer>,
    /// Top of the last layer that does not work in place.
    top: String,
}

/// A layer in both of its forms.
struct Layer {
    text: String,
    /// `name`, `type`, `bottom` and `top`, encoded: they stand before the blobs.
    head: Vec<u8>,
    blobs: Vec<Vec<u64>>,
    /// The parameter message, encoded: it stands after the blobs.
    tail: Vec<u8>,
}

// Field numbers of LayerParameter.
const CONVOLUTION: u32 = 106;
const DROPOUT: u32 = 108;
const INNER_PRODUCT: u32 = 117;
const LRN: u32 = 118;
const POOLING: u32 = 121;
const INPUT: u32 = 143;

impl Net {
    fn new(name: &'static str, shape: [u64; 4]) -> Self {
        let mut net = Self { name, layers: Vec::new(), top: String::new() };
        let mut shape_message = Vec::new();
        for dimension in shape {
            put_number(&mut shape_message, 1, dimension);
        }
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &shape_message);
        let dimensions = shape.map(|dimension| format!("dim: {dimension}")).join(" ");
        let parameter =
            Parameter { field: INPUT, message, text: format!("input_param {{ shape {{ {dimensions} }} }}") };
        net.push("data", "Input", Some(parameter), Vec::new(), false);
        net
    }

    fn convolution(&mut self, name: &str, text: &str, fields: &[(u32, u64)], weight: [u64; 4]) -> &mut Self {
        let mut message = Vec::new();
        for &(field, value) in fields {
            put_number(&mut message, field, value);
        }
        let text = format!("convolution_param {{ {text} }}");
        let parameter = Parameter { field: CONVOLUTION, message, text };
        self.push(name, "Convolution", Some(parameter), vec![weight.to_vec(), vec![weight[0]]], false)
    }

    fn inner_product(&mut self, name: &str, outputs: u64, inputs: u64) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, outputs);
        let text = format!("inner_product_param {{ num_output: {outputs} }}");
        let parameter = Parameter { field: INNER_PRODUCT, message, text };
        self.push(name, "InnerProduct", Some(parameter), vec![vec![outputs, inputs], vec![outputs]], false)
    }

    fn relu(&mut self, name: &str) -> &mut Self {
        self.push(name, "ReLU", None, Vec::new(), true)
    }

    fn norm(&mut self, name: &str) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, 5);
        put_float(&mut message, 2, 1e-4);
        put_float(&mut message, 3, 0.75);
        let text = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }".to_owned();
        self.push(name, "LRN", Some(Parameter { field: LRN, message, text }), Vec::new(), false)
    }

    /// Max pooling with stride 2.
    fn pool(&mut self, name: &str, kernel: u64) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, 0);
        put_number(&mut message, 2, kernel);
        put_number(&mut message, 3, 2);
        let text = format!("pooling_param {{ pool: MAX kernel_size: {kernel} stride: 2 }}");
        self.push(name, "Pooling", Some(Parameter { field: POOLING, message, text }), Vec::new(), false)
    }

    fn dropout(&mut self, name: &str) -> &mut Self {
        let mut message = Vec::new();
        put_float(&mut message, 1, 0.5);
        let text = "dropout_param { dropout_ratio: 0.5 }".to_owned();
        self.push(name, "Dropout", Some(Parameter { field: DROPOUT, message, text }), Vec::new(), true)
    }

    /// The three fully connected layers that both nets end in.
    fn classifier(&mut self, inputs: u64) {
        self.inner_product("fc6", 4096, inputs).relu("relu6").dropout("drop6");
        self.inner_product("fc7", 4096, 4096).relu("relu7").dropout("drop7");
        self.inner_product("fc8", 1000, 4096);
        self.push("prob", "Softmax", None, Vec::new(), false);
    }

    fn push(
        &mut self,
        name: &str,
        kind: &str,
        parameter: Option<Parameter>,
        blobs: Vec<Vec<u64>>,
        in_place: bool,
    ) -> &mut Self {
        let bottom = std::mem::take(&mut self.top);
        self.top = if in_place { bottom.clone() } else { name.to_owned() };

        let (mut head, mut tail) = (Vec::new(), Vec::new());
        put_bytes(&mut head, 1, name.as_bytes());
        put_bytes(&mut head, 2, kind.as_bytes());
        let mut lines = vec![format!("name: \"{name}\""), format!("type: \"{kind}\"")];
        if !bottom.is_empty() {
            put_bytes(&mut head, 3, bottom.as_bytes());
            lines.push(format!("bottom: \"{bottom}\""));
        }
        put_bytes(&mut head, 4, self.top.as_bytes());
        lines.push(format!("top: \"{}\"", self.top));
        if let Some(parameter) = parameter {
            put_bytes(&mut tail, parameter.field, &parameter.message);
            lines.push(parameter.text);
        }
        let text = format!("layer {{\n  {}\n}}\n", lines.join("\n  "));
        self.layers.push(Layer { text, head, blobs, tail });
        self
    }

    fn text(&self) -> String {
        let layers = self.layers.iter().map(|layer| layer.text.as_str()).collect::<String>();
        format!("name: \"{}\"\n{layers}", self.name)
    }

    /// Writes the NetParameter; the weights come from one generator with a fixed seed.
    fn write(&self, writer: &mut impl Write) -> Result<()> {
        let mut weights = XorShift(0x9e37_79b9_7f4a_7c15);
        let mut head = Vec::new();
        put_bytes(&mut head, 1, self.name.as_bytes());
        writer.write_all(&head)?;
        for layer in &self.layers {
            let blobs = layer.blobs.iter().map(|shape| BlobHead::new(shape)).collect::<Vec<_>>();
            let payload = blobs.iter().map(BlobHead::encoded_len).sum::<usize>();
            let mut head = Vec::new();
            put_key(&mut head, 100, 2);
            put_varint(&mut head, (layer.head.len() + payload + layer.tail.len()) as u64);
            writer.write_all(&head)?;
            writer.write_all(&layer.head)?;
            for blob in &blobs {
                writer.write_all(&blob.bytes)?;
                for _ in 0..blob.count {
                    writer.write_all(&weights.next().to_le_bytes())?;
                }
            }
            writer.write_all(&layer.tail)?;
        }
        Ok(())
    }
}

/// A layer's parameter message: its field number in LayerParameter, and its two forms.
struct Parameter {
    field: u32,
    message: Vec<u8>,
    text: String,
}

/// Everything of a blob that stands before its floats.
struct BlobHead {
    bytes: Vec<u8>,
    count: usize,
}

impl BlobHead {
    fn new(shape: &[u64]) -> Self {
        let count = shape.iter().product::<u64>() as usize;
        let mut dimensions = Vec::new();
        for &dimension in shape {
            put_varint(&mut dimensions, dimension);
        }
        let mut shape_message = Vec::new();
        put_bytes(&mut shape_message, 1, &dimensions);
        let mut message = Vec::new();
        put_bytes(&mut message, 7, &shape_message);
        put_key(&mut message, 5, 2);
        put_varint(&mut message, 4 * count as u64);

        let mut bytes = Vec::new();
        put_key(&mut bytes, 7, 2);
        put_varint(&mut bytes, (message.len() + 4 * count) as u64);
        bytes.extend(message);
        Self { bytes, count }
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len() + 4 * self.count
    }
}

/// Marsaglia's generator; its values are spread evenly over ±0.05.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.1
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn put_key(bytes: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_varint(bytes, u64::from(field << 3 | wire_type));
}

fn put_number(bytes: &mut Vec<u8>, field: u32, value: u64) {
    put_key(bytes, field, 0);
    put_varint(bytes, value);
}

fn put_float(bytes: &mut Vec<u8>, field: u32, value: f32) {
    put_key(bytes, field, 5);
    bytes.extend(value.to_le_bytes());
}

fn put_bytes(bytes: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_key(bytes, field, 2);
    put_varint(bytes, value.len() as u64);
    bytes.extend(value);
}
