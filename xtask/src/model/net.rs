//! Nets of layers one after the other, with branches, in Caffe's two formats.
//!
//! The wire format is written here by hand, for the tasks may not lean on the crates that they measure.

use std::io::Write;

use anyhow::Result;

/// The layers so far, and the blob that the next one reads.
pub(super) struct Net {
    name: &'static str,
    layers: Vec<Layer>,
    /// Top of the last layer that does not work in place.
    top: String,
}

/// A convolution with square kernels and a bias.
#[derive(Clone, Copy)]
pub(super) struct Convolution {
    pub(super) inputs: u64,
    pub(super) outputs: u64,
    pub(super) kernel: u64,
    pub(super) stride: u64,
    pub(super) pad: u64,
    pub(super) group: u64,
    /// Weights lie between this and its negative.
    pub(super) spread: f32,
}

impl Convolution {
    pub(super) fn new(inputs: u64, outputs: u64, kernel: u64) -> Self {
        Self { inputs, outputs, kernel, stride: 1, pad: 0, group: 1, spread: 0.05 }
    }
}

/// A layer in both of its forms.
struct Layer {
    /// What stands between the braces.
    lines: Vec<String>,
    /// `name`, `type`, `bottom` and `top`, encoded: they stand before the blobs.
    head: Vec<u8>,
    blobs: Vec<Blob>,
    /// The parameter message, encoded: it stands after the blobs.
    tail: Vec<u8>,
}

/// An array of random values, evenly spread around `middle`.
struct Blob {
    shape: Vec<u64>,
    middle: f32,
    spread: f32,
}

impl Blob {
    fn new(shape: &[u64], middle: f32, spread: f32) -> Self {
        Self { shape: shape.to_vec(), middle, spread }
    }
}

/// A layer's parameter message: its field number in LayerParameter, and its two forms.
struct Parameter {
    field: u32,
    message: Vec<u8>,
    text: String,
}

// Field numbers of LayerParameter.
const CONVOLUTION: u32 = 106;
const DROPOUT: u32 = 108;
const INNER_PRODUCT: u32 = 117;
const LRN: u32 = 118;
const POOLING: u32 = 121;
const BATCH_NORM: u32 = 139;
const SCALE: u32 = 142;
const INPUT: u32 = 143;

impl Net {
    pub(super) fn new(name: &'static str, shape: &[u64]) -> Self {
        let mut net = Self { name, layers: Vec::new(), top: String::new() };
        net.input("data", shape);
        net
    }

    /// The blob that the next layer reads.
    pub(super) fn top(&self) -> &str {
        &self.top
    }

    /// A blob that whoever runs the net gives.
    pub(super) fn input(&mut self, name: &str, shape: &[u64]) -> &mut Self {
        let mut shape_message = Vec::new();
        for &dimension in shape {
            put_number(&mut shape_message, 1, dimension);
        }
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &shape_message);
        let dimensions = shape.iter().map(|dimension| format!("dim: {dimension}")).collect::<Vec<_>>();
        let text = format!("input_param {{ shape {{ {} }} }}", dimensions.join(" "));
        self.push_from(&[], name, "Input", Some(Parameter { field: INPUT, message, text }), Vec::new(), false)
    }

    /// Starts a branch: the next layer reads this blob.
    pub(super) fn continue_from(&mut self, top: &str) -> &mut Self {
        top.clone_into(&mut self.top);
        self
    }

    pub(super) fn convolution(&mut self, name: &str, convolution: Convolution) -> &mut Self {
        let Convolution { inputs, outputs, kernel, stride, pad, group, spread } = convolution;
        let fields = [
            ("num_output", 1, outputs, 0),
            ("pad", 3, pad, 0),
            ("kernel_size", 4, kernel, 0),
            ("group", 5, group, 1),
            ("stride", 6, stride, 1),
        ];
        let mut message = Vec::new();
        let mut words = Vec::new();
        for (name, field, value, _) in fields.into_iter().filter(|(_, _, value, default)| value != default) {
            put_number(&mut message, field, value);
            words.push(format!("{name}: {value}"));
        }
        let text = format!("convolution_param {{ {} }}", words.join(" "));
        let parameter = Parameter { field: CONVOLUTION, message, text };
        let weight = Blob::new(&[outputs, inputs / group, kernel, kernel], 0.0, spread);
        let blobs = vec![weight, Blob::new(&[outputs], 0.0, 0.05)];
        self.push(name, "Convolution", Some(parameter), blobs, false)
    }

    /// Weights lie between `spread` and its negative.
    pub(super) fn inner_product(&mut self, name: &str, outputs: u64, inputs: u64, spread: f32) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, outputs);
        let text = format!("inner_product_param {{ num_output: {outputs} }}");
        let parameter = Parameter { field: INNER_PRODUCT, message, text };
        let blobs = vec![Blob::new(&[outputs, inputs], 0.0, spread), Blob::new(&[outputs], 0.0, 0.05)];
        self.push(name, "InnerProduct", Some(parameter), blobs, false)
    }

    pub(super) fn relu(&mut self, name: &str) -> &mut Self {
        self.push(name, "ReLU", None, Vec::new(), true)
    }

    pub(super) fn softmax(&mut self, name: &str) -> &mut Self {
        self.push(name, "Softmax", None, Vec::new(), false)
    }

    /// The loss of the current blob's scores, by the classes in `labels`.
    pub(super) fn softmax_loss(&mut self, name: &str, labels: &str) -> &mut Self {
        let bottoms = [self.top.clone(), labels.to_owned()];
        self.push_from(&bottoms, name, "SoftmaxWithLoss", None, Vec::new(), false)
    }

    pub(super) fn norm(&mut self, name: &str) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, 5);
        put_float(&mut message, 2, 1e-4);
        put_float(&mut message, 3, 0.75);
        let text = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }".to_owned();
        self.push(name, "LRN", Some(Parameter { field: LRN, message, text }), Vec::new(), false)
    }

    /// By the statistics in the file.
    pub(super) fn batch_norm(&mut self, name: &str, channels: u64) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, 1);
        let text = "batch_norm_param { use_global_stats: true }".to_owned();
        let blobs = vec![
            Blob::new(&[channels], 0.0, 0.1),
            Blob::new(&[channels], 1.0, 0.5),
            Blob::new(&[1], 1.0, 0.0),
        ];
        self.push(name, "BatchNorm", Some(Parameter { field: BATCH_NORM, message, text }), blobs, true)
    }

    /// With a bias.
    pub(super) fn scale(&mut self, name: &str, channels: u64, middle: f32) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 4, 1);
        let text = "scale_param { bias_term: true }".to_owned();
        let blobs = vec![Blob::new(&[channels], middle, 0.1 * middle), Blob::new(&[channels], 0.0, 0.1)];
        self.push(name, "Scale", Some(Parameter { field: SCALE, message, text }), blobs, true)
    }

    /// Adds `other` to the current blob.
    pub(super) fn sum(&mut self, name: &str, other: &str) -> &mut Self {
        let bottoms = [other.to_owned(), self.top.clone()];
        self.push_from(&bottoms, name, "Eltwise", None, Vec::new(), false)
    }

    /// With stride 2.
    pub(super) fn max_pool(&mut self, name: &str, kernel: u64) -> &mut Self {
        self.pool(name, "MAX", kernel, 2)
    }

    /// With stride 1.
    pub(super) fn average_pool(&mut self, name: &str, kernel: u64) -> &mut Self {
        self.pool(name, "AVE", kernel, 1)
    }

    pub(super) fn dropout(&mut self, name: &str, ratio: f32) -> &mut Self {
        let mut message = Vec::new();
        put_float(&mut message, 1, ratio);
        let text = format!("dropout_param {{ dropout_ratio: {ratio} }}");
        self.push(name, "Dropout", Some(Parameter { field: DROPOUT, message, text }), Vec::new(), true)
    }

    /// Gives the layers of these names a learning rate of 0, in the text.
    pub(super) fn freeze(&mut self, names: &[&str]) -> &mut Self {
        let names = names.iter().map(|name| format!("name: \"{name}\"")).collect::<Vec<_>>();
        for layer in self.layers.iter_mut().filter(|layer| names.contains(&layer.lines[0])) {
            let blobs = layer.blobs.iter().map(|_| "param { lr_mult: 0 }".to_owned());
            layer.lines.extend(blobs);
        }
        self
    }

    pub(super) fn text(&self) -> String {
        let layers =
            self.layers.iter().map(|layer| format!("layer {{\n  {}\n}}\n", layer.lines.join("\n  ")));
        format!("name: \"{}\"\n{}", self.name, layers.collect::<String>())
    }

    /// Writes the NetParameter; the weights come from one generator with a fixed seed.
    pub(super) fn write(&self, writer: &mut impl Write) -> Result<()> {
        let mut weights = XorShift(0x9e37_79b9_7f4a_7c15);
        let mut head = Vec::new();
        put_bytes(&mut head, 1, self.name.as_bytes());
        writer.write_all(&head)?;
        for layer in &self.layers {
            let heads = layer.blobs.iter().map(|blob| BlobHead::new(&blob.shape)).collect::<Vec<_>>();
            let payload = heads.iter().map(BlobHead::encoded_len).sum::<usize>();
            let mut head = Vec::new();
            put_key(&mut head, 100, 2);
            put_varint(&mut head, (layer.head.len() + payload + layer.tail.len()) as u64);
            writer.write_all(&head)?;
            writer.write_all(&layer.head)?;
            for (blob, head) in layer.blobs.iter().zip(&heads) {
                writer.write_all(&head.bytes)?;
                for _ in 0..head.count {
                    let value = blob.middle + 2.0 * blob.spread * weights.next();
                    writer.write_all(&value.to_le_bytes())?;
                }
            }
            writer.write_all(&layer.tail)?;
        }
        Ok(())
    }

    fn pool(&mut self, name: &str, method: &str, kernel: u64, stride: u64) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, u64::from(method == "AVE"));
        put_number(&mut message, 2, kernel);
        put_number(&mut message, 3, stride);
        let text = format!("pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} }}");
        self.push(name, "Pooling", Some(Parameter { field: POOLING, message, text }), Vec::new(), false)
    }

    fn push(
        &mut self,
        name: &str,
        kind: &str,
        parameter: Option<Parameter>,
        blobs: Vec<Blob>,
        in_place: bool,
    ) -> &mut Self {
        let bottoms = [self.top.clone()];
        self.push_from(&bottoms, name, kind, parameter, blobs, in_place)
    }

    fn push_from(
        &mut self,
        bottoms: &[String],
        name: &str,
        kind: &str,
        parameter: Option<Parameter>,
        blobs: Vec<Blob>,
        in_place: bool,
    ) -> &mut Self {
        if !in_place {
            name.clone_into(&mut self.top);
        }
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        put_bytes(&mut head, 1, name.as_bytes());
        put_bytes(&mut head, 2, kind.as_bytes());
        let mut lines = vec![format!("name: \"{name}\""), format!("type: \"{kind}\"")];
        for bottom in bottoms {
            put_bytes(&mut head, 3, bottom.as_bytes());
            lines.push(format!("bottom: \"{bottom}\""));
        }
        put_bytes(&mut head, 4, self.top.as_bytes());
        lines.push(format!("top: \"{}\"", self.top));
        if let Some(parameter) = parameter {
            put_bytes(&mut tail, parameter.field, &parameter.message);
            lines.push(parameter.text);
        }
        self.layers.push(Layer { lines, head, blobs, tail });
        self
    }
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

/// Marsaglia's generator; its values are spread evenly over ±0.5.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5
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
