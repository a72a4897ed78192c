//! DenseNet-121: an image classifier whose every layer sees all layers before it in its block.
//!
//! Huang et al., "Densely Connected Convolutional Networks" (2017), table 1, growth 32 with bottlenecks. Normalisation comes
//! before the convolutions, so most of it cannot be folded; it stays nodes, and fusion does what can be done.

use super::builder::{Graph, Value};
use super::layers::{Conv, LINEAR};

/// Channels that each layer adds.
const GROWTH: usize = 32;
/// Layers of each block.
const BLOCKS: [usize; 4] = [6, 12, 24, 16];

/// DenseNet-121: 8.0 M parameters.
pub fn densenet121(g: &mut Graph) {
    let x = g.input("input", "N,3,224,224");
    let x = g.conv_batch_norm(x, "stem", Conv::same(64, 7).stride(2));
    let x = g.relu(x, "stem.relu");
    let mut x = g.max_pool(x, "stem.pool", 3, 2, 1);
    for (block, layers) in BLOCKS.into_iter().enumerate() {
        let name = format!("block{}", block + 1);
        for layer in 0..layers {
            x = dense(g, x, &format!("{name}.{layer}"));
        }
        if block + 1 < BLOCKS.len() {
            x = transition(g, x, &name);
        }
    }
    let x = norm_relu(g, x, "head");
    let x = g.global_average(x, "pool");
    let logits = g.gemm(x, "logits", 1000, LINEAR);
    g.output(logits, "N,1000");
}

/// A bottleneck of four times the growth, a 3×3 convolution, and its output beside the input.
fn dense(g: &mut Graph, x: Value, name: &str) -> Value {
    let y = norm_relu(g, x, &format!("{name}.a"));
    let y = g.conv_plain(y, &format!("{name}.a.conv"), Conv::same(4 * GROWTH, 1));
    let y = norm_relu(g, y, &format!("{name}.b"));
    let y = g.conv_plain(y, &format!("{name}.b.conv"), Conv::same(GROWTH, 3));
    g.concat(&[x, y], &format!("{name}.concat"))
}

/// Between blocks: half the channels, half the size.
fn transition(g: &mut Graph, x: Value, block: &str) -> Value {
    let name = format!("{block}.transition");
    let y = norm_relu(g, x, &name);
    let y = g.conv_plain(y, &format!("{name}.conv"), Conv::same(x.width() / 2, 1));
    g.average_pool(y, &format!("{name}.pool"), 2, 2, 0)
}

fn norm_relu(g: &mut Graph, x: Value, name: &str) -> Value {
    let y = g.batch_norm(x, &format!("{name}.bn"));
    g.relu(y, &format!("{name}.relu"))
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn densenet121_loads_runs_and_listens_to_its_input() {
        check("densenet121", &[("N", 1)]);
    }
}
