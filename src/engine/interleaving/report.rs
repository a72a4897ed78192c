//! What a call found, as `cotenant interleave --json` prints it.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::forms::{Forms, NAIVE, PER_DEVICE, SEQUENTIAL, SINGLE, Searched};
use super::{InterleaveOptions, Paired, Participant};
use crate::hal::DeviceCaps;
use crate::interleave::{Model, Problem, StoredSchedule};
use crate::timeline::{ClockKind, DeviceInfo, Timeline};

/// See the module's comment. Times are medians over paired rounds, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct InterleaveReport {
    /// What ran it.
    pub device: DeviceInfo,
    /// Whether times are measured or simulated.
    pub clock: ClockKind,
    /// The tenants.
    pub tenants: Vec<TenantReport>,
    /// Operators without a kernel.
    pub cpu_nodes: usize,
    /// One tenant after the other, each launch with the whole device.
    pub sequential_ms: f64,
    /// A launch of each tenant in turn, on one queue.
    pub naive_ms: f64,
    /// A lane (a logical device) for each tenant.
    pub per_device_ms: f64,
    /// Sequential with one worker for each launch; only on devices of few units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_worker_ms: Option<f64>,
    /// The chosen schedule.
    pub best_ms: f64,
    /// The greatest of the critical path of launches alone and their work over the device's units.
    pub bound_ms: f64,
    /// Operations and bytes over the device's measured rates.
    pub peak_bound_ms: f64,
    /// The chosen schedule over the fastest of the others, round by round: the median.
    pub ratio: f64,
    /// The interval that holds that median with a probability of 95 %.
    pub ratio_interval: [f64; 2],
    /// Which of the others is the fastest.
    pub fastest_baseline: String,
    /// Sequential over the chosen one.
    pub speedup: f64,
    /// Rounds of the measurement.
    pub rounds: usize,
    /// What the chosen schedule is.
    pub form: String,
    /// The search that was used.
    pub search: String,
    /// What it minimised.
    pub cost: String,
    /// Where that was learned: the median of the relative errors of stages that were measured, predicted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_error: Option<f64>,
    /// The same of the counted times, for comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_error: Option<f64>,
    /// Stages that were measured to learn from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages_measured: Option<u64>,
    /// Schedules and stages that it costed.
    pub evaluations: u64,
    /// Seconds that it took.
    pub search_s: f64,
    /// Stages of the chosen schedule.
    pub stages: usize,
    /// Lanes of the chosen schedule.
    pub lanes: usize,
    /// Everything that was compared.
    pub forms: Vec<FormReport>,
    /// The chosen schedule, to be stored.
    #[serde(skip)]
    pub schedule: StoredSchedule,
    /// A round one after another and a round of the chosen form, where the device tells times.
    #[serde(skip)]
    pub timeline: Option<Timeline>,
}

/// A form that was compared.
#[derive(Clone, Debug, Serialize)]
pub struct FormReport {
    /// Its name.
    pub name: String,
    /// Its lanes.
    pub lanes: usize,
    /// Its stages.
    pub stages: usize,
    /// Its pieces.
    pub pieces: usize,
    /// Stages that are one dispatch of several slices.
    pub cokernels: usize,
}

/// A tenant of the round.
#[derive(Clone, Debug, Serialize)]
pub struct TenantReport {
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Launches.
    pub launches: usize,
    /// SHA-256 of the words of all outputs, equal under every form; none where the device computes nothing.
    pub output_sha256: Option<String>,
}

/// The device's measured rates.
pub(super) struct Peaks {
    pub(super) gflops: f64,
    pub(super) gbs: f64,
}

/// Everything that was measured.
pub(super) struct Measured<'a> {
    pub(super) participants: &'a [Participant],
    pub(super) options: &'a InterleaveOptions,
    pub(super) problem: &'a Problem,
    pub(super) forms: &'a Forms<'a>,
    pub(super) best: usize,
    pub(super) paired: &'a Paired,
    pub(super) found: &'a Searched,
    pub(super) outputs: &'a [Vec<Vec<u8>>],
    pub(super) peaks: Peaks,
    pub(super) caps: &'a DeviceCaps,
    pub(super) timeline: Option<Timeline>,
}

pub(super) fn make(m: &Measured) -> InterleaveReport {
    let ms = |at: usize| m.paired.median_ns(at) / 1e6;
    // A chosen form that is not one of these is the last of each round.
    let without = m.forms.without();
    let chosen = m.best.min(without.end);
    let fastest = m.paired.fastest(without.clone()).unwrap_or(SEQUENTIAL);
    let ratio = m.paired.ratio(chosen, fastest);
    let launches = || m.problem.models.iter().flat_map(|model| &model.launches);
    let flops_ns = launches().map(|l| l.flops).sum::<f64>() / m.peaks.gflops.max(f64::MIN_POSITIVE);
    // What is read again and again may come from a cache: memory moves what a tenant has once at least.
    let bytes = |(model, has): (&Model, u64)| model.launches.iter().map(|l| l.bytes).sum::<f64>().min(has as f64);
    let bytes: f64 = m.problem.models.iter().zip(m.forms.footprints()).map(bytes).sum();
    let bytes_ns = bytes / m.peaks.gbs.max(f64::MIN_POSITIVE);
    let form = &m.forms.all()[m.best];
    let tenant = |(participant, outputs): (&Participant, &Vec<Vec<u8>>)| TenantReport {
        name: participant.name.clone(),
        model: participant.graph.name.clone(),
        launches: 0,
        output_sha256: m.caps.computes().then(|| sha256(outputs)),
    };
    let mut tenants: Vec<TenantReport> = m.participants.iter().zip(m.outputs).map(tenant).collect();
    for (tenant, model) in tenants.iter_mut().zip(&m.problem.models) {
        tenant.launches = model.launches.len();
    }
    InterleaveReport {
        device: DeviceInfo { backend: m.caps.backend.into(), name: m.caps.name.clone(), driver: m.caps.driver.clone() },
        clock: if m.caps.backend == "sim" { ClockKind::Virtual } else { ClockKind::Wall },
        tenants,
        cpu_nodes: m.forms.cpu_nodes(),
        sequential_ms: ms(SEQUENTIAL),
        naive_ms: ms(NAIVE),
        per_device_ms: ms(PER_DEVICE),
        single_worker_ms: without.contains(&SINGLE).then(|| ms(SINGLE)),
        best_ms: ms(chosen),
        bound_ms: m.problem.bound_ns() / 1e6,
        peak_bound_ms: flops_ns.max(bytes_ns) / 1e6,
        ratio: ratio.median,
        ratio_interval: ratio.interval,
        fastest_baseline: m.forms.all()[fastest].name.clone(),
        speedup: m.paired.ratio(SEQUENTIAL, chosen).median,
        rounds: m.paired.len(),
        form: form.name.clone(),
        search: m.options.search.clone(),
        cost: m.options.cost.to_string(),
        cost_error: m.found.learned.and_then(|l| l.relative_error),
        counted_error: m.found.learned.and_then(|l| l.counted_relative_error),
        stages_measured: m.found.learned.map(|l| l.measured),
        evaluations: m.found.evaluations,
        search_s: m.found.seconds,
        stages: form.schedule.n_stages(),
        lanes: form.schedule.lanes.len(),
        forms: m.forms.all().iter().map(form_report).collect(),
        schedule: StoredSchedule::new(m.problem, form.schedule.clone()),
        timeline: m.timeline.clone(),
    }
}

/// The device as reports name it.
pub(super) fn device_info(caps: &DeviceCaps) -> DeviceInfo {
    DeviceInfo { backend: caps.backend.into(), name: caps.name.clone(), driver: caps.driver.clone() }
}

fn form_report(form: &super::Form) -> FormReport {
    FormReport {
        name: form.name.clone(),
        lanes: form.schedule.lanes.len(),
        stages: form.schedule.n_stages(),
        pieces: form.schedule.pieces().count(),
        cokernels: form.cokernels,
    }
}

fn sha256(outputs: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new();
    outputs.iter().for_each(|bytes| hash.update(bytes));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
