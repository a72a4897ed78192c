//! Which inputs of ONNX operators decide shapes, axes or branches. The backend tests give them at run time; a runtime of
//! fixed shapes needs them when the model is loaded.

use std::collections::BTreeMap;

use crate::cli::onnx_head::OnnxHead;
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

/// The inputs of `model` that decide something, with their values.
pub fn constants(model: &OnnxHead, inputs: &[HostTensor]) -> BTreeMap<String, HostTensor> {
    let used_so = |name: &str| {
        let decides_here = |node: &crate::cli::onnx_head::NodeHead| {
            node.input.iter().enumerate().any(|(at, input)| input == name && decides(&node.op_type, at))
        };
        model.nodes().iter().any(decides_here)
    };
    let named = model.inputs().into_iter().map(|port| port.name.clone()).zip(inputs);
    named.filter(|(name, _)| used_so(name)).map(|(name, value)| (name, value.clone())).collect()
}
