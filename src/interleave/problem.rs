//! What is to be scheduled: the launches of several tenants' recordings with their dependencies and costs, and the machine.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hal::{Cut, DeviceCaps, GivenCost, HalError, KernelSpec, Launch, Operation, Recording, cut};
use crate::tensor::Share;

use super::Machine;

/// Loop iterations of a piece beside its tiles': before it a worker may pass over all bodies of its stage, and a driver that
/// runs loops under masks counts every one of theirs once.
const PIECE_ITERATIONS: u64 = 64;

/// Invocations of the smallest workgroups of our kernels on devices that stop loops.
const LANES_MIN: u32 = 8;

/// A launch of a model, as schedules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchInfo {
    /// Its operation in the recording.
    pub operation: u32,
    /// Its number in the operation.
    pub launch: u32,
    /// Output tiles.
    pub tiles: u32,
    /// Its kernel: equal numbers of a problem are equal kernels ([`Problem::kernels`]).
    pub kernel: u32,
    /// Loop iterations of one tile at most. In a co-kernel, whose workgroups are as small as those of the smallest kernel, an
    /// invocation computes the parts of several of a larger one, one after another.
    pub tile_iterations: u32,
    /// Launches of the same model that must be complete before, all earlier ones: the last ones of the operations that its
    /// operation needs, or the one before it in its operation.
    pub deps: Vec<u32>,
    /// How it runs alone: slices that the device takes, with their workers ([`cut`]).
    pub cuts: Vec<Cut>,
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// Time in ns alone on the device, cut as in `cuts`, without the cost of dispatches.
    pub alone_ns: f64,
    /// Time in ns by one worker, others being idle.
    pub worker_ns: f64,
}

impl LaunchInfo {
    /// Loop iterations of one worker for so many tiles, the walk over tiles and a pass over idle bodies included.
    pub fn iterations(&self, tiles: u32) -> u64 {
        PIECE_ITERATIONS + u64::from(tiles) * (u64::from(self.tile_iterations) + 1)
    }

    /// Time in ns of a part of its tiles by one worker.
    pub fn tiles_ns(&self, tiles: u32) -> f64 {
        self.worker_ns * f64::from(tiles) / f64::from(self.tiles.max(1))
    }

    /// Workers when it runs alone.
    pub fn workers(&self) -> u32 {
        self.cuts.first().map_or(1, |c| c.workers)
    }
}

/// A tenant's recording, flattened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// The recording's name.
    pub name: String,
    /// The launches, in an order that respects dependencies.
    pub launches: Vec<LaunchInfo>,
}

/// The times of a launch, where they are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaunchCost {
    /// As [`LaunchInfo::alone_ns`].
    pub alone_ns: f64,
    /// As [`LaunchInfo::worker_ns`].
    pub worker_ns: f64,
}

/// Tells the times of launches by tenant, operation and launch; `None` has them estimated from operations and bytes.
pub type KnownCosts<'a> = &'a dyn Fn(usize, u32, u32) -> Option<LaunchCost>;

/// Why there is nothing to schedule.
#[derive(Debug, thiserror::Error)]
pub enum ProblemError {
    /// An operator has no kernel.
    #[error(
        "tenant {tenant} ({model}): operator {operator} runs on the CPU ({reason}), which no schedule of launches holds; leave the model out or choose a device that has a kernel for it"
    )]
    CpuNode {
        /// Which of the recordings.
        tenant: usize,
        /// The recording's name.
        model: String,
        /// The operator's name.
        operator: String,
        /// Why it has no kernel.
        reason: String,
    },
    /// A launch cannot be cut for the device.
    #[error("tenant {tenant} ({model}), operator {operator}: {source}")]
    Launch {
        /// Which of the recordings.
        tenant: usize,
        /// The recording's name.
        model: String,
        /// The operator's name.
        operator: String,
        /// Why.
        source: HalError,
    },
}

/// Several tenants' launches and the machine that is to run one round of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The tenants' models.
    pub models: Vec<Model>,
    /// The machine.
    pub machine: Machine,
    /// What the numbers of [`LaunchInfo::kernel`] are, for people.
    pub kernels: Vec<String>,
}

impl Problem {
    /// The problem of one request of each recording on a device with `caps`.
    ///
    /// # Errors
    /// [`ProblemError`] for operators without a kernel and launches that the device cannot run.
    pub fn new(
        recordings: &[Arc<Recording>],
        caps: &DeviceCaps,
        machine: Machine,
        known: KnownCosts,
    ) -> Result<Problem, ProblemError> {
        let mut kernels = KernelNumbers::default();
        let mut models = Vec::with_capacity(recordings.len());
        for (tenant, recording) in recordings.iter().enumerate() {
            models.push(Model::new(tenant, recording, caps, &machine, known, &mut kernels)?);
        }
        Ok(Problem { models, machine, kernels: kernels.labels })
    }

    /// The launch of a tenant.
    pub fn launch(&self, tenant: u32, launch: u32) -> &LaunchInfo {
        &self.models[tenant as usize].launches[launch as usize]
    }

    /// Launches of all tenants.
    pub fn launches(&self) -> usize {
        self.models.iter().map(|m| m.launches.len()).sum()
    }

    /// No schedule takes less, in ns: the longest path of launches alone, and the work of all of them over the slots.
    pub fn bound_ns(&self) -> f64 {
        let work: f64 = self.models.iter().flat_map(|m| &m.launches).map(|l| l.worker_ns).sum();
        let path = |model: &Model| {
            let mut ends: Vec<f64> = Vec::with_capacity(model.launches.len());
            for launch in &model.launches {
                let begin = launch.deps.iter().map(|&d| ends[d as usize]).fold(0.0, f64::max);
                ends.push(begin + launch.alone_ns.min(launch.worker_ns));
            }
            ends.into_iter().fold(0.0, f64::max)
        };
        let longest = self.models.iter().map(path).fold(0.0, f64::max);
        longest.max(work / f64::from(self.machine.slots))
    }
}

/// Numbers of kernels, the same for equal ones, as long as it lives.
#[derive(Clone, Debug, Default)]
pub struct KernelNumbers {
    numbers: HashMap<Arc<KernelSpec>, u32>,
    labels: Vec<String>,
}

impl KernelNumbers {
    fn number(&mut self, kernel: &Arc<KernelSpec>) -> u32 {
        let labels = &mut self.labels;
        *self.numbers.entry(kernel.clone()).or_insert_with(|| {
            labels.push(kernel.label());
            labels.len() as u32 - 1
        })
    }
}

impl Model {
    /// The model of one recording, number `tenant` of those that `known` knows. Models whose kernels were numbered by the same
    /// `kernels` can be in one problem.
    ///
    /// # Errors
    /// [`ProblemError`] for operators without a kernel and launches that the device cannot run.
    pub fn new(
        tenant: usize,
        recording: &Recording,
        caps: &DeviceCaps,
        machine: &Machine,
        known: KnownCosts,
        kernels: &mut KernelNumbers,
    ) -> Result<Model, ProblemError> {
        let mut launches: Vec<LaunchInfo> = Vec::with_capacity(recording.launches());
        let mut last_of: Vec<u32> = Vec::with_capacity(recording.operations.len());
        for (number, operation) in (0..).zip(&recording.operations) {
            if operation.on_cpu() {
                return Err(ProblemError::CpuNode {
                    tenant,
                    model: recording.name.clone(),
                    operator: operation.name.clone(),
                    reason: operation.reason.clone().unwrap_or_else(|| "it has no kernel".into()),
                });
            }
            for (at, launch) in (0..).zip(&operation.launches) {
                let cuts = cut(launch, caps, Share::FULL).map_err(|source| ProblemError::Launch {
                    tenant,
                    model: recording.name.clone(),
                    operator: operation.name.clone(),
                    source,
                })?;
                let deps = match at {
                    0 => operation.deps.iter().map(|&dep| last_of[dep as usize]).collect(),
                    _ => vec![launches.len() as u32 - 1],
                };
                let part = part_of(operation, at as usize);
                let mut info = LaunchInfo {
                    operation: number,
                    launch: at,
                    tiles: launch.tiles,
                    kernel: kernels.number(&launch.kernel),
                    tile_iterations: iterations(launch, machine),
                    deps,
                    cuts,
                    flops: operation.flops as f64 * part,
                    bytes: operation.bytes as f64 * part,
                    alone_ns: 0.0,
                    worker_ns: 0.0,
                };
                let cost = known(tenant, number, at).unwrap_or_else(|| estimate(&info, operation.given, machine));
                (info.alone_ns, info.worker_ns) = (cost.alone_ns, cost.worker_ns);
                launches.push(info);
            }
            last_of.push(launches.len() as u32 - 1);
        }
        Ok(Model { name: recording.name.clone(), launches })
    }
}

/// Loop iterations of an invocation for one tile: all of them, where a co-kernel's workgroup has fewer invocations than the
/// kernel's own and computes their parts one after another.
fn iterations(launch: &Launch, machine: &Machine) -> u32 {
    match launch.kernel.lanes.div_ceil(LANES_MIN) {
        parts if parts > 1 && machine.single_workers() => {
            launch.tile_iterations.saturating_add(1).saturating_mul(parts)
        }
        _ => launch.tile_iterations,
    }
}

/// The part of an operation that one of its launches does: they differ in length as their tiles' loops do.
fn part_of(operation: &Operation, at: usize) -> f64 {
    let weight = |l: &Launch| f64::from(l.tiles) * (f64::from(l.tile_iterations) + 1.0);
    let all: f64 = operation.launches.iter().map(weight).sum();
    if all > 0.0 { weight(&operation.launches[at]) / all } else { 0.0 }
}

/// The times of a launch from what was recorded of it, else from its operations and bytes at the machine's rates: a worker has
/// its slot's part of the arithmetic, and of the bandwidth up to a half of it.
pub(super) fn estimate(launch: &LaunchInfo, given: Option<GivenCost>, machine: &Machine) -> LaunchCost {
    let slots = f64::from(machine.slots);
    let together = f64::from(launch.tiles.min(machine.slots).max(1));
    match given {
        Some(GivenCost::Recorded { ns, .. }) => LaunchCost { alone_ns: ns, worker_ns: ns * together },
        Some(GivenCost::Law { floor_ns, overlap_ns, fixed_ns, unit_ns, memory_ns, .. }) => {
            let ns = floor_ns.max(overlap_ns + fixed_ns + unit_ns / f64::from(machine.units) + memory_ns);
            LaunchCost { alone_ns: ns, worker_ns: ns * slots }
        }
        None => {
            let arithmetic = launch.flops / machine.gflops;
            let traffic = launch.bytes / machine.gbs;
            let worker_ns = (arithmetic * slots).max(traffic * slots.min(2.0)).max(1.0);
            LaunchCost { alone_ns: (worker_ns / together).max(traffic), worker_ns }
        }
    }
}
