//! Inception v3: an image classifier of wide blocks, up to four branches each: many small operators side by side.
//!
//! Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016), in the dimensions of the
//! torchvision definition, without the auxiliary classifier (training only), batch normalisation folded into the
//! convolutions. Each block function below is one of the paper's figures; branches are listed from left to right.

use super::builder::{Graph, Value};
use super::layers::{Conv, LINEAR};

/// Inception v3 for 299×299 images: 23.8 M parameters.
pub fn inception_v3(g: &mut Graph) {
    let x = g.input("input", "N,3,299,299");
    let x = stem(g, x);
    let x = grid35(g, x, "5b", 32);
    let x = grid35(g, x, "5c", 64);
    let x = grid35(g, x, "5d", 64);
    let x = reduce35(g, x, "6a");
    let x = grid17(g, x, "6b", 128);
    let x = grid17(g, x, "6c", 160);
    let x = grid17(g, x, "6d", 160);
    let x = grid17(g, x, "6e", 192);
    let x = reduce17(g, x, "7a");
    let x = grid8(g, x, "7b");
    let x = grid8(g, x, "7c");
    let x = g.global_average(x, "pool");
    let logits = g.gemm(x, "logits", 1000, LINEAR);
    g.output(logits, "N,1000");
}

/// 299×299×3 to 35×35×192.
fn stem(g: &mut Graph, x: Value) -> Value {
    let x = g.conv_relu(x, "1a", Conv::same(32, 3).valid().stride(2));
    let x = g.conv_relu(x, "2a", Conv::same(32, 3).valid());
    let x = g.conv_relu(x, "2b", Conv::same(64, 3));
    let x = g.max_pool(x, "2.pool", 3, 2, 0);
    let x = g.conv_relu(x, "3b", Conv::same(80, 1));
    let x = g.conv_relu(x, "4a", Conv::same(192, 3).valid());
    g.max_pool(x, "4.pool", 3, 2, 0)
}

/// Figure 5, 35×35: the 5×5 convolution also as two 3×3.
fn grid35(g: &mut Graph, x: Value, name: &str, pooled: usize) -> Value {
    let a = chain(g, x, &format!("{name}.1x1"), &[Conv::same(64, 1)]);
    let b = chain(g, x, &format!("{name}.5x5"), &[Conv::same(48, 1), Conv::same(64, 5)]);
    let c = chain(g, x, &format!("{name}.3x3twice"), &[Conv::same(64, 1), Conv::same(96, 3), Conv::same(96, 3)]);
    let d = pool_branch(g, x, name, pooled);
    g.concat(&[a, b, c, d], &format!("{name}.concat"))
}

/// Figure 10, 35×35 to 17×17: convolutions and pooling with stride 2 in parallel.
fn reduce35(g: &mut Graph, x: Value, name: &str) -> Value {
    let a = chain(g, x, &format!("{name}.3x3"), &[Conv::same(384, 3).valid().stride(2)]);
    let twice = [Conv::same(64, 1), Conv::same(96, 3), Conv::same(96, 3).valid().stride(2)];
    let b = chain(g, x, &format!("{name}.3x3twice"), &twice);
    let c = g.max_pool(x, &format!("{name}.pool"), 3, 2, 0);
    g.concat(&[a, b, c], &format!("{name}.concat"))
}

/// Figure 6, 17×17: 7×7 convolutions as 1×7 and 7×1, `inner` channels wide.
fn grid17(g: &mut Graph, x: Value, name: &str, inner: usize) -> Value {
    let row = |channels| Conv::rect(channels, [1, 7]);
    let column = |channels| Conv::rect(channels, [7, 1]);
    let a = chain(g, x, &format!("{name}.1x1"), &[Conv::same(192, 1)]);
    let b = chain(g, x, &format!("{name}.7x7"), &[Conv::same(inner, 1), row(inner), column(192)]);
    let twice = [Conv::same(inner, 1), column(inner), row(inner), column(inner), row(192)];
    let c = chain(g, x, &format!("{name}.7x7twice"), &twice);
    let d = pool_branch(g, x, name, 192);
    g.concat(&[a, b, c, d], &format!("{name}.concat"))
}

/// 17×17 to 8×8, as figure 10 with a 7×7 branch.
fn reduce17(g: &mut Graph, x: Value, name: &str) -> Value {
    let last = |channels| Conv::same(channels, 3).valid().stride(2);
    let a = chain(g, x, &format!("{name}.3x3"), &[Conv::same(192, 1), last(320)]);
    let seven = [Conv::same(192, 1), Conv::rect(192, [1, 7]), Conv::rect(192, [7, 1]), last(192)];
    let b = chain(g, x, &format!("{name}.7x7"), &seven);
    let c = g.max_pool(x, &format!("{name}.pool"), 3, 2, 0);
    g.concat(&[a, b, c], &format!("{name}.concat"))
}

/// Figure 7, 8×8: branches that fork once more into 1×3 and 3×1.
fn grid8(g: &mut Graph, x: Value, name: &str) -> Value {
    let a = chain(g, x, &format!("{name}.1x1"), &[Conv::same(320, 1)]);
    let b = chain(g, x, &format!("{name}.3x3"), &[Conv::same(384, 1)]);
    let b = fork(g, b, &format!("{name}.3x3"));
    let c = chain(g, x, &format!("{name}.3x3twice"), &[Conv::same(448, 1), Conv::same(384, 3)]);
    let c = fork(g, c, &format!("{name}.3x3twice"));
    let d = pool_branch(g, x, name, 192);
    g.concat(&[a, b, c, d], &format!("{name}.concat"))
}

fn fork(g: &mut Graph, x: Value, name: &str) -> Value {
    let row = g.conv_relu(x, &format!("{name}.row"), Conv::rect(384, [1, 3]));
    let column = g.conv_relu(x, &format!("{name}.column"), Conv::rect(384, [3, 1]));
    g.concat(&[row, column], &format!("{name}.fork"))
}

fn pool_branch(g: &mut Graph, x: Value, name: &str, channels: usize) -> Value {
    let x = g.average_pool_same(x, &format!("{name}.average"), 3);
    g.conv_relu(x, &format!("{name}.pooled"), Conv::same(channels, 1))
}

/// Convolutions with ReLU one after the other, named `name.0`, `name.1`, …
fn chain(g: &mut Graph, x: Value, name: &str, layers: &[Conv]) -> Value {
    layers.iter().enumerate().fold(x, |x, (i, &layer)| g.conv_relu(x, &format!("{name}.{i}"), layer))
}
