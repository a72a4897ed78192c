//! The engine with models of the zoo on every device: tenants do not notice each other, whatever one of them does.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cotenant::engine::run::{self, RunError, RunOptions, RunStage, Watch, inputs};
use cotenant::engine::scenario::Scenario;
use cotenant::engine::{Engine, InferError, Tenant, TenantSpec, device};
use cotenant::graph::{self, Graph, LoadOptions, ModelSource};
use cotenant::service::policy::POLICIES;
use cotenant::tensor::{DType, HostTensor};
use cotenant::timeline::{Category, Event};

const SMALL: [&str; 4] = ["keyword_spotting", "matmul_64", "softmax_64x33", "gelu_1000"];

fn graphs() -> Vec<(&'static str, Arc<Graph>)> {
    let load = |name: &str| graph::load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).unwrap();
    SMALL.map(|name| (name, Arc::new(load(name)))).into()
}

fn load(engine: &Engine, name: &str, graph: &Arc<Graph>) -> Tenant {
    let spec = TenantSpec::new(name, &format!("zoo:{name}"));
    engine.load_graph(spec, graph.clone(), &mut |_| {}).unwrap()
}

fn ask(tenant: &Tenant, seed: u64) -> Vec<HostTensor> {
    tenant.infer(inputs::drawn(&tenant.inputs(), seed)).unwrap().wait().unwrap().outputs
}

fn bits(outputs: &[HostTensor]) -> Vec<&[u8]> {
    outputs.iter().map(HostTensor::bytes).collect()
}

#[test]
fn outputs_are_the_same_bits_alone_and_among_eight_tenants() {
    let graphs = graphs();
    for spec in device::all_specs() {
        let mut alone = Vec::new();
        for (name, graph) in &graphs {
            let engine = Engine::open(&spec).unwrap();
            let tenant = load(&engine, name, graph);
            alone.push((0..3).map(|seed| ask(&tenant, seed)).collect::<Vec<_>>());
        }
        for policy in POLICIES {
            let engine = Engine::builder().device(&spec).policy(policy.name).start().unwrap();
            let tenants: Vec<_> = (0..8).map(|k| (k % 4, load(&engine, graphs[k % 4].0, &graphs[k % 4].1))).collect();
            let mut pending = Vec::new();
            for seed in 0..3 {
                for (model, tenant) in &tenants {
                    let inputs = inputs::drawn(&tenant.inputs(), seed);
                    pending.push((*model, seed as usize, tenant.infer(inputs).unwrap()));
                }
            }
            for (model, seed, answer) in pending {
                let outputs = answer.wait().unwrap().outputs;
                let what = format!("{} on {spec} under {}", SMALL[model], policy.name);
                assert_eq!(bits(&outputs), bits(&alone[model][seed]), "{what}");
            }
        }
    }
}

#[test]
fn a_tenant_that_misbehaves_is_not_noticed_by_another() {
    let engine = Engine::open("auto").unwrap();
    let graphs = graphs();
    let good = load(&engine, SMALL[0], &graphs[0].1);
    let expected = ask(&good, 7);
    let bad_spec = TenantSpec { queue_max: 2, ..TenantSpec::new("bad", "zoo:matmul_64") };
    let bad = engine.load_graph(bad_spec, graphs[1].1.clone(), &mut |_| {}).unwrap();
    let nan = HostTensor::from_f32(&[1, 64, 64], &[f32::NAN; 64 * 64]);
    let mut accepted = Vec::new();
    let mut turned_away = 0;
    for _ in 0..20 {
        let wrong = bad.infer(vec![HostTensor::zeros(DType::F32, &[64, 64])]);
        assert!(matches!(wrong, Err(InferError::Input { .. })));
        assert!(matches!(bad.infer(vec![]), Err(InferError::InputCount { found: 0, expected: 1, .. })));
        for _ in 0..10 {
            match bad.infer(vec![nan.clone()]) {
                Ok(pending) => accepted.push(pending),
                Err(InferError::QueueFull { queue_max: 2, .. }) => turned_away += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(bits(&ask(&good, 7)), bits(&expected));
    }
    assert!(turned_away > 0);
    for pending in accepted {
        assert!(pending.wait().unwrap().outputs[0].to_f32().iter().all(|v| v.is_nan()), "NaN comes out as NaN");
    }
    let large = TenantSpec { memory_limit_bytes: Some(1000), ..TenantSpec::new("large", "zoo:matmul_64") };
    let error = engine.load_graph(large, graphs[1].1.clone(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("\"large\"") && error.contains("limit of 1000 bytes"), "{error}");
    drop(bad);
    assert_eq!(bits(&ask(&good, 7)), bits(&expected));
}

#[test]
fn the_steady_state_makes_no_buffer_and_no_pipeline() {
    let graphs = graphs();
    for spec in device::all_specs() {
        let engine = Engine::open(&spec).unwrap();
        let tenant = load(&engine, SMALL[0], &graphs[0].1);
        // Until its chains are compiled and the faster forms are known.
        while engine.stats().unwrap().compiling > 0 {
            ask(&tenant, 0);
        }
        (0..10).for_each(|seed| drop(ask(&tenant, seed)));
        let before = engine.stats().unwrap().counters;
        (0..50).for_each(|seed| drop(ask(&tenant, seed)));
        let after = engine.stats().unwrap().counters;
        assert_eq!((before.buffers, before.pipelines), (after.buffers, after.pipelines), "{spec}");
    }
}

#[test]
fn answers_can_be_awaited() {
    let engine = Engine::open("auto").unwrap();
    let graphs = graphs();
    let tenants = [load(&engine, SMALL[1], &graphs[1].1), load(&engine, SMALL[2], &graphs[2].1)];
    let [a, b] = tenants.each_ref().map(|t| t.infer(inputs::drawn(&t.inputs(), 3)).unwrap());
    let answers = pollster::block_on(async { [a.await.unwrap(), b.await.unwrap()] });
    for (answer, tenant) in answers.iter().zip(&tenants) {
        assert_eq!(bits(&answer.outputs), bits(&ask(tenant, 3)));
    }
}

const SCENARIO: &str = r#"
seed = 3
duration_s = 0.5
[[tenant]]
name = "closed"
model = "zoo:matmul_64"
[[tenant]]
name = "open"
model = "zoo:softmax_64x33"
arrival = { kind = "poisson", rate_rps = 100.0 }
class = "best-effort"
"#;

#[test]
fn a_scenario_runs_and_its_outputs_do_not_depend_on_the_policy() {
    let scenario = Scenario::parse(SCENARIO, Path::new("scenario.toml")).unwrap();
    let mut hashes = Vec::new();
    for policy in POLICIES {
        let mut other = scenario.clone();
        other.policy.name = policy.name.into();
        let options = RunOptions { timeline_events_max: Some(100_000), ..RunOptions::default() };
        let report = run::scenario(&other, &options, &mut |_| {}).unwrap();
        let [closed, open] = &report.metrics.tenants[..] else { panic!("two tenants") };
        for tenant in [closed, open] {
            assert!(tenant.completed > 0 && tenant.failed == 0, "{tenant:?}");
            assert_eq!(tenant.requests, tenant.completed + tenant.rejected);
            assert!(tenant.solo_latency_ms.unwrap() > 0.0);
        }
        // 50 are expected; the moments come from the seed alone.
        assert!((25..100).contains(&open.requests), "{}", open.requests);
        assert!(report.metrics.elapsed_ms >= 500.0);
        let utilization = report.metrics.totals.utilization.unwrap();
        assert!(utilization > 0.0 && utilization <= 1.0);
        let kernels = |at: usize| report.counters[at].pipelines - report.counters[at].cokernels;
        assert_eq!(kernels(0), kernels(1));
        let timeline = report.timeline.unwrap();
        assert!(timeline.len() > 100 && timeline.info.scenario.is_some() && timeline.info.policy == policy.name);
        hashes.push((closed.output_sha256.clone(), open.output_sha256.clone(), open.requests));
    }
    assert!(hashes.iter().all(|h| *h == hashes[0] && h.0.is_some()), "{hashes:?}");
}

#[test]
fn a_scenario_may_be_counted_in_requests() {
    let text = SCENARIO.replace("duration_s = 0.5", "requests = 7\n[device]\nspec = \"null\"");
    let scenario = Scenario::parse(&text, Path::new("scenario.toml")).unwrap();
    let options = RunOptions { drain_max: Duration::from_secs(1), ..RunOptions::default() };
    let report = run::scenario(&scenario, &options, &mut |_| {}).unwrap();
    assert!(report.metrics.tenants.iter().all(|t| (t.requests, t.completed) == (7, 7)));
    assert!(report.timeline.is_none());
}

/// Joins what it is shown and ends the run after so many answers; before requests come where that is zero.
struct Onlooker {
    answers: usize,
    stages: Vec<String>,
    seen: u64,
    events: Vec<Event>,
}

impl Watch for Onlooker {
    fn stage(&mut self, stage: RunStage) {
        self.stages.push(format!("{stage:?}"));
    }

    fn look(&mut self, engine: &Engine) -> ControlFlow<()> {
        let part = engine.timeline_since(self.seen).unwrap().unwrap();
        assert_eq!(part.dropped(), self.seen, "nothing is missed");
        self.seen = part.recorded();
        self.events.extend(part.events());
        let answered = |e: &&Event| matches!(e, Event::Span(s) if s.category == Category::Request);
        let measured = part.measured_from.is_some() || self.answers == 0;
        if measured && self.events.iter().filter(answered).count() >= self.answers {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn whoever_looks_on_sees_everything_and_may_end_a_run() {
    // Without an end it would take a day.
    let text = SCENARIO.replace("duration_s = 0.5", "duration_s = 86400.0\n[device]\nspec = \"null\"");
    let scenario = Scenario::parse(&text, Path::new("scenario.toml")).unwrap();
    let options = RunOptions { timeline_events_max: Some(10_000_000), ..RunOptions::default() };
    let watch = |answers| {
        let mut onlooker = Onlooker { answers, stages: Vec::new(), seen: 0, events: Vec::new() };
        let report = run::watched(&scenario, &options, &mut onlooker);
        (report, onlooker)
    };
    let (report, onlooker) = watch(100);
    let timeline = report.unwrap().timeline.unwrap();
    assert!(timeline.measured_from.is_some());
    assert!(onlooker.events.iter().eq(timeline.events()), "parts make the whole");
    assert!(onlooker.stages.iter().any(|stage| stage.starts_with("Running")));
    let (report, onlooker) = watch(0);
    assert!(matches!(report, Err(RunError::Stopped)));
    assert!(!onlooker.stages.iter().any(|stage| stage.starts_with("Running")));
}

#[test]
fn a_launch_of_many_tiles_is_cut_before_a_driver_leaves_its_loops() {
    // 8192 tiles: without a cut, eight workers would pass lavapipe's bound of 65,535 iterations many times over.
    let name = "conv3x3_8x64x256";
    let graph = Arc::new(graph::load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).unwrap());
    let answer = |spec: &str| {
        let engine = Engine::open(spec).unwrap();
        ask(&load(&engine, name, &graph), 1)[0].to_f32()
    };
    let expected = answer("reference");
    for spec in device::all_specs().iter().filter(|s| s.starts_with("wgpu")) {
        let got = answer(spec);
        let worst = got.iter().zip(&expected).fold(0f32, |m, (g, e)| m.max((g - e).abs()));
        assert!(worst < 1e-3, "{spec}: an output is off by {worst}");
    }
}
