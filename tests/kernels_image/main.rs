//! Kernels over images (pooling, resizing, transposed convolution, sampling) on every device against their references,
//! and both against ONNX's own tests where those are at hand.

#[path = "../common/mod.rs"]
mod common;
mod deconv;
mod grid_sample;
mod onnx;
mod pool;
mod resize;
