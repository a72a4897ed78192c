//! Which inputs of ONNX operators decide shapes, axes or branches. The backend tests give them at run time; a runtime of
//! fixed shapes needs them when the model is loaded.

use std::collections::BTreeMap;

use crate::cli::onnx_head::{NodeHead, OnnxHead};
use crate::tensor::HostTensor;

/// Whether input `at` of an operator is such an input.
fn decides(operator: &str, at: usize) -> bool {
    match operator {
        "Reshape" | "Expand" | "Tile" | "Squeeze" | "Unsqueeze" | "Split" | "CumSum" | "Trilu" | "TopK"
        | "Compress" | "CenterCropPad" | "AffineGrid" => at == 1,
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => at == 1,
        "Slice" | "Pad" | "Resize" | "Upsample" | "Dropout" | "QuantizeLinear" | "DequantizeLinear"
        | "BatchNormalization" | "OneHot" | "DFT" | "STFT" | "Col2Im" => at >= 1,
        "NonMaxSuppression" | "MaxUnpool" => at >= 2,
        "LSTM" | "GRU" | "RNN" => at == 4,
        "ConstantOfShape" | "If" | "HannWindow" | "HammingWindow" | "BlackmanWindow" => at == 0,
        "Loop" => at <= 1,
        "Range" | "MelWeightMatrix" => true,
        _ => false,
    }
}

/// The inputs of `model` that decide something because of the operator that takes them, with their values.
pub fn by_operator(model: &OnnxHead, inputs: &[HostTensor]) -> BTreeMap<String, HostTensor> {
    let used_so = |name: &str| {
        let decides_here = |node: &NodeHead| {
            node.input.iter().enumerate().any(|(at, input)| input == name && decides(&node.op_type, at))
        };
        model.nodes().iter().any(decides_here)
    };
    pick(model, inputs, |name, _| used_so(name))
}

/// The inputs of `model` that may decide something: lists and single values of integers, which reach the operator that
/// wants them through others.
pub fn by_type(model: &OnnxHead, inputs: &[HostTensor]) -> BTreeMap<String, HostTensor> {
    pick(model, inputs, |_, value| !value.dtype().is_float() && value.shape().len() <= 1)
}

fn pick(
    model: &OnnxHead,
    inputs: &[HostTensor],
    wanted: impl Fn(&str, &HostTensor) -> bool,
) -> BTreeMap<String, HostTensor> {
    let named = model.inputs().into_iter().map(|port| port.name.clone()).zip(inputs);
    named.filter(|(name, value)| wanted(name, value)).map(|(name, value)| (name, value.clone())).collect()
}
