//! An AlexNet with weights from the fillers, whose seed is always the same.

use train_core::NetBuilder;

/// All layers up to the scores, with dropout.
pub fn alexnet(batch: usize, classes: u32) -> NetBuilder {
    let net = NetBuilder::new("alexnet").input("data", [batch, 3, 227, 227]);
    let net = net.convolution("conv1", 96, 11).stride(4).relu().lrn(5, 1e-4, 0.75).max_pool(3).stride(2);
    let net = net.convolution("conv2", 256, 5).pad(2).group(2).relu();
    let net = net.lrn(5, 1e-4, 0.75).max_pool(3).stride(2);
    let net = net.convolution("conv3", 384, 3).pad(1).relu();
    let net = net.convolution("conv4", 384, 3).pad(1).group(2).relu();
    let net = net.convolution("conv5", 256, 3).pad(1).group(2).relu().max_pool(3).stride(2);
    let net = net.inner_product("fc6", 4096).relu().dropout(0.5);
    net.inner_product("fc7", 4096).relu().dropout(0.5).inner_product("fc8", classes)
}
