//! What operators without a kernel take on the host: the engine's CPU functions, timed on one thread over an operator that is
//! too small to count, over much arithmetic and over many bytes.

use std::sync::Arc;

use super::figure::Figure;
use super::{CalibrateError, TENANT, model_error};
use crate::engine::cpu_nodes::HostRun;
use crate::engine::cpu_pool;
use crate::graph::{self, LoadOptions, ModelSource};
use crate::hal::null::NullDevice;
use crate::hal::{Clock, HostCpu, Recording, WallClock};

/// One small operator.
const SMALL: &str = "add_64";
/// Products of matrices, all of whose operands are computed.
const ARITHMETIC: &str = "attention_4x128x64";
/// One operator on long vectors.
const BYTES: &str = "add_1048576";

/// The figures of [`HostCpu`], in ns, GFLOP/s and GB/s.
pub(super) struct CpuCost {
    pub(super) operator_ns: Figure,
    pub(super) gflops: Figure,
    pub(super) gbs: Figure,
}

impl CpuCost {
    pub(super) fn measure(rounds: usize) -> Result<CpuCost, CalibrateError> {
        let [small, arithmetic, bytes] = [Run::of(SMALL)?, Run::of(ARITHMETIC)?, Run::of(BYTES)?];
        let mut found: [Vec<f64>; 3] = Default::default();
        // The first round warms caches.
        for round in 0..rounds + 1 {
            let operator = small.ns()? / small.operators;
            let beyond = |run: &Run| Ok::<_, CalibrateError>((run.ns()? - operator * run.operators).max(1.0));
            let figures = [operator, arithmetic.flops / beyond(&arithmetic)?, bytes.bytes / beyond(&bytes)?];
            if round > 0 {
                found.iter_mut().zip(figures).for_each(|(all, one)| all.push(one));
            }
        }
        let [operator_ns, gflops, gbs] = found.map(Figure::of);
        Ok(CpuCost { operator_ns, gflops, gbs })
    }

    /// As profiles have it, with as many threads as the engine uses here.
    pub(super) fn host_cpu(&self) -> HostCpu {
        HostCpu {
            operator_us: self.operator_ns.median / 1e3,
            gflops: self.gflops.median,
            gbs: self.gbs.median,
            threads: cpu_pool::threads() as u32,
        }
    }
}

/// All operators of a model, as one run on the CPU.
struct Run {
    model: &'static str,
    run: HostRun,
    clock: WallClock,
    operators: f64,
    flops: f64,
    bytes: f64,
}

impl Run {
    fn of(model: &'static str) -> Result<Run, CalibrateError> {
        let clock = WallClock::start();
        let graph = graph::load(&ModelSource::Zoo(model.into()), &LoadOptions::default());
        let graph = graph.map_err(|e| model_error(model, e))?;
        let compiled = graph::compile(&graph, &mut NullDevice::open(clock), TENANT);
        let recording: Arc<Recording> = compiled.map_err(|e| model_error(model, e))?.recording;
        let operations = &recording.operations;
        if operations.iter().flat_map(|o| &o.inputs).any(|t| t.buffer != recording.arena) {
            let reason = "an operator reads a constant, which CPU functions do not take from memory".into();
            return Err(CalibrateError::Engine { model: model.into(), reason });
        }
        let sum = |of: fn(&crate::hal::Operation) -> u64| operations.iter().map(of).sum::<u64>() as f64;
        Ok(Run {
            model,
            clock,
            operators: operations.len() as f64,
            flops: sum(|o| o.flops),
            bytes: sum(|o| o.bytes),
            run: HostRun::new(&recording, 0..operations.len() as u32),
        })
    }

    /// One run's time; the operands are zero.
    fn ns(&self) -> Result<f64, CalibrateError> {
        let zeros = self.run.regions.iter().map(|region| vec![0; region.bytes as usize]).collect();
        let start = self.clock.now();
        let computed = self.run.compute(zeros, &mut |_| {});
        let end = self.clock.now();
        match computed {
            Ok(_) => Ok(end.since(start).0 as f64),
            Err(e) => Err(CalibrateError::Engine { model: self.model.into(), reason: e.to_string() }),
        }
    }
}
