//! The engine on a simulated GPU: lanes' priorities reach the block scheduler, and what a run holds does not grow with its
//! requests.

use std::path::Path;

use cotenant::engine::Engine;
use cotenant::engine::run::{self, RunOptions, RunReport};
use cotenant::engine::scenario::{PolicySpec, Scenario};

/// `n` tenants in closed loops, the first of them important.
fn scenario(n: usize, device: &str, model: &str, requests: u64) -> Scenario {
    let mut text = format!("seed = 5\nrequests = {requests}\n[device]\nspec = \"{device}\"\n");
    for at in 0..n {
        let priority = if at == 0 { 9 } else { 1 };
        text += &format!("[[tenant]]\nname = \"t{at}\"\nmodel = \"zoo:{model}\"\npriority = {priority}\n");
    }
    Scenario::parse(&text, Path::new("scenario.toml")).unwrap()
}

fn run(scenario: &Scenario, policy: &str) -> RunReport {
    let policy = PolicySpec { name: policy.into(), options: toml::Table::new() };
    let options = RunOptions { policy: Some(policy), ..RunOptions::default() };
    run::scenario(scenario, &options, &mut |_| {}).unwrap()
}

/// A product of 1024 fills all 16 SMs of the device, so whoever comes later waits for room.
#[test]
fn priorities_of_streams_change_who_waits_where_kernels_wait_for_room() {
    let scenario = scenario(3, "sim:orin-64", "matmul_1024", 40);
    let means = |policy: &str| -> Vec<f64> {
        run(&scenario, policy).metrics.tenants.iter().map(|t| t.latency_ms.mean.unwrap()).collect()
    };
    let (plain, urgent) = (means("multi-stream"), means("priority-streams"));
    let others = |all: &[f64]| all[1..].iter().sum::<f64>() / 2.0;
    assert!((plain[0] / others(&plain) - 1.0).abs() < 0.1, "without priorities all are alike: {plain:?}");
    assert!(urgent[0] < 0.85 * plain[0], "the important one waits less: {urgent:?} and {plain:?}");
    assert!(others(&urgent) > others(&plain), "at the others' cost: {urgent:?} and {plain:?}");
}

/// Resident memory of this process in bytes, where the system says it.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.trim().split(' ').next()?.parse::<u64>().ok()? << 10)
}

/// Twenty thousand requests more must not take more than a hundred bytes each; bookkeeping of one request is more than that.
#[test]
fn memory_does_not_grow_with_the_number_of_requests() {
    const TENANTS: usize = 20;
    let engine = Engine::builder().device("sim:a100-80gb").start().unwrap();
    let once = |requests: u64| {
        let scenario = scenario(TENANTS, "sim:a100-80gb", "matmul_64", requests);
        let report = run::scenario_on(&engine, &scenario, &RunOptions::default(), &mut |_| {}).unwrap();
        assert!(report.metrics.tenants.iter().all(|t| t.completed == requests));
        resident_bytes()
    };
    once(100);
    let Some(before) = once(100) else { return };
    let after = once(1_000).expect("it was there before");
    let grown = after.saturating_sub(before);
    assert!(grown < 2_000_000, "{grown} bytes more for {} requests", 1_000 * TENANTS);
}
