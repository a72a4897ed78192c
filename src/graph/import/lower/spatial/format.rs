//! Data formats: views from a tensor's axes to `[n, c, spatial…]`.

use tract_onnx::tract_core::ops::nn::DataFormat;

use crate::graph::view::ViewOp;

/// The views of a tensor of `rank` axes.
pub(super) fn to_ncs(format: DataFormat, rank: usize) -> Vec<ViewOp> {
    let mut views = Vec::new();
    let mut rank = rank;
    if !format.has_n() {
        views.push(ViewOp::AddAxis(0));
        rank += 1;
    }
    if format.c_is_last() {
        let order = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        views.push(ViewOp::Permute(order));
    }
    views
}
