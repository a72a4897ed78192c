//! MobileNetV2: an image classifier for phones, made of inverted residuals.
//!
//! Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2, width 1.0, batch
//! normalisation folded into the convolutions.

use super::builder::{Graph, Value};
use super::layers::{BRANCH, Conv, LINEAR};

/// Table 2 of the paper: expansion, output channels, repetitions, stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// MobileNetV2: 3.5 M parameters.
pub fn mobilenet_v2(g: &mut Graph) {
    let x = g.input("input", "N,3,224,224");
    let mut x = conv_relu6(g, x, "stem", Conv::same(32, 3).stride(2));
    for (stage, (expansion, channels, repeats, stride)) in STAGES.into_iter().enumerate() {
        for block in 0..repeats {
            let stride = if block == 0 { stride } else { 1 };
            x = inverted_residual(g, x, &format!("stage{}.{block}", stage + 1), expansion, channels, stride);
        }
    }
    let x = conv_relu6(g, x, "head", Conv::same(1280, 1));
    let x = g.global_average(x, "pool");
    let logits = g.gemm(x, "logits", 1000, LINEAR);
    g.output(logits, "N,1000");
}

/// Expand, filter each channel, project down without an activation; a shortcut where the shapes allow it.
fn inverted_residual(g: &mut Graph, x: Value, name: &str, expansion: usize, channels: usize, stride: usize) -> Value {
    let wide = expansion * x.width();
    let residual = stride == 1 && x.width() == channels;
    let y = if expansion > 1 { conv_relu6(g, x, &format!("{name}.expand"), Conv::same(wide, 1)) } else { x };
    let y = conv_relu6(g, y, &format!("{name}.depthwise"), Conv::depthwise(wide).stride(stride));
    let gain = if residual { BRANCH } else { LINEAR };
    let y = g.conv(y, &format!("{name}.project"), Conv::same(channels, 1).gain(gain));
    if residual { g.add(x, y, &format!("{name}.add")) } else { y }
}

fn conv_relu6(g: &mut Graph, x: Value, name: &str, shape: Conv) -> Value {
    let y = g.conv(x, name, shape);
    g.relu6(y, &format!("{name}.relu6"))
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn mobilenet_v2_loads_runs_and_listens_to_its_input() {
        check("mobilenet_v2", &[("N", 1)]);
    }
}
