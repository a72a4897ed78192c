//! Calibration: measures a device and writes its simulated twin, a profile that `sim:FILE` opens.
//!
//! What is measured, each as the median of several rounds: the rates of multiply-adds and copies; the host's and the device's
//! time per dispatch, from submissions of few and of many small ones; the time of an upload and a read-back, from small and
//! large ones; and every kernel of a set of models, by the device's timestamps. Timing itself costs time on some devices, so
//! a model's kernels are then scaled together until their sum is what the model takes untimed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::loaded::{Plan, Step};
use crate::graph::{self, Graph, GraphError};
use crate::hal::sim::{
    Compute, Copies, DeviceLimits, Kind, Launches, MeasuredKernel, Memory, Power, Profile, SharingCosts, SmLimits,
    kernel_key,
};
use crate::hal::{
    Completion, Device, DeviceKind, HalError, HostCpu, LaneId, LaneSpec, Recording, RecordingId, Region, Slice, Stage,
    Submission, Wait,
};
use crate::kernel::rates;
use crate::tensor::{Share, TenantId};

/// Rounds of each measurement; their median counts.
const ROUNDS: usize = 9;

/// Slices of a submission while kernels are timed.
const TIMED_SLICES_MAX: usize = 512;

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
    /// A model cannot be put on it.
    #[error("{model}: {source}")]
    Model {
        /// The model.
        model: String,
        /// Why.
        source: Box<GraphError>,
    },
    /// It failed.
    #[error(transparent)]
    Device(#[from] HalError),
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalibrateStage<'a> {
    /// The device's own rates and overheads.
    Rates,
    /// A model's kernels: its place among the models.
    Model(usize, &'a str),
}

/// Measures `device` with the kernels of `models` and describes it as a profile called `name`.
///
/// # Errors
/// [`CalibrateError`]; nothing is left on the device then.
pub fn calibrate(
    device: &mut dyn Device,
    name: &str,
    models: &[(String, Arc<Graph>)],
    progress: &mut dyn FnMut(CalibrateStage),
) -> Result<Profile, CalibrateError> {
    if !device.caps().runs_kernels() {
        return Err(CalibrateError::NoKernels { device: device.caps().name.clone() });
    }
    progress(CalibrateStage::Rates);
    let rates = rates::measure(device)?;
    let lane = device.lane(&LaneSpec::default())?;
    let transfers = Transfers::measure(device, lane)?;
    let mut kernels: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut overheads = Overheads::default();
    for (at, (model, graph)) in models.iter().enumerate() {
        progress(CalibrateStage::Model(at, model));
        let bad = |source| CalibrateError::Model { model: model.clone(), source: Box::new(source) };
        let compiled = graph::compile(graph, device, TENANT).map_err(bad)?;
        let measured = measure_model(device, lane, &compiled.recording, &mut kernels, &mut overheads);
        compiled.buffers.iter().for_each(|&b| device.free(b));
        measured?;
    }
    let kernels = kernels.into_iter().map(|(key, mut ns)| MeasuredKernel { key, ns: median(&mut ns) }).collect();
    Ok(profile(device, name, rates, &transfers, &mut overheads, kernels))
}

/// Times that launching takes, one of each model.
#[derive(Default)]
struct Overheads {
    host_ns: Vec<f64>,
    gap_ns: Vec<f64>,
}

/// Times that moving data takes.
struct Transfers {
    /// Of a submission that only moves a few bytes there or back, beyond one that does neither.
    latency_ns: f64,
    to_device_gbs: f64,
    to_host_gbs: f64,
}

impl Transfers {
    fn measure(device: &mut dyn Device, lane: LaneId) -> Result<Transfers, HalError> {
        const LARGE: u64 = 16 << 20;
        let bytes = LARGE.min(device.caps().limits.binding_bytes_max);
        let buffer = device.alloc(TENANT, bytes)?;
        let mut time = |upload: u64, read: u64| -> Result<f64, HalError> {
            let region = |bytes| Region { buffer, offset: 0, bytes };
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let data = vec![1u8; upload as usize];
                let submission = Submission {
                    uploads: (upload > 0).then(|| (region(upload), data)).into_iter().collect(),
                    reads: (read > 0).then(|| region(read)).into_iter().collect(),
                    ..Submission::default()
                };
                let start = device.clock().now();
                times.push(finish(device, lane, submission)?.finished.since(start).0 as f64);
            }
            Ok(median(&mut times))
        };
        let small = time(4, 4)?;
        let up = (time(bytes, 4)? - small).max(1.0);
        let down = (time(4, bytes)? - small).max(1.0);
        device.free(buffer);
        Ok(Transfers { latency_ns: small / 2.0, to_device_gbs: bytes as f64 / up, to_host_gbs: bytes as f64 / down })
    }
}

/// Times every launch of a recording, and what the launches cost beside.
fn measure_model(
    device: &mut dyn Device,
    lane: LaneId,
    recording: &Arc<Recording>,
    kernels: &mut BTreeMap<String, Vec<f64>>,
    overheads: &mut Overheads,
) -> Result<(), HalError> {
    let id = device.install(recording.clone(), &mut |_, _, _| {})?;
    let result = time_launches(device, lane, recording, id, kernels, overheads);
    device.uninstall(id);
    result
}

fn time_launches(
    device: &mut dyn Device,
    lane: LaneId,
    recording: &Arc<Recording>,
    id: RecordingId,
    kernels: &mut BTreeMap<String, Vec<f64>>,
    overheads: &mut Overheads,
) -> Result<(), HalError> {
    let slices = slices(recording, id, device)?;
    let stages = |range: &[Slice]| range.iter().cloned().map(Stage::of).collect::<Vec<_>>();
    // Each slice's time by the device's clock.
    let mut spans: Vec<Vec<f64>> = vec![Vec::new(); slices.len()];
    for round in 0..ROUNDS + 1 {
        let mut first = 0;
        for part in slices.chunks(TIMED_SLICES_MAX) {
            let submission = Submission { stages: stages(part), timed: true, ..Submission::default() };
            for span in finish(device, lane, submission)?.spans {
                // The first round warms caches.
                if round > 0 {
                    spans[first + span.stage as usize].push(span.end.since(span.start).0 as f64);
                }
            }
            first += part.len();
        }
    }
    // All of them untimed, and how long the host takes to hand them over.
    let (mut whole, mut host) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = device.clock().now();
        let ticket = device.submit(lane, Submission { stages: stages(&slices), ..Submission::default() })?;
        host.push(device.clock().now().since(start).0 as f64);
        whole.push(wait(device, ticket)?.finished.since(start).0 as f64);
    }
    let n = slices.len().max(1) as f64;
    let (whole, host) = (median(&mut whole), median(&mut host));
    let mut of_launch: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    for (slice, times) in slices.iter().zip(&mut spans) {
        *of_launch.entry((slice.operation, slice.launch)).or_default() += median(times);
    }
    let timed: f64 = of_launch.values().sum();
    // What the whole takes beyond its kernels is the gaps between them; where the kernels' own times say more than the
    // whole takes, timing has lengthened them.
    let rest = (whole - host - timed).max(0.0);
    overheads.gap_ns.push(rest / n);
    overheads.host_ns.push(host / n);
    let scale = if timed > 0.0 { ((whole - host).max(0.0) / timed).min(1.0) } else { 1.0 };
    for ((operation, launch), ns) in of_launch {
        let key = kernel_key(&recording.operations[operation as usize], launch as usize);
        kernels.entry(key).or_default().push((ns * scale).max(1.0));
    }
    Ok(())
}

/// The slices of all operators that the device computes, as the engine cuts them.
fn slices(recording: &Arc<Recording>, id: RecordingId, device: &dyn Device) -> Result<Vec<Slice>, HalError> {
    let plan = Plan::new(recording, device.caps(), Share::FULL)?;
    let mut slices = Vec::new();
    for (operation, step) in (0..).zip(&plan.steps) {
        let Step::Launches(cuts) = step else { continue };
        slices.extend(cuts.iter().map(|(launch, cut)| Slice {
            recording: id,
            operation,
            launch: *launch,
            tiles: cut.tiles.clone(),
            workers: cut.workers,
        }));
    }
    Ok(slices)
}

fn finish(device: &mut dyn Device, lane: LaneId, submission: Submission) -> Result<Completion, HalError> {
    let id = device.submit(lane, submission)?;
    wait(device, id)
}

fn wait(device: &mut dyn Device, id: crate::hal::SubmissionId) -> Result<Completion, HalError> {
    let begin = device.clock().now();
    let mut completions = Vec::new();
    loop {
        device.poll(Wait::AtMost(TIMEOUT), &mut completions)?;
        if let Some(done) = completions.drain(..).find(|c| c.submission == id) {
            return done.error.clone().map_or(Ok(done), Err);
        }
        if u128::from(device.clock().now().since(begin).0) > TIMEOUT.as_nanos() {
            return Err(HalError::DeviceLost("a submission did not end in a minute".into()));
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// What was measured as a profile. A device whose units are cores runs one launch at a time on all of them.
fn profile(
    device: &dyn Device,
    name: &str,
    rates: rates::Rates,
    transfers: &Transfers,
    overheads: &mut Overheads,
    kernels: Vec<MeasuredKernel>,
) -> Profile {
    let caps = device.caps();
    let limits = &caps.limits;
    let sms = caps.compute_units.unwrap_or(1).clamp(1, 256);
    let host_us = median(&mut overheads.host_ns) / 1e3;
    Profile {
        name: name.into(),
        description: format!("{} ({}), measured by cotenant calibrate", caps.name, caps.driver),
        compute: Compute {
            sms,
            clock_mhz: 1000.0,
            fp32_tflops: rates.fma_gflops / 1e3,
            tf32_tflops: None,
            fp16_tflops: None,
            achievable: 1.0,
            saturating_warps: 1,
        },
        sm: SmLimits {
            threads: limits.invocations_max.max(1024),
            blocks: 1,
            warp: caps.subgroup.unwrap_or(8),
            registers: 0,
            register_granule: 1,
            warp_granule: 1,
            shared_bytes: 0,
            shared_granule: 1,
            shared_reserved: 0,
        },
        memory: Memory { gib: 8.0, gbs: rates.copy_gbs, achievable: 1.0, sm_gbs: rates.copy_gbs, l2_mib: 1.0 },
        launch: Launches {
            host_us,
            gap_us: median(&mut overheads.gap_ns) / 1e3,
            graph_us: host_us,
            graph_node_us: host_us,
            event_us: host_us,
            block_floor_us: 0.0,
            queues: 1,
            grids_max: 1,
        },
        copy: Copies {
            to_device_gbs: transfers.to_device_gbs,
            to_host_gbs: transfers.to_host_gbs,
            pageable: 1.0,
            latency_us: transfers.latency_ns / 1e3,
            host_us: 0.0,
            engines: 1,
        },
        sharing: SharingCosts {
            time_slice_us: 2000.0,
            switch_us: 0.0,
            mps_clients_max: 0,
            mps_change_ms: 0.0,
            green_granule: 0,
            green_change_ms: 0.0,
            mig_change_ms: 0.0,
            priority_levels: 1,
        },
        mig: Vec::new(),
        cpu: HostCpu { operator_us: 10.0, gflops: 20.0, gbs: 8.0, threads: sms },
        power: Power { idle_w: 0.0, busy_w: 0.0 },
        device: DeviceLimits {
            kind: match caps.kind {
                DeviceKind::DiscreteGpu => Kind::Discrete,
                DeviceKind::IntegratedGpu => Kind::Integrated,
                _ => Kind::Software,
            },
            binding_bytes_max: limits.binding_bytes_max,
            storage_buffers_max: limits.storage_buffers_max,
            invocations_max: limits.invocations_max,
            workers_max: limits.workers_max,
            subgroup: caps.subgroup,
            f16: caps.f16,
            int64: caps.int64,
            loop_iterations_max: caps.quirks.loop_iterations_max,
            slow_pipelines: caps.quirks.slow_pipelines,
        },
        kernels,
    }
}
