//! Folders of training runs that never were, written through the types that real ones are.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::path::Path;

use train_core::run::{
    Filters, Judged, LayerOutput, MOST_MISTAKES, Metric, MetricsWriter, Replaced, RunFolder, Settings,
    Validation,
};
use weight_io::Tensor;

const STEPS_AN_EPOCH: u64 = 100;

/// What a run is like.
pub(crate) struct Recipe {
    pub(crate) seed: u64,
    pub(crate) classes: Vec<String>,
    pub(crate) epochs: u64,
    /// The loss at the start; each epoch divides it by `pace`, down to a floor.
    pub(crate) loss: f64,
    pub(crate) pace: f64,
    /// The layers, the first `frozen` of which are frozen, and thawed from the last down, one each epoch from the third on.
    pub(crate) layers: Vec<&'static str>,
    pub(crate) frozen: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        let classes = [
            "ankle boot",
            "bag",
            "coat",
            "dress",
            "pullover",
            "sandal",
            "shirt",
            "sneaker",
            "trouser",
            "t-shirt",
        ];
        Self {
            seed: 1,
            classes: classes.map(str::to_owned).to_vec(),
            epochs: 8,
            loss: 2.3,
            pace: 1.6,
            layers: vec!["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"],
            frozen: 5,
        }
    }
}

impl Recipe {
    /// Writes the whole folder.
    pub(crate) fn write(&self, path: &Path) {
        let run = RunFolder::create(path, false).unwrap();
        self.settings().write(&run.settings()).unwrap();
        self.metrics(&run.metrics());
        self.filters().write(&run.filters()).unwrap();
        self.validation(&run).write(&run.validation()).unwrap();
    }

    /// Writes the metrics alone.
    pub(crate) fn metrics(&self, path: &Path) {
        let mut noise = Noise(self.seed);
        let mut writer = MetricsWriter::create(path).unwrap();
        let mut write = |metric| writer.write(&metric).unwrap();
        write(self.outputs(0, &mut noise));
        for iteration in 1..=self.epochs * STEPS_AN_EPOCH {
            let epoch = iteration as f64 / STEPS_AN_EPOCH as f64;
            let loss = self.loss * self.pace.powf(-epoch) + 0.02;
            let accuracy = 1.0 - 0.9 * (1.0 - (-loss).exp());
            write(Metric::Step {
                iteration,
                epoch,
                loss: loss * (1.0 + 0.3 * noise.next()),
                accuracy: ((accuracy + 0.08 * noise.next()) * 32.0).round().clamp(0.0, 32.0) / 32.0,
                rate: 1e-3 * 0.1f64.powi((iteration / (3 * STEPS_AN_EPOCH)) as i32),
                images_per_second: 410.0 + 20.0 * noise.next(),
            });
            if iteration % STEPS_AN_EPOCH == 0 {
                let done = iteration / STEPS_AN_EPOCH;
                write(Metric::Validation {
                    iteration,
                    epoch,
                    loss: loss * 1.15 + 0.04 * noise.next(),
                    accuracy: accuracy - 0.03 + 0.01 * noise.next(),
                    images: 400,
                    seconds: 1.75,
                });
                write(self.outputs(iteration, &mut noise));
                write(Metric::Snapshot { iteration, epoch, best: done == self.epochs });
                if done >= 2
                    && let Some(thawed) = self.frozen.checked_sub(done as usize - 1)
                    && done < self.epochs
                {
                    write(Metric::Thawed { iteration, layers: vec![self.layers[thawed].to_owned()] });
                }
            }
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        let command = [
            "rebrew",
            "finetune",
            "alexnet/train_val.prototxt",
            "--weights",
            "bvlc_alexnet.caffemodel",
            "--data",
            "my pictures/train",
            "--replace",
            "fc8=10",
            "--freeze",
            "conv*@2ep",
            "-o",
            "RUN",
        ];
        Settings {
            command: command.map(str::to_owned).to_vec(),
            version: "0.1.0".to_owned(),
            started: "2026-03-01T12:30:00Z".to_owned(),
            definition: "alexnet/train_val.prototxt".to_owned(),
            weights: Some("bvlc_alexnet.caffemodel".to_owned()),
            device: "cpu".to_owned(),
            seed: 42,
            epochs: self.epochs,
            batch_size: 32,
            optimizer: "Adam (beta1 0.9, beta2 0.999, eps 1e-8)".to_owned(),
            rate: 1e-3,
            frozen: self.layers[..self.frozen].iter().map(|&layer| layer.to_owned()).collect(),
            thaw: Some("conv5@2ep, conv4@3ep".to_owned()),
            replaced: vec![Replaced { layer: "fc8".to_owned(), outputs: 10, old_outputs: 1000 }],
            classes: self.classes.clone(),
            training_images: STEPS_AN_EPOCH * 32,
            validation_images: 400,
            cache: "none: the transform mirrors at random".to_owned(),
            first_convolution: Some("conv1".to_owned()),
            ..Settings::default()
        }
    }

    fn outputs(&self, iteration: u64, noise: &mut Noise) -> Metric {
        let epoch = iteration as f64 / STEPS_AN_EPOCH as f64;
        let layer = |(depth, name): (usize, &&str)| {
            let drift = if depth < self.frozen { 0.02 } else { 0.35 } * depth as f64;
            LayerOutput {
                layer: (*name).to_owned(),
                mean: 0.4 * depth as f64 - 1.0 + drift * epoch.sqrt() + 0.02 * noise.next(),
                deviation: 0.8 + 0.1 * depth as f64,
            }
        };
        Metric::Outputs { iteration, layers: self.layers.iter().enumerate().map(layer).collect() }
    }

    fn filters(&self) -> Filters {
        let mut noise = Noise(self.seed);
        let shape = [32, 3, 7, 7];
        let wave = |index: usize| {
            let (filter, channel, row, column) = (index / 147, index / 49 % 3, index / 7 % 7, index % 7);
            let angle = filter as f64 * 0.4;
            let along = row as f64 * angle.cos() + column as f64 * angle.sin();
            (along * (0.5 + filter as f64 / 24.0) + channel as f64 * filter as f64 / 9.0).sin()
        };
        let before = (0..32 * 147).map(wave).collect::<Vec<_>>();
        let after = before.iter().map(|value| value + 0.15 * noise.next()).collect::<Vec<_>>();
        let [before, after] = [before, after].map(|values| {
            let values = values.iter().map(|&value| (value * 0.1) as f32).collect::<Vec<_>>();
            Tensor::from_f32(shape.to_vec(), &values).unwrap()
        });
        Filters { before, after }
    }

    fn validation(&self, run: &RunFolder) -> Validation {
        let mut noise = Noise(self.seed);
        let classes = self.classes.len();
        let mut images = Vec::new();
        for number in 0..classes * 40 {
            let label = number % classes;
            let wrong = noise.next() > 0.72;
            let predicted = if wrong {
                (label + 1 + (noise.next().powi(2) * classes as f64 / 2.0) as usize) % classes
            } else {
                label
            };
            let probability = 0.65 + 0.34 * noise.next();
            let name = format!("{}/{number:05}.png", self.classes[label]);
            images.push(Judged { name, label, predicted, probability, picture: None });
        }
        let mut mistakes = (0..images.len()).filter(|&index| !images[index].is_right()).collect::<Vec<_>>();
        mistakes.sort_by(|&a, &b| images[b].probability.total_cmp(&images[a].probability));
        for (rank, index) in mistakes.into_iter().take(MOST_MISTAKES).enumerate() {
            let name = RunFolder::mistake_name(rank);
            fs::write(run.mistake(&name).unwrap(), picture(28, images[index].label as u8)).unwrap();
            images[index].picture = Some(name);
        }
        Validation { epoch: self.epochs as f64, classes: self.classes.clone(), images }
    }
}

/// A grey PNG of `side`×`side`, no two of different `kind` alike.
pub(crate) fn picture(side: u32, kind: u8) -> Vec<u8> {
    let pixel = |at: u32| {
        let (x, y) =
            (f64::from(at % side) / f64::from(side) - 0.5, f64::from(at / side) / f64::from(side) - 0.5);
        let round = (x.hypot(y) * 20.0 - f64::from(kind)).sin() * f64::from(kind % 3) + (x * y * 40.0).cos();
        (round * 60.0 + 128.0) as u8
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let pixels = (0..side * side).map(pixel).collect::<Vec<_>>();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// Numbers of -1 to 1, the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    }
}
