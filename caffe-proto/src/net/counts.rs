//! How many bottoms and tops a layer takes.

use super::LayerKind as K;
use super::layer::Layer;
use super::params::{PoolMethod, UpsampleParams};

/// Checks a layer's bottoms and tops against its type's, as Caffe's layers state them in their headers. A loss without
/// tops gets its automatic one.
pub(super) fn check(layer: &Layer) -> Result<(), String> {
    let Some(rule) = rule(layer) else { return Ok(()) };
    let tops = layer.top_count();
    range("bottom", layer.bottoms.len(), rule.bottoms)?;
    range("top", tops, rule.tops)?;
    match rule.tie {
        Tie::None => Ok(()),
        Tie::Equal if layer.bottoms.len() == tops => Ok(()),
        Tie::OneLess if layer.bottoms.len() == tops + 1 => Ok(()),
        Tie::Equal => {
            Err(format!("{} bottoms and {tops} tops; it makes one top of each bottom", layer.bottoms.len()))
        }
        Tie::OneLess => Err(format!(
            "{} bottoms and {tops} tops; it makes one top of each bottom but the last, the selector",
            layer.bottoms.len()
        )),
    }
}

/// From, to.
type Range = (usize, usize);

const MANY: usize = usize::MAX;

struct Rule {
    bottoms: Range,
    tops: Range,
    tie: Tie,
}

enum Tie {
    None,
    Equal,
    OneLess,
}

fn rule(layer: &Layer) -> Option<Rule> {
    let free = |bottoms, tops| Rule { bottoms, tops, tie: Tie::None };
    let recurrent = |states: usize, exposed: bool| {
        let states = if exposed { states } else { 0 };
        free((2 + states, 3 + states), (1 + states, 1 + states))
    };
    Some(match &layer.kind {
        K::Unsupported(_) => return None,
        K::Convolution(_) | K::Deconvolution(_) | K::DepthwiseConvolution(_) => {
            Rule { bottoms: (1, MANY), tops: (1, MANY), tie: Tie::Equal }
        }
        K::Filter => Rule { bottoms: (2, MANY), tops: (1, MANY), tie: Tie::OneLess },
        K::Pooling(p) => free((1, 1), (1, if p.method == PoolMethod::Max { 2 } else { 1 })),
        K::Scale(_) | K::Bias(_) => free((1, 2), (1, 1)),
        K::Eltwise(_) => free((2, MANY), (1, 1)),
        K::Concat { .. } => free((1, MANY), (1, 1)),
        K::Slice(_) | K::Split => free((1, 1), (1, MANY)),
        K::Silence => free((1, MANY), (0, 0)),
        K::Parameter { .. } => free((0, 0), (1, 1)),
        K::Lstm(p) => recurrent(2, p.expose_hidden),
        K::Rnn(p) => recurrent(1, p.expose_hidden),
        K::LstmUnit => free((3, 3), (2, 2)),
        K::SoftmaxWithLoss(_) | K::Accuracy(_) => free((2, 2), (1, 2)),
        K::InfogainLoss(_) => free((2, 3), (1, 2)),
        K::ContrastiveLoss(_) => free((3, 3), (1, 1)),
        K::SmoothL1Loss { .. } => free((2, 4), (1, 1)),
        K::MultiBoxLoss(_) => free((4, 4), (1, 1)),
        K::Upsample(UpsampleParams::Unpool { .. })
        | K::Crop(_)
        | K::BatchReindex
        | K::PriorBox(_)
        | K::EuclideanLoss
        | K::HingeLoss { .. }
        | K::SigmoidCrossEntropyLoss(_)
        | K::MultinomialLogisticLoss => free((2, 2), (1, 1)),
        K::Input(_) | K::Hdf5Data(_) | K::DummyData(_) => free((0, 0), (1, MANY)),
        K::Data(_) => free((0, 0), (1, 2)),
        K::AnnotatedData(_) => free((0, 0), (1, 3)),
        K::ImageData(_) | K::WindowData(_) | K::MemoryData(_) => free((0, 0), (2, 2)),
        K::Hdf5Output { .. } => free((2, 2), (0, 0)),
        K::DetectionOutput(_) => free((3, 4), (1, 1)),
        K::Upsample(UpsampleParams::Nearest { .. })
        | K::InnerProduct(_)
        | K::Lrn(_)
        | K::BatchNorm(_)
        | K::ReLU { .. }
        | K::PReLU { .. }
        | K::Elu { .. }
        | K::ReLU6
        | K::Sigmoid
        | K::TanH
        | K::AbsVal
        | K::Bnll
        | K::Power(_)
        | K::Exp(_)
        | K::Log(_)
        | K::Clip { .. }
        | K::Swish { .. }
        | K::Threshold { .. }
        | K::Dropout { .. }
        | K::Reshape(_)
        | K::Flatten(_)
        | K::Tile(_)
        | K::Reduction(_)
        | K::ArgMax(_)
        | K::Embed(_)
        | K::Im2col(_)
        | K::Mvn(_)
        | K::Spp(_)
        | K::Softmax { .. }
        | K::Permute { .. }
        | K::Normalize(_)
        | K::ShuffleChannel { .. }
        | K::Interp(_) => free((1, 1), (1, 1)),
    })
}

fn range(what: &str, found: usize, (least, most): Range) -> Result<(), String> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let wanted = match (least, most) {
        (0, 0) => "none".to_owned(),
        (least, most) if least == most => least.to_string(),
        (least, MANY) => format!("{least} or more"),
        (least, most) => format!("{least} to {most}"),
    };
    Err(format!("it has {found} {what}{}, and this type takes {wanted}", if found == 1 { "" } else { "s" }))
}
