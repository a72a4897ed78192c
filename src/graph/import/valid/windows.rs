//! Windows of convolutions and pooling: above zero, inside of the padded input; groups that divide the channels.

use tract_onnx::pb::NodeProto;

use super::Known;

/// Bounds every extent, stride and padding, so that products of a few stay in 64 bits.
const SIZE_MAX: i64 = i32::MAX as i64;

/// Checks one node.
///
/// # Errors
/// Which attribute is wrong, and what is allowed.
pub(super) fn check(node: &NodeProto, known: &Known) -> Result<(), String> {
    let (conv, transposed) = match node.op_type.as_str() {
        "Conv" | "ConvInteger" | "QLinearConv" => (true, false),
        "ConvTranspose" => (true, true),
        "MaxPool" | "AveragePool" | "LpPool" => (false, false),
        _ => return Ok(()),
    };
    let list = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.ints.as_slice());
    let int = |name: &str, default: i64| node.attribute.iter().find(|a| a.name == name).map_or(default, |a| a.i);
    for (name, least) in [("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 0), ("output_padding", 0)] {
        if let Some(values) = list(name).filter(|v| v.iter().any(|v| !(least..=SIZE_MAX).contains(v))) {
            return Err(format!("attribute {name} is {values:?}; allowed is {least} to {SIZE_MAX}"));
        }
    }
    let group = int("group", 1);
    if !(1..=SIZE_MAX).contains(&group) {
        return Err(format!("attribute group is {group}; allowed is 1 and above"));
    }
    let shape = |at: usize| node.input.get(at).and_then(|name| known.shape(name));
    let input = shape(0);
    let weights = shape(usize::from(conv)).filter(|_| conv && node.op_type != "QLinearConv");
    if let Some(w) = weights.filter(|w| w.len() > 2) {
        let divided = usize::try_from(group).unwrap_or(1);
        let (axis, what) = if transposed { (0, "inputs") } else { (0, "outputs") };
        if w[axis] % divided != 0 {
            return Err(format!(
                "attribute group is {group}, which does not divide the {} {what} of weights {w:?}",
                w[0]
            ));
        }
        let declared = list("kernel_shape").filter(|k| !k.is_empty());
        if let Some(k) = declared.filter(|k| !k.iter().copied().eq(w[2..].iter().map(|&d| d as i64))) {
            return Err(format!("attribute kernel_shape is {k:?}, the weights have the shape {w:?}"));
        }
    }
    let (Some(input), false) = (input.filter(|x| x.len() > 2), transposed) else { return Ok(()) };
    let kernel: Vec<i64> = match (list("kernel_shape").filter(|k| !k.is_empty()), weights) {
        (Some(kernel), _) => kernel.to_vec(),
        (None, Some(w)) if w.len() > 2 => w[2..].iter().map(|&d| d as i64).collect(),
        _ => return Ok(()),
    };
    let spatial = input.len() - 2;
    for (name, length) in
        [("kernel_shape", spatial), ("strides", spatial), ("dilations", spatial), ("pads", 2 * spatial)]
    {
        if let Some(values) = list(name).filter(|v| !v.is_empty() && v.len() != length) {
            return Err(format!(
                "attribute {name} is {values:?}; allowed is {length} values for an input of {input:?}"
            ));
        }
    }
    if kernel.len() != spatial {
        return Err(format!("weights with {} spatial axes for an input of shape {input:?}", kernel.len()));
    }
    let padded_by_attribute = node.attribute.iter().find(|a| a.name == "auto_pad");
    if padded_by_attribute.is_some_and(|a| a.s.starts_with(b"SAME")) {
        return Ok(());
    }
    let ceil = i64::from(int("ceil_mode", 0) != 0);
    for axis in 0..spatial {
        let at = |name: &str, k: usize, default: i64| list(name).and_then(|v| v.get(k)).copied().unwrap_or(default);
        let pads = at("pads", axis, 0) + at("pads", axis + spatial, 0);
        let span = (kernel[axis] - 1).saturating_mul(at("dilations", axis, 1)).saturating_add(1);
        let padded = (input[axis + 2] as i64).saturating_add(pads);
        // An empty batch of nothing stays nothing; rounding up, a window may hang over the end.
        let slack = ceil * (at("strides", axis, 1) - 1);
        if input[axis + 2] > 0 && span > padded.saturating_add(slack) {
            return Err(format!(
                "a window of {span} elements (kernel_shape {}, dilations {}) does not fit axis {} of {input:?} with pads {pads}",
                kernel[axis],
                at("dilations", axis, 1),
                axis + 2
            ));
        }
    }
    Ok(())
}
