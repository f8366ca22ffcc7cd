//! Training steps of an AlexNet of a thousand classes by MomentumSGD, with everything and with only the inner products learning.

use std::cell::Cell;
use std::time::Instant;

use kernels::Backend;
use train_core::hooks::Freeze;
use train_core::optim::{LrPolicy, MomentumSgd, Optimizer, Solver};
use train_core::{NetBuilder, Result, Trainer, TrainingOptions};

use crate::alexnet::alexnet;
use crate::cases::Scale;
use crate::timing;

/// The layers at the beginning that are frozen where some are.
pub const PREFIX: [&str; 5] = ["conv1", "conv2", "conv3", "conv4", "conv5"];

/// A net and its batch.
pub struct Step {
    /// Images.
    pub batch: usize,
    classes: usize,
    size: usize,
    net: NetBuilder,
}

impl Step {
    /// AlexNet; for [`Scale::Smoke`] a net of a few small layers.
    pub fn of(scale: Scale) -> Self {
        let (batch, classes, size) = match scale {
            Scale::Smoke => (2, 10, 19),
            Scale::Processor => (16, 1000, 227),
            Scale::Gpu => (128, 1000, 227),
        };
        let net = if scale == Scale::Smoke {
            let net = NetBuilder::new("smoke").input("data", [batch, 3, size, size]);
            let net = net.convolution("conv1", 4, 5).stride(2).relu().max_pool(2).stride(2);
            net.convolution("conv2", 4, 3).relu().inner_product("fc8", classes as u32)
        } else {
            alexnet(batch, classes as u32)
        };
        Self { batch, classes, size, net: net.input("label", [batch]).from("fc8").softmax_with_loss("label") }
    }

    /// The seconds of one step, the copy of the batch to the device included, with these layers frozen where the net has them.
    ///
    /// # Errors
    /// Those of the net and of training.
    pub fn seconds(self, backend: &dyn Backend, frozen: &[&str]) -> Result<f64> {
        let pixels: Vec<f32> =
            (0..self.batch * 3 * self.size * self.size).map(|at| (at % 255) as f32 / 255.0).collect();
        let labels: Vec<f32> = (0..self.batch).map(|at| (at % self.classes) as f32).collect();
        let network = self.net.build_for_training()?;
        let trainee = network.trainee(backend, &TrainingOptions::default())?;
        let rule = MomentumSgd { rate: 1e-4, momentum: 0.9 };
        let mut optimizer = Optimizer::new(Box::new(rule), trainee.infos().to_vec());
        let has = |layer: &&&str| trainee.infos().iter().any(|info| info.layer == **layer);
        let frozen: Vec<&str> = frozen.iter().filter(has).copied().collect();
        if !frozen.is_empty() {
            optimizer.add_hook(Freeze::layers(frozen))?;
        }
        let mut trainer = Trainer::new(trainee, Solver::of_optimizer(optimizer, LrPolicy::Fixed))?;
        let is_ahead = Cell::new(false);
        timing::median(&mut |count| {
            let start = Instant::now();
            for _ in 0..count {
                trainer.step_and(
                    &mut |net| {
                        if is_ahead.take() {
                            return net.take_inputs_ahead();
                        }
                        net.set_input("data", &pixels)?;
                        net.set_input("label", &labels)
                    },
                    &mut |net| {
                        if net.is_recorded() {
                            net.set_input_ahead("data", &pixels)?;
                            net.set_input_ahead("label", &labels)?;
                            is_ahead.set(true);
                        }
                        Ok(())
                    },
                )?;
            }
            backend.synchronize()?;
            Ok(start.elapsed())
        })
    }
}
