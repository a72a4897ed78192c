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
}

/// One tenant's figures over the measured window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TenantMetrics {
    /// The tenant's name.
    pub name: String,
    /// The model as the scenario names it.
    pub model: String,
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that were answered.
    pub completed: u64,
    /// Requests that were turned away unserved.
    pub rejected: u64,
    /// Requests that ended in an error.
    pub failed: u64,
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
    /// SHA-256 of the first output, in hexadecimal.
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
    /// [`progress::antt`] of mean latencies; `None` where a tenant was starved or its solo latency is unknown.
    pub antt: Option<f64>,
    /// [`progress::stp`] of mean latencies.
    pub stp: Option<f64>,
    /// [`progress::fairness`], unweighted.
    pub fairness: Option<f64>,
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

/// Use of the device: `Σ(SM·s used) / Σ(SM·s)`, "SM efficiency".
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
    latencies: Latencies,
}

/// What a [`Meter`] cannot see of its tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantFacts {
    /// The tenant's name.
    pub name: String,
    /// The model as the scenario names it.
    pub model: String,
    /// Latency of one inference with the device to itself.
    pub solo_latency: Option<Nanos>,
    /// Operators that ran on the CPU.
    pub cpu_nodes: u64,
    /// SHA-256 of the first output.
    pub output_sha256: Option<String>,
}

impl Meter {
    /// Nothing counted; takes all the memory it will need (about 150 KiB).
    pub fn new(slo: Nanos) -> Meter {
        Meter { slo, requests: 0, good: 0, completed: 0, rejected: 0, failed: 0, latencies: Latencies::default() }
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
            requests: self.requests,
            completed: self.completed,
            rejected: self.rejected,
            failed: self.failed,
            slo_ms: self.slo.as_ms(),
            slo_attainment: if self.requests == 0 { 1.0 } else { self.good as f64 / self.requests as f64 },
            throughput_rps: per_second(self.completed, elapsed),
            solo_latency_ms: facts.solo_latency.map(Nanos::as_ms),
            latency_ms: self.latencies.ms(),
            cpu_nodes: facts.cpu_nodes,
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(solo_ms: f64) -> TenantFacts {
        TenantFacts {
            name: "face".into(),
            model: "zoo:mlp".into(),
            solo_latency: Some(Nanos::from_ms(solo_ms)),
            ..TenantFacts::default()
        }
    }

    #[test]
    fn dropped_requests_break_the_promise_too() {
        let mut meter = Meter::new(Nanos::from_ms(10.0));
        (0..5).for_each(|_| meter.arrived());
        meter.completed(Nanos::from_ms(10.0));
        meter.completed(Nanos::from_ms(10.1));
        meter.rejected();
        meter.failed();
        assert_eq!(meter.open(), 1);
        let figures = meter.finish(facts(5.0), Nanos::from_secs(2.0));
        assert_eq!((figures.slo_attainment, figures.throughput_rps), (0.2, 1.0));
        let totals = Totals::of(
            &[figures],
            &Observed {
                elapsed: Nanos::from_secs(2.0),
                occupied: Occupied { unit_ns: 4e9, units: 4 },
                power: Some(Power { idle_w: 50.0, max_w: 250.0 }),
                ..Observed::default()
            },
        );
        assert_eq!((totals.goodput_rps, totals.utilization), (0.5, Some(0.5)));
        assert!((totals.antt.unwrap() - 2.01).abs() < 1e-9);
        // 150 W over two seconds for two answers; one answer a second at 5 ms each.
        assert_eq!(totals.energy_j_per_request, Some(150.0));
        assert!((totals.normalized_throughput.unwrap() - 0.005).abs() < 1e-9);
    }

    #[test]
    fn the_json_has_the_names_of_the_contract() {
        let window = Nanos::from_secs(1.0);
        let tenant = Meter::new(Nanos::from_ms(50.0)).finish(facts(1.0), window);
        let observed = Observed { elapsed: window, ..Observed::default() };
        let totals = Totals::of(std::slice::from_ref(&tenant), &observed);
        let run = RunMetrics {
            device: DeviceInfo::default(),
            clock: ClockKind::Virtual,
            policy: "edf".into(),
            seed: 3,
            elapsed_ms: 1000.0,
            tenants: vec![tenant],
            totals,
            policy_faults: 0,
        };
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"device":{"backend":"","name":"","driver":""},"clock":"virtual","policy":"edf","seed":3,"elapsed_ms":1000.0,"#,
                r#""tenants":[{"name":"face","model":"zoo:mlp","requests":0,"completed":0,"rejected":0,"failed":0,"slo_ms":50.0,"#,
                r#""slo_attainment":1.0,"throughput_rps":0.0,"solo_latency_ms":1.0,"latency_ms":{"mean":null,"p50":null,"#,
                r#""p95":null,"p99":null,"max":null},"cpu_nodes":0,"output_sha256":null}],"totals":{"completed":0,"#,
                r#""throughput_rps":0.0,"goodput_rps":0.0,"antt":null,"stp":null,"fairness":null,"jain":null,"utilization":null,"#,
                r#""normalized_throughput":0.0,"preemption_ms":{"mean":null,"p50":null,"p95":null,"p99":null,"max":null},"#,
                r#""energy_j_per_request":null},"policy_faults":0}"#
            )
        );
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_thousandth(mut ns in prop::collection::vec(0u64..100_000_000_000, 1..300)) {
            let mut meter = Meter::new(Nanos(50_000_000_000));
            for &v in &ns {
                meter.arrived();
                meter.completed(Nanos(v));
            }
            let figures = meter.finish(TenantFacts::default(), Nanos(1));
            ns.sort_unstable();
            let l = figures.latency_ms;
            for (quantile, got) in [(0.5, l.p50), (0.95, l.p95), (0.99, l.p99)] {
                let rank = ((quantile * ns.len() as f64).ceil() as usize).max(1);
                let exact = ns[rank - 1] as f64 / 1e6;
                let got = got.unwrap();
                prop_assert!(got >= exact - 1e-9 && got <= exact * 1.001 + 1e-6, "{quantile}: {got} for {exact}");
            }
            prop_assert!(l.p50 <= l.p95 && l.p95 <= l.p99 && l.p99 <= l.max && l.mean <= l.max);
            let good = ns.iter().filter(|&&v| v <= 50_000_000_000).count();
            prop_assert_eq!(figures.good, good as u64);
            prop_assert!((0.0..=1.0).contains(&figures.slo_attainment));
        }

        #[test]
        fn goodput_never_exceeds_throughput(ms in prop::collection::vec(0.1f64..200.0, 0..50), slo in 1.0f64..200.0) {
            let mut meter = Meter::new(Nanos::from_ms(slo));
            for &v in &ms {
                meter.arrived();
                meter.completed(Nanos::from_ms(v));
            }
            let window = Nanos::from_secs(3.0);
            let totals = Totals::of(&[meter.finish(facts(1.0), window)], &Observed { elapsed: window, ..Observed::default() });
            prop_assert!(totals.goodput_rps <= totals.throughput_rps);
            prop_assert_eq!(totals.completed, ms.len() as u64);
        }
    }
}
