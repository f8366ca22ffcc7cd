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
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let stem = self.name().to_lowercase();
        let files = Files {
            weights: folder.join(format!("{stem}.caffemodel")),
            definition: folder.join(format!("{stem}.prototxt")),
        };
        if !files.weights.exists() {
            eprintln!("Making {} …", files.weights.display());
            let net = self.net();
            fs::write(&files.definition, net.text())?;
            let partial = files.weights.with_extension("partial");
            let mut writer = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
            net.write(&mut writer).with_context(|| format!("cannot write {}", partial.display()))?;
            writer.into_inner()?.sync_all()?;
            fs::rename(&partial, &files.weights)?;
        }
        Ok(files)
    }

    fn net(self) -> Net {
        match self {
            Self::Alexnet => alexnet(),
            Self::Vgg16 => vgg16(),
            Self::Nsfw => resnet50_1by2(),
        }
    }
}

fn alexnet() -> Net {
    let mut net = Net::new("AlexNet", [1, 3, 227, 227]);
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
    classifier(&mut net, 256 * 6 * 6);
    net
}

fn vgg16() -> Net {
    let mut net = Net::new("VGG16", [1, 3, 224, 224]);
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
    classifier(&mut net, 512 * 7 * 7);
    net
}

/// The three fully connected layers that both nets end in.
fn classifier(net: &mut Net, inputs: u64) {
    net.inner_product("fc6", 4096, inputs, 0.05).relu("relu6").dropout("drop6");
    net.inner_product("fc7", 4096, 4096, 0.05).relu("relu7").dropout("drop7");
    net.inner_product("fc8", 1000, 4096, 0.05).softmax("prob");
}

fn resnet50_1by2() -> Net {
    let mut net = Net::new("ResNet-50-1by2", [1, 3, 224, 224]);
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
