//! Axes, permutations, sizes and counts, as attributes and as constant inputs.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::{Known, VOLUME_MAX};

/// Elements that an operator may make of constants alone: they are computed as the model is loaded.
const MADE_OF_CONSTANTS_MAX: f64 = (1 << 28) as f64;
/// The largest extent of an axis.
const EXTENT_MAX: f64 = i32::MAX as f64;

/// Checks one node.
///
/// # Errors
/// Which attribute or input is wrong, and what is allowed.
pub(super) fn check(node: &NodeProto, known: &Known) -> Result<(), String> {
    let at = Node { node, known };
    match node.op_type.as_str() {
        "Transpose" => at.permutation(),
        "Softmax" | "LogSoftmax" | "Hardmax" | "ArgMax" | "ArgMin" | "GatherElements" | "Scatter"
        | "ScatterElements" | "Concat" | "Compress" | "LayerNormalization" | "LpNormalization" | "Split" => {
            at.axis_below(0)
        }
        "Flatten" | "OneHot" => at.axis_below(1).and_then(|()| at.depth()),
        "Gather" => at.axis_below(0).and_then(|()| at.indices()),
        "TopK" => at.axis_below(0).and_then(|()| at.count()),
        "CumSum" => at.listed_axes("input 1 (axis)", at.input(1)),
        "Squeeze" => at.axes(),
        name if name.starts_with("Reduce") => at.axes(),
        "Expand" => at.sizes(1, 0.0),
        "Tile" => at.sizes(1, 0.0),
        "Reshape" => at.sizes(1, -1.0),
        "ConstantOfShape" => at.sizes(0, 0.0).and_then(|()| at.made_of_constants()),
        "Range" => at.steps(),
        "Pad" => at.pads(),
        "Slice" => at.strides(),
        "Resize" | "Upsample" => at.scales(),
        "DepthToSpace" | "SpaceToDepth" => at.above_zero("blocksize"),
        "LSTM" | "GRU" | "RNN" => at.above_zero("hidden_size"),
        "GroupNormalization" => at.above_zero("num_groups"),
        "LRN" => at.above_zero("size"),
        _ => Ok(()),
    }
}

/// A node and what is known around it.
struct Node<'a> {
    node: &'a NodeProto,
    known: &'a Known,
}

impl<'a> Node<'a> {
    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|a| a.name == name)
    }

    fn input(&self, at: usize) -> Option<&'a [f64]> {
        self.known.values(self.node.input.get(at)?)
    }

    fn shape(&self) -> Option<&'a [usize]> {
        self.known.shape(self.node.input.first()?)
    }

    /// The attribute `axis`, of an input's axes and `more`.
    fn axis_below(&self, more: usize) -> Result<(), String> {
        match (self.attribute("axis"), self.shape()) {
            (Some(axis), Some(shape)) => in_range("attribute axis", axis.i as f64, shape.len() + more, shape),
            _ => Ok(()),
        }
    }

    /// The attribute or the second input `axes`, each once.
    fn axes(&self) -> Result<(), String> {
        let listed: Option<Vec<f64>> = self.attribute("axes").map(|a| a.ints.iter().map(|&v| v as f64).collect());
        match listed {
            Some(listed) => self.listed_axes("attribute axes", Some(&listed)),
            None => self.listed_axes("input 1 (axes)", self.input(1)),
        }
    }

    fn listed_axes(&self, what: &str, listed: Option<&[f64]>) -> Result<(), String> {
        let (Some(listed), Some(shape)) = (listed, self.shape()) else { return Ok(()) };
        let mut seen = Vec::new();
        for &axis in listed {
            in_range(what, axis, shape.len(), shape)?;
            let axis = if axis < 0.0 { axis + shape.len() as f64 } else { axis };
            if seen.contains(&axis) {
                return Err(format!("{what} is {}: axis {axis} is there twice", show(listed)));
            }
            seen.push(axis);
        }
        Ok(())
    }

    fn permutation(&self) -> Result<(), String> {
        let Some(perm) = self.attribute("perm").map(|a| &a.ints) else { return Ok(()) };
        let each_once = (0..perm.len()).all(|axis| perm.iter().filter(|&&p| p == axis as i64).count() == 1);
        if !each_once {
            return Err(format!("attribute perm is {perm:?}; allowed is each axis from 0 once"));
        }
        match self.shape() {
            Some(shape) if shape.len() != perm.len() => {
                Err(format!("attribute perm is {perm:?}, its input has the shape {shape:?}"))
            }
            _ => Ok(()),
        }
    }

    fn above_zero(&self, name: &str) -> Result<(), String> {
        match self.attribute(name) {
            Some(a) if !(1..=i64::from(i32::MAX)).contains(&a.i) => {
                Err(format!("attribute {name} is {}; allowed is 1 and above", a.i))
            }
            _ => Ok(()),
        }
    }

    /// `TopK`'s number, at most the extent of its axis.
    fn count(&self) -> Result<(), String> {
        let attribute = self.attribute("k").map(|a| a.i as f64);
        let given = attribute.or_else(|| self.input(1).and_then(|v| v.first().copied()));
        let (Some(k), Some(shape)) = (given, self.shape()) else { return Ok(()) };
        let axis = self.attribute("axis").map_or(-1, |a| a.i).rem_euclid(shape.len().max(1) as i64) as usize;
        let extent = shape.get(axis).copied().unwrap_or(1);
        if (0.0..=extent as f64).contains(&k) {
            return Ok(());
        }
        Err(format!("k is {k}; allowed is 0 to {extent}, the extent of axis {axis} of {shape:?}"))
    }

    /// `Gather`'s indices where they are constants.
    fn indices(&self) -> Result<(), String> {
        let (Some(indices), Some(shape)) = (self.input(1), self.shape()) else { return Ok(()) };
        let axis = self.attribute("axis").map_or(0, |a| a.i).rem_euclid(shape.len().max(1) as i64) as usize;
        let extent = shape.get(axis).copied().unwrap_or(1) as f64;
        match indices.iter().find(|&&i| i < -extent || i >= extent) {
            Some(index) => Err(format!("index {index} is outside of axis {axis} of {shape:?}")),
            None => Ok(()),
        }
    }

    /// `OneHot`'s depth.
    fn depth(&self) -> Result<(), String> {
        let depth = self.input(1).filter(|_| self.node.op_type == "OneHot").and_then(|v| v.first().copied());
        match depth {
            Some(depth) if !(1.0..=EXTENT_MAX).contains(&depth) => {
                Err(format!("input 1 (depth) is {depth}; allowed is 1 to {EXTENT_MAX}"))
            }
            _ => Ok(()),
        }
    }

    /// Sizes or repeats as input `at`, from `least`.
    fn sizes(&self, at: usize, least: f64) -> Result<(), String> {
        let Some(sizes) = self.input(at) else { return Ok(()) };
        let elements = sizes.iter().filter(|&&s| s > 0.0).product::<f64>();
        if sizes.iter().all(|s| (least..=EXTENT_MAX).contains(s)) && elements <= VOLUME_MAX as f64 {
            return Ok(());
        }
        Err(format!(
            "input {at} (sizes) is {}; allowed is {least} to {EXTENT_MAX}, {VOLUME_MAX} elements in all",
            show(sizes)
        ))
    }

    fn made_of_constants(&self) -> Result<(), String> {
        let elements = self.input(0).map_or(0.0, |sizes| sizes.iter().product::<f64>());
        if elements <= MADE_OF_CONSTANTS_MAX {
            return Ok(());
        }
        Err(format!("it makes {elements} elements of constants, {MADE_OF_CONSTANTS_MAX} at most are allowed"))
    }

    /// `Range`'s start, limit and delta.
    fn steps(&self) -> Result<(), String> {
        let scalar = |at: usize| self.input(at).and_then(|v| v.first().copied());
        let (Some(start), Some(limit), Some(delta)) = (scalar(0), scalar(1), scalar(2)) else { return Ok(()) };
        let steps = (limit - start) / delta;
        if delta != 0.0 && steps <= MADE_OF_CONSTANTS_MAX {
            return Ok(());
        }
        let most = MADE_OF_CONSTANTS_MAX;
        Err(format!("from {start} to {limit} in steps of {delta}; allowed are steps other than 0 and {most} elements"))
    }

    /// `Pad`'s amounts: no axis becomes negative.
    fn pads(&self) -> Result<(), String> {
        let attribute: Option<Vec<f64>> = self.attribute("pads").map(|a| a.ints.iter().map(|&v| v as f64).collect());
        let Some(pads) = attribute.as_deref().or(self.input(1)) else { return Ok(()) };
        if pads.iter().any(|p| p.abs() > EXTENT_MAX) {
            return Err(format!("pads are {}; allowed is up to {EXTENT_MAX}", show(pads)));
        }
        // With a list of axes only those are padded.
        let axes: Option<Vec<f64>> = match self.node.input.get(3).filter(|name| !name.is_empty()) {
            Some(_) => self.input(3).map(<[f64]>::to_vec),
            None => self.shape().map(|shape| (0..shape.len()).map(|axis| axis as f64).collect()),
        };
        let (Some(shape), Some(axes)) = (self.shape(), axes) else { return Ok(()) };
        if pads.len() != 2 * axes.len() {
            let (n, wanted) = (pads.len(), 2 * axes.len());
            return Err(format!("pads are {}, {n} values; allowed is {wanted} for {} axes", show(pads), axes.len()));
        }
        for (at, &axis) in axes.iter().enumerate() {
            in_range("input 3 (axes)", axis, shape.len(), shape)?;
            let axis = if axis < 0.0 { axis + shape.len() as f64 } else { axis } as usize;
            if shape[axis] as f64 + pads[at] + pads[at + axes.len()] < 0.0 {
                return Err(format!(
                    "pads are {}: axis {axis} of {shape:?} has fewer elements than are cut off",
                    show(pads)
                ));
            }
        }
        Ok(())
    }

    /// `Slice`'s steps.
    fn strides(&self) -> Result<(), String> {
        match self.input(4).and_then(|steps| steps.iter().find(|s| **s == 0.0 || s.abs() > EXTENT_MAX)) {
            Some(step) => Err(format!("input 4 (steps) has {step}; allowed is up to {EXTENT_MAX} either way, not 0")),
            None => self.listed_axes("input 3 (axes)", self.input(3)),
        }
    }

    /// `Resize`'s factors and sizes.
    fn scales(&self) -> Result<(), String> {
        let slot = if self.node.input.len() == 2 { 1 } else { 2 };
        let wrong = self.input(slot).and_then(|scales| scales.iter().find(|s| !(**s > 0.0 && s.is_finite())));
        if let Some(scale) = wrong {
            return Err(format!("input {slot} (scales) has {scale}; allowed is above 0"));
        }
        self.sizes(3, 0.0)
    }
}

fn in_range(what: &str, axis: f64, rank: usize, shape: &[usize]) -> Result<(), String> {
    let rank = rank as i64;
    // A scalar may be reduced over its only "axis" by some exporters.
    if (-rank..rank).contains(&(axis as i64)) || (rank == 0 && (axis == 0.0 || axis == -1.0)) {
        return Ok(());
    }
    Err(format!("{what} is {axis}; allowed is {} to {} for an input of shape {shape:?}", -rank, rank - 1))
}

/// Numbers as a list: integers without a fraction.
fn show(values: &[f64]) -> String {
    let texts: Vec<String> = values.iter().map(f64::to_string).collect();
    format!("[{}]", texts.join(", "))
}
