//! LSTM and RNN.

use super::dims::{self, text};
use super::{Found, tops, with_params};
use crate::net::params::RecurrentParams;

/// Input T×N×I…, marks T×N, [static input N×S…,] [h, c 1×N×H] → T×N×H [, h, c 1×N×H];
/// W_xc 4H×I, b_c 4H, [W_xc_static 4H×S,] W_hc 4H×H.
pub(super) fn lstm(p: &RecurrentParams, bottoms: &[Vec<usize>]) -> Found {
    let gates = p.num_output.saturating_mul(4);
    let sequence = Sequence::new(p, bottoms, 2)?;
    let mut params = sequence.input_params(gates);
    params.push(vec![gates, p.num_output]);
    with_params(sequence.tops(p, 2), params)
}

/// As [`lstm`] with h alone; W_xh H×I, b_h H, [W_xh_static H×S,] W_hh H×H, W_ho H×H, b_o H.
pub(super) fn rnn(p: &RecurrentParams, bottoms: &[Vec<usize>]) -> Found {
    let hidden = p.num_output;
    let sequence = Sequence::new(p, bottoms, 1)?;
    let mut params = sequence.input_params(hidden);
    params.extend([vec![hidden, hidden], vec![hidden, hidden], vec![hidden]]);
    with_params(sequence.tops(p, 1), params)
}

/// c 1×N×H, gates 1×N×4H, marks 1×N → c, h.
pub(super) fn lstm_unit(bottoms: &[Vec<usize>]) -> Found {
    let streams = dims::extent(&bottoms[0], 1)?;
    for (bottom, axes) in bottoms.iter().zip([3, 3, 2]) {
        if bottom.len() != axes || bottom[..2] != [1, streams] {
            return Err(format!(
                "its bottoms have shapes {}; they must be 1×N×H, 1×N×4H and 1×N",
                bottoms.iter().map(|bottom| text(bottom)).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    let (cells, gates) = (bottoms[0][2], bottoms[1][2]);
    if cells.checked_mul(4) != Some(gates) {
        return Err(format!("there are {gates} gates for {cells} cells; there must be four for each"));
    }
    tops(vec![bottoms[0].clone(); 2])
}

/// The extents that all recurrent layers go by.
struct Sequence {
    steps: usize,
    streams: usize,
    inputs: usize,
    static_inputs: Option<usize>,
}

impl Sequence {
    fn new(p: &RecurrentParams, bottoms: &[Vec<usize>], states: usize) -> Result<Self, String> {
        let (input, marks) = (&bottoms[0], &bottoms[1]);
        if input.len() < 3 {
            return Err(format!(
                "its input has shape {}; it must be T×N×…, with three axes or more",
                text(input)
            ));
        }
        dims::some_values(&input[..2], input)?;
        if marks[..] != input[..2] {
            return Err(format!(
                "its continuation marks have shape {}; for an input of shape {} they must be {}",
                text(marks),
                text(input),
                text(&input[..2])
            ));
        }
        let streams = input[1];
        let static_inputs = if p.has_static_input(bottoms.len(), states) {
            let fixed = &bottoms[2];
            if fixed.len() < 2 || fixed[0] != streams {
                return Err(format!("its static input has shape {}; it must be {streams}×…", text(fixed)));
            }
            Some(dims::count(&fixed[1..]))
        } else {
            None
        };
        let first_state = 2 + usize::from(static_inputs.is_some());
        for state in bottoms.iter().skip(first_state) {
            if state[..] != [1, streams, p.num_output] {
                return Err(format!(
                    "a state has shape {}; it must be {}",
                    text(state),
                    text(&[1, streams, p.num_output])
                ));
            }
        }
        Ok(Self { steps: input[0], streams, inputs: dims::count(&input[2..]), static_inputs })
    }

    fn input_params(&self, outputs: usize) -> Vec<Vec<usize>> {
        let mut params = vec![vec![outputs, self.inputs], vec![outputs]];
        params.extend(self.static_inputs.map(|inputs| vec![outputs, inputs]));
        params
    }

    fn tops(&self, p: &RecurrentParams, states: usize) -> Vec<Vec<usize>> {
        let mut tops = vec![vec![self.steps, self.streams, p.num_output]];
        if p.expose_hidden {
            tops.extend(vec![vec![1, self.streams, p.num_output]; states]);
        }
        tops
    }
}
