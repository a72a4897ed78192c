//! What a run on a simulated GPU holds does not grow with its requests. Alone in its program: others would be counted as well.

use std::ops::ControlFlow;
use std::path::Path;

use cotenant::engine::Engine;
use cotenant::engine::run::{self, RunOptions, RunStage, Watch};
use cotenant::engine::scenario::Scenario;

struct Unwatched;

impl Watch for Unwatched {
    fn stage(&mut self, _: RunStage) {}

    fn look(&mut self, _: &Engine) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
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
    let tenant = |at| format!("[[tenant]]\nname = \"t{at}\"\nmodel = \"zoo:matmul_64\"\n");
    let tenants: String = (0..TENANTS).map(tenant).collect();
    let engine = Engine::builder().device("sim:a100-80gb").start().unwrap();
    let once = |requests: u64| {
        let text = format!("requests = {requests}\n{tenants}");
        let scenario = Scenario::parse(&text, Path::new("scenario.toml")).unwrap();
        let report = run::scenario_on(&engine, &scenario, &RunOptions::default(), &mut Unwatched).unwrap();
        assert!(report.metrics.tenants.iter().all(|t| t.completed == requests));
        resident_bytes()
    };
    once(100);
    let Some(before) = once(100) else { return };
    let after = once(1_000).expect("it was there before");
    let grown = after.saturating_sub(before);
    assert!(grown < 2_000_000, "{grown} bytes more for {} requests", 1_000 * TENANTS);
}
