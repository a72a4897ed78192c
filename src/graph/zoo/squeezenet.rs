//! SqueezeNet: an image classifier with few weights, made of modules that squeeze and expand.
//!
//! Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016), in the authors' version 1.1 (first
//! convolution 3×3, pools earlier), which takes 2.4 times less arithmetic. It has no normalisation: biases are its own.

use super::builder::{Graph, Value};
use super::layers::{Conv, LINEAR};

/// SqueezeNet 1.1: 1.2 M parameters.
pub fn squeezenet(g: &mut Graph) {
    let x = g.input("input", "N,3,224,224");
    let x = g.conv_relu(x, "stem", Conv::same(64, 3).valid().stride(2));
    let mut x = g.max_pool(x, "stem.pool", 3, 2, 0);
    for (number, squeeze, expand) in [(2, 16, 64), (3, 16, 64)] {
        x = fire(g, x, number, squeeze, expand);
    }
    x = g.max_pool(x, "fire3.pool", 3, 2, 0);
    for (number, squeeze, expand) in [(4, 32, 128), (5, 32, 128)] {
        x = fire(g, x, number, squeeze, expand);
    }
    x = g.max_pool(x, "fire5.pool", 3, 2, 0);
    for (number, squeeze, expand) in [(6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256)] {
        x = fire(g, x, number, squeeze, expand);
    }
    let x = g.conv(x, "logits", Conv::same(1000, 1).gain(LINEAR));
    let logits = g.global_average(x, "pool");
    g.output(logits, "N,1000");
}

/// The paper's figure 1: a 1×1 convolution to few channels, then 1×1 and 3×3 side by side.
fn fire(g: &mut Graph, x: Value, number: usize, squeeze: usize, expand: usize) -> Value {
    let name = format!("fire{number}");
    let x = g.conv_relu(x, &format!("{name}.squeeze"), Conv::same(squeeze, 1));
    let one = g.conv_relu(x, &format!("{name}.1x1"), Conv::same(expand, 1));
    let three = g.conv_relu(x, &format!("{name}.3x3"), Conv::same(expand, 3));
    g.concat(&[one, three], &format!("{name}.concat"))
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn squeezenet_loads_runs_and_listens_to_its_input() {
        check("squeezenet", &[("N", 1)]);
    }
}
