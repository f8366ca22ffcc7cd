//! Pooling with Caffe's windows, which the image's edge cuts by a rule that is not ONNX's.
//!
//! Caffe has as many windows as its rounding gives. Here that is said by pads: `pad` before the image, and behind it as
//! much as the last window reaches out. Windows that begin behind the image hold nothing; they are added afterwards.

use caffe_proto::net::params::{PoolMethod, PoolingParams, Rounding, SppParams};

use super::super::attribute::{flag, int, ints};
use super::super::extent::Extent;
use super::super::proto::AttributeProto;
use super::super::proto::tensor_proto::DataType;
use super::super::step::{Fault, Made, Step, fixed, refused};

/// The windows whose divisors are written one by one, at most.
const MOST_WINDOWS: usize = 1 << 24;

pub(super) fn pooling(step: &mut Step<'_>, p: &PoolingParams) -> Made {
    check(p.method)?;
    let bottom = step.bottom();
    let [.., height, width] = step.extents() else { return Err(refused("")) };
    let image = [fixed(*height)?, fixed(*width)?];
    let masked = step.layer.tops.len() > 1;
    if p.kernel.is_none() && !masked {
        let kind = if p.method == PoolMethod::Max { "GlobalMaxPool" } else { "GlobalAveragePool" };
        return Ok(vec![step.node(kind, &[&bottom], Vec::new())]);
    }
    let windows = Windows::new(p, image, outputs(&step.around.tops[0])?);
    if p.method == PoolMethod::Max {
        return Ok(max(step, &bottom, &windows, masked));
    }
    Ok(vec![average(step, &bottom, &windows)?])
}

/// Level by level 1×1, 2×2, 4×4… bins, side by side.
pub(super) fn spp(step: &mut Step<'_>, p: &SppParams) -> Made {
    check(p.method)?;
    let bottom = step.bottom();
    let [.., height, width] = step.extents() else { return Err(refused("")) };
    let image = [fixed(*height)?, fixed(*width)?];
    let mut levels = Vec::new();
    for level in 0..p.pyramid_height {
        let bins = 1_usize << level;
        let kernel = image.map(|extent| extent.div_ceil(bins));
        let pad = [0, 1].map(|axis| (kernel[axis] * bins - image[axis]).div_ceil(2));
        let params = PoolingParams {
            method: p.method,
            kernel: Some(kernel),
            stride: kernel,
            pad,
            rounding: Rounding::Ceil,
        };
        let count = [0, 1].map(|axis| {
            let windows = (image[axis] + 2 * pad[axis] - kernel[axis]).div_ceil(kernel[axis]) + 1;
            let behind = pad != [0, 0] && (windows - 1) * kernel[axis] >= image[axis] + pad[axis];
            windows - usize::from(behind)
        });
        let windows = Windows::new(&params, image, count);
        let value = match p.method {
            PoolMethod::Max => max(step, &bottom, &windows, false).swap_remove(0),
            _ => average(step, &bottom, &windows)?,
        };
        if p.pyramid_height == 1 {
            return Ok(vec![value]);
        }
        levels.push(step.node("Flatten", &[&value], vec![int("axis", 1)]));
    }
    let levels = levels.iter().map(String::as_str).collect::<Vec<_>>();
    Ok(vec![step.node("Concat", &levels, vec![int("axis", 1)])])
}

fn check(method: PoolMethod) -> Result<(), Fault> {
    if method == PoolMethod::Stochastic { Err(refused("`pool: STOCHASTIC`")) } else { Ok(()) }
}

fn outputs(top: &[Extent]) -> Result<[usize; 2], Fault> {
    let [.., height, width] = top else { return Err(refused("")) };
    Ok([fixed(*height)?, fixed(*width)?])
}

/// The windows of a pooling, by axis.
struct Windows {
    image: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Before the image.
    pad: [usize; 2],
    /// Behind it.
    end: [usize; 2],
    /// How many hold a value, and how many more do not.
    count: [usize; 2],
    empty: [usize; 2],
}

impl Windows {
    fn new(p: &PoolingParams, image: [usize; 2], count: [usize; 2]) -> Self {
        let kernel = p.kernel.unwrap_or(image);
        let (stride, pad) = if p.kernel.is_some() { (p.stride, p.pad) } else { ([1, 1], [0, 0]) };
        let mut windows = Self { image, kernel, stride, pad, end: [0; 2], count, empty: [0; 2] };
        for axis in [0, 1] {
            let reach = image[axis] + pad[axis];
            let full = reach.div_ceil(stride[axis]).min(count[axis]);
            windows.empty[axis] = count[axis] - full;
            windows.count[axis] = full;
            let last = full.saturating_sub(1) * stride[axis] + kernel[axis];
            windows.end[axis] = last.saturating_sub(reach);
        }
        windows
    }

    fn attributes(&self) -> Vec<AttributeProto> {
        vec![
            ints("kernel_shape", self.kernel),
            ints("pads", [self.pad, self.end].concat()),
            ints("strides", self.stride),
        ]
    }

    /// By what an average over whole windows is multiplied, by axis: their sizes over those that Caffe divides by, which
    /// count what is padded but not what lies behind the pad.
    fn correction(&self, axis: usize) -> Vec<f64> {
        let reach = self.image[axis] + 2 * self.pad[axis];
        let size = |window: usize| self.kernel[axis].min(reach - window * self.stride[axis]);
        (0..self.count[axis]).map(|window| self.kernel[axis] as f64 / size(window) as f64).collect()
    }
}

fn max(step: &mut Step<'_>, bottom: &str, windows: &Windows, masked: bool) -> Vec<String> {
    let values = step.nodes("MaxPool", &[bottom], windows.attributes(), if masked { 2 } else { 1 });
    let mut tops = vec![empty(step, values[0].clone(), windows, [f32::MIN; 2])];
    if masked {
        // ONNX counts from the tensor's start, Caffe from the channel's.
        let area = step.ints(&[(windows.image[0] * windows.image[1]) as i64]);
        let places = step.node("Mod", &[&values[1], &area], Vec::new());
        let places = step.cast(&places, DataType::Float);
        tops.push(empty(step, places, windows, [-1.0; 2]));
    }
    tops
}

fn average(step: &mut Step<'_>, bottom: &str, windows: &Windows) -> Result<String, Fault> {
    if windows.count[0].saturating_mul(windows.count[1]) > MOST_WINDOWS {
        return Err(refused("it has too many windows"));
    }
    let mut attributes = windows.attributes();
    // Without pads, only what is in the image counts: ONNX's other rule.
    let padded = windows.pad != [0, 0];
    attributes.push(flag("count_include_pad", padded));
    let mut value = step.node("AveragePool", &[bottom], attributes);
    let [rows, columns] = [0, 1].map(|axis| windows.correction(axis));
    if padded && rows.iter().chain(&columns).any(|&factor| factor != 1.0) {
        let factors = rows.iter().flat_map(|row| columns.iter().map(move |column| (row * column) as f32));
        let factors = factors.collect::<Vec<_>>();
        let factors = step.floats(vec![1, 1, rows.len(), columns.len()], &factors);
        value = step.node("Mul", &[&value, &factors], Vec::new());
    }
    // Caffe divides nothing by what lies between the window's start and the image's end: nothing, or less.
    let fill = [0, 1].map(|axis| {
        let start = windows.count[axis] * windows.stride[axis];
        if start == windows.image[axis] { f32::NAN } else { 0.0 }
    });
    Ok(empty(step, value, windows, fill))
}

/// Adds what Caffe has in windows that hold nothing.
///
/// `fill` is one value an axis. Where both axes have run out, NaN is stronger.
fn empty(step: &mut Step<'_>, mut value: String, windows: &Windows, fill: [f32; 2]) -> String {
    let axes = if fill[0].is_nan() { [1, 0] } else { [0, 1] };
    for axis in axes.into_iter().filter(|&axis| windows.empty[axis] > 0) {
        let mut pads = [0; 8];
        pads[6 + axis] = windows.empty[axis] as i64;
        let (pads, fill) = (step.ints(&pads), step.scalar(fill[axis]));
        value = step.node("Pad", &[&value, &pads, &fill], Vec::new());
    }
    value
}
