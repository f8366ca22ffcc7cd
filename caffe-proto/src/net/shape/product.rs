//! Matrix products.

use super::{Found, dims, with_params};
use crate::net::params::{EmbedParams, InnerProductParams};

/// M…×K… → M…×N, K… being everything from the axis on; weights N×K, or K×N when transposed, bias N.
pub(super) fn inner_product(p: &InnerProductParams, bottom: &[usize]) -> Found {
    let axis = dims::axis(p.axis, bottom)?;
    if p.bias_term {
        dims::some_values(&bottom[..axis], bottom)?;
    }
    let inputs = dims::count(&bottom[axis..]);
    let mut top = bottom[..axis].to_vec();
    top.push(p.num_output);
    let weights = if p.transpose { vec![inputs, p.num_output] } else { vec![p.num_output, inputs] };
    with_params(vec![top], with_bias(weights, p.bias_term, p.num_output))
}

/// Indices of any shape → the same shape ×N; table I×N, bias N.
pub(super) fn embed(p: &EmbedParams, bottom: &[usize]) -> Found {
    if p.bias_term {
        dims::some_values(bottom, bottom)?;
    }
    let mut top = bottom.to_vec();
    top.push(p.num_output);
    with_params(vec![top], with_bias(vec![p.input_dim, p.num_output], p.bias_term, p.num_output))
}

fn with_bias(weights: Vec<usize>, bias_term: bool, outputs: usize) -> Vec<Vec<usize>> {
    let mut params = vec![weights];
    if bias_term {
        params.push(vec![outputs]);
    }
    params
}
