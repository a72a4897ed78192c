//! Depthwise convolutions: the case of [`Conv`] with one channel in and out of every group. There is no sum over
//! channels to share, so a lane computes a block of neighbouring outputs and loads each input once for all of them.

use std::sync::Arc;

use super::conv::Conv;
use super::epilogue::EpilogueOperands;
use super::params::{KernelFile, params};
use super::tiling::{TILE_ITERATIONS_MAX, lanes};
use super::{
    ELEMENTWISE_SCALARS_MAX, EPILOGUE_OPERANDS_MAX, Io, KernelLaunch, NoKernel, Operator, Space, stride_word,
    stride_words,
};
use crate::hal::{DeviceCaps, KernelSpec};

/// Blocks of one lane in one tile: they share the loads of the kernel's taps.
const BLOCKS_PER_LANE: usize = 4;

pub(super) const FILE: KernelFile = KernelFile {
    name: "depthwise",
    source: include_str!("../../shaders/depthwise.wgsl"),
    functions: &[],
    fields: DepthwiseOp::FIELDS,
};

params! {
    struct DepthwiseOp {
        channels: u32,
        h: u32,
        w: u32,
        oh: u32,
        ow: u32,
        kh: u32,
        kw: u32,
        sh: u32,
        sw: u32,
        dh: u32,
        dw: u32,
        ph: u32,
        pw: u32,
        per: u32,
        x: u32,
        x_strides: [u32; 4],
        wt: u32,
        w_strides: [u32; 3],
        y: u32,
        y_strides: [u32; 4],
        e: [u32; EPILOGUE_OPERANDS_MAX],
        e_strides: [[u32; 4]; EPILOGUE_OPERANDS_MAX],
        s: [f32; ELEMENTWISE_SCALARS_MAX],
    }
}

/// The code's shape: outputs of a block, and the kernel and strides where they are unrolled.
struct Config {
    rh: u32,
    rw: u32,
    kernel: [u32; 2],
    stride: [u32; 2],
}

fn config(conv: &Conv, oh: usize) -> Config {
    let [kernel, stride] = [conv.kernel, conv.stride].map(|pair| pair.map(|v| v as u32));
    let small = kernel.iter().all(|&k| k <= 5) && stride.iter().all(|&s| s <= 2);
    if !small || conv.dilation != [1, 1] {
        return Config { rh: 1, rw: 4, kernel: [0, 0], stride: [1, 1] };
    }
    // Measured on both software devices: 4x4 outputs for 3x3 kernels of stride one, else 2x4.
    let rh = match (kernel[0], stride[0]) {
        (..=3, 1) if oh >= 4 => 4,
        _ => 2.min(oh as u32),
    };
    Config { rh, rw: 4, kernel, stride }
}

/// The launch of a depthwise convolution whose operands have been checked.
pub(super) fn lower(
    conv: &Conv,
    caps: &DeviceCaps,
    io: Io,
    operands: &EpilogueOperands,
) -> Result<Vec<KernelLaunch>, NoKernel> {
    let shape = conv.output_shape();
    let (x, wt, y) = (&io.inputs[0].view, &io.inputs[1].view, &io.outputs[0].view);
    let config = config(conv, shape[2]);
    let lanes = lanes(caps);
    let in_weights = |k: usize| u32::from(io.inputs[k].space == Space::Weights);
    let kernel = KernelSpec {
        name: FILE.name,
        source: FILE.source,
        functions: FILE.functions,
        consts: vec![
            ("RH", config.rh),
            ("RW", config.rw),
            ("KH", config.kernel[0]),
            ("KW", config.kernel[1]),
            ("SH", config.stride[0]),
            ("SW", config.stride[1]),
            ("IN_WEIGHTS", in_weights(0)),
            ("W_WEIGHTS", in_weights(1)),
            ("INPUTS", conv.epilogue.inputs()),
            ("X_WEIGHTS", operands.in_weights),
        ],
        lanes,
        chain: Some(conv.epilogue.chain.clone()),
    };
    let blocks = shape[2].div_ceil(config.rh as usize) * shape[3].div_ceil(config.rw as usize);
    let per = blocks.div_ceil(lanes as usize).min(BLOCKS_PER_LANE);
    let parts = blocks.div_ceil(per * lanes as usize);
    let tiles = conv.batch * conv.groups * parts;
    let taps = if config.kernel[0] == 0 { conv.kernel[0] * (1 + conv.kernel[1]) } else { 0 };
    let iterations = per * (2 + taps + (config.rh * (2 + config.rw)) as usize);
    if iterations > TILE_ITERATIONS_MAX {
        return Err(NoKernel(format!("{} taps are too many for one tile", conv.kernel[0] * conv.kernel[1])));
    }
    let mut op = DepthwiseOp {
        channels: conv.groups as u32,
        h: conv.input[0] as u32,
        w: conv.input[1] as u32,
        oh: shape[2] as u32,
        ow: shape[3] as u32,
        kh: conv.kernel[0] as u32,
        kw: conv.kernel[1] as u32,
        sh: conv.stride[0] as u32,
        sw: conv.stride[1] as u32,
        dh: conv.dilation[0] as u32,
        dw: conv.dilation[1] as u32,
        ph: conv.pad_before[0] as u32,
        pw: conv.pad_before[1] as u32,
        per: per as u32,
        x: x.offset as u32,
        x_strides: stride_words(x),
        wt: wt.offset as u32,
        w_strides: [wt.strides[0], wt.strides[3], wt.strides[4]].map(stride_word),
        y: y.offset as u32,
        y_strides: stride_words(y),
        e: [0; EPILOGUE_OPERANDS_MAX],
        e_strides: [[0; 4]; EPILOGUE_OPERANDS_MAX],
        s: operands.scalars,
    };
    for (q, view) in operands.views.iter().enumerate() {
        op.e[q] = view.offset as u32;
        op.e_strides[q] = stride_words(view);
    }
    Ok(vec![KernelLaunch {
        kernel: Arc::new(kernel),
        params: op.words(),
        tiles: u32::try_from(tiles).map_err(|_| NoKernel(format!("{tiles} tiles are too many for {}", conv.kind())))?,
        tile_iterations: iterations as u32,
    }])
}
