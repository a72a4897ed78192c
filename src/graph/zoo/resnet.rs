//! ResNet-18 and ResNet-50: residual image classifiers.
//!
//! He et al., "Deep Residual Learning for Image Recognition" (2016), table 1, with the two choices of the common
//! implementations: a 1×1 projection where a block changes size, and ("v1.5") the stride of a bottleneck on its 3×3
//! convolution. ResNet-18 keeps `BatchNormalization` as nodes of its own, so that fusion has something to do;
//! ResNet-50 has it folded into the convolutions, as exporters for inference do.

use super::builder::{Graph, Value};
use super::layers::{BRANCH, Conv, LINEAR};

/// ResNet-18: two blocks of two 3×3 convolutions per stage; 11.7 M parameters.
pub fn resnet18(g: &mut Graph) {
    let x = g.input("input", "N,3,224,224");
    let x = g.conv_batch_norm(x, "stem", Conv::same(64, 7).stride(2));
    let x = g.relu(x, "stem.relu");
    let mut x = g.max_pool(x, "stem.pool", 3, 2, 1);
    for (stage, width) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = basic_block(g, x, &format!("stage{}.{block}", stage + 1), width, stride);
        }
    }
    classifier(g, x);
}

/// ResNet-50: 3, 4, 6 and 3 bottleneck blocks; 25.6 M parameters (25.5 M with normalisation folded).
pub fn resnet50(g: &mut Graph) {
    let x = g.input("input", "N,3,224,224");
    let x = g.conv_relu(x, "stem", Conv::same(64, 7).stride(2));
    let mut x = g.max_pool(x, "stem.pool", 3, 2, 1);
    for (stage, (width, blocks)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = bottleneck(g, x, &format!("stage{}.{block}", stage + 1), width, stride);
        }
    }
    classifier(g, x);
}

fn basic_block(g: &mut Graph, x: Value, name: &str, width: usize, stride: usize) -> Value {
    let y = g.conv_batch_norm(x, &format!("{name}.a"), Conv::same(width, 3).stride(stride));
    let y = g.relu(y, &format!("{name}.a.relu"));
    let y = g.conv_batch_norm(y, &format!("{name}.b"), Conv::same(width, 3).gain(BRANCH));
    let shortcut = if x.width() == width && stride == 1 {
        x
    } else {
        g.conv_batch_norm(x, &format!("{name}.project"), Conv::same(width, 1).stride(stride))
    };
    let sum = g.add(y, shortcut, &format!("{name}.add"));
    g.relu(sum, &format!("{name}.relu"))
}

fn bottleneck(g: &mut Graph, x: Value, name: &str, width: usize, stride: usize) -> Value {
    let out = 4 * width;
    let y = g.conv_relu(x, &format!("{name}.reduce"), Conv::same(width, 1));
    let y = g.conv_relu(y, &format!("{name}.spatial"), Conv::same(width, 3).stride(stride));
    let y = g.conv(y, &format!("{name}.expand"), Conv::same(out, 1).gain(BRANCH));
    let shortcut = if x.width() == out && stride == 1 {
        x
    } else {
        g.conv(x, &format!("{name}.project"), Conv::same(out, 1).stride(stride))
    };
    let sum = g.add(y, shortcut, &format!("{name}.add"));
    g.relu(sum, &format!("{name}.relu"))
}

fn classifier(g: &mut Graph, x: Value) {
    let x = g.global_average(x, "pool");
    let logits = g.gemm(x, "logits", 1000, LINEAR);
    g.output(logits, "N,1000");
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn resnet18_loads_runs_and_listens_to_its_input() {
        check("resnet18", &[("N", 1)]);
    }
}
