//! Convolution, its transpose and its unfolding, over any number of spatial axes.

use super::dims::{self, text};
use super::{Found, tops, with_params};
use crate::net::params::ConvolutionParams;

/// N…×C×spatial → N…×O×⌊(i + 2p − (d(k−1)+1)) / s⌋ + 1; weights O×C/group×kernel, bias O. `depthwise`: the groups are
/// the channels.
pub(super) fn forward(p: &ConvolutionParams, bottoms: &[Vec<usize>], depthwise: bool) -> Found {
    let window = Window::new(p, bottoms)?;
    let group = if depthwise { window.depthwise(p)? } else { p.group };
    window.check_group(p, group)?;
    let output = (0..window.spatial.len()).map(|axis| window.shrunk(axis)).collect::<Result<Vec<_>, _>>()?;
    let weights = [p.num_output, window.channels / group];
    window.finish(p, &output, weights, bottoms)
}

/// N…×C×spatial → N…×O×s(i−1) + d(k−1) + 1 − 2p; weights C×O/group×kernel, bias O.
pub(super) fn transposed(p: &ConvolutionParams, bottoms: &[Vec<usize>]) -> Found {
    let window = Window::new(p, bottoms)?;
    window.check_group(p, p.group)?;
    let output = (0..window.spatial.len()).map(|axis| window.grown(axis)).collect::<Result<Vec<_>, _>>()?;
    let weights = [window.channels, p.num_output / p.group];
    window.finish(p, &output, weights, bottoms)
}

/// N…×C×spatial → N…×(C·kernel)×convolved.
pub(super) fn im2col(p: &ConvolutionParams, bottoms: &[Vec<usize>]) -> Found {
    let window = Window::new(p, bottoms)?;
    let bottom = &bottoms[0];
    if window.spatial.is_empty() {
        return Err(format!("its bottom of shape {} has no axis behind axis {}", text(bottom), p.axis));
    }
    let mut shape = bottom[..window.axis].to_vec();
    shape.push(window.channels.saturating_mul(dims::count(&window.kernel)));
    for axis in 0..window.spatial.len() {
        shape.push(window.shrunk(axis)?);
    }
    tops(vec![shape])
}

/// The parameters with one value for each spatial axis.
struct Window<'a> {
    axis: usize,
    channels: usize,
    spatial: &'a [usize],
    kernel: Vec<usize>,
    stride: Vec<usize>,
    pad: Vec<usize>,
    dilation: Vec<usize>,
}

impl<'a> Window<'a> {
    fn new(p: &ConvolutionParams, bottoms: &'a [Vec<usize>]) -> Result<Self, String> {
        let bottom = &bottoms[0];
        if let Some(other) = bottoms.iter().find(|other| *other != bottom) {
            return Err(format!(
                "its bottoms have shapes {} and {}; all must have the first one's",
                text(bottom),
                text(other)
            ));
        }
        let axis = dims::axis(p.axis, bottom)?;
        let spatial = &bottom[axis + 1..];
        let axes = |field, values, default| per_axis(field, values, default, spatial.len());
        Ok(Self {
            axis,
            channels: bottom[axis],
            spatial,
            kernel: axes("kernel_size", &p.kernel, None)?,
            stride: axes("stride", &p.stride, Some(1))?,
            pad: axes("pad", &p.pad, Some(0))?,
            dilation: axes("dilation", &p.dilation, Some(1))?,
        })
    }

    fn depthwise(&self, p: &ConvolutionParams) -> Result<usize, String> {
        if p.group != 1 && p.group != self.channels {
            return Err(format!(
                "`group: {}` for {} channels; a depthwise convolution has as many groups as channels: remove it",
                p.group, self.channels
            ));
        }
        Ok(self.channels)
    }

    fn check_group(&self, p: &ConvolutionParams, group: usize) -> Result<(), String> {
        if group == 0 || !self.channels.is_multiple_of(group) || !p.num_output.is_multiple_of(group) {
            return Err(format!(
                "`group` is {group} for {} channels of input and `num_output: {}`; it must divide both",
                self.channels, p.num_output
            ));
        }
        Ok(())
    }

    /// Caffe divides towards zero, so that a window that sticks out by less than a stride still gives one value.
    fn shrunk(&self, axis: usize) -> Result<usize, String> {
        let (input, pad) = (signed(self.spatial[axis]), signed(self.pad[axis]));
        let room = input + 2 * pad - self.extent(axis);
        dims::from_signed(room / signed(self.stride[axis]) + 1, || {
            format!(
                "its window spans {} of axis {}, where the bottom has {input} and {pad} of padding on each side",
                self.extent(axis),
                self.axis + 1 + axis
            )
        })
    }

    fn grown(&self, axis: usize) -> Result<usize, String> {
        let (input, pad) = (signed(self.spatial[axis]), signed(self.pad[axis]));
        let whole = signed(self.stride[axis]).saturating_mul(input - 1).saturating_add(self.extent(axis));
        dims::from_signed(whole - 2 * pad, || {
            format!(
                "the {whole} values along axis {} are fewer than the {pad} of padding cut from each side",
                self.axis + 1 + axis
            )
        })
    }

    /// What a dilated kernel spans. The factors are below 2³¹, so the product fits.
    fn extent(&self, axis: usize) -> i64 {
        signed(self.dilation[axis]) * (signed(self.kernel[axis]) - 1) + 1
    }

    fn finish(
        &self,
        p: &ConvolutionParams,
        output: &[usize],
        weights: [usize; 2],
        bottoms: &[Vec<usize>],
    ) -> Found {
        if p.bias_term && output.contains(&0) {
            return Err(format!(
                "its top would have {} values a channel, and a bias to add to them",
                text(output)
            ));
        }
        let mut top = bottoms[0][..self.axis].to_vec();
        top.push(p.num_output);
        top.extend(output);
        let mut params = vec![[&weights[..], &self.kernel].concat()];
        if p.bias_term {
            params.push(vec![p.num_output]);
        }
        with_params(vec![top; bottoms.len()], params)
    }
}

/// One value for all axes becomes one an axis.
fn per_axis(
    field: &str,
    values: &[usize],
    default: Option<usize>,
    axes: usize,
) -> Result<Vec<usize>, String> {
    match (values, default) {
        ([], Some(default)) => Ok(vec![default; axes]),
        ([one], _) => Ok(vec![*one; axes]),
        (values, _) if values.len() == axes => Ok(values.to_vec()),
        (values, _) => Err(format!(
            "`{field}` has {} values for {axes} spatial axes: give one, or one an axis (its _h and _w forms are for two)",
            values.len()
        )),
    }
}

fn signed(value: usize) -> i64 {
    value as i64
}
