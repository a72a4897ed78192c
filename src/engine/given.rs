//! Models that are costs and no networks, for simulated devices: recorded kernel lists and laws of whole models.
//!
//! A list becomes a chain of operations with one launch each, in the order of the list; a law becomes one operation. They have
//! no inputs, no outputs and no memory: what is simulated is their time, through queues, policies, streams and partitions
//! like everybody else's. What is not there: copies of inputs and outputs, which lists of kernels do not have; memory
//! traffic of recorded kernels, so that they disturb each other through compute units only; and what different laws do to each
//! other, which nobody measured: a law takes whoever runs beside it for another process of its own model.

use std::sync::Arc;

use crate::graph::{Compiled, GraphError, MemoryUse};
use crate::hal::{Device, GivenCost, HalError, HostFn, KernelSpec, Launch, Operation, Recording};
use crate::predict::a100;
use crate::predict::law::Law;
use crate::predict::profile::recorded::{Bound, RecordedKernel};
use crate::tensor::{HostTensor, TenantId};

/// A model of which only the cost is known.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenModel {
    /// How reports call it.
    pub name: String,
    /// What is known.
    pub cost: ModelCost,
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelCost {
    /// Its kernels in order; at least one.
    Recorded(Vec<RecordedKernel>),
    /// Its law and the batch of a request. It was fitted on an A100 80 GB.
    Law(Law, u32),
}

/// Computes nothing.
#[derive(Debug)]
struct NoOutputs;

impl HostFn for NoOutputs {
    fn eval(&self, _: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Ok(Vec::new())
    }
}

/// The model as a recording of `tenant`.
///
/// # Errors
/// [`GraphError::Model`] for a law on another device than that of its measurements, [`GraphError::Device`] for a device
/// without a buffer left.
pub(super) fn compile(model: &GivenModel, device: &mut dyn Device, tenant: TenantId) -> Result<Compiled, GraphError> {
    let failed = |source: HalError| GraphError::Device { model: model.name.clone(), source };
    let on = device.caps().name.clone();
    if matches!(model.cost, ModelCost::Law(..)) && !on.starts_with(a100::DEVICE) {
        let reason = format!(
            "this law was fitted on {0} and says nothing of {on}; choose --device sim:{0}, or a recorded list of {on}'s kernels (profile:FILE.csv)",
            a100::DEVICE
        );
        return Err(GraphError::Model { model: model.name.clone(), reason });
    }
    let arena = device.alloc(tenant, 0).map_err(failed)?;
    let operations = match &model.cost {
        ModelCost::Recorded(kernels) => {
            (0..).zip(kernels).map(|(at, kernel)| operation(at, arena, Known::of(kernel))).collect()
        }
        ModelCost::Law(law, batch) => vec![operation(0, arena, Known::whole(&model.name, law, *batch))],
    };
    let recording =
        Recording { name: model.name.clone(), tenant, arena, operations, inputs: Vec::new(), outputs: Vec::new() };
    Ok(Compiled { recording: Arc::new(recording), buffers: vec![arena], memory: MemoryUse::default() })
}

/// What becomes an operation.
struct Known {
    name: String,
    kind: &'static str,
    tiles: u32,
    cost: GivenCost,
}

impl Known {
    fn of(kernel: &RecordedKernel) -> Known {
        let kind = match kernel.bound {
            Bound::Compute => "recorded, compute-bound",
            Bound::Memory => "recorded, memory-bound",
            Bound::Unknown => "recorded",
        };
        let cost = GivenCost::Recorded { ns: kernel.ns as f64, bytes: 0.0 };
        Known { name: kernel.name.clone(), kind, tiles: kernel.sms, cost }
    }

    fn whole(name: &str, law: &Law, batch: u32) -> Known {
        Known { name: name.into(), kind: "model by its law", tiles: 1, cost: law.given(batch) }
    }
}

fn operation(at: u32, arena: crate::hal::BufferId, known: Known) -> Operation {
    let kernel = KernelSpec { name: "given", source: "", functions: &[], consts: Vec::new(), lanes: 1, chain: None };
    let launch = Launch {
        kernel: Arc::new(kernel),
        params: Vec::new(),
        tiles: known.tiles,
        workers: known.tiles,
        tile_iterations: 0,
        weights: arena,
    };
    Operation {
        name: known.name,
        kind: known.kind.into(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        deps: at.checked_sub(1).into_iter().collect(),
        launches: vec![launch],
        host: Arc::new(NoOutputs),
        flops: 0,
        bytes: 0,
        reason: None,
        given: Some(known.cost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::device::simulated;
    use crate::hal::sim::SimOptions;

    fn recorded(ns: u64, sms: u32) -> RecordedKernel {
        RecordedKernel { name: "k".into(), bound: Bound::Compute, sms, ns }
    }

    #[test]
    fn a_list_is_a_chain_of_launches() {
        let mut device = simulated("v100-sxm2", SimOptions::default()).unwrap();
        let cost = ModelCost::Recorded(vec![recorded(5, 3), recorded(7, 200), recorded(9, 1)]);
        let model = GivenModel { name: "list".into(), cost };
        let recording = compile(&model, &mut device, TenantId(1)).unwrap().recording;
        assert_eq!((recording.launches(), recording.cpu_nodes()), (3, 0));
        let deps: Vec<&[u32]> = recording.operations.iter().map(|o| o.deps.as_slice()).collect();
        assert_eq!(deps, [&[][..], &[0], &[1]]);
        assert_eq!(recording.operations[1].launches[0].tiles, 200);
        assert_eq!(recording.operations[1].given, Some(GivenCost::Recorded { ns: 7.0, bytes: 0.0 }));
    }

    #[test]
    fn a_law_stays_on_the_device_that_it_was_fitted_on() {
        let law = *a100::find("resnet50").unwrap();
        let model = GivenModel { name: "law:resnet50".into(), cost: ModelCost::Law(law, 8) };
        let mut a100 = simulated("a100-80gb", SimOptions::default()).unwrap();
        let recording = compile(&model, &mut a100, TenantId(1)).unwrap().recording;
        assert_eq!((recording.launches(), recording.operations[0].given), (1, Some(law.given(8))));
        let mut v100 = simulated("v100-sxm2", SimOptions::default()).unwrap();
        let message = compile(&model, &mut v100, TenantId(1)).unwrap_err().to_string();
        for word in ["law:resnet50", "v100-sxm2", "sim:a100-80gb", "profile:"] {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
}
