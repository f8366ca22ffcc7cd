//! Functions of one number, applied to each element.

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::AxisGeometry;

/// Activations and their gradients.
pub trait ActivationOps {
    /// `y = activation(x)` for the first `len` elements.
    fn activation_forward(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `dx = activation′ · dy` for the first `len` elements, `source` being what
    /// [`Activation::gradient_from`] names: x or y. Caffe's derivatives, at kinks too.
    fn activation_backward(
        &self,
        activation: Activation,
        len: usize,
        source: Option<&Buffer>,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `y = max(x, 0) + slope · min(x, 0)`, with a slope for each entry of the axis of outer×axis×inner.
    fn prelu_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        slope: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`prelu_forward`](ActivationOps::prelu_forward): `dx = dy · (x > 0 ? 1 : slope)`.
    fn prelu_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        slope: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `dslope[c] += Σ dy · min(x, 0)` over the elements of entry c of the axis.
    fn prelu_backward_slope(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dslope: &mut Buffer,
    ) -> Result<()>;
}
