//! Large models with random weights, as a caffemodel of today's form and as a prototxt.

mod net;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::net::{Convolution, Net};

/// One of the large models that the measurements run on.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Model {
    /// 61 million parameters, 244 MB
    Alexnet,
    /// 138 million parameters, 553 MB
    Vgg16,
    /// ResNet-50 with half the channels, as open_nsfw: 6 million parameters, 24 MB
    Nsfw,
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
            Self::Nsfw => "ResNet-50-1by2",
        }
    }

    /// Makes the model's files, unless they are there.
    pub(crate) fn make(self, folder: &Path) -> Result<Files> {
        make(folder, &self.name().to_lowercase(), || self.net())
    }

    fn net(self) -> Net {
        match self {
            Self::Alexnet => deployed(alexnet(1, 1000, DROPOUT)),
            Self::Vgg16 => deployed(vgg16()),
            Self::Nsfw => resnet50_1by2(),
        }
    }
}

/// An AlexNet of few classes to train, in forms that share one file of weights.
pub(crate) mod trained {
    use std::path::Path;

    use anyhow::Result;

    use super::{Files, Net, alexnet, deployed, inner_products, make};

    pub(crate) const CLASSES: u64 = 10;
    /// What fc6 comes to for one image.
    pub(crate) const FEATURES: u64 = 4096;

    /// The weights, with the definition of the net as it is used after training.
    pub(crate) fn make_weights(folder: &Path) -> Result<Files> {
        make(folder, "alexnet-10", || deployed(alexnet(1, CLASSES, super::DROPOUT)))
    }

    /// The definition to train by, some of whose layers have a rate of 0.
    pub(crate) fn definition(batch: u64, dropout: f32, frozen: &[&str]) -> String {
        let mut net = alexnet(batch, CLASSES, dropout);
        lossy(&mut net, batch).freeze(frozen);
        net.text()
    }

    /// The same of what stands above fc6, which reads fc6's values as they are behind its ReLU.
    pub(crate) fn definition_above_fc6(batch: u64, dropout: f32) -> String {
        let mut net = Net::new("AlexNet above fc6", &[batch, FEATURES]);
        net.dropout("drop6", dropout);
        inner_products(&mut net, CLASSES, dropout);
        lossy(&mut net, batch);
        net.text()
    }

    fn lossy(net: &mut Net, batch: u64) -> &mut Net {
        let scores = net.top().to_owned();
        net.input("label", &[batch]).continue_from(&scores).softmax_loss("loss", "label")
    }
}

/// Makes a model's files, unless they are there.
fn make(folder: &Path, stem: &str, net: impl FnOnce() -> Net) -> Result<Files> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let files = Files {
        weights: folder.join(format!("{stem}.caffemodel")),
        definition: folder.join(format!("{stem}.prototxt")),
    };
    if !files.weights.exists() {
        eprintln!("Making {} …", files.weights.display());
        let net = net();
        fs::write(&files.definition, net.text())?;
        let partial = files.weights.with_extension("partial");
        let mut writer = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        net.write(&mut writer).with_context(|| format!("cannot write {}", partial.display()))?;
        writer.into_inner()?.sync_all()?;
        fs::rename(&partial, &files.weights)?;
    }
    Ok(files)
}

const DROPOUT: f32 = 0.5;

fn alexnet(batch: u64, classes: u64, dropout: f32) -> Net {
    let mut net = Net::new("AlexNet", &[batch, 3, 227, 227]);
    net.convolution("conv1", Convolution { stride: 4, ..Convolution::new(3, 96, 11) });
    net.relu("relu1").norm("norm1").max_pool("pool1", 3);
    net.convolution("conv2", Convolution { pad: 2, group: 2, ..Convolution::new(96, 256, 5) });
    net.relu("relu2").norm("norm2").max_pool("pool2", 3);
    net.convolution("conv3", Convolution { pad: 1, ..Convolution::new(256, 384, 3) });
    net.relu("relu3");
    net.convolution("conv4", Convolution { pad: 1, group: 2, ..Convolution::new(384, 384, 3) });
    net.relu("relu4");
    net.convolution("conv5", Convolution { pad: 1, group: 2, ..Convolution::new(384, 256, 3) });
    net.relu("relu5").max_pool("pool5", 3);
    classifier(&mut net, 256 * 6 * 6, classes, dropout);
    net
}

fn vgg16() -> Net {
    let mut net = Net::new("VGG16", &[1, 3, 224, 224]);
    let mut channels = 3;
    for (stage, (depth, width)) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate() {
        let stage = stage + 1;
        for index in 1..=depth {
            let convolution = Convolution { pad: 1, ..Convolution::new(channels, width, 3) };
            net.convolution(&format!("conv{stage}_{index}"), convolution);
            net.relu(&format!("relu{stage}_{index}"));
            channels = width;
        }
        net.max_pool(&format!("pool{stage}"), 2);
    }
    classifier(&mut net, 512 * 7 * 7, 1000, DROPOUT);
    net
}

/// The three fully connected layers that both nets end in, up to the scores.
fn classifier(net: &mut Net, inputs: u64, classes: u64, dropout: f32) {
    net.inner_product("fc6", 4096, inputs, 0.05).relu("relu6").dropout("drop6", dropout);
    inner_products(net, classes, dropout);
}

fn inner_products(net: &mut Net, classes: u64, dropout: f32) {
    net.inner_product("fc7", 4096, 4096, 0.05).relu("relu7").dropout("drop7", dropout);
    net.inner_product("fc8", classes, 4096, 0.05);
}

fn deployed(mut net: Net) -> Net {
    net.softmax("prob");
    net
}

fn resnet50_1by2() -> Net {
    let mut net = Net::new("ResNet-50-1by2", &[1, 3, 224, 224]);
    let normalized = |net: &mut Net, name: &str, convolution: Convolution, scale: f32| {
        // So that values neither grow nor vanish on their way.
        let spread = (6.0 / (convolution.inputs * convolution.kernel * convolution.kernel) as f32).sqrt();
        net.convolution(&format!("conv_{name}"), Convolution { spread, ..convolution });
        net.batch_norm(&format!("bn_{name}"), convolution.outputs);
        net.scale(&format!("scale_{name}"), convolution.outputs, scale);
    };
    normalized(&mut net, "1", Convolution { stride: 2, pad: 3, ..Convolution::new(3, 64, 7) }, 1.0);
    net.relu("relu_1").max_pool("pool1", 3);
    let mut channels = 64;
    for (stage, (depth, width)) in [(3, 32), (4, 64), (6, 128), (3, 256)].into_iter().enumerate() {
        for block in 0..depth {
            let name = |part: &str| format!("stage{stage}_block{block}{part}");
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let input = net.top().to_owned();
            if block == 0 {
                let shortcut = Convolution { stride, ..Convolution::new(channels, 4 * width, 1) };
                normalized(&mut net, &name("_proj_shortcut"), shortcut, 1.0);
            }
            let shortcut = net.top().to_owned();
            net.continue_from(&input);
            let narrow = Convolution { stride, ..Convolution::new(channels, width, 1) };
            normalized(&mut net, &name("_branch2a"), narrow, 1.0);
            net.relu(&format!("relu_{}", name("_branch2a")));
            let middle = Convolution { pad: 1, ..Convolution::new(width, width, 3) };
            normalized(&mut net, &name("_branch2b"), middle, 1.0);
            net.relu(&format!("relu_{}", name("_branch2b")));
            normalized(&mut net, &name("_branch2c"), Convolution::new(width, 4 * width, 1), 0.5);
            net.sum(&format!("eltwise_{}", name("")), &shortcut);
            net.relu(&format!("relu_{}", name("")));
            channels = 4 * width;
        }
    }
    net.average_pool("pool", 7);
    net.inner_product("fc_nsfw", 2, channels, 0.02).softmax("prob");
    net
}
