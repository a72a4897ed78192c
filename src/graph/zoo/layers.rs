//! Layers: operators with their weights, and shorthands for the operators that every family uses.
//!
//! Each adds one node under the name given (and its weights under `name.weight`, `name.bias`), unless it says
//! otherwise. Weight layouts are those of the ONNX exporters, so that fusion and lowering meet what they will meet in
//! files. Operators that one family alone needs (LSTM, say) are in that family's file.

use super::builder::{Graph, Value, float, int, ints};
use super::weights::Spread;

/// Gain of a layer that a ReLU (or a relative of it) follows: it makes up for the half that the ReLU removes.
pub const RELU: f32 = std::f32::consts::SQRT_2;
/// Gain of a layer that nothing follows: energy in, energy out.
pub const LINEAR: f32 = 1.0;
/// Gain of the last layer of a residual branch: the branch adds an eighth of the shortcut's energy, so that a stack of
/// sixteen blocks grows by less than a factor of seven.
pub const BRANCH: f32 = 0.353_553_4;

/// Shape of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Output channels.
    pub channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Stride in both directions.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pad: [usize; 4],
    /// Groups; as many as input channels for a depthwise convolution.
    pub groups: usize,
    /// Gain of the weights; see [`RELU`], [`LINEAR`], [`BRANCH`].
    pub gain: f32,
}

impl Conv {
    /// A square kernel, stride 1, padded to keep the image's size when `kernel` is odd, to be followed by a ReLU.
    pub fn same(channels: usize, kernel: usize) -> Conv {
        Conv::rect(channels, [kernel, kernel])
    }

    /// A kernel of the given height and width, otherwise as [`Conv::same`].
    pub fn rect(channels: usize, kernel: [usize; 2]) -> Conv {
        let [top, left] = kernel.map(|length| (length - 1) / 2);
        Conv { channels, kernel, stride: [1, 1], pad: [top, left, top, left], groups: 1, gain: RELU }
    }

    /// A 3×3 convolution of each channel by itself, padded.
    pub fn depthwise(channels: usize) -> Conv {
        Conv { groups: channels, ..Conv::same(channels, 3) }
    }

    /// Without padding.
    pub fn valid(self) -> Conv {
        Conv { pad: [0; 4], ..self }
    }

    /// With this stride in both directions.
    pub fn stride(self, stride: usize) -> Conv {
        Conv { stride: [stride; 2], ..self }
    }

    /// With this gain.
    pub fn gain(self, gain: f32) -> Conv {
        Conv { gain, ..self }
    }
}

/// Convolutional networks: images `[N, C, H, W]`.
impl Graph {
    /// Convolution with bias.
    pub fn conv(&mut self, x: Value, name: &str, shape: Conv) -> Value {
        let weight = self.conv_weight(x, name, shape);
        let bias = self.weight(&format!("{name}.bias"), &[shape.channels], Spread::BIAS);
        self.node("Conv", name, &[x, weight, bias], shape.channels, conv_attributes(shape))
    }

    /// Convolution with bias and ReLU: nodes `name` and `name.relu`.
    pub fn conv_relu(&mut self, x: Value, name: &str, shape: Conv) -> Value {
        let y = self.conv(x, name, shape);
        self.relu(y, &format!("{name}.relu"))
    }

    /// Convolution without bias.
    pub fn conv_plain(&mut self, x: Value, name: &str, shape: Conv) -> Value {
        let weight = self.conv_weight(x, name, shape);
        self.node("Conv", name, &[x, weight], shape.channels, conv_attributes(shape))
    }

    /// `BatchNormalization`, not folded. Statistics are near mean 0 and variance 1 of a layer with gain `sqrt(2)`, so the
    /// energy is kept.
    pub fn batch_norm(&mut self, x: Value, name: &str) -> Value {
        let scale = self.weight(&format!("{name}.weight"), &[x.width()], Spread::SCALE);
        let shift = self.weight(&format!("{name}.bias"), &[x.width()], Spread::BIAS);
        let mean = self.weight(&format!("{name}.running_mean"), &[x.width()], Spread::BIAS);
        let variance = self.weight(&format!("{name}.running_var"), &[x.width()], Spread::SCALE);
        let inputs = [x, scale, shift, mean, variance];
        self.node("BatchNormalization", name, &inputs, x.width(), vec![float("epsilon", 1e-5)])
    }

    /// Convolution without bias and batch normalisation: nodes `name.conv` and `name.bn`.
    pub fn conv_batch_norm(&mut self, x: Value, name: &str, shape: Conv) -> Value {
        let y = self.conv_plain(x, &format!("{name}.conv"), shape);
        self.batch_norm(y, &format!("{name}.bn"))
    }

    /// Largest value under a square window.
    pub fn max_pool(&mut self, x: Value, name: &str, kernel: usize, stride: usize, pad: usize) -> Value {
        let attributes =
            vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[pad; 4])];
        self.node("MaxPool", name, &[x], x.width(), attributes)
    }

    /// Mean under a square window of what lies in the image.
    pub fn average_pool(&mut self, x: Value, name: &str, kernel: usize, stride: usize, pad: usize) -> Value {
        let attributes =
            vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[pad; 4])];
        self.node("AveragePool", name, &[x], x.width(), attributes)
    }

    /// Mean under a square window that keeps the image's size; the padding counts as zeros.
    pub fn average_pool_same(&mut self, x: Value, name: &str, kernel: usize) -> Value {
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[1; 2]),
            ints("pads", &[kernel / 2; 4]),
            int("count_include_pad", 1),
        ];
        self.node("AveragePool", name, &[x], x.width(), attributes)
    }

    /// Mean of each channel, as a row of features `[N, C]`: nodes `name` and `name.flat`.
    pub fn global_average(&mut self, x: Value, name: &str) -> Value {
        let y = self.node("GlobalAveragePool", name, &[x], x.width(), vec![]);
        self.flatten(y, &format!("{name}.flat"), x.width())
    }

    /// Everything but the batch axis as one row of `width` features.
    pub fn flatten(&mut self, x: Value, name: &str, width: usize) -> Value {
        self.node("Flatten", name, &[x], width, vec![int("axis", 1)])
    }

    /// Joins images along their channels, or matrices along their columns (axis 1 of both).
    pub fn concat(&mut self, values: &[Value], name: &str) -> Value {
        let width = values.iter().map(|value| value.width()).sum();
        self.node("Concat", name, values, width, vec![int("axis", 1)])
    }

    fn conv_weight(&mut self, x: Value, name: &str, shape: Conv) -> Value {
        let per_group = x.width() / shape.groups;
        let [height, width] = shape.kernel;
        let spread = Spread::fan_in(per_group * height * width, shape.gain);
        self.weight(&format!("{name}.weight"), &[shape.channels, per_group, height, width], spread)
    }
}

/// Features: the last axis is the one that is transformed.
impl Graph {
    /// `x[rows, in] * weight[out, in]^T + bias`, as `Gemm`.
    pub fn gemm(&mut self, x: Value, name: &str, features: usize, gain: f32) -> Value {
        let spread = Spread::fan_in(x.width(), gain);
        let weight = self.weight(&format!("{name}.weight"), &[features, x.width()], spread);
        let bias = self.weight(&format!("{name}.bias"), &[features], Spread::BIAS);
        self.node("Gemm", name, &[x, weight, bias], features, vec![int("transB", 1)])
    }

    /// `x[..., in] * weight[in, out] + bias` for any rank: nodes `name.matmul` and `name`.
    pub fn linear(&mut self, x: Value, name: &str, features: usize, gain: f32) -> Value {
        let spread = Spread::fan_in(x.width(), gain);
        let weight = self.weight(&format!("{name}.weight"), &[x.width(), features], spread);
        let bias = self.weight(&format!("{name}.bias"), &[features], Spread::BIAS);
        let y = self.matmul(x, weight, &format!("{name}.matmul"));
        self.add(y, bias, name)
    }

    /// Scales the last axis to mean 0 and variance 1, then by weights.
    pub fn layer_norm(&mut self, x: Value, name: &str, epsilon: f32) -> Value {
        let scale = self.weight(&format!("{name}.weight"), &[x.width()], Spread::SCALE);
        let shift = self.weight(&format!("{name}.bias"), &[x.width()], Spread::BIAS);
        let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
        self.node("LayerNormalization", name, &[x, scale, shift], x.width(), attributes)
    }

    /// Rows of a table of weights: `ids[...]` to `[..., width]`. The table is `name.weight`.
    pub fn embedding(&mut self, ids: Value, name: &str, rows: usize, width: usize, std: f32) -> Value {
        let table = self.weight(&format!("{name}.weight"), &[rows, width], Spread::centred(std));
        self.gather(table, ids, name, 0, width)
    }

    /// `GELU(x) = x * (1 + erf(x / sqrt 2)) / 2`, in the five nodes that exporters write below operator set 20.
    pub fn gelu(&mut self, x: Value, name: &str) -> Value {
        let width = x.width();
        let root = self.scalar(&format!("{name}.sqrt2"), std::f32::consts::SQRT_2);
        let one = self.scalar(&format!("{name}.one"), 1.0);
        let half = self.scalar(&format!("{name}.half"), 0.5);
        let scaled = self.node("Div", &format!("{name}.div"), &[x, root], width, vec![]);
        let erf = self.node("Erf", &format!("{name}.erf"), &[scaled], width, vec![]);
        let weight = self.add(erf, one, &format!("{name}.add"));
        let twice = self.mul(x, weight, &format!("{name}.mul"));
        self.mul(twice, half, name)
    }

    /// Softmax over the last axis.
    pub fn softmax(&mut self, x: Value, name: &str) -> Value {
        self.node("Softmax", name, &[x], x.width(), vec![int("axis", -1)])
    }

    /// Matrix product of the last two axes, batched over the others.
    pub fn matmul(&mut self, a: Value, b: Value, name: &str) -> Value {
        self.node("MatMul", name, &[a, b], b.width(), vec![])
    }

    /// Rows of `table` along `axis`, by `ids`.
    pub fn gather(&mut self, table: Value, ids: Value, name: &str, axis: i64, width: usize) -> Value {
        self.node("Gather", name, &[table, ids], width, vec![int("axis", axis)])
    }

    /// The same elements under another shape; 0 keeps an axis. The shape is `name.shape`.
    pub fn reshape(&mut self, x: Value, name: &str, shape: &[i64], width: usize) -> Value {
        let shape = self.indices(&format!("{name}.shape"), shape);
        self.node("Reshape", name, &[x, shape], width, vec![])
    }

    /// Adds axes of length 1 at these places. They are `name.axes`.
    pub fn unsqueeze(&mut self, x: Value, name: &str, axes: &[i64], width: usize) -> Value {
        let axes = self.indices(&format!("{name}.axes"), axes);
        self.node("Unsqueeze", name, &[x, axes], width, vec![])
    }

    /// Axes in another order.
    pub fn transpose(&mut self, x: Value, name: &str, order: &[usize], width: usize) -> Value {
        self.node("Transpose", name, &[x], width, vec![ints("perm", order)])
    }
}

/// Elementwise operators.
impl Graph {
    /// `max(x, 0)`
    pub fn relu(&mut self, x: Value, name: &str) -> Value {
        self.node("Relu", name, &[x], x.width(), vec![])
    }

    /// `min(max(x, 0), 6)`, as `Clip`.
    pub fn relu6(&mut self, x: Value, name: &str) -> Value {
        let low = self.scalar(&format!("{name}.min"), 0.0);
        let high = self.scalar(&format!("{name}.max"), 6.0);
        self.node("Clip", name, &[x, low, high], x.width(), vec![])
    }

    /// `a + b`, with broadcasting; the width is that of `a`.
    pub fn add(&mut self, a: Value, b: Value, name: &str) -> Value {
        self.node("Add", name, &[a, b], a.width(), vec![])
    }

    /// `a * b`, with broadcasting; the width is that of `a`.
    pub fn mul(&mut self, a: Value, b: Value, name: &str) -> Value {
        self.node("Mul", name, &[a, b], a.width(), vec![])
    }
}

fn conv_attributes(shape: Conv) -> Vec<tract_onnx::pb::AttributeProto> {
    vec![
        ints("kernel_shape", &shape.kernel),
        ints("strides", &shape.stride),
        ints("pads", &shape.pad),
        ints("dilations", &[1, 1]),
        int("group", shape.groups as i64),
    ]
}
