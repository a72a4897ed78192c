//! The engine on a simulated GPU: the priorities of tenants reach the block scheduler, where anybody waits for it.

use std::path::Path;

use cotenant::engine::run::{self, RunOptions};
use cotenant::engine::scenario::{PolicySpec, Scenario};

/// Mean latencies of eight tenants in closed loops, the first of them important.
fn means(model: &str, policy: &str) -> Vec<f64> {
    let mut text = "seed = 5\nrequests = 10\n[device]\nspec = \"sim:orin-64\"\n".to_string();
    for at in 0..8 {
        let priority = if at == 0 { 9 } else { 1 };
        text += &format!("[[tenant]]\nname = \"t{at}\"\nmodel = \"zoo:{model}\"\npriority = {priority}\n");
    }
    let scenario = Scenario::parse(&text, Path::new("scenario.toml")).unwrap();
    let policy = PolicySpec { name: policy.into(), options: toml::Table::new() };
    let options = RunOptions { policy: Some(policy), ..RunOptions::default() };
    let report = run::scenario(&scenario, &options, &mut |_| {}).unwrap();
    report.metrics.tenants.iter().map(|t| t.latency_ms.mean.unwrap()).collect()
}

/// Eight such networks need more room than 16 SMs have.
#[test]
fn priorities_of_streams_change_who_waits_where_kernels_wait_for_room() {
    let (plain, urgent) = (means("resnet18", "multi-stream"), means("resnet18", "priority-streams"));
    let others = |all: &[f64]| all[1..].iter().sum::<f64>() / (all.len() - 1) as f64;
    assert!((plain[0] / others(&plain) - 1.0).abs() < 0.05, "without priorities all are alike: {plain:?}");
    assert!(urgent[0] < 0.9 * plain[0], "the important one waits less: {urgent:?} and {plain:?}");
    assert!(others(&urgent) > others(&plain), "at the others' cost: {urgent:?} and {plain:?}");
}

/// Here launches take the time and every kernel finds room at once.
#[test]
fn priorities_of_streams_change_nothing_where_no_kernel_waits() {
    let network = "keyword_spotting";
    assert_eq!(means(network, "multi-stream"), means(network, "priority-streams"));
}

/// Requests per second of networks in closed loops, and how many of their outputs were not those of the tenant alone.
fn closed_loops(models: &[&str], policy: &str, numerics: bool) -> (f64, u64) {
    let mut text = "seed = 2\nrequests = 8\n[device]\nspec = \"sim:a100-80gb\"\n".to_string();
    for (at, model) in models.iter().enumerate() {
        text += &format!("[[tenant]]\nname = \"t{at}\"\nmodel = \"zoo:{model}\"\npriority = {}\n", 1 + at);
    }
    let scenario = Scenario::parse(&text, Path::new("scenario.toml")).unwrap();
    let policy = PolicySpec { name: policy.into(), options: toml::Table::new() };
    let options = RunOptions { policy: Some(policy), numerics, ..RunOptions::default() };
    let metrics = run::scenario(&scenario, &options, &mut |_| {}).unwrap().metrics;
    assert!(metrics.tenants.iter().all(|t| t.completed >= 8 && t.failed == 0));
    (metrics.totals.throughput_rps, metrics.tenants.iter().map(|t| t.mismatched).sum())
}

/// The grants are the same, and those of one submission overlap.
#[test]
fn interleaving_overlaps_what_weighted_fair_grants() {
    let networks = ["resnet18", "mobilenet_v2", "squeezenet"];
    let [turns, shares] = ["weighted-fair", "interleaved"].map(|policy| closed_loops(&networks, policy, false).0);
    assert!(shares > 1.1 * turns, "{shares} and {turns} requests per second");
}

#[test]
fn interleaving_changes_no_bit() {
    assert_eq!(closed_loops(&["keyword_spotting", "squeezenet", "keyword_spotting"], "interleaved", true).1, 0);
}
