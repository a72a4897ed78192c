//! Calibration: measures a device and describes it as a profile, its simulated twin, which `sim:FILE` opens.
//!
//! Measured are the rates of multiply-adds and copies, what submissions, dispatches and copies cost beside their work
//! (`submissions.rs`), what the engine (`host.rs`) and operators on the CPU (`cpu.rs`) cost, and every kernel of a set of models
//! (`kernels.rs`). Each number is a median with its spread, which stand beside it in the file (`twin.rs`); what is not measured
//! is left out. A kernel that the simulator finds under its key takes its measured time; any other is counted at the device's
//! rates, of which as much is reached as the measured kernels reach together.
//!
//! Models are measured alone. Nothing about several tenants goes into a profile, so that a run of several is a prediction.

mod cpu;
mod figure;
mod host;
mod kernels;
mod submissions;
mod twin;

use std::sync::Arc;
use std::time::Duration;

use crate::graph::{self, Graph, GraphError};
use crate::hal::{Completion, Device, HalError, LaneId, LaneSpec, Submission, SubmissionId, Wait};
use crate::kernel::rates;
use crate::tensor::{Nanos, TenantId};

pub use figure::Figure;
pub(super) use kernels::{slices, spans};
pub(super) use submissions::Handover;
pub use twin::Calibrated;

/// Rounds of each measurement unless less is asked for.
pub const ROUNDS: usize = 15;

/// Time after which no further round of a model begins, once there were a few.
const ROUNDS_NS: Nanos = Nanos(4_000_000_000);

/// Time after which a submission counts as lost.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The tenant that calibration allocates for.
const TENANT: TenantId = TenantId(u32::MAX);

/// Why a device cannot be calibrated.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// It computes nothing whose time could be measured.
    #[error("{device} runs no kernels, so there is nothing to measure; choose a wgpu device")]
    NoKernels {
        /// Its name.
        device: String,
    },
    /// A model cannot be read or put on it.
    #[error("{model}: {source}")]
    Model {
        /// The model.
        model: String,
        /// Why.
        source: Box<GraphError>,
    },
    /// The engine's own cost cannot be measured.
    #[error("the engine's cost with {model}: {reason}")]
    Engine {
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// It failed.
    #[error(transparent)]
    Device(#[from] HalError),
}

fn model_error(model: &str, source: GraphError) -> CalibrateError {
    CalibrateError::Model { model: model.into(), source: Box::new(source) }
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalibrateStage<'a> {
    /// The rates of arithmetic and copies.
    Rates,
    /// The costs of submissions and of the engine.
    Overheads,
    /// A model's kernels: its place among the models.
    Model(usize, &'a str),
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The profile's name.
    pub name: &'a str,
    /// Today, as 2026-01-31.
    pub date: &'a str,
    /// Models whose kernels are timed, with what they are called.
    pub models: &'a [(String, Arc<Graph>)],
    /// Rounds of each measurement, at least one.
    pub rounds: usize,
}

/// Measures `device`.
///
/// # Errors
/// [`CalibrateError`]; nothing is left on the device then.
pub fn calibrate(
    device: &mut dyn Device,
    plan: &Plan,
    progress: &mut dyn FnMut(CalibrateStage),
) -> Result<Calibrated, CalibrateError> {
    if !device.caps().runs_kernels() {
        return Err(CalibrateError::NoKernels { device: device.caps().name.clone() });
    }
    let rounds = plan.rounds.max(1);
    progress(CalibrateStage::Rates);
    let rates = rates::measure(device)?;
    let lane = device.lane(&LaneSpec::default())?;
    progress(CalibrateStage::Overheads);
    let handover = submissions::Handover::measure(device, lane, rounds)?;
    let engine = host::EngineCost::measure(rounds.min(5))?;
    let cpu = cpu::CpuCost::measure(rounds)?;
    let mut found = kernels::Kernels::new();
    for (at, (model, graph)) in plan.models.iter().enumerate() {
        progress(CalibrateStage::Model(at, model));
        let compiled = graph::compile(graph, device, TENANT).map_err(|e| model_error(model, e))?;
        let measured = kernels::measure(device, lane, &compiled.recording, &handover, rounds, &mut found);
        compiled.buffers.iter().for_each(|&b| device.free(b));
        measured?;
    }
    Ok(twin::describe(device, plan, &twin::Measured { rates, handover, engine, cpu, kernels: found }))
}

/// What a submission took.
struct Timed {
    /// The host handed it over in this time.
    handed_ns: f64,
    /// From then until it was found to have ended.
    done_ns: f64,
}

/// Submits and waits.
fn timed(device: &mut dyn Device, lane: LaneId, submission: Submission) -> Result<Timed, HalError> {
    let start = device.clock().now();
    let id = device.submit(lane, submission)?;
    let handed = device.clock().now();
    let done = wait(device, id)?;
    Ok(Timed { handed_ns: handed.since(start).0 as f64, done_ns: done.finished.since(handed).0 as f64 })
}

/// Submits, waits, and answers the seconds that it took.
pub(super) fn seconds(device: &mut dyn Device, lane: LaneId, submission: Submission) -> Result<f64, HalError> {
    timed(device, lane, submission).map(|time| (time.handed_ns + time.done_ns) * 1e-9)
}

fn finish(device: &mut dyn Device, lane: LaneId, submission: Submission) -> Result<Completion, HalError> {
    let id = device.submit(lane, submission)?;
    wait(device, id)
}

/// The end of the only submission that is under way.
fn wait(device: &mut dyn Device, id: SubmissionId) -> Result<Completion, HalError> {
    let done = completed(device)?.into_iter().find(|c| c.submission == id);
    done.ok_or_else(|| HalError::DeviceLost("another submission than the last one ended".into()))
}

/// What ends next, at least one submission of those that are under way.
fn completed(device: &mut dyn Device) -> Result<Vec<Completion>, HalError> {
    let begin = device.clock().now();
    let mut completions = Vec::new();
    loop {
        device.poll(Wait::AtMost(TIMEOUT), &mut completions)?;
        if let Some(error) = completions.iter().find_map(|c| c.error.clone()) {
            return Err(error);
        }
        if !completions.is_empty() {
            return Ok(completions);
        }
        if u128::from(device.clock().now().since(begin).0) > TIMEOUT.as_nanos() {
            return Err(HalError::DeviceLost("a submission did not end in a minute".into()));
        }
    }
}
