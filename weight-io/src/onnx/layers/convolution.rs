//! Convolutions of any number of axes, in parts, dilated, and their transposes.

use caffe_proto::net::params::ConvolutionParams;

use super::super::attribute::{int, ints};
use super::super::extent::{Extent, product};
use super::super::proto::AttributeProto;
use super::super::step::{Fault, Made, Step, fixed, refused};

/// Values of the kernel that takes windows apart.
const MOST_ONES: usize = 1 << 24;

pub(super) fn forward(step: &mut Step<'_>, p: &ConvolutionParams, group: usize) -> Made {
    apply(step, p, "Conv", group)
}

/// As many groups as channels.
pub(super) fn depthwise(step: &mut Step<'_>, p: &ConvolutionParams) -> Made {
    let channels = fixed(step.extents()[step.axis(p.axis)])?;
    apply(step, p, "Conv", channels)
}

pub(super) fn transposed(step: &mut Step<'_>, p: &ConvolutionParams) -> Made {
    apply(step, p, "ConvTranspose", p.group)
}

/// A convolution that takes each value of the window by itself: kernels of one 1.
pub(super) fn im2col(step: &mut Step<'_>, p: &ConvolutionParams) -> Made {
    let axis = step.axis(p.axis);
    let spatial = step.axes() - axis - 1;
    let channels = fixed(step.extents()[axis])?;
    let kernel = spread(&p.kernel, spatial, 1);
    let window = kernel.iter().fold(1_usize, |window, &extent| window.saturating_mul(extent));
    let count = channels.checked_mul(window).and_then(|rows| rows.checked_mul(window));
    let Some(count) = count.filter(|&count| count <= MOST_ONES) else {
        return Err(refused("its kernel is too large for one of single values"));
    };
    let mut ones = vec![0.0; count];
    (0..channels * window).for_each(|row| ones[row * window + row % window] = 1.0);
    let weight = step.floats([vec![channels * window, 1], kernel.clone()].concat(), &ones);
    let geometry = Geometry::new(step, axis, kernel)?;
    let (bottom, around) = (step.bottom(), step.around);
    let value = step.reshape(&bottom, &around.bottoms[0], &geometry.image(&around.bottoms[0]))?;
    let reach = reach(&around.bottoms[0][axis + 1..], &around.tops[0][axis + 1..]);
    let value = step.node("Conv", &[&value, &weight], geometry.attributes(p, channels, &reach));
    Ok(vec![step.reshape(&value, &geometry.image(&around.tops[0]), &around.tops[0])?])
}

/// Every bottom with the same weights.
fn apply(step: &mut Step<'_>, p: &ConvolutionParams, kind: &str, group: usize) -> Made {
    let axis = step.axis(p.axis);
    let mut shape = step.params[0].shape.clone();
    let geometry = Geometry::new(step, axis, shape.get(2..).unwrap_or_default().to_vec())?;
    shape.resize(shape.len().max(3), 1);
    let weight = step.param_as(0, &shape);
    let bias = p.bias_term.then(|| step.param_as(1, &[p.num_output]));
    let around = step.around;
    let mut tops = Vec::new();
    for (index, bottom) in step.bottoms.clone().iter().enumerate() {
        let (from, to) = (&around.bottoms[index], &around.tops[index]);
        let value = step.reshape(bottom, from, &geometry.image(from))?;
        let mut inputs = vec![value.as_str(), &weight];
        inputs.extend(bias.as_deref());
        let reach = if kind == "Conv" { reach(&from[axis + 1..], &to[axis + 1..]) } else { Vec::new() };
        let value = step.node(kind, &inputs, geometry.attributes(p, group, &reach));
        tops.push(step.reshape(&value, &geometry.image(to), to)?);
    }
    Ok(tops)
}

/// How a blob is an image with one axis of samples, one of channels, and at least one of space.
struct Geometry {
    axis: usize,
    samples: Extent,
    kernel: Vec<usize>,
}

impl Geometry {
    fn new(step: &Step<'_>, axis: usize, mut kernel: Vec<usize>) -> Result<Self, Fault> {
        let samples = product(&step.extents()[..axis])
            .ok_or_else(|| refused("its shape follows the batch in more than one way"))?;
        if kernel.is_empty() {
            kernel.push(1);
        }
        Ok(Self { axis, samples, kernel })
    }

    fn image(&self, extents: &[Extent]) -> Vec<Extent> {
        let mut image = vec![self.samples];
        image.extend(&extents[self.axis..]);
        image.resize(image.len().max(3), Extent::Fixed(1));
        image
    }

    /// `reach` are inputs and outputs by axis: what Caffe calls one output of a kernel that is larger than the padded
    /// image needs more pads.
    fn attributes(&self, p: &ConvolutionParams, group: usize, reach: &[[usize; 2]]) -> Vec<AttributeProto> {
        let axes = self.kernel.len();
        let pads = spread(&p.pad, axes, 0);
        let (strides, dilations) = (spread(&p.stride, axes, 1), spread(&p.dilation, axes, 1));
        let mut ends = pads.clone();
        for (axis, &[input, output]) in reach.iter().enumerate() {
            let end =
                output.saturating_sub(1) * strides[axis] + dilations[axis] * (self.kernel[axis] - 1) + 1;
            ends[axis] = ends[axis].max(end.saturating_sub(input + pads[axis]));
        }
        vec![
            ints("dilations", dilations),
            int("group", group as i64),
            ints("kernel_shape", self.kernel.iter().copied()),
            ints("pads", [pads, ends].concat()),
            ints("strides", strides),
        ]
    }
}

/// Inputs and outputs by axis of space, where they are numbers.
fn reach(from: &[Extent], to: &[Extent]) -> Vec<[usize; 2]> {
    let pair = |(&from, &to)| match (from, to) {
        (Extent::Fixed(from), Extent::Fixed(to)) => Some([from, to]),
        _ => None,
    };
    from.iter().zip(to).map(pair).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// One value an axis of what is written: none, one for all, or one an axis.
fn spread(written: &[usize], axes: usize, default: usize) -> Vec<usize> {
    match written {
        [] => vec![default; axes],
        [one] => vec![*one; axes],
        several => several.to_vec(),
    }
}
