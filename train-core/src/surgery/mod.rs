//! From any definition to one that can be fine-tuned: the old data, losses and outputs taken out, heads put on.
//!
//! A deploy net, a training net, or what a `.caffemodel` holds are brought to the same form: an input for images and one for
//! labels, the layers that lead from there to the scores of classes, and a SoftmaxWithLoss on these. Everything else goes, and
//! is named in a note.
//!
//! ```
//! use train_core::surgery::{Anatomy, Replacement, Wish};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/fashion/");
//! let definition = caffe_proto::open_definition(format!("{folder}deploy.prototxt"), Default::default())?;
//! let anatomy = Anatomy::of(&definition.definition.unwrap())?;
//! assert_eq!(anatomy.input().shape, Some(vec![1, 28, 28]));
//!
//! let wish = Wish { replace: vec![Replacement::new("fc5", 3)], classes: 3, ..Wish::for_input(vec![1, 28, 28]) };
//! let operated = anatomy.operate(&wish, &|_| true)?;
//! assert_eq!(operated.replaced[0].old_outputs, 10);
//! let deploy = caffe_proto::text::print(&operated.deploy);
//! assert!(deploy.contains("num_output: 3"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anatomy;
mod assemble;
mod ends;
mod error;
mod graph;
mod input;
mod phases;

pub use anatomy::Anatomy;
pub use assemble::Operated;
pub use error::Error;
pub(crate) use graph::Graph;
pub use input::{ImageInput, Reading};

/// A layer that shall have another number of outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The layer's name.
    pub layer: String,
    /// How many outputs it shall have.
    pub outputs: usize,
}

/// What a net shall become.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Layers that are made anew.
    pub replace: Vec<Replacement>,
    /// How many classes the data have. When nothing is to be replaced and the net has another number, its last layer is.
    pub classes: usize,
    /// The shape of one image: channels, height and width; of other values, whatever they have.
    pub input: Vec<usize>,
    /// Samples a step.
    pub batch_size: usize,
    /// How much faster than the others the layers learn that are made anew.
    pub head_lr_mult: f32,
}

impl Replacement {
    /// `layer` shall have so many outputs.
    pub fn new(layer: impl Into<String>, outputs: usize) -> Self {
        Self { layer: layer.into(), outputs }
    }
}

impl Wish {
    /// Nothing but an input of this shape.
    pub fn for_input(input: impl Into<Vec<usize>>) -> Self {
        Self { replace: Vec::new(), classes: 0, input: input.into(), batch_size: 32, head_lr_mult: 10.0 }
    }
}

/// The result of this module.
pub type Result<T> = std::result::Result<T, Error>;
