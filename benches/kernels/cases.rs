//! The operators that are measured: some single ones, and the matrix products and convolutions of three networks at
//! batch 1, each with the epilogue that it has there.

use cotenant::hal::{Chain, ChainArg, ChainStep, Fragment};
use cotenant::kernel::{Conv, Epilogue, Gemm, Operator, Space, fragments};

/// One operator with its operands.
pub struct Case {
    pub network: &'static str,
    pub name: String,
    /// How often the network has it.
    pub count: usize,
    pub operator: Box<dyn Operator>,
    pub inputs: Vec<(Space, Vec<usize>)>,
    pub output: Vec<usize>,
}

impl Case {
    /// Bytes of all operands, each once.
    pub fn bytes(&self) -> usize {
        let shapes = self.inputs.iter().map(|(_, shape)| shape).chain([&self.output]);
        shapes.map(|shape| shape.iter().product::<usize>() * 4).sum()
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut cases = single();
    cases.extend(resnet50());
    cases.extend(mobilenet_v2());
    cases.extend(bert_base());
    cases
}

/// A bias and perhaps an activation.
fn epilogue(activation: Option<Fragment>) -> Epilogue {
    let step = |fragment, args: &[ChainArg]| ChainStep { fragment, args: args.to_vec() };
    let mut steps = vec![step(fragments::ADD, &[ChainArg::Input(0), ChainArg::Input(1)])];
    steps.extend(activation.map(|f| step(f, &[ChainArg::Step(0)])));
    Epilogue { chain: Chain { steps }, scalars: vec![], n_operands: 1 }
}

fn gemm(network: &'static str, count: usize, [m, n, k]: [usize; 3], weights_first: bool) -> Case {
    let spaces = if weights_first { [Space::Weights, Space::Arena] } else { [Space::Arena, Space::Weights] };
    let mut inputs = vec![(spaces[0], vec![m, k]), (spaces[1], vec![k, n])];
    let plain = network.is_empty();
    if !plain {
        inputs.push((Space::Weights, if weights_first { vec![m, 1] } else { vec![n] }));
    }
    let epilogue = if plain { Epilogue::default() } else { epilogue(weights_first.then_some(fragments::RELU)) };
    Case {
        network,
        name: format!("matmul {m}x{n}x{k}"),
        count,
        operator: Box::new(Gemm { batch: vec![], m, n, k: vec![k], epilogue }),
        inputs,
        output: vec![m, n],
    }
}

/// A convolution of stride one and kernel one, as the graph lowers it.
fn pointwise(network: &'static str, count: usize, ic: usize, oc: usize, side: usize) -> Case {
    let case = gemm(network, count, [oc, side * side, ic], true);
    Case { name: format!("1x1 {ic}x{side}x{side} -> {oc}"), ..case }
}

fn conv(network: &'static str, count: usize, channels: [usize; 3], side: usize, k: usize, stride: usize) -> Case {
    let [groups, ic, oc] = channels;
    let plain = network.is_empty();
    let conv = Conv {
        batch: 1,
        groups,
        ic,
        oc,
        input: [side, side],
        kernel: [k, k],
        stride: [stride, stride],
        dilation: [1, 1],
        pad_before: [k / 2, k / 2],
        pad_after: [k / 2, k / 2],
        epilogue: if plain { Epilogue::default() } else { epilogue(Some(fragments::RELU)) },
    };
    let mut inputs =
        vec![(Space::Arena, vec![1, groups * ic, side, side]), (Space::Weights, vec![groups, oc, ic, k, k])];
    if !plain {
        inputs.push((Space::Weights, vec![groups * oc, 1, 1]));
    }
    let kind = if ic == 1 && oc == 1 { "depthwise" } else { "conv" };
    let per_stride = if stride == 1 { String::new() } else { format!(" /{stride}") };
    Case {
        network,
        name: format!("{kind}{k} {}x{side}x{side} -> {}{per_stride}", groups * ic, groups * oc),
        count,
        output: conv.output_shape(),
        operator: Box::new(conv),
        inputs,
    }
}

/// A product of attention over 12 heads of 64 channels; the scores are `q k^T`.
fn attention(network: &'static str, count: usize, tokens: usize, scores: bool) -> Case {
    let [n, k] = if scores { [tokens, 64] } else { [64, tokens] };
    Case {
        network,
        name: format!("attention 12x{tokens}x{n}x{k}"),
        count,
        operator: Box::new(Gemm { batch: vec![12], m: tokens, n, k: vec![k], epilogue: Epilogue::default() }),
        inputs: vec![(Space::Arena, vec![12, tokens, k]), (Space::Arena, vec![12, k, n])],
        output: vec![12, tokens, n],
    }
}

fn single() -> Vec<Case> {
    vec![
        conv("", 1, [1, 64, 64], 56, 3, 1),
        conv("", 1, [1, 128, 128], 28, 3, 1),
        conv("", 1, [1, 3, 32], 224, 3, 2),
        conv("", 1, [96, 1, 1], 56, 3, 1),
        conv("", 1, [96, 1, 1], 28, 5, 1),
        gemm("", 1, [1024, 1024, 1024], false),
        gemm("", 1, [256, 256, 256], false),
        gemm("", 1, [196, 512, 128], false),
        gemm("", 1, [128, 196, 512], true),
        gemm("", 1, [1, 1000, 2048], false),
        gemm("", 1, [32, 128, 128], false),
    ]
}

/// Stages at 56, 28, 14 and 7 pixels; the stride lies in the 3x3 convolution (version 1.5).
fn resnet50() -> Vec<Case> {
    let name = "resnet50";
    let mut cases = vec![conv(name, 1, [1, 3, 64], 224, 7, 2)];
    let mut entering = 64;
    for (channels, side, blocks) in [(64, 56, 3), (128, 28, 4), (256, 14, 6), (512, 7, 3)] {
        let first = entering == 64;
        let (before, stride) = if first { (side, 1) } else { (2 * side, 2) };
        let wide = 4 * channels;
        cases.push(pointwise(name, 1, entering, channels, before));
        if first {
            cases.push(conv(name, blocks, [1, channels, channels], side, 3, 1));
            cases.push(pointwise(name, blocks + 1, channels, wide, side));
        } else {
            cases.push(conv(name, 1, [1, channels, channels], before, 3, stride));
            cases.push(conv(name, blocks - 1, [1, channels, channels], side, 3, 1));
            cases.push(pointwise(name, blocks, channels, wide, side));
            cases.push(conv(name, 1, [1, entering, wide], before, 1, stride));
        }
        cases.push(pointwise(name, blocks - 1, wide, channels, side));
        entering = wide;
    }
    cases.push(gemm(name, 1, [1, 1000, 2048], false));
    cases
}

fn mobilenet_v2() -> Vec<Case> {
    let name = "mobilenet_v2";
    let mut cases = vec![
        conv(name, 1, [1, 3, 32], 224, 3, 2),
        conv(name, 1, [32, 1, 1], 112, 3, 1),
        pointwise(name, 1, 32, 16, 112),
    ];
    let (mut entering, mut side) = (16, 112);
    for (channels, blocks, stride) in [(24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)] {
        let inner = 6 * entering;
        cases.push(pointwise(name, 1, entering, inner, side));
        cases.push(conv(name, 1, [inner, 1, 1], side, 3, stride));
        side /= stride;
        cases.push(pointwise(name, 1, inner, channels, side));
        if blocks > 1 {
            cases.push(pointwise(name, blocks - 1, channels, 6 * channels, side));
            cases.push(conv(name, blocks - 1, [6 * channels, 1, 1], side, 3, 1));
            cases.push(pointwise(name, blocks - 1, 6 * channels, channels, side));
        }
        entering = channels;
    }
    cases.push(pointwise(name, 1, 320, 1280, 7));
    cases.push(gemm(name, 1, [1, 1000, 1280], false));
    cases
}

/// Twelve layers on 128 tokens.
fn bert_base() -> Vec<Case> {
    let (name, tokens) = ("bert_base", 128);
    vec![
        gemm(name, 48, [tokens, 768, 768], false),
        gemm(name, 12, [tokens, 3072, 768], false),
        gemm(name, 12, [tokens, 768, 3072], false),
        attention(name, 12, tokens, true),
        attention(name, 12, tokens, false),
    ]
}
