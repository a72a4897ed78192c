//! CPU functions of what merging makes: the program of one instance for each of several, views, and stacking.

use crate::graph::fuse::copied;
use crate::graph::host::{Function, HostProgram, Source};
use crate::graph::import::tensor::datum_type;
use crate::graph::ir::{Graph, ValueId};
use crate::graph::view::ViewOp;
use crate::hal::HostFn;
use crate::tensor::{HostTensor, View};

/// A function whose arguments are `values` of `graph`, as a node's program.
pub(super) fn program(
    function: impl HostFn + 'static,
    graph: &Graph,
    values: &[ValueId],
    outputs: usize,
) -> HostProgram {
    let arguments = values.iter().enumerate();
    let arguments = arguments.map(|(at, &v)| (Source::Input(at), datum_type(graph.value(v).dtype))).collect();
    HostProgram::single(Function::Own(std::sync::Arc::new(function)), arguments, outputs)
}

/// A program of one instance, for each of several.
#[derive(Debug)]
pub(super) struct EachInstance {
    pub(super) program: HostProgram,
    /// For each instance, where along the first axis of each argument its own lies; `None` for the argument as it is.
    pub(super) places: Vec<Vec<Option<usize>>>,
    /// Outputs of the program.
    pub(super) outputs: usize,
}

impl HostFn for EachInstance {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let mut parts: Vec<Vec<HostTensor>> = vec![Vec::new(); self.outputs];
        for places in &self.places {
            let own: Vec<HostTensor> = inputs.iter().zip(places).map(|(t, place)| instance(t, *place)).collect();
            let results = self.program.eval(&own)?;
            for (part, result) in parts.iter_mut().zip(results) {
                part.push(result);
            }
        }
        parts.iter().map(|part| stacked(part)).collect()
    }
}

/// A value behind views.
#[derive(Debug)]
pub(super) struct Viewed(pub(super) Vec<ViewOp>);

impl HostFn for Viewed {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Ok(inputs.iter().map(|t| copied(t, &self.0)).collect())
    }
}

/// Values that each have an axis of one instance in front, one after the other.
#[derive(Debug)]
pub(super) struct Joined;

impl HostFn for Joined {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let parts: Vec<HostTensor> = inputs.iter().map(|t| instance(t, Some(0))).collect();
        Ok(vec![stacked(&parts)?])
    }
}

fn instance(tensor: &HostTensor, place: Option<usize>) -> HostTensor {
    let Some(place) = place else { return tensor.clone() };
    let shape = &tensor.shape()[1..];
    tensor.gathered(&View::contiguous(place * shape.iter().product::<usize>(), shape))
}

fn stacked(parts: &[HostTensor]) -> Result<HostTensor, String> {
    let first = parts.first().ok_or("no instance")?;
    let shape = [&[parts.len()], first.shape()].concat();
    let bytes: Vec<u8> = parts.iter().flat_map(|t| t.bytes()).copied().collect();
    HostTensor::new(first.dtype(), &shape, bytes).map_err(|e| e.to_string())
}
