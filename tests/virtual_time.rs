//! Runs on simulated devices: they depend on their seed alone, byte for byte, and compute what every device computes.

use std::path::Path;

use cotenant::engine::run::{self, RunOptions, RunReport};
use cotenant::engine::scenario::{PolicySpec, Scenario};
use cotenant::service::policy::POLICIES;
use cotenant::timeline::{ClockKind, perfetto};

/// Open and closed loops, a model of several operators, requests that are turned away, and a tenant of the other class.
const SCENARIO: &str = r#"
seed = 3
duration_s = 0.02
[[tenant]]
name = "poisson"
model = "zoo:keyword_spotting"
slo_ms = 2.0
arrival = { kind = "poisson", rate_rps = 2000.0 }
[[tenant]]
name = "bursts"
model = "zoo:matmul_64"
priority = 9
arrival = { kind = "gamma", rate_rps = 4000.0, cv = 3.0 }
[[tenant]]
name = "closed"
model = "zoo:softmax_64x33"
class = "best-effort"
arrival = { kind = "closed", concurrency = 3 }
[[tenant]]
name = "flood"
model = "zoo:gelu_1000"
arrival = { kind = "poisson", rate_rps = 200000.0 }
"#;

fn scenario() -> Scenario {
    Scenario::parse(SCENARIO, Path::new("virtual.toml")).unwrap()
}

fn run(device: &str, policy: &str, seed: u64, numerics: bool) -> RunReport {
    let options = RunOptions {
        device: Some(device.into()),
        policy: Some(PolicySpec { name: policy.into(), options: toml::Table::new() }),
        seed: Some(seed),
        timeline_events_max: Some(100_000),
        numerics,
        ..RunOptions::default()
    };
    run::scenario(&scenario(), &options, &mut |_| {}).unwrap_or_else(|e| panic!("{policy}: {e}"))
}

fn trace(report: &RunReport) -> Vec<u8> {
    let mut bytes = Vec::new();
    perfetto::write(report.timeline.as_ref().unwrap(), &mut bytes).unwrap();
    bytes
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for policy in POLICIES {
        let [first, again, other] = [5, 5, 6].map(|seed| run("sim:t4", policy.name, seed, false));
        assert_eq!(first.metrics.clock, ClockKind::Virtual);
        assert!(trace(&first) == trace(&again), "{}: two runs with one seed differ", policy.name);
        assert_eq!(first.metrics, again.metrics, "{}", policy.name);
        assert!(trace(&first) != trace(&other), "{}: the seed changes nothing", policy.name);
        let done: u64 = first.metrics.tenants.iter().map(|t| t.completed).sum();
        assert!(done > 50, "{}: {done} requests", policy.name);
    }
}

#[test]
fn computing_results_changes_no_time_and_gives_what_the_reference_gives() {
    let [without, with] = [false, true].map(|numerics| run("sim:a100-80gb", "round-robin", 1, numerics));
    let options = RunOptions { device: Some("reference".into()), seed: Some(1), ..RunOptions::default() };
    let reference = run::scenario(&scenario(), &options, &mut |_| {}).unwrap();
    assert!(trace(&without) == trace(&with));
    for ((without, with), reference) in
        without.metrics.tenants.iter().zip(&with.metrics.tenants).zip(&reference.metrics.tenants)
    {
        assert_eq!(without.output_sha256, None, "nothing was computed, so nothing is claimed");
        assert!(with.output_sha256.is_some());
        assert_eq!(with.output_sha256, reference.output_sha256, "{}", with.name);
        assert_eq!((with.mismatched, with.failed), (0, 0));
        assert_eq!(without.latency_ms, with.latency_ms);
    }
}

#[test]
fn a_full_queue_turns_requests_away_and_the_books_balance() {
    let report = run("sim:t4", "fifo", 2, false);
    for t in &report.metrics.tenants {
        assert_eq!(t.requests, t.completed + t.rejected + t.failed, "{}", t.name);
    }
    let flood = report.metrics.tenants.iter().find(|t| t.name == "flood").unwrap();
    assert!(flood.rejected > 0 && flood.completed > 0, "{flood:?}");
}
