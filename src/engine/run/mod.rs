//! Runs a scenario: loads its tenants, measures each alone, lets their requests come as the scenario says, and reports.

pub(super) mod drive;
pub mod inputs;
pub mod load;
mod misstep;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::command::Command;
use super::scenario::{Length, Place, PolicySpec, Scenario};
use super::{Engine, EngineGone, InferError, LoadError, LoadStage, Pending, PolicyFault, StartError, Tenant};
use crate::hal::{CostSource, Counters, Recording};
use crate::interleave::StoredSchedule;
use crate::predict::profile::ProfileError;
use crate::service::arrival::ArrivalError;
use crate::tensor::{HostTensor, Nanos, TensorError};
use crate::timeline::metrics::{Meter, Observed, RunMetrics, TenantFacts, Totals};
use crate::timeline::{ClockKind, ScenarioText, Timeline};
use drive::{Drive, DriveReport, Pace, Source};
use load::load;

/// What a run does otherwise than its scenario says, and its limits.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Instead of the scenario's device.
    pub device: Option<String>,
    /// Instead of the scenario's policy.
    pub policy: Option<PolicySpec>,
    /// Instead of the scenario's seed.
    pub seed: Option<u64>,
    /// Whether a simulated device computes outputs; others always do.
    pub numerics: bool,
    /// Schedules for the tenants' rounds ([`crate::engine::Builder::schedules`]).
    pub schedules: Vec<StoredSchedule>,
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
            numerics: false,
            schedules: Vec::new(),
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

/// Looks on while a scenario runs, on the thread that runs it.
pub trait Watch {
    /// What the run is doing now.
    fn stage(&mut self, stage: RunStage);

    /// Called after each load and warm-up, every tenth of a second while requests come, and once at the end. `engine` tells
    /// how things are, [`Engine::timeline_since`] what happened. With `Break` no further request comes and the run ends as
    /// if its time was over; between loads it ends at once.
    fn look(&mut self, engine: &Engine) -> ControlFlow<()>;
}

/// Tells of stages only.
pub(super) struct Progress<'a>(pub(super) &'a mut dyn FnMut(RunStage));

impl Watch for Progress<'_> {
    fn stage(&mut self, stage: RunStage) {
        self.0(stage);
    }

    fn look(&mut self, _: &Engine) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
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
    /// The first output of each tenant, of which [`RunMetrics`] has the hash; none where the device computes nothing.
    pub first_outputs: Vec<Option<HostTensor>>,
    /// The first decision of the policy that was refused.
    pub policy_fault: Option<PolicyFault>,
    /// What each tenant's model became on the device.
    pub recordings: Vec<Arc<Recording>>,
}

/// Why a scenario does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What the scenario says cannot be done.
    #[error("{place}: {source}{remedy}")]
    Scenario {
        /// Where it says so.
        place: Place,
        /// Why.
        source: Box<RunError>,
        /// What to write instead, as a further sentence; empty where the reason says it.
        remedy: String,
    },
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
    /// A file of a tenant's inputs is missing, is one too many, or holds nothing that the model takes there.
    #[error("tenant {tenant:?}: inputs: {}: {what}", .file.display())]
    InputFile {
        /// The tenant.
        tenant: String,
        /// The file.
        file: PathBuf,
        /// The model's input, what it takes, and what the file holds.
        what: String,
    },
    /// A tenant's arrivals cannot be made.
    #[error("tenant {tenant:?}: {source}")]
    Arrival {
        /// The tenant.
        tenant: String,
        /// Why.
        source: ArrivalError,
    },
    /// A network is needed, and of a tenant's model only the cost is known.
    #[error("tenant {tenant:?}: model {model}: of it only the cost is known; allowed here is a file or zoo:NAME")]
    NoNetwork {
        /// The tenant.
        tenant: String,
        /// The model.
        model: String,
    },
    /// A tenant's recorded kernel list is damaged.
    #[error("tenant {tenant:?}: model: {source}")]
    Recorded {
        /// The tenant.
        tenant: String,
        /// The file, the line and the column.
        source: Box<ProfileError>,
    },
    /// A tenant's model of which only the cost is known does not exist, or is asked for what it does not have.
    #[error("tenant {tenant:?}: model {model}: {what}")]
    Given {
        /// The tenant.
        tenant: String,
        /// The model.
        model: String,
        /// What was found and what is allowed.
        what: String,
    },
    /// The engine ended while it ran.
    #[error(transparent)]
    EngineGone(#[from] EngineGone),
    /// Whoever looked on ended it before requests came.
    #[error("the run was stopped while its tenants were loaded")]
    Stopped,
}

/// Between two looks at whether co-kernels are compiled.
const SETTLE_LOOK: Duration = Duration::from_millis(10);

/// Requests before those that are timed, while it is open which launches are better chains.
const TRIALS_MAX: u32 = 10;

/// Looks at that at most: a minute.
const SETTLE_LOOKS_MAX: u32 = 6_000;

/// A tenant that was loaded and ran alone.
struct Ready {
    tenant: Tenant,
    inputs: Vec<HostTensor>,
    /// What came of its requests; none where they failed, which is no reason for others not to run.
    alone: Option<Alone>,
}

/// What a tenant did when it ran alone.
struct Alone {
    solo_latency: Nanos,
    /// None where the device computes nothing.
    outputs: Option<Vec<HostTensor>>,
    /// The same as the device holds them.
    reads: Arc<Vec<Vec<u8>>>,
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
    watched(scenario, options, &mut Progress(progress))
}

/// Runs `scenario` while `watch` looks on.
///
/// # Errors
/// As [`scenario()`], and [`RunError::Stopped`].
pub fn watched(scenario: &Scenario, options: &RunOptions, watch: &mut dyn Watch) -> Result<RunReport, RunError> {
    let policy = options.policy.as_ref().unwrap_or(&scenario.policy);
    let mut builder = Engine::builder()
        .device(options.device.as_deref().unwrap_or(&scenario.device))
        .numerics(options.numerics)
        .memory(scenario.memory)
        .policy(&policy.name)
        .policy_options(policy.options.clone())
        .schedules(options.schedules.clone());
    if let Some(events_max) = options.timeline_events_max {
        builder = builder.timeline(events_max);
    }
    let engine = builder.start().map_err(|e| misstep::of_start(e, scenario, options))?;
    scenario_on(&engine, scenario, options, watch)
}

/// Runs `scenario` on an engine that was started for it, with its policy: the device and the policy that `scenario` and
/// `options` name only appear in the report.
///
/// # Errors
/// [`RunError`], as [`watched`].
pub fn scenario_on(
    engine: &Engine,
    scenario: &Scenario,
    options: &RunOptions,
    watch: &mut dyn Watch,
) -> Result<RunReport, RunError> {
    let seed = options.seed.unwrap_or(scenario.seed);
    let policy = options.policy.as_ref().unwrap_or(&scenario.policy);
    if engine.clock_kind() != ClockKind::Virtual
        && let Some(at) = scenario.tenants.iter().position(|spec| spec.model.is_given())
    {
        let spec = &scenario.tenants[at];
        let (tenant, model, device) = (spec.name.clone(), spec.model.to_string(), engine.caps().name.clone());
        return Err(misstep::of_tenant(LoadError::NotSimulated { tenant, model, device }.into(), scenario, at));
    }
    let mut ready = Vec::new();
    for (at, spec) in scenario.tenants.iter().enumerate() {
        let misstep = |error| misstep::of_tenant(error, scenario, at);
        let (tenant, given) = load(engine, spec, options, at, watch).map_err(misstep)?;
        look(engine, watch)?;
        settle(engine, watch)?;
        watch.stage(RunStage::WarmingUp { tenant: &spec.name });
        let inputs = given.unwrap_or_else(|| inputs::drawn(&tenant.inputs(), seed));
        ready.push(warm_up(engine, tenant, inputs, options).map_err(misstep)?);
        look(engine, watch)?;
    }
    let before = engine.stats()?;
    let report = drive(engine, scenario, &ready, options, seed, watch)?;
    let mut first_outputs = Vec::new();
    let after = engine.stats()?;
    // It is over either way.
    let _ = watch.look(engine);
    let timeline = engine.timeline()?.map(|mut timeline| {
        let path = scenario.origin.display().to_string();
        timeline.info.seed = seed;
        timeline.info.scenario = Some(ScenarioText { path, text: scenario.text.clone() });
        timeline
    });
    let mut tenants = Vec::new();
    for (((spec, ready), meter), differing) in
        scenario.tenants.iter().zip(&ready).zip(&report.meters).zip(&report.differing)
    {
        let outputs = match differing {
            Some(reads) => Some(ready.tenant.shared().outputs_from(reads)?),
            None => ready.alone.as_ref().and_then(|alone| alone.outputs.clone()),
        };
        let sources = after.tenants.iter().find(|t| t.id == ready.tenant.id());
        let facts = TenantFacts {
            name: spec.name.clone(),
            model: spec.model.to_string(),
            priority: spec.priority,
            solo_latency: ready.alone.as_ref().map(|alone| alone.solo_latency),
            cpu_nodes: ready.tenant.recording().cpu_nodes() as u64,
            cost_source: sources.and_then(|t| CostSource::names(&t.cost_sources)),
            output_sha256: outputs.as_deref().filter(|all| !all.is_empty()).map(output_sha256),
        };
        tenants.push(meter.finish(facts, report.elapsed));
        first_outputs.push(outputs.and_then(|all| all.into_iter().next()));
    }
    let observed = Observed {
        elapsed: report.elapsed,
        occupied: report.occupied,
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
        rounds: (!options.schedules.is_empty()).then_some(after.rounds - before.rounds),
    };
    Ok(RunReport {
        metrics,
        timeline,
        counters: [before.counters, after.counters],
        policy_fault: after.faults.first,
        first_outputs,
        recordings: ready.iter().map(|r| r.tenant.shared().recording.clone()).collect(),
    })
}

/// Lets the watcher look before requests come.
fn look(engine: &Engine, watch: &mut dyn Watch) -> Result<(), RunError> {
    match watch.look(engine) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(RunError::Stopped),
    }
}

/// The first requests of a tenant, alone on the device: nothing is created after them, and they tell its solo latency.
fn warm_up(engine: &Engine, tenant: Tenant, inputs: Vec<HostTensor>, options: &RunOptions) -> Result<Ready, RunError> {
    // Inputs that do not fit are the scenario's mistake; a request that fails is its tenant's alone.
    let first = tenant.infer(inputs.clone())?;
    // Until it is known which of its launches are better chains.
    for _ in 0..TRIALS_MAX {
        if engine.stats()?.trials == 0 {
            break;
        }
        // One that fails tells why below.
        let _ = tenant.infer(inputs.clone())?.wait();
    }
    let alone = alone(&tenant, &inputs, first, options)
        .map(|alone| Alone { outputs: alone.outputs.filter(|_| engine.caps().computes()), ..alone });
    let alone = alone.inspect_err(|e| tracing::warn!("its requests will fail: {e}")).ok();
    Ok(Ready { tenant, inputs, alone })
}

fn alone(tenant: &Tenant, inputs: &[HostTensor], first: Pending, options: &RunOptions) -> Result<Alone, InferError> {
    let (first, reads) = first.wait_with_reads()?;
    let mut latencies = Vec::new();
    let mut spent = Nanos(0);
    for _ in 1..options.warm_up_requests.max(2) {
        let latency = tenant.infer(inputs.to_vec())?.wait()?.latency();
        latencies.push(latency);
        spent += latency;
        if u128::from(spent.0) >= options.warm_up_max.as_nanos() {
            break;
        }
    }
    latencies.sort_unstable();
    let solo_latency = latencies[latencies.len() / 2];
    Ok(Alone { solo_latency, outputs: Some(first.outputs), reads: Arc::new(reads) })
}

/// Waits until the co-kernels of tenants that were loaded are compiled, so that what is measured is how they run and not how they are
/// compiled; not for ever.
fn settle(engine: &Engine, watch: &mut dyn Watch) -> Result<(), RunError> {
    for _ in 0..SETTLE_LOOKS_MAX {
        if engine.stats()?.compiling == 0 {
            break;
        }
        std::thread::sleep(SETTLE_LOOK);
        look(engine, watch)?;
    }
    Ok(())
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
    watch: &mut dyn Watch,
) -> Result<DriveReport, RunError> {
    let mut sources = Vec::new();
    for ((tenant_idx, spec), ready) in (0..).zip(&scenario.tenants).zip(ready) {
        let arrivals = spec.arrival.arrivals(scenario.folder(), seed, tenant_idx);
        let arrivals = arrivals.map_err(|source| {
            let error = RunError::Arrival { tenant: spec.name.clone(), source };
            misstep::of_tenant(error, scenario, tenant_idx as usize)
        })?;
        sources.push(Source {
            tenant: ready.tenant.shared().clone(),
            uploads: Arc::new(ready.tenant.shared().uploads(&ready.inputs)?),
            expected: ready.alone.as_ref().filter(|a| a.outputs.is_some()).map(|a| a.reads.clone()),
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
            Err(RecvTimeoutError::Timeout) => {
                watch.stage(RunStage::Running { elapsed: engine.now().since(start) });
                if watch.look(engine).is_break() {
                    engine.send(Command::EndDrive)?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err(EngineGone.into()),
        }
    }
}
