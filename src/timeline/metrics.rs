//! The metrics of a run, with the field names that `cotenant run --json` prints.
//!
//! Feed a [`Meter`] per tenant while the run goes, then [`Meter::finish`] each and join them in [`Totals::of`]. Latency
//! is completion minus arrival, the arrival being the moment the request was *due* (open loop), so a stalled server
//! cannot hide its queue (no coordinated omission). What cannot be known is `None` and prints as `null`, never as zero.

use serde::Serialize;

use super::latency::Latencies;
use super::progress;
use super::{ClockKind, DeviceInfo, LatencyMs};
use crate::tensor::Nanos;

/// The answer of `cotenant run`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunMetrics {
    /// What ran it.
    pub device: DeviceInfo,
    /// Whether the numbers are measured or simulated.
    pub clock: ClockKind,
    /// The policy's name.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// Length of the measured window, warm-up left out.
    pub elapsed_ms: f64,
    /// In the order of the scenario.
    pub tenants: Vec<TenantMetrics>,
    /// Over all tenants.
    pub totals: Totals,
    /// Decisions of the policy that were refused; 0 for every policy of ours.
    pub policy_faults: u64,
    /// Rounds that were submitted as a stored schedule says; `None` where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u64>,
}

/// One tenant's figures over the measured window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TenantMetrics {
    /// The tenant's name.
    pub name: String,
    /// The model as the scenario names it.
    pub model: String,
    /// Its priority; larger is more important.
    pub priority: u32,
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that were answered.
    pub completed: u64,
    /// Requests that were turned away unserved.
    pub rejected: u64,
    /// Requests that ended in an error.
    pub failed: u64,
    /// Answered requests whose outputs were not, bit for bit, those of the tenant alone.
    pub mismatched: u64,
    /// The promise: latency at most this.
    pub slo_ms: f64,
    /// Answered within the promise ÷ arrived (rejected, failed and unanswered ones included), in [0, 1]; 1 if none
    /// arrived.
    pub slo_attainment: f64,
    /// Completed per second of the window.
    pub throughput_rps: f64,
    /// Latency of one inference with the device to itself.
    pub solo_latency_ms: Option<f64>,
    /// Latency of completed requests.
    pub latency_ms: LatencyMs,
    /// Operators of the model that ran on the CPU.
    pub cpu_nodes: u64,
    /// On a simulated device, where it knows from what the tenant's launches take: `operators`, `recorded`, `law`, `measured`,
    /// or several joined by ` + `, most launches first; `None` where times are measured.
    pub cost_source: Option<String>,
    /// SHA-256 of the first output, in hexadecimal: of one request among the others if it differed, else of all.
    pub output_sha256: Option<String>,
    /// Answered within the promise; [`Totals::goodput_rps`] sums it.
    #[serde(skip)]
    pub good: u64,
}

/// Figures over all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Totals {
    /// Requests answered.
    pub completed: u64,
    /// Answered per second.
    pub throughput_rps: f64,
    /// Answered within their promise per second.
    pub goodput_rps: f64,
    /// [`progress::antt`] of mean latencies, from arrival to answer, against that of a lone request: what waits behind its own
    /// tenant's requests counts too, so that one tenant in a closed loop of eight has 8. `None` where a tenant was starved or its solo latency is unknown.
    pub antt: Option<f64>,
    /// [`progress::stp`] of mean latencies.
    pub stp: Option<f64>,
    /// [`progress::fairness`], unweighted.
    pub fairness: Option<f64>,
    /// The same of progress over entitlement by priority ([`progress::weighted`]); `None` where a priority is 0.
    pub weighted_fairness: Option<f64>,
    /// [`progress::jain`] of normalised progress.
    pub jain: Option<f64>,
    /// [`Occupied::fraction`]: share of the device's unit-seconds that were used, in [0, 1].
    pub utilization: Option<f64>,
    /// Normalised throughput, `Σ throughput · solo latency` (Orion, Tally): 1 is one tenant that is never idle alone.
    pub normalized_throughput: Option<f64>,
    /// How long best-effort work that was under way when a latency tenant's request arrived went on; of requests that
    /// found such work.
    pub preemption_ms: LatencyMs,
    /// Joule per completed request by [`Power::energy_j`]; `None` where the device's power is not known.
    pub energy_j_per_request: Option<f64>,
}

/// A simple model of a device's power.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// Watts when it does nothing.
    pub idle_w: f64,
    /// Watts when all of it works.
    pub max_w: f64,
}

impl Power {
    /// Joule over `elapsed`: idle power all the time, and the rest in proportion to utilisation. It knows nothing of
    /// clocks, voltages and what the work is.
    pub fn energy_j(self, elapsed: Nanos, utilization: f64) -> f64 {
        (self.idle_w + (self.max_w - self.idle_w) * utilization) * elapsed.as_secs()
    }
}

/// What a run knows beside its tenants' meters.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Length of the measured window.
    pub elapsed: Nanos,
    /// Use of the device.
    pub occupied: Occupied,
    /// See [`Totals::preemption_ms`].
    pub preemptions: LatencyMs,
    /// The device's power, where it is known.
    pub power: Option<Power>,
}

/// Use of the device: `Σ(SM·s used) / Σ(SM·s)`, "SM efficiency"; a unit is used while it has a block.
///
/// With `units` 1 it is plain busy time, for devices that do not tell more ([`super::busy_time`]).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Occupied {
    /// Sum over the window of units in use × nanoseconds.
    pub unit_ns: f64,
    /// Units that the device has.
    pub units: u32,
}

impl Occupied {
    /// What was added to an earlier count.
    #[must_use]
    pub fn since(self, earlier: Occupied) -> Occupied {
        Occupied { unit_ns: (self.unit_ns - earlier.unit_ns).max(0.0), units: self.units }
    }

    /// The used share of `elapsed`, in [0, 1]; `None` where there is nothing to divide by.
    pub fn fraction(self, elapsed: Nanos) -> Option<f64> {
        let whole = f64::from(self.units) * elapsed.0 as f64;
        (whole > 0.0).then(|| (self.unit_ns / whole).clamp(0.0, 1.0))
    }
}

/// Counts one tenant's requests as they arrive and end.
#[derive(Clone, Debug)]
pub struct Meter {
    slo: Nanos,
    requests: u64,
    good: u64,
    completed: u64,
    rejected: u64,
    failed: u64,
    mismatched: u64,
    latencies: Latencies,
}

/// What a [`Meter`] cannot see of its tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantFacts {
    /// The tenant's name.
    pub name: String,
    /// The model as the scenario names it.
    pub model: String,
    /// Its priority.
    pub priority: u32,
    /// Latency of one inference with the device to itself.
    pub solo_latency: Option<Nanos>,
    /// Operators that ran on the CPU.
    pub cpu_nodes: u64,
    /// Where simulated times are from.
    pub cost_source: Option<String>,
    /// SHA-256 of the first output.
    pub output_sha256: Option<String>,
}

impl Meter {
    /// Nothing counted; takes all the memory it will need (about 150 KiB).
    pub fn new(slo: Nanos) -> Meter {
        Meter {
            slo,
            requests: 0,
            good: 0,
            completed: 0,
            rejected: 0,
            failed: 0,
            mismatched: 0,
            latencies: Latencies::default(),
        }
    }

    /// A request arrived.
    pub fn arrived(&mut self) {
        self.requests += 1;
    }

    /// A request was answered, `latency` after its arrival.
    pub fn completed(&mut self, latency: Nanos) {
        self.completed += 1;
        self.good += u64::from(latency <= self.slo);
        self.latencies.record(latency);
    }

    /// A request was turned away.
    pub fn rejected(&mut self) {
        self.rejected += 1;
    }

    /// The outputs of a request that was answered were not as they must be.
    pub fn mismatched(&mut self) {
        self.mismatched += 1;
    }

    /// A request ended in an error.
    pub fn failed(&mut self) {
        self.failed += 1;
    }

    /// Requests that arrived and have not ended.
    pub fn open(&self) -> u64 {
        self.requests.saturating_sub(self.completed + self.rejected + self.failed)
    }

    /// The counts so far as figures over a window of `elapsed`; may be called during a run.
    pub fn finish(&self, facts: TenantFacts, elapsed: Nanos) -> TenantMetrics {
        TenantMetrics {
            name: facts.name,
            model: facts.model,
            priority: facts.priority,
            requests: self.requests,
            completed: self.completed,
            rejected: self.rejected,
            failed: self.failed,
            mismatched: self.mismatched,
            slo_ms: self.slo.as_ms(),
            slo_attainment: if self.requests == 0 { 1.0 } else { self.good as f64 / self.requests as f64 },
            throughput_rps: per_second(self.completed, elapsed),
            solo_latency_ms: facts.solo_latency.map(Nanos::as_ms),
            latency_ms: self.latencies.ms(),
            cpu_nodes: facts.cpu_nodes,
            cost_source: facts.cost_source,
            output_sha256: facts.output_sha256,
            good: self.good,
        }
    }
}

impl Totals {
    /// Joins the tenants' figures; tenants to which no request arrived do not count as programs.
    pub fn of(tenants: &[TenantMetrics], observed: &Observed) -> Totals {
        let Observed { elapsed, occupied, preemptions, power } = *observed;
        let completed: u64 = tenants.iter().map(|t| t.completed).sum();
        let good = tenants.iter().map(|t| t.good).sum();
        let progress: Option<Vec<f64>> = tenants
            .iter()
            .filter(|t| t.requests > 0)
            .map(|t| Some(progress::normalised_progress(t.solo_latency_ms?, t.latency_ms.mean)))
            .collect();
        let np = progress.as_deref();
        let priorities: Vec<f64> = tenants.iter().filter(|t| t.requests > 0).map(|t| f64::from(t.priority)).collect();
        let weighted = np.filter(|_| priorities.iter().all(|p| *p > 0.0)).map(|np| progress::weighted(np, &priorities));
        let utilization = occupied.fraction(elapsed);
        let served = |t: &TenantMetrics| Some(t.throughput_rps * t.solo_latency_ms? / 1e3);
        let energy_j = power.zip(utilization).map(|(power, used)| power.energy_j(elapsed, used));
        Totals {
            completed,
            throughput_rps: per_second(completed, elapsed),
            goodput_rps: per_second(good, elapsed),
            antt: np.and_then(progress::antt),
            stp: np.and_then(progress::stp),
            fairness: np.and_then(progress::fairness),
            weighted_fairness: weighted.as_deref().and_then(progress::fairness),
            jain: np.and_then(progress::jain),
            utilization,
            normalized_throughput: tenants.iter().map(served).sum(),
            preemption_ms: preemptions,
            energy_j_per_request: energy_j.filter(|_| completed > 0).map(|joule| joule / completed as f64),
        }
    }
}

fn per_second(count: u64, elapsed: Nanos) -> f64 {
    if elapsed.0 == 0 { 0.0 } else { count as f64 / elapsed.as_secs() }
}

#[cfg(test)]
mod tests;
