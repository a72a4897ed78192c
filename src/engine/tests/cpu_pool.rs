//! CPU nodes of several tenants, ordered by events: each function says that it began and waits until it may go on.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// Longest wait for anything; whoever waits as long fails, and so does its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many functions run at once, and how many did at most.
#[derive(Debug, Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Adds one as soon as it may.
#[derive(Debug)]
struct Gated {
    began: SyncSender<f32>,
    go: Mutex<Receiver<()>>,
    crowd: Arc<Crowd>,
}

impl HostFn for Gated {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let now = self.crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.crowd.most.fetch_max(now, Ordering::SeqCst);
        self.began.send(inputs[0].to_f32()[0]).map_err(|e| e.to_string())?;
        let went = self.go.lock().unwrap().recv_timeout(PATIENCE);
        self.crowd.now.fetch_sub(1, Ordering::SeqCst);
        went.map_err(|_| "nobody let it go on".to_string())?;
        AddOne.eval(inputs)
    }
}

/// A function's other end.
struct Gate {
    began: Receiver<f32>,
    go: SyncSender<()>,
}

impl Gate {
    fn wait_until_it_began(&self) -> f32 {
        self.began.recv_timeout(PATIENCE).expect("it begins")
    }

    fn open(&self) {
        self.go.send(()).unwrap();
    }
}

fn gated(crowd: &Arc<Crowd>) -> (Arc<Gated>, Gate) {
    let ((began, began_at), (go, go_at)) = (sync_channel(100), sync_channel(100));
    (Arc::new(Gated { began, go: Mutex::new(go_at), crowd: crowd.clone() }), Gate { began: began_at, go })
}

fn engine(cpu_threads: usize) -> Engine {
    Engine::builder().device("reference").cpu_threads(cpu_threads).start().unwrap()
}

/// A tenant whose operators, all on the CPU but those called `L`, wait at a gate.
fn load_gated(engine: &Engine, name: &str, operators: &str, crowd: &Arc<Crowd>) -> (Tenant, Gate) {
    let (function, gate) = gated(crowd);
    let tenant = engine.install(spec(name), chain_of(operators, function), Vec::new(), &mut |_| {}).unwrap();
    (tenant, gate)
}

#[test]
fn a_long_node_of_one_tenant_does_not_hold_up_another() {
    let engine = engine(2);
    let (slow, gate) = load_gated(&engine, "slow", "C", &Arc::default());
    let quick = load(&engine, "quick", "CLC");
    let answer = slow.infer(x(5.0)).unwrap();
    assert_eq!(gate.wait_until_it_began(), 5.0);
    // Were there one thread, these would wait until the slow function gave up, and it would answer an error.
    (0..10).for_each(|k| assert_eq!(ask(&quick, k as f32), k as f32 + 3.0));
    gate.open();
    assert_eq!(first(answer.wait().unwrap()), 6.0);
}

#[test]
fn a_tenant_computes_one_run_at_a_time_in_order() {
    let engine = engine(3);
    let crowd = Arc::default();
    let (tenant, gate) = load_gated(&engine, "t", "CC", &crowd);
    let answers: Vec<_> = (0..10).map(|k| tenant.infer(x(k as f32 * 10.0)).unwrap()).collect();
    for k in 0..10 {
        for step in 0..2 {
            assert_eq!(gate.wait_until_it_began(), (k * 10 + step) as f32);
            gate.open();
        }
    }
    for (k, answer) in answers.into_iter().enumerate() {
        assert_eq!(first(answer.wait().unwrap()), (k * 10 + 2) as f32);
    }
    assert_eq!(crowd.most.load(Ordering::SeqCst), 1);
}

#[test]
fn no_more_run_at_once_than_there_are_threads_and_all_have_their_turn() {
    let engine = engine(2);
    let crowd = Arc::default();
    // One gate for all, so that whoever began first is let go.
    let (function, gate) = gated(&crowd);
    let tenants: Vec<Tenant> = (0..5)
        .map(|k| {
            let compile = chain_of("C", function.clone());
            engine.install(spec(&format!("tenant {k}")), compile, Vec::new(), &mut |_| {}).unwrap()
        })
        .collect();
    let answers: Vec<_> = (0..20).map(|k| (k as f32, tenants[k % 5].infer(x(k as f32)).unwrap())).collect();
    gate.wait_until_it_began();
    gate.wait_until_it_began();
    // Who goes on first is not decided: where that is a tenant's last request, nobody else may begin.
    (0..20).for_each(|_| gate.open());
    for (k, answer) in answers {
        assert_eq!(first(answer.wait().unwrap()), k + 1.0);
    }
    assert_eq!(crowd.most.load(Ordering::SeqCst), 2);
}

#[test]
fn what_waits_of_a_tenant_that_went_is_not_computed() {
    let engine = engine(1);
    let crowd = Arc::default();
    let (slow, slow_gate) = load_gated(&engine, "slow", "C", &crowd);
    let (gone, gone_gate) = load_gated(&engine, "gone", "C", &crowd);
    let after = load(&engine, "after", "C");
    let slow_answer = slow.infer(x(0.0)).unwrap();
    slow_gate.wait_until_it_began();
    let gone_answer = gone.infer(x(0.0)).unwrap();
    drop(gone);
    assert!(matches!(gone_answer.wait(), Err(InferError::TenantGone { .. })));
    let after_answer = after.infer(x(0.0)).unwrap();
    slow_gate.open();
    assert_eq!(first(slow_answer.wait().unwrap()), 1.0);
    assert_eq!(first(after_answer.wait().unwrap()), 1.0);
    assert!(gone_gate.began.try_recv().is_err(), "it was never asked");
}
