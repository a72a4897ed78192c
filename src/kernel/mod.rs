//! Operators as elastic kernels. One file per operator: its shapes and costs, its plain reference, and how it becomes
//! launches of the WGSL file of the same name in `shaders/`.
//!
//! Every kernel is a function of one output tile, so a launch can be cut into tile ranges and given any number of
//! workers without changing a bit of its result. What changes the order of a sum is chosen when a model is loaded;
//! a share of the device changes only how many workers walk the tiles.

mod arg_reduce;
mod contraction;
mod conv;
mod copy;
mod cumulative_sum;
mod deconv;
mod depthwise;
mod division;
mod elementwise;
mod epilogue;
pub mod fragments;
mod gather;
mod gather_elements;
mod gather_nd;
mod gemm;
mod grid_sample;
mod gru_cell;
pub mod harness;
mod log_sum_exp;
mod lstm_cell;
mod norm;
mod onehot;
mod pad;
mod params;
mod pool;
pub mod rates;
mod reduce;
mod resize;
mod resize_axis;
mod rows;
mod scatter;
mod scatter_elements;
mod scatter_nd;
mod softmax;
mod stack;
mod tiling;
mod top_k;
mod trilu;
mod walk;
mod window;

pub use arg_reduce::{ArgReduce, Extremum};
pub use contraction::Contraction;
pub use conv::{CONV_PACKED_ORDER, Conv};
pub use copy::Copy;
pub use cumulative_sum::CumulativeSum;
pub use deconv::Deconv;
pub use division::{CutAxis, Division};
pub use elementwise::{ELEMENTWISE_INPUTS_MAX, ELEMENTWISE_SCALARS_MAX, Elementwise};
pub use epilogue::{EPILOGUE_OPERANDS_MAX, Epilogue};
pub use gather::{Gather, TableWindow};
pub use gather_elements::GatherElements;
pub use gather_nd::GatherNd;
pub use gemm::{GEMM_BATCH_AXES_MAX, Gemm};
pub use grid_sample::{GridSample, SampleMode, SamplePadding};
pub use gru_cell::GruCell;
pub use log_sum_exp::LogSumExp;
pub use lstm_cell::LstmCell;
pub use norm::Norm;
pub use onehot::Onehot;
pub use pad::{Pad, PadMode};
pub use params::KernelFile;
pub use pool::{Pool, Pooling};
pub use reduce::{Reduce, Reducer};
pub use resize::Resize;
pub use resize_axis::{Coordinates, Nearest, ResizeAxis, ResizeMode};
pub use scatter::Reduction;
pub use scatter_elements::ScatterElements;
pub use scatter_nd::ScatterNd;
pub use softmax::Softmax;
pub use stack::{Joint, Stacked};
pub use top_k::{TOP_K_LINE_MAX, TopK};
pub use trilu::Trilu;
pub use window::{Padding, Window};

use std::fmt;
use std::sync::Arc;

use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, View};

/// The kernel files, one line each. Tests translate all of them and compare their parameters with the host's.
pub const KERNELS: &[KernelFile] = &[
    arg_reduce::FILE,
    conv::FILE,
    copy::FILE,
    cumulative_sum::FILE,
    deconv::FILE,
    depthwise::FILE,
    elementwise::FILE,
    gather::FILE,
    gemm::FILE,
    grid_sample::FILE,
    gru_cell::FILE,
    lstm_cell::FILE,
    norm::FILE,
    onehot::FILE,
    pad::FILE,
    pool::FILE,
    rates::COPY_FILE,
    rates::FMA_FILE,
    reduce::FILE,
    resize::FILE,
    scatter::FILE,
    softmax::FILE,
    top_k::FILE,
    trilu::FILE,
];

/// Axes that strided kernels walk at most, after neighbouring axes are merged.
pub const RANK_MAX: usize = 6;

/// Which buffer an operand lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The read-only buffer that the launch binds as `weights`.
    Weights,
    /// The tenant's read-write buffer of activations.
    Arena,
}

/// A placed tensor: what a kernel reads or writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// Its buffer.
    pub space: Space,
    /// Its elements, in words of that buffer.
    pub view: View,
    /// The model's element type; a device word holds [`DType::device_word`] of it.
    pub dtype: DType,
}

/// The operands of one operator.
#[derive(Clone, Copy, Debug)]
pub struct Io<'a> {
    /// Inputs in the operator's order.
    pub inputs: &'a [Operand],
    /// Outputs in the operator's order; always in the arena.
    pub outputs: &'a [Operand],
}

/// A launch without its buffers: what an operator lowers to. Launches of one operator run in order.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelLaunch {
    /// The kernel and its configuration.
    pub kernel: Arc<KernelSpec>,
    /// The words of its parameter struct.
    pub params: Vec<u32>,
    /// Output tiles; not zero.
    pub tiles: u32,
    /// Loop iterations of an invocation per tile at most, over all loops that are not of constant length.
    pub tile_iterations: u32,
}

/// Why an operator cannot run as a kernel on this device: it becomes a CPU node, and `inspect` shows the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoKernel(pub String);

/// An operator: what it costs, how it is launched, and what it means. Its `Debug` form shows all that it is: operators with
/// equal forms compute the same.
pub trait Operator: fmt::Debug + Send + Sync {
    /// What it is, for people: `conv 3x3`.
    fn kind(&self) -> String;

    /// Floating-point operations for one evaluation.
    fn flops(&self) -> u64;

    /// The launches that compute it on a device with these capabilities. Pure: the same operands give the same launches.
    /// No launch at all for empty outputs.
    ///
    /// # Errors
    /// [`NoKernel`] when types, ranks or sizes are beyond the kernel.
    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel>;

    /// The ways in which it can be computed in parts, where constants are larger than a device binds at once. None
    /// unless the operator has some.
    fn divisions(&self) -> Vec<Division<'_>> {
        Vec::new()
    }

    /// The operator for `n` instances at once, `n` at least 2, with the same bits for each as alone; `shared` says which of
    /// its inputs are the same for all of them, not every one. `None` unless it has that form.
    fn stacked(&self, n: usize, shared: &[bool]) -> Option<Stacked> {
        let _ = (n, shared);
        None
    }

    /// Inputs of which it reads no more elements than it writes, however many there are: tables.
    fn tables(&self) -> &'static [usize] {
        &[]
    }

    /// True for sums of products, whose plain reference is too slow to be anybody's CPU function.
    fn sums_products(&self) -> bool {
        false
    }

    /// The plainest loop that is right; sums in `f64`. Inputs are dense, in the operator's order.
    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor>;
}

/// Tiles of `per_tile` elements that cover `n`, as launches count them.
///
/// # Errors
/// [`NoKernel`] when there are more than 32 bits can count.
pub fn tiles_of(n: usize, per_tile: u32) -> Result<u32, NoKernel> {
    u32::try_from(n.div_ceil(per_tile as usize)).map_err(|_| NoKernel(format!("{n} elements are too many")))
}

/// Strides and offsets travel as 32-bit words; kernels add them with wrap-around, so negative ones work.
pub fn stride_word(stride: isize) -> u32 {
    stride as i32 as u32
}

/// Merges neighbouring axes that every view walks as one, and drops axes of extent one. All views have equal shapes.
/// What is left is never empty: a scalar becomes one axis of extent one.
pub fn merge_axes(views: &[View]) -> Vec<View> {
    let shape = &views[0].shape;
    debug_assert!(views.iter().all(|v| v.shape == *shape), "views have one shape");
    let mut kept: Vec<usize> = Vec::new();
    let mut merged: Vec<View> =
        views.iter().map(|v| View { offset: v.offset, shape: Vec::new(), strides: Vec::new() }).collect();
    for axis in (0..shape.len()).filter(|&a| shape[a] != 1) {
        let joins = !kept.is_empty()
            && views.iter().zip(&merged).all(|(view, m)| {
                let outer = *m.strides.last().expect("an axis was kept");
                outer == view.strides[axis] * shape[axis] as isize
            });
        for (view, m) in views.iter().zip(&mut merged) {
            if joins {
                *m.shape.last_mut().expect("an axis was kept") *= shape[axis];
                *m.strides.last_mut().expect("an axis was kept") = view.strides[axis];
            } else {
                m.shape.push(shape[axis]);
                m.strides.push(view.strides[axis]);
            }
        }
        kept.push(axis);
    }
    if kept.is_empty() {
        for m in &mut merged {
            m.shape.push(1);
            m.strides.push(0);
        }
    }
    merged
}

/// A view's extents as words, filled up with ones to `N` axes at the front.
pub fn dims_words<const N: usize>(view: &View) -> [u32; N] {
    let mut words = [1; N];
    let missing = N - view.shape.len();
    for (word, &dim) in words[missing..].iter_mut().zip(&view.shape) {
        *word = dim as u32;
    }
    words
}

/// A view's strides as words, filled up with zeros to `N` axes at the front.
pub fn stride_words<const N: usize>(view: &View) -> [u32; N] {
    let mut words = [0; N];
    let missing = N - view.strides.len();
    for (word, &stride) in words[missing..].iter_mut().zip(&view.strides) {
        *word = stride_word(stride);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_merge_only_where_every_view_allows() {
        let a = View::contiguous(0, &[2, 3, 4]);
        let b = View::contiguous(7, &[1, 3, 4]).broadcast_to(&[2, 3, 4]).unwrap();
        let merged = merge_axes(&[a, b]);
        assert_eq!(merged[0].shape, [2, 12]);
        assert_eq!(merged[1].strides, [0, 1]);
        let scalar = merge_axes(&[View::contiguous(3, &[])]);
        assert_eq!((scalar[0].shape.as_slice(), scalar[0].offset), (&[1][..], 3));
    }
}
