//! Online interleaving in the engine: chains and combinations of several tenants, requests that come whenever they come,
//! tenants that come and go meanwhile. Outputs are the same bits under all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cotenant::engine::run::{self, RunOptions, inputs};
use cotenant::engine::scenario::Scenario;
use cotenant::engine::{Engine, Memory, Tenant, TenantSpec, device};
use cotenant::graph::{self, Graph, LoadOptions, ModelSource};
use cotenant::interleave::cost::Estimated;
use cotenant::interleave::search::{self, Budget};
use cotenant::interleave::{Machine, Problem, StoredSchedule};
use cotenant::tensor::HostTensor;
use cotenant::timeline::{Category, Event, Span, Timeline};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Networks of the zoo with small launches, and their dimensions.
const MODELS: [(&str, &[(&str, usize)]); 3] =
    [("keyword_spotting", &[]), ("lstm", &[("N", 1), ("T", 3)]), ("bert_tiny", &[("N", 1), ("S", 2)])];

fn graphs() -> Vec<Arc<Graph>> {
    let load = |(name, dims): (&str, &[(&str, usize)])| {
        let dims = dims.iter().map(|(dim, extent)| (dim.to_string(), *extent)).collect();
        let options = LoadOptions { dims, ..LoadOptions::default() };
        Arc::new(graph::load(&ModelSource::Zoo(name.into()), &options).unwrap())
    };
    MODELS.map(load).into()
}

/// The devices that run chains as single dispatches.
fn devices() -> Vec<String> {
    let is_one = |spec: &String| {
        let caps = Engine::open(spec).unwrap().caps().clone();
        caps.cokernels && caps.timestamps
    };
    device::all_specs().into_iter().filter(is_one).collect()
}

fn load(engine: &Engine, name: &str, graph: &Arc<Graph>) -> Tenant {
    engine.load_graph(TenantSpec::new(name, "zoo:"), graph.clone(), &mut |_| {}).unwrap()
}

fn ask(tenant: &Tenant, seed: u64) -> Vec<HostTensor> {
    tenant.infer(inputs::drawn(&tenant.inputs(), seed)).unwrap().wait().unwrap().outputs
}

fn bits(outputs: &[HostTensor]) -> Vec<Vec<u8>> {
    outputs.iter().map(|o| o.bytes().to_vec()).collect()
}

/// Asks until nothing is left to be compiled or tried; not for ever.
fn settle(engine: &Engine, tenants: &[Tenant]) {
    for _ in 0..500 {
        tenants.iter().for_each(|t| drop(ask(t, 0)));
        let stats = engine.stats().unwrap();
        if stats.compiling == 0 && stats.trials == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn spans(timeline: &Timeline) -> Vec<Span> {
    let span = |event: &Event| match event {
        Event::Span(span) => Some(*span),
        _ => None,
    };
    timeline.events().filter_map(span).collect()
}

#[test]
fn outputs_are_the_same_bits_whatever_comes_when() {
    let graphs = graphs();
    let mut rng = StdRng::seed_from_u64(rand::random());
    for spec in devices() {
        let mut expected = Vec::new();
        for graph in &graphs {
            // Of the first requests no launch is in a chain: nothing is compiled for that yet.
            let engine = Engine::open(&spec).unwrap();
            let tenant = load(&engine, "alone", graph);
            expected.push((0..3).map(|seed| bits(&ask(&tenant, seed))).collect::<Vec<_>>());
        }
        for (policy, memory) in [
            ("round-robin", Memory::Pooled),
            ("round-robin", Memory::Isolated),
            ("sequential", Memory::Pooled),
            ("multi-stream", Memory::Isolated),
        ] {
            let engine =
                Engine::builder().device(&spec).policy(policy).memory(memory).timeline(1_000_000).start().unwrap();
            let tenants: Vec<Tenant> = (0..4).map(|k| load(&engine, &format!("t{k}"), &graphs[k % 3])).collect();
            for _ in 0..40 {
                let pending: Vec<_> = (0..rng.random_range(1..8))
                    .map(|_| {
                        let (at, seed) = (rng.random_range(0..4), rng.random_range(0..3));
                        let inputs = inputs::drawn(&tenants[at].inputs(), seed);
                        (at, seed, tenants[at].infer(inputs).unwrap())
                    })
                    .collect();
                for (at, seed, answer) in pending {
                    let outputs = bits(&answer.wait().unwrap().outputs);
                    assert_eq!(outputs, expected[at % 3][seed as usize], "{spec} {policy} {memory:?} tenant {at}");
                }
            }
        }
    }
}

#[test]
fn chains_are_one_span_for_all_their_slices() {
    let graphs = graphs();
    for spec in devices() {
        let engine = Engine::builder().device(&spec).timeline(1_000_000).start().unwrap();
        let tenants = [load(&engine, "lstm", &graphs[1])];
        settle(&engine, &tenants);
        let seen = engine.timeline().unwrap().unwrap().recorded();
        ask(&tenants[0], 1);
        let kernels: Vec<Span> = spans(&engine.timeline_since(seen).unwrap().unwrap())
            .into_iter()
            .filter(|s| s.category == Category::Kernel)
            .collect();
        let launches = tenants[0].recording().launches();
        assert!(kernels.len() >= launches, "{spec}: a span for each of {launches} launches, {}", kernels.len());
        let stages = kernels.iter().filter_map(|s| s.args.stage).max().unwrap() + 1;
        assert!((stages as usize) < launches, "{spec}: {stages} stages of {launches} launches");
        for pair in kernels.windows(2).filter(|p| p[0].args.stage == p[1].args.stage) {
            assert_eq!((pair[0].start, pair[0].end), (pair[1].start, pair[1].end), "{spec}");
        }
    }
}

#[test]
fn a_tenant_that_loads_stops_nobody() {
    let graphs = graphs();
    for spec in devices() {
        let engine = Engine::builder().device(&spec).timeline(1_000_000).start().unwrap();
        let running = load(&engine, "running", &graphs[0]);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    ask(&running, 1);
                }
            });
            let other = load(&engine, "other", &graphs[2]);
            settle(&engine, &[other]);
            over.store(true, Ordering::Relaxed);
        });
        let all = spans(&engine.timeline().unwrap().unwrap());
        // Of the compilations that took longest, which are longer than a request, some request ended within each.
        let mut compiled: Vec<&Span> = all.iter().filter(|s| s.category == Category::Compile).collect();
        compiled.sort_by_key(|s| std::cmp::Reverse(s.end.since(s.start)));
        let requests: Vec<&Span> =
            all.iter().filter(|s| s.category == Category::Request && s.tenant == Some(running.id())).collect();
        let first = requests.first().unwrap().end;
        let longest = requests.iter().map(|r| r.end.since(r.start)).max().unwrap();
        for span in compiled.iter().filter(|s| s.start >= first && s.end.since(s.start).0 > 3 * longest.0) {
            let ended = requests.iter().any(|r| r.end >= span.start && r.end <= span.end);
            assert!(ended, "{spec}: nothing ended within {span:?}");
        }
        assert!(!compiled.is_empty(), "{spec}");
    }
}

#[test]
fn tenants_come_and_go_while_their_chains_are_compiled() {
    let graphs = graphs();
    for spec in devices() {
        let engine = Engine::builder().device(&spec).memory(Memory::Pooled).start().unwrap();
        let stays = load(&engine, "stays", &graphs[1]);
        let expected = bits(&ask(&stays, 2));
        for k in 0..4 {
            let leaves = load(&engine, "leaves", &graphs[1 + k % 2]);
            let pending = leaves.infer(inputs::drawn(&leaves.inputs(), 1)).unwrap();
            assert_eq!(bits(&ask(&stays, 2)), expected);
            pending.wait().unwrap();
        }
        settle(&engine, std::slice::from_ref(&stays));
        assert_eq!(bits(&ask(&stays, 2)), expected, "{spec}");
    }
}

/// Some tenants of [`graphs`] as a scenario.
const ROUND: &str = r#"
seed = 3
requests = 25
[device]
memory = "pooled"
[[tenant]]
name = "words"
model = "zoo:keyword_spotting"
[[tenant]]
name = "tags"
model = "zoo:lstm"
dims = { N = 1, T = 3 }
[[tenant]]
name = "wake"
model = "zoo:keyword_spotting"
"#;

/// A tenant with requests of its own pace.
const EXTRA: &str = r#"
[[tenant]]
name = "extra"
model = "zoo:softmax_64x33"
arrival = { kind = "closed", concurrency = 4 }
"#;

#[test]
fn a_stored_schedule_is_used_when_its_tenants_are_there_and_changes_no_bit() {
    let graphs = graphs();
    let graphs = [0, 1, 0].map(|k| graphs[k].clone());
    let scenario = Scenario::parse(ROUND, std::path::Path::new("round.toml")).unwrap();
    for spec in devices() {
        let engine = Engine::open(&spec).unwrap();
        let tenants: Vec<Tenant> = graphs.iter().zip(0..).map(|(g, k)| load(&engine, &format!("t{k}"), g)).collect();
        let recordings: Vec<_> = tenants.iter().map(|t| t.recording().clone()).collect();
        let problem = Problem::new(&recordings, engine.caps(), Machine::of(engine.caps()), &|_, _, _| None).unwrap();
        let mut search = search::open("greedy", 1).unwrap();
        let clock = cotenant::hal::WallClock::start();
        let found = search.search(&problem, &mut Estimated::default(), &Budget::evaluations(50, Arc::new(clock)));
        let stored = StoredSchedule::new(&problem, found.unwrap().schedule);
        let together = stored.schedule.lanes[0].iter().filter(|stage| stage.chains.len() > 1).count();
        assert!(together > 0, "{}", stored);
        // A tenant that the schedule does not know comes between; whenever it has nothing ready, the others are a round.
        for (extra, always) in [("", true), (EXTRA, false)] {
            let text = format!("{}{extra}", scenario.text);
            let scenario = Scenario::parse(&text, std::path::Path::new("round.toml")).unwrap();
            let schedules = vec![stored.clone()];
            let options = RunOptions { device: Some(spec.clone()), schedules, ..RunOptions::default() };
            let metrics = run::scenario(&scenario, &options, &mut |_| {}).unwrap().metrics;
            for tenant in &metrics.tenants {
                assert_eq!((tenant.failed, tenant.mismatched), (0, 0), "{spec}: {}", tenant.name);
            }
            let rounds = metrics.rounds.unwrap();
            assert!(rounds <= 25 && (rounds == 25 || !always), "{spec}: {rounds} rounds");
        }
    }
}
