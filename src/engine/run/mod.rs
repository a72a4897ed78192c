//! Runs a scenario: loads its tenants, measures each alone, lets their requests come as the scenario says, and reports.

pub(super) mod drive;
pub mod inputs;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::command::Command;
use super::scenario::{self, Length, ModelRef, PolicySpec, Scenario};
use super::{Engine, EngineGone, InferError, LoadError, LoadStage, PolicyFault, StartError, Tenant, TenantSpec};
use crate::graph::{LoadOptions, ModelSource};
use crate::hal::Counters;
use crate::service::arrival::ArrivalError;
use crate::tensor::{HostTensor, Nanos, Share, TensorError};
use crate::timeline::metrics::{Meter, Observed, Occupied, RunMetrics, TenantFacts, Totals};
use crate::timeline::{ScenarioText, Timeline};
use drive::{Drive, DriveReport, Pace, Source};

/// What a run does otherwise than its scenario says, and its limits.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Instead of the scenario's device.
    pub device: Option<String>,
    /// Instead of the scenario's policy.
    pub policy: Option<PolicySpec>,
    /// Instead of the scenario's seed.
    pub seed: Option<u64>,
    /// Events that the timeline keeps; none is recorded without.
    pub timeline_events_max: Option<usize>,
    /// Requests of each tenant before the measurement; the first is not timed. At least two.
    pub warm_up_requests: u32,
    /// No further warm-up request begins after this time.
    pub warm_up_max: Duration,
    /// How long requests may still take after the last arrival.
    pub drain_max: Duration,
    /// Requests of a tenant that may wait or run; a closed loop gets as many as it needs.
    pub queue_max: usize,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            device: None,
            policy: None,
            seed: None,
            timeline_events_max: None,
            warm_up_requests: 6,
            warm_up_max: Duration::from_secs(2),
            drain_max: Duration::from_secs(10),
            queue_max: 64,
        }
    }
}

/// What a run is doing, for progress bars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RunStage<'a> {
    /// A tenant is loaded.
    Loading {
        /// Its name.
        tenant: &'a str,
        /// Its place among the tenants.
        tenant_idx: usize,
        /// How far it is.
        stage: LoadStage<'a>,
    },
    /// A tenant runs alone.
    WarmingUp {
        /// Its name.
        tenant: &'a str,
    },
    /// Requests come; told every tenth of a second.
    Running {
        /// Since the start.
        elapsed: Nanos,
    },
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// What `cotenant run --json` prints.
    pub metrics: RunMetrics,
    /// What happened, where it was recorded: loading, warm-up and the run.
    pub timeline: Option<Timeline>,
    /// What the device had made when the measurement began, and when it ended.
    pub counters: [Counters; 2],
    /// The first decision of the policy that was refused.
    pub policy_fault: Option<PolicyFault>,
}

/// Why a scenario does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A tenant cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A tenant's first requests failed.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A tenant's inputs cannot be read.
    #[error("tenant {tenant:?}: inputs: {source}")]
    Inputs {
        /// The tenant.
        tenant: String,
        /// Why.
        source: TensorError,
    },
    /// A tenant's arrivals cannot be made.
    #[error("tenant {tenant:?}: {source}")]
    Arrival {
        /// The tenant.
        tenant: String,
        /// Why.
        source: ArrivalError,
    },
    /// A tenant's model runs on simulated devices only.
    #[error(
        "tenant {tenant:?}: {model} is a recorded kernel list, which runs on simulated devices (sim:…) only; this device computes"
    )]
    Profile {
        /// The tenant.
        tenant: String,
        /// The model.
        model: String,
    },
    /// The engine ended while it ran.
    #[error(transparent)]
    EngineGone(#[from] EngineGone),
}

/// A tenant that was loaded and ran alone.
struct Ready {
    tenant: Tenant,
    inputs: Vec<HostTensor>,
    solo_latency: Nanos,
    output_sha256: String,
}

/// Runs `scenario`.
///
/// # Errors
/// [`RunError`] when it cannot begin. Once it runs, failures of requests are counted, not returned.
pub fn scenario(
    scenario: &Scenario,
    options: &RunOptions,
    progress: &mut dyn FnMut(RunStage),
) -> Result<RunReport, RunError> {
    let seed = options.seed.unwrap_or(scenario.seed);
    let policy = options.policy.as_ref().unwrap_or(&scenario.policy);
    let mut builder = Engine::builder()
        .device(options.device.as_deref().unwrap_or(&scenario.device))
        .policy(&policy.name)
        .policy_options(policy.options.clone());
    if let Some(events_max) = options.timeline_events_max {
        builder = builder.timeline(events_max);
    }
    let engine = builder.start()?;
    let mut ready = Vec::new();
    for (at, spec) in scenario.tenants.iter().enumerate() {
        let tenant = load(&engine, spec, options, at, progress)?;
        progress(RunStage::WarmingUp { tenant: &spec.name });
        ready.push(warm_up(tenant, spec, options, seed, at as u32)?);
    }
    let before = engine.stats()?.counters;
    let report = drive(&engine, scenario, &ready, options, seed, progress)?;
    let after = engine.stats()?;
    let timeline = engine.timeline()?.map(|mut timeline| {
        let path = scenario.origin.display().to_string();
        timeline.info.seed = seed;
        timeline.info.scenario = Some(ScenarioText { path, text: scenario.text.clone() });
        timeline
    });
    let tenants = scenario.tenants.iter().zip(&ready).zip(&report.meters).map(|((spec, ready), meter)| {
        let facts = TenantFacts {
            name: spec.name.clone(),
            model: spec.model.to_string(),
            solo_latency: Some(ready.solo_latency),
            cpu_nodes: ready.tenant.recording().cpu_nodes() as u64,
            output_sha256: Some(ready.output_sha256.clone()),
        };
        meter.finish(facts, report.elapsed)
    });
    let tenants: Vec<_> = tenants.collect();
    let observed = Observed {
        elapsed: report.elapsed,
        occupied: Occupied { unit_ns: report.busy.0 as f64, units: 1 },
        preemptions: report.preemptions,
        power: engine.caps().power,
    };
    let metrics = RunMetrics {
        device: engine.device_info(),
        clock: engine.clock_kind(),
        policy: policy.name.clone(),
        seed,
        elapsed_ms: report.elapsed.as_ms(),
        totals: Totals::of(&tenants, &observed),
        tenants,
        policy_faults: after.faults.count,
    };
    Ok(RunReport { metrics, timeline, counters: [before, after.counters], policy_fault: after.faults.first })
}

fn load(
    engine: &Engine,
    spec: &scenario::TenantSpec,
    options: &RunOptions,
    tenant_idx: usize,
    progress: &mut dyn FnMut(RunStage),
) -> Result<Tenant, RunError> {
    let model = match &spec.model {
        ModelRef::File(path) => ModelSource::File(path.clone()),
        ModelRef::Zoo(name) => ModelSource::Zoo(name.clone()),
        ModelRef::Profile(_) => {
            return Err(RunError::Profile { tenant: spec.name.clone(), model: spec.model.to_string() });
        }
    };
    let load_options = LoadOptions { dims: spec.dims.clone(), shapes: spec.shapes.clone(), ..LoadOptions::default() };
    let tenant = TenantSpec {
        name: spec.name.clone(),
        model,
        options: load_options,
        class: spec.class,
        priority: spec.priority,
        slo: spec.slo,
        memory_limit_bytes: spec.memory_limit_mb.map(|mb| mb << 20),
        share: Share::FULL,
        queue_max: options.queue_max.max(spec.arrival.concurrency().unwrap_or(0) as usize),
    };
    let mut tell = |stage: LoadStage| progress(RunStage::Loading { tenant: &spec.name, tenant_idx, stage });
    Ok(engine.load_with(tenant, &mut tell)?)
}

/// The first requests of a tenant, alone on the device: nothing is created after them, and they tell its solo latency.
fn warm_up(
    tenant: Tenant,
    spec: &scenario::TenantSpec,
    options: &RunOptions,
    seed: u64,
    tenant_idx: u32,
) -> Result<Ready, RunError> {
    let inputs = match &spec.inputs {
        Some(folder) => {
            inputs::from_folder(folder).map_err(|source| RunError::Inputs { tenant: spec.name.clone(), source })?
        }
        None => inputs::drawn(&tenant.inputs(), seed, tenant_idx),
    };
    let first = tenant.infer(inputs.clone())?.wait()?;
    let mut latencies = Vec::new();
    let mut spent = Nanos(0);
    for _ in 1..options.warm_up_requests.max(2) {
        let latency = tenant.infer(inputs.clone())?.wait()?.latency();
        latencies.push(latency);
        spent += latency;
        if u128::from(spent.0) >= options.warm_up_max.as_nanos() {
            break;
        }
    }
    latencies.sort_unstable();
    let solo_latency = latencies[latencies.len() / 2];
    Ok(Ready { tenant, inputs, solo_latency, output_sha256: output_sha256(&first.outputs) })
}

/// SHA-256 of a model's first output, in hexadecimal: equal on one device under every schedule.
pub fn output_sha256(outputs: &[HostTensor]) -> String {
    let digest = Sha256::digest(outputs.first().map_or(&[][..], HostTensor::bytes));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The measured part.
fn drive(
    engine: &Engine,
    scenario: &Scenario,
    ready: &[Ready],
    options: &RunOptions,
    seed: u64,
    progress: &mut dyn FnMut(RunStage),
) -> Result<DriveReport, RunError> {
    let mut sources = Vec::new();
    for ((tenant_idx, spec), ready) in (0..).zip(&scenario.tenants).zip(ready) {
        let arrivals = spec.arrival.arrivals(scenario.folder(), seed, tenant_idx);
        let arrivals = arrivals.map_err(|source| RunError::Arrival { tenant: spec.name.clone(), source })?;
        sources.push(Source {
            tenant: ready.tenant.shared().clone(),
            uploads: ready.tenant.shared().uploads(&ready.inputs)?,
            meter: Meter::new(spec.slo),
            pace: match arrivals {
                Some(arrivals) => Pace::Open(Box::new(arrivals)),
                None => Pace::Closed(spec.arrival.concurrency().unwrap_or(1)),
            },
        });
    }
    let drain_max = Nanos(options.drain_max.as_nanos() as u64);
    let (reply, report) = mpsc::sync_channel(1);
    let start = engine.now();
    let length: Length = scenario.length;
    engine.send(Command::Drive(Box::new(Drive { sources, warm_up: scenario.warm_up, length, drain_max }), reply))?;
    loop {
        match report.recv_timeout(Duration::from_millis(100)) {
            Ok(report) => return Ok(report),
            Err(RecvTimeoutError::Timeout) => progress(RunStage::Running { elapsed: engine.now().since(start) }),
            Err(RecvTimeoutError::Disconnected) => return Err(EngineGone.into()),
        }
    }
}
