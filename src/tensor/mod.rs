//! The vocabulary of every other layer: element types, shapes and strided views, tensors in host memory, identifiers
//! and units. Nothing here knows of devices, kernels or models.

mod dtype;
mod host;
mod ids;
pub mod npy;
mod view;

pub use dtype::DType;
pub use host::{HostTensor, TensorError};
pub use ids::{Nanos, RequestId, Share, TenantId};
pub use view::View;

/// The number of elements of a shape; the empty shape is a scalar and has one.
pub fn volume(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// As [`volume`]; `None` where the number does not fit.
pub fn checked_volume(shape: &[usize]) -> Option<usize> {
    // An empty axis makes the product zero, whatever the others are.
    if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1, |n: usize, &d| n.checked_mul(d)) }
}

/// A shape as people write it: `1x3x224x224`, or `scalar`.
pub fn show_shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".into();
    }
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    dims.join("x")
}
