//! VGG-16: a plain stack of 3×3 convolutions, three quarters of its weights in one matrix product.
//!
//! Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), table 1,
//! configuration D. Dropout does nothing at inference and is left out.

use super::builder::Graph;
use super::layers::{Conv, LINEAR, RELU};

/// Channels of the convolutions of each stage; a 2×2 max-pool follows each stage.
const STAGES: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// VGG-16: 138 M parameters.
pub fn vgg16(g: &mut Graph) {
    let mut x = g.input("input", "N,3,224,224");
    for (stage, channels) in STAGES.into_iter().enumerate() {
        for (layer, &channels) in channels.iter().enumerate() {
            x = g.conv_relu(x, &format!("conv{}_{}", stage + 1, layer + 1), Conv::same(channels, 3));
        }
        x = g.max_pool(x, &format!("pool{}", stage + 1), 2, 2, 0);
    }
    let mut x = g.flatten(x, "flat", 512 * 7 * 7);
    for name in ["fc6", "fc7"] {
        let y = g.gemm(x, name, 4096, RELU);
        x = g.relu(y, &format!("{name}.relu"));
    }
    let logits = g.gemm(x, "logits", 1000, LINEAR);
    g.output(logits, "N,1000");
}
