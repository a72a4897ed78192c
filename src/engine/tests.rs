//! The engine on devices without a GPU, with recordings made by hand. What needs models is in `tests/engine.rs`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use super::command::Compile;
use super::*;
use crate::graph::{Compiled, GraphError, MemoryUse};
use crate::hal::{
    BufferId, Compiler, Completion, HalError, HostFn, InstallProgress, KernelSpec, LaneId, LaneSpec, Launch, Operation,
    Recording, RecordingId, SharedClock, Submission, SubmissionId, Wait,
};
use crate::service::{self, Decisions};
use crate::tensor::{DType, HostTensor, View};

mod cpu_pool;
mod rounds;
mod virtual_time;

/// Adds one to each element. Fails on a negative first element, panics at 1000.
#[derive(Debug)]
struct AddOne;

impl HostFn for AddOne {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let x = inputs[0].to_f32();
        if x[0] < 0.0 {
            return Err("a negative number".into());
        }
        assert!(x[0] < 1000.0, "too large");
        Ok(vec![HostTensor::from_f32(inputs[0].shape(), &x.iter().map(|v| v + 1.0).collect::<Vec<_>>())])
    }
}

/// A chain of operators that each add one to four numbers: `L` has a launch, `C` is a CPU node.
fn chain(operators: &str) -> Compile {
    chain_of(operators, Arc::new(AddOne))
}

/// A chain of operators that each compute `host`.
fn chain_of(operators: &str, host: Arc<dyn HostFn>) -> Compile {
    let operators = operators.to_string();
    Box::new(move |device, tenant| {
        let arena_bytes = 32 * (operators.len() as u64 + 1);
        let alloc = |device: &mut dyn Device, bytes| {
            device.alloc(tenant, bytes).map_err(|source| GraphError::Device { model: "chain".into(), source })
        };
        let weights = alloc(device, 4)?;
        let arena = alloc(device, arena_bytes).inspect_err(|_| device.free(weights))?;
        let tensor = |at: usize| TensorRef {
            buffer: arena,
            view: View::contiguous(at * 8, &[4]),
            dtype: DType::F32,
            wide: false,
        };
        let kernel = KernelSpec { name: "add_one", source: "", functions: &[], consts: vec![], lanes: 8, chain: None };
        let launch =
            Launch { kernel: Arc::new(kernel), params: vec![], tiles: 4, workers: 4, tile_iterations: 1, weights };
        let operation = |(at, kind): (usize, char)| Operation {
            name: format!("add {at}"),
            kind: "add one".into(),
            inputs: vec![tensor(at)],
            outputs: vec![tensor(at + 1)],
            deps: at.checked_sub(1).map(|d| d as u32).into_iter().collect(),
            launches: if kind == 'L' { vec![launch.clone()] } else { vec![] },
            host: host.clone(),
            flops: 4,
            bytes: 32,
            reason: None,
            given: None,
        };
        let recording = Recording {
            name: "chain".into(),
            tenant,
            arena,
            operations: operators.chars().enumerate().map(operation).collect(),
            inputs: vec![("x".into(), tensor(0))],
            outputs: vec![("y".into(), tensor(operators.len()))],
        };
        Ok(Compiled { recording: Arc::new(recording), buffers: vec![weights, arena], memory: MemoryUse::default() })
    })
}

/// A chain of operators with one launch of four tiles each: the kernel's name, the loop iterations of a tile, and operations.
pub(super) fn operations(operators: &[(&'static str, u32, u64)]) -> Recording {
    let arena = BufferId(1);
    let operation = |(at, (name, tile_iterations, flops)): (u32, &(&'static str, u32, u64))| {
        let kernel = KernelSpec { name, source: "", functions: &[], consts: vec![], lanes: 8, chain: None };
        let (kernel, weights) = (Arc::new(kernel), BufferId(2));
        let launch =
            Launch { kernel, params: vec![], tiles: 4, workers: 4, tile_iterations: *tile_iterations, weights };
        Operation {
            name: format!("{name} {at}"),
            kind: (*name).into(),
            inputs: vec![],
            outputs: vec![],
            deps: at.checked_sub(1).into_iter().collect(),
            launches: vec![launch],
            host: Arc::new(AddOne),
            flops: *flops,
            bytes: 32,
            reason: None,
            given: None,
        }
    };
    let operations = (0..).zip(operators).map(operation).collect();
    Recording { name: "chain".into(), tenant: TenantId(1), arena, operations, inputs: vec![], outputs: vec![] }
}

fn spec(name: &str) -> TenantSpec {
    TenantSpec::new(name, "zoo:made by hand")
}

fn load(engine: &Engine, name: &str, operators: &str) -> Tenant {
    engine.install(spec(name), chain(operators), Vec::new(), &mut |_| {}).unwrap()
}

fn x(first: f32) -> Vec<HostTensor> {
    vec![HostTensor::from_f32(&[4], &[first, 2.0, 3.0, f32::NAN])]
}

fn first(response: Response) -> f32 {
    response.outputs[0].to_f32()[0]
}

fn ask(tenant: &Tenant, value: f32) -> f32 {
    first(tenant.infer(x(value)).unwrap().wait().unwrap())
}

#[test]
fn operators_run_in_order_on_the_device_and_on_the_cpu() {
    let engine = Engine::open("reference").unwrap();
    for (operators, expected) in
        [("L", 1.0), ("LLLLL", 5.0), ("C", 1.0), ("CCC", 3.0), ("LCL", 3.0), ("CLLCCLC", 7.0), ("", 0.0)]
    {
        let tenant = load(&engine, operators, operators);
        assert_eq!(ask(&tenant, 0.0), expected, "{operators}");
        let response = tenant.infer(x(5.0)).unwrap().wait().unwrap();
        assert!(response.outputs[0].to_f32()[3].is_nan(), "NaN passes through");
        assert!(response.arrival <= response.started && response.started <= response.finished);
    }
}

#[test]
fn many_requests_of_many_tenants_are_answered_rightly_under_every_policy() {
    for policy in crate::service::policy::POLICIES {
        let engine = Engine::builder().device("reference").policy(policy.name).start().unwrap();
        let tenants =
            ["LLLL", "LCL", "CC", "LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL"].map(|o| (load(&engine, o, o), o));
        let mut pending = Vec::new();
        for k in 0..20 {
            for (tenant, operators) in &tenants {
                pending.push((tenant.infer(x(k as f32)).unwrap(), k as f32 + operators.len() as f32));
            }
        }
        for (answer, expected) in pending {
            assert_eq!(first(answer.wait().unwrap()), expected, "{}", policy.name);
        }
    }
}

#[test]
fn a_paused_tenant_waits_and_others_do_not() {
    for policy in ["round-robin", "sequential", "multi-stream"] {
        let engine = Engine::builder().device("reference").policy(policy).start().unwrap();
        let paused = load(&engine, "paused", "LLL");
        let other = load(&engine, "other", "LL");
        assert_eq!(ask(&paused, 0.0), 3.0);
        paused.pause().unwrap();
        let waiting = paused.infer(x(1.0)).unwrap();
        (0..5).for_each(|_| assert_eq!(ask(&other, 0.0), 2.0, "{policy}"));
        let open = |engine: &Engine| engine.stats().unwrap().tenants[0].open;
        assert_eq!(open(&engine), 1, "{policy}");
        paused.resume().unwrap();
        assert_eq!(first(waiting.wait().unwrap()), 4.0);
        assert_eq!(open(&engine), 0);
    }
}

#[test]
fn a_new_priority_counts_from_the_next_decision_on() {
    for policy in ["priority", "priority-streams"] {
        let engine = Engine::builder().device("null").policy(policy).timeline(10_000).start().unwrap();
        let [a, b] = ["a", "b"].map(|name| load(&engine, name, "LLLL"));
        ask(&a, 0.0);
        b.set_priority(9).unwrap();
        for _ in 0..3 {
            ask(&a, 0.0);
            ask(&b, 0.0);
        }
        let faults = engine.stats().unwrap().faults;
        assert_eq!(faults.count, 0, "{faults:?}");
    }
}

/// Decides whatever it was made of.
struct Nonsense(fn(&service::View, &mut Decisions));

impl Policy for Nonsense {
    fn decide(&mut self, _now: Nanos, view: &service::View, out: &mut Decisions) {
        (self.0)(view, out);
    }
}

#[test]
fn a_policy_that_decides_nonsense_is_refused_and_the_run_goes_on() {
    let nonsense: [fn(&service::View, &mut Decisions); 2] = [
        |view, out| {
            out.grant(view.tenants[0].tenant, 1);
            out.grant(TenantId(777), 3);
        },
        |view, out| {
            out.grant(view.tenants[0].tenant, 1);
            out.grant(view.tenants[1].tenant, 1);
        },
    ];
    let expected = ["which is not loaded", "which has 0 ready"];
    for (decide, expected) in nonsense.into_iter().zip(expected) {
        let engine =
            Engine::builder().device("reference").own_policy("nonsense", Box::new(Nonsense(decide))).start().unwrap();
        let tenant = load(&engine, "t", "LCL");
        let _idle = load(&engine, "idle", "L");
        assert_eq!(ask(&tenant, 0.0), 3.0);
        let faults = engine.stats().unwrap().faults;
        assert!(faults.count > 0);
        assert!(faults.first.unwrap().to_string().contains(expected), "{faults:?}");
    }
}

#[test]
fn a_policy_that_grants_nothing_for_ever_fails_the_requests() {
    let engine =
        Engine::builder().device("reference").own_policy("idle", Box::new(Nonsense(|_, _| {}))).start().unwrap();
    let tenant = load(&engine, "t", "LL");
    let error = tenant.infer(x(0.0)).unwrap().wait().unwrap_err().to_string();
    assert!(error.contains("the policy granted nothing"), "{error}");
    assert_eq!(engine.stats().unwrap().faults.first, Some(PolicyFault::Stalled));
}

#[test]
fn a_failing_operator_fails_its_request_and_no_other() {
    let engine = Engine::open("reference").unwrap();
    for operators in ["LLLL", "LCL"] {
        let bad = load(&engine, "bad", operators);
        let good = load(&engine, "good", "LLLL");
        let mut pending = Vec::new();
        for k in 0..10 {
            pending.push((bad.infer(x(-3.0)).unwrap(), None));
            pending.push((good.infer(x(k as f32)).unwrap(), Some(k as f32 + 4.0)));
            pending.push((bad.infer(x(k as f32)).unwrap(), Some((k + operators.len()) as f32)));
        }
        for (answer, expected) in pending {
            match (answer.wait(), expected) {
                (Ok(response), Some(expected)) => assert_eq!(first(response), expected),
                (Err(error), None) => {
                    let message = error.to_string();
                    assert!(message.contains("\"bad\"") && message.contains("a negative number"), "{message}");
                }
                (got, expected) => panic!("{got:?}, expected {expected:?}"),
            }
        }
    }
}

#[test]
fn a_panic_in_an_operator_is_an_error_of_its_request() {
    let engine = Engine::open("reference").unwrap();
    let tenant = load(&engine, "t", "CL");
    let error = tenant.infer(x(1000.0)).unwrap().wait().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(ask(&tenant, 1.0), 3.0);
}

#[test]
fn inputs_that_do_not_fit_are_refused_with_what_was_found_and_what_is_expected() {
    let engine = Engine::open("null").unwrap();
    let tenant = load(&engine, "t", "L");
    let check = |inputs: Vec<HostTensor>, expected: &str| {
        assert_eq!(tenant.infer(inputs).unwrap_err().to_string(), format!("tenant \"t\": {expected}"));
    };
    check(vec![], "0 inputs were given, the model takes 1: x f32 4");
    check(vec![HostTensor::zeros(DType::F32, &[2, 2])], "input \"x\" is f32 2x2, the model takes f32 4");
    check(vec![HostTensor::zeros(DType::F64, &[4])], "input \"x\" is f64 4, the model takes f32 4");
    assert_eq!(engine.stats().unwrap().tenants[0].open, 0, "a refused request takes no place");
}

#[test]
fn fixed_inputs_may_be_given_again_or_left_out_but_not_changed() {
    let engine = Engine::open("reference").unwrap();
    let rate = |v| HostTensor::from_i64(&[], &[v]);
    let fixed = vec![(0, "rate".to_string(), Arc::new(rate(16_000)))];
    let tenant = engine.install(spec("t"), chain("L"), fixed, &mut |_| {}).unwrap();
    let with = |v| vec![rate(v), x(1.0).remove(0)];
    assert_eq!(ask(&tenant, 1.0), 2.0);
    assert_eq!(first(tenant.infer(with(16_000)).unwrap().wait().unwrap()), 2.0);
    assert!(matches!(tenant.infer(with(8_000)), Err(InferError::FixedInput { input, .. }) if input == "rate"));
}

#[test]
fn a_full_queue_turns_requests_away_and_empties_again() {
    let engine = Engine::open("reference").unwrap();
    let spec = TenantSpec { queue_max: 2, ..spec("t") };
    let tenant = engine.install(spec, chain("L"), Vec::new(), &mut |_| {}).unwrap();
    // Places are given back when requests end, so some of many are turned away and those accepted are answered.
    let accepted: Vec<_> = (0..1000).filter_map(|k| tenant.infer(x(k as f32 / 2.0)).ok()).collect();
    assert!(accepted.len() < 1000);
    let rejected = 1000 - accepted.len() as u64;
    assert!(accepted.into_iter().all(|a| a.wait().is_ok()));
    assert_eq!(ask(&tenant, 0.0), 1.0);
    assert_eq!(engine.stats().unwrap().tenants[0].rejected, rejected);
}

#[test]
fn a_load_that_fails_leaves_nothing_behind() {
    let engine = Engine::open("reference").unwrap();
    let limited = TenantSpec { memory_limit_bytes: Some(100), ..spec("large") };
    let error = engine.install(limited, chain("LLLLL"), Vec::new(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("\"large\"") && error.contains("limit of 100 bytes"), "{error}");
    assert!(engine.stats().unwrap().tenants.is_empty());
    assert_eq!(ask(&load(&engine, "small", "L"), 0.0), 1.0);
}

#[test]
fn a_tenant_goes_with_its_last_handle_and_others_stay() {
    let engine = Engine::open("reference").unwrap();
    let (one, two) = (load(&engine, "one", "L"), load(&engine, "two", "LL"));
    let clone = one.clone();
    drop(one);
    assert_eq!(ask(&clone, 0.0), 1.0);
    let open = clone.infer(x(0.0)).unwrap();
    drop(clone);
    assert!(matches!(open.wait(), Ok(_) | Err(InferError::TenantGone { .. })));
    assert_eq!(engine.stats().unwrap().tenants.len(), 1);
    assert_eq!(ask(&two, 0.0), 2.0);
}

#[test]
fn an_answer_nobody_waits_for_is_no_harm() {
    let engine = Engine::open("reference").unwrap();
    let tenant = load(&engine, "t", "LCL");
    (0..10).for_each(|k| drop(tenant.infer(x(k as f32)).unwrap()));
    assert_eq!(ask(&tenant, 0.0), 3.0);
}

#[test]
fn the_end_of_the_engine_ends_all_requests() {
    let engine = Engine::open("reference").unwrap();
    let tenant = load(&engine, "t", "LLL");
    let open: Vec<_> = (0..50).map(|_| tenant.infer(x(0.0)).unwrap()).collect();
    drop(engine);
    for answer in open {
        assert!(matches!(answer.wait(), Ok(_) | Err(InferError::EngineGone { .. })));
    }
    assert!(matches!(tenant.infer(x(0.0)), Err(InferError::EngineGone { .. })));
}

#[test]
fn an_answer_can_be_awaited_without_a_runtime() {
    struct Flag(AtomicBool, AtomicUsize);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let engine = Engine::open("reference").unwrap();
    let tenant = load(&engine, "t", "LCL");
    let flag = Arc::new(Flag(AtomicBool::new(true), AtomicUsize::new(0)));
    let waker = Waker::from(flag.clone());
    let mut pending = tenant.infer(x(4.0)).unwrap();
    let response = loop {
        while !flag.0.swap(false, Ordering::SeqCst) {
            std::thread::yield_now();
        }
        if let Poll::Ready(response) = Pin::new(&mut pending).poll(&mut Context::from_waker(&waker)) {
            break response.unwrap();
        }
    };
    assert_eq!(first(response), 7.0);
    assert!(flag.1.load(Ordering::SeqCst) <= 1, "woken once");
    assert_eq!(first(pollster::block_on(tenant.infer(x(0.0)).unwrap()).unwrap()), 3.0);
}

#[test]
fn the_steady_state_makes_nothing_on_the_device() {
    let engine = Engine::open("reference").unwrap();
    let tenant = load(&engine, "t", "LLLL");
    let before = engine.stats().unwrap().counters;
    (0..20).for_each(|_| assert_eq!(ask(&tenant, 0.0), 4.0));
    let after = engine.stats().unwrap().counters;
    assert_eq!((before.buffers, before.pipelines), (after.buffers, after.pipelines));
    assert_eq!(after.submissions - before.submissions, 20, "a tenant alone takes one submission per request");
}

#[test]
fn a_timeline_shows_loads_launches_cpu_nodes_and_requests() {
    use crate::timeline::{Category, Event, InstantKind};
    let engine = Engine::builder().device("reference").timeline(1000).start().unwrap();
    let tenant = load(&engine, "t", "LLC");
    ask(&tenant, 0.0);
    let timeline = engine.timeline().unwrap().unwrap();
    let spans = |category| timeline.events().filter(|e| matches!(e, Event::Span(s) if s.category == category)).count();
    assert_eq!(spans(Category::Kernel), 2);
    assert_eq!(spans(Category::CpuNode), 1);
    assert_eq!(spans(Category::Request), 1);
    assert!(spans(Category::Compile) > 0);
    let arrivals = timeline.events().filter(|e| matches!(e, Event::Instant(i) if i.kind == InstantKind::Arrival));
    assert_eq!(arrivals.count(), 1);
}

#[test]
fn a_lost_device_fails_what_is_open_and_what_comes() {
    let device = Fragile { submissions_left: 3, ..Fragile::new() };
    let engine = Engine::builder().start_on(Box::new(device)).unwrap();
    let tenant = load(&engine, "t", "L");
    let answers: Vec<_> = (0..10).map(|_| tenant.infer(x(0.0)).unwrap().wait()).collect();
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 3);
    let error = answers[9].as_ref().unwrap_err().to_string();
    assert!(error.contains("the device is lost: unplugged"), "{error}");
    assert!(engine.install(spec("late"), chain("L"), Vec::new(), &mut |_| {}).is_err());
}

#[test]
fn while_kernels_are_compiled_others_are_served() {
    /// Compiles nothing until it is told to.
    struct Gate(Mutex<mpsc::Receiver<()>>);
    impl Compiler for Gate {
        fn compile(&self, _recording: &Recording, _progress: InstallProgress) -> Result<(), HalError> {
            self.0.lock().unwrap().recv().map_err(|_| HalError::DeviceLost("the test is over".into()))
        }
    }
    let (open, gate) = mpsc::sync_channel(2);
    let compiler: Arc<dyn Compiler> = Arc::new(Gate(Mutex::new(gate)));
    let device = Fragile { compiler: Some(compiler), ..Fragile::new() };
    let engine = Engine::builder().start_on(Box::new(device)).unwrap();
    open.send(()).unwrap();
    let first = load(&engine, "first", "LL");
    std::thread::scope(|threads| {
        let second = threads.spawn(|| load(&engine, "second", "LLL"));
        // The second load has no kernels before the first tenant is answered.
        (0..10).for_each(|_| drop(first.infer(x(0.0)).unwrap().wait().unwrap()));
        open.send(()).unwrap();
        second.join().unwrap().infer(x(0.0)).unwrap().wait().unwrap();
    });
    assert_eq!(engine.stats().unwrap().tenants.len(), 1, "the second tenant was dropped");
}

#[test]
fn outputs_that_change_while_others_run_are_found() {
    let text =
        "requests = 20\n[[tenant]]\nname = \"a\"\nmodel = \"zoo:dlrm\"\n[[tenant]]\nname = \"b\"\nmodel = \"zoo:dlrm\"";
    let scenario = scenario::Scenario::parse(text, std::path::Path::new("made.toml")).unwrap();
    let run = |corrupt_after| {
        let inner = device::open("reference", WallClock::start()).unwrap();
        let device = Fragile { inner, corrupt_after, ..Fragile::new() };
        let engine = Engine::builder().start_on(Box::new(device)).unwrap();
        let report = run::scenario_on(&engine, &scenario, &run::RunOptions::default(), &mut run::Progress(&mut |_| {}));
        let report = report.unwrap();
        let of = |t: &crate::timeline::metrics::TenantMetrics| (t.completed, t.mismatched, t.output_sha256.clone());
        report.metrics.tenants.iter().map(of).collect::<Vec<_>>()
    };
    let right = run(u32::MAX);
    assert!(right.iter().all(|(completed, mismatched, _)| (*completed, *mismatched) == (20, 0)), "{right:?}");
    assert_eq!(right[0].2, right[1].2, "one model, one seed, one output");
    let wrong = run(30);
    assert!(wrong.iter().any(|(_, mismatched, _)| *mismatched > 0), "{wrong:?}");
    assert!(wrong.iter().zip(&right).any(|(w, r)| w.2 != r.2), "the hash is of outputs among others");
}

#[test]
fn a_panic_while_a_model_is_loaded_ends_that_load_alone() {
    struct Broken;
    impl Compiler for Broken {
        fn compile(&self, recording: &Recording, _progress: InstallProgress) -> Result<(), HalError> {
            assert!(recording.operations.len() < 5, "a compiler's panic");
            Ok(())
        }
    }
    let device = Fragile { compiler: Some(Arc::new(Broken)), installs_panic_from: 4, ..Fragile::new() };
    let engine = Engine::builder().start_on(Box::new(device)).unwrap();
    let first = load(&engine, "first", "LL");
    let fails = |compile: Compile, words: &str| {
        let error = engine.install(spec("late"), compile, Vec::new(), &mut |_| {}).map(drop).unwrap_err().to_string();
        assert!(error.contains("\"late\"") && error.contains(words), "{error}");
        drop(first.infer(x(0.0)).unwrap().wait().unwrap());
        assert_eq!(engine.stats().unwrap().tenants.len(), 1, "nothing is left of it");
    };
    fails(Box::new(|_, _| panic!("sizes overflowed")), "sizes overflowed");
    fails(chain("LLLLL"), "a compiler's panic");
    fails(chain("LLLL"), "an install's panic");
    fails(chain("LLLL"), "an install's panic");
    assert!(engine.install(spec("last"), chain("LLL"), Vec::new(), &mut |_| {}).is_ok());
}

/// A device that is lost after some submissions, gives wrong outputs after some, or panics while it installs recordings of
/// so many operators.
struct Fragile {
    inner: Box<dyn Device>,
    submissions_left: u32,
    corrupt_after: u32,
    compiler: Option<Arc<dyn Compiler>>,
    installs_panic_from: usize,
}

impl Fragile {
    fn new() -> Fragile {
        Fragile {
            inner: device::open("null", WallClock::start()).unwrap(),
            submissions_left: u32::MAX,
            corrupt_after: u32::MAX,
            compiler: None,
            installs_panic_from: usize::MAX,
        }
    }
}

impl Device for Fragile {
    fn caps(&self) -> &DeviceCaps {
        self.inner.caps()
    }
    fn clock(&self) -> SharedClock {
        self.inner.clock()
    }
    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.inner.limit_memory(tenant, bytes_max);
    }
    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<crate::hal::BufferId, HalError> {
        self.inner.alloc(tenant, bytes)
    }
    fn free(&mut self, buffer: crate::hal::BufferId) {
        self.inner.free(buffer);
    }
    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.inner.write(region, bytes)
    }
    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.inner.read(region)
    }
    fn compiler(&self) -> Option<Arc<dyn Compiler>> {
        self.compiler.clone()
    }
    fn install(&mut self, recording: Arc<Recording>, progress: InstallProgress) -> Result<RecordingId, HalError> {
        assert!(recording.operations.len() < self.installs_panic_from, "an install's panic");
        self.inner.install(recording, progress)
    }
    fn uninstall(&mut self, recording: RecordingId) {
        self.inner.uninstall(recording);
    }
    fn lane(&mut self, spec: &LaneSpec) -> Result<LaneId, HalError> {
        self.inner.lane(spec)
    }
    fn submit(&mut self, lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        if self.submissions_left == 0 {
            return Err(HalError::DeviceLost("unplugged".into()));
        }
        self.submissions_left -= 1;
        self.inner.submit(lane, submission)
    }
    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        let before = out.len();
        self.inner.poll(wait, out)?;
        for completion in &mut out[before..] {
            self.corrupt_after = self.corrupt_after.saturating_sub(u32::from(!completion.reads.is_empty()));
            if self.corrupt_after == 0 {
                completion.reads.iter_mut().flatten().for_each(|byte| *byte ^= 1);
            }
        }
        Ok(())
    }
    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}
