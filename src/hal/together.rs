//! Stages that are one dispatch: whether a device runs a stage at once, and what it would have to compile for that.

use std::sync::Arc;

use super::KernelSpec;

/// How a device runs a stage of several slices.
#[derive(Clone, Debug, PartialEq)]
pub enum Together {
    /// At once: what it takes is compiled.
    Ready,
    /// At once, by a co-kernel of many more kernels, each of which costs it time; in less when this is compiled.
    Larger(CoKernel),
    /// At once when this is compiled ([`super::Compiler::compile_together`]); until then slice by slice.
    Compile(CoKernel),
    /// Slice by slice.
    Apart,
}

/// Kernels that are compiled into one.
#[derive(Clone, Debug, PartialEq)]
pub struct CoKernel {
    /// Each kernel with the slot of memory that it uses: all the same where memory is pooled.
    pub kernels: Vec<(Arc<KernelSpec>, u32)>,
    /// Memory is pooled ([`super::Device::pool`]).
    pub pooled: bool,
    /// The logical device that it is for, where a device is several.
    pub member: usize,
}
