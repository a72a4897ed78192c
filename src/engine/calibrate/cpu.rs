//! What operators without a kernel take on this machine's CPU: three operators' CPU functions on one thread, one that
//! is small, one that is all arithmetic and one that is all memory.

use super::figure::Figure;
use super::{CalibrateError, TENANT, model_error};
use crate::graph::{self, LoadOptions, ModelSource};
use crate::hal::null::NullDevice;
use crate::hal::{Clock, WallClock, eval};
use crate::tensor::HostTensor;

/// Few elements: what is left is the fixed time.
const SMALL: &str = "add_16";

/// Much arithmetic for few bytes.
const ARITHMETIC: &str = "matmul_256";

/// Many bytes for little arithmetic, beyond what caches hold.
const MEMORY: &str = "add_4000000";

/// See the module's comment.
pub(super) struct CpuCost {
    /// Fixed time in ns.
    pub(super) operator_ns: Figure,
    pub(super) gflops: Figure,
    pub(super) gbs: Figure,
}

impl CpuCost {
    pub(super) fn measure(rounds: usize) -> Result<CpuCost, CalibrateError> {
        let (operator_ns, _, _) = time(SMALL, rounds)?;
        let without = |ns: f64| (ns - operator_ns.median).max(1.0);
        let (arithmetic_ns, flops, _) = time(ARITHMETIC, rounds)?;
        let (memory_ns, _, bytes) = time(MEMORY, rounds)?;
        Ok(CpuCost {
            operator_ns,
            gflops: arithmetic_ns.map(|ns| flops / without(ns)),
            gbs: memory_ns.map(|ns| bytes / without(ns)),
        })
    }
}

/// The time of the one operator of a built-in model in ns, its FLOPs and its bytes.
fn time(name: &str, rounds: usize) -> Result<(Figure, f64, f64), CalibrateError> {
    let mut device = NullDevice::open(WallClock::start());
    let graph =
        graph::load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).map_err(|e| model_error(name, e))?;
    let compiled = graph::compile(&graph, &mut device, TENANT).map_err(|e| model_error(name, e))?;
    let operation = &compiled.recording.operations[0];
    let zeros = |t: &crate::hal::TensorRef| HostTensor::zeros(t.dtype, &t.view.shape);
    let inputs: Vec<HostTensor> = operation.inputs.iter().map(zeros).collect();
    let clock = WallClock::start();
    let mut ns = Vec::with_capacity(rounds);
    // The first one touches memory that is new.
    for round in 0..=rounds {
        let start = clock.now();
        eval::eval(operation, &inputs)?;
        if round > 0 {
            ns.push(clock.now().since(start).0 as f64);
        }
    }
    Ok((Figure::of(ns), operation.flops as f64, operation.bytes as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_rates() {
        let cost = CpuCost::measure(3).unwrap();
        for figure in [cost.operator_ns, cost.gflops, cost.gbs] {
            assert!(figure.median > 0.0 && figure.median.is_finite(), "{figure:?}");
            assert_eq!(figure.samples, 3);
        }
    }
}
