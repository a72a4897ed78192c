//! Rounds of stored schedules, on a simulated device that computes.

use super::*;
use crate::hal::sim::{Profile, SimDevice, VirtualClock};
use crate::interleave::{Machine, Problem, Schedule, StoredError};
use crate::service::policy::RoundRobin;

/// Round-robin that decides nothing before it is told, so that requests can come at one moment of virtual time.
struct Gate {
    /// Told that it is asked, and whether it may answer.
    open: Option<(mpsc::SyncSender<()>, mpsc::Receiver<()>)>,
    then: RoundRobin,
}

impl Policy for Gate {
    fn decide(&mut self, now: Nanos, view: &service::View, out: &mut Decisions) {
        if let Some((asked, open)) = self.open.take() {
            asked.send(()).unwrap();
            open.recv().unwrap();
        }
        self.then.decide(now, view, out);
    }
}

/// An engine with such a policy, and a tenant whose request it is asked about.
struct Gated {
    engine: Engine,
    held: Tenant,
    is_asked: mpsc::Receiver<()>,
    open: mpsc::SyncSender<()>,
}

impl Gated {
    fn start(builder: Builder) -> Gated {
        let ((asked, is_asked), (open, is_open)) = (mpsc::sync_channel(64), mpsc::sync_channel(64));
        let policy = Box::new(Gate { open: Some((asked, is_open)), then: RoundRobin::default() });
        let engine = builder.own_policy("gate", policy).start_on(device()).unwrap();
        let held = load(&engine, "held", "L");
        Gated { engine, held, is_asked, open }
    }

    /// Lets the engine see all that `send` sends at one moment.
    fn at_once<T>(&self, send: impl FnOnce() -> T) -> T {
        let waiting = self.held.infer(x(0.0)).unwrap();
        self.is_asked.recv().unwrap();
        let sent = send();
        self.open.send(()).unwrap();
        assert_eq!(first(waiting.wait().unwrap()), 1.0);
        sent
    }
}

fn device() -> Box<dyn Device> {
    Box::new(SimDevice::open(Profile::bare(4), VirtualClock::new(), SimOptions { numerics: true }))
}

/// A schedule of chains like these, breadth-first.
fn stored(chains: &[&str]) -> StoredSchedule {
    let mut device = device();
    let recordings: Vec<Arc<Recording>> = chains
        .iter()
        .zip(1..)
        .map(|(operators, id)| chain(operators)(&mut *device, TenantId(id)).unwrap().recording)
        .collect();
    let problem = Problem::new(&recordings, device.caps(), Machine::of(device.caps()), &|_, _, _| None).unwrap();
    StoredSchedule::new(&problem, Schedule::breadth_first(&problem))
}

/// Sends all requests at one moment; answers the first number of each, or its error, and the rounds. However short submissions are.
fn at_once(
    schedules: Vec<StoredSchedule>,
    chains: &[&str],
    requests: &[(usize, f32)],
) -> (Vec<Result<f32, String>>, u64) {
    let long = at_once_by(Engine::builder().schedules(schedules.clone()), chains, requests);
    for target in [Duration::ZERO, Duration::from_micros(50)] {
        let short = Engine::builder().submission(1, target).submissions_in_flight(1).schedules(schedules.clone());
        assert_eq!(at_once_by(short, chains, requests), long);
    }
    long
}

fn at_once_by(builder: Builder, chains: &[&str], requests: &[(usize, f32)]) -> (Vec<Result<f32, String>>, u64) {
    let gated = Gated::start(builder);
    let tenants: Vec<Tenant> = chains.iter().map(|operators| load(&gated.engine, operators, operators)).collect();
    let send = || -> Vec<Pending> { requests.iter().map(|(at, v)| tenants[*at].infer(x(*v)).unwrap()).collect() };
    let answers = gated.at_once(send).into_iter().map(|p| p.wait().map(first).map_err(|e| e.to_string())).collect();
    (answers, gated.engine.stats().unwrap().rounds)
}

#[test]
fn the_present_tenants_are_submitted_as_their_schedule_says() {
    let chains = ["LL", "LLLLL", "LLL"];
    let (answers, rounds) = at_once(vec![stored(&chains)], &chains, &[(0, 1.0), (1, 2.0), (2, 3.0)]);
    assert_eq!((answers, rounds), (vec![Ok(3.0), Ok(7.0), Ok(6.0)], 1));
    // Loaded in another order, and asked in another one.
    let (answers, rounds) = at_once(vec![stored(&["LLL", "LL", "LLLLL"])], &chains, &[(2, 1.0), (0, 2.0), (1, 3.0)]);
    assert_eq!((answers, rounds), (vec![Ok(4.0), Ok(4.0), Ok(8.0)], 1));
}

#[test]
fn requests_that_wait_are_rounds_one_after_another() {
    let chains = ["LL", "LLLLL"];
    let requests: Vec<(usize, f32)> = (0..8).map(|k| (k % 2, k as f32)).collect();
    let (answers, rounds) = at_once(vec![stored(&chains)], &chains, &requests);
    let expected = requests.iter().map(|(at, value)| Ok(value + chains[*at].len() as f32)).collect();
    assert_eq!((answers, rounds), (expected, 4));
}

#[test]
fn tenants_of_one_model_are_told_apart() {
    let chains = ["LLL", "LLL", "LL"];
    let (answers, rounds) = at_once(vec![stored(&["LL", "LLL", "LLL"])], &chains, &[(2, 1.0), (1, 2.0), (0, 3.0)]);
    assert_eq!((answers, rounds), (vec![Ok(3.0), Ok(5.0), Ok(6.0)], 1));
}

#[test]
fn other_sets_of_tenants_are_the_policys() {
    let chains = ["LL", "LLLLL", "LLL"];
    let pair = || vec![stored(&["LL", "LLLLL"])];
    for (schedules, requests, expected) in [
        (pair(), vec![(0, 1.0), (1, 2.0)], 1),
        (pair(), vec![(0, 1.0)], 0),
        (pair(), vec![(0, 1.0), (2, 2.0)], 0),
        (pair(), vec![(0, 1.0), (1, 2.0), (2, 3.0)], 0),
        ([pair(), vec![stored(&["LLL"])]].concat(), vec![(2, 4.0)], 1),
        (vec![stored(&["LL", "LLLLL", "LLLL"])], vec![(0, 1.0), (1, 2.0), (2, 3.0)], 0),
        (Vec::new(), vec![(0, 1.0), (1, 2.0)], 0),
    ] {
        let (answers, rounds) = at_once(schedules, &chains, &requests);
        let right: Vec<_> = requests.iter().map(|(at, value)| Ok(value + chains[*at].len() as f32)).collect();
        assert_eq!((answers, rounds), (right, expected), "{requests:?}");
    }
}

#[test]
fn a_failure_in_a_round_is_one_tenants() {
    let chains = ["LL", "LLLLL"];
    let requests = [(0, -1.0), (1, 2.0), (0, 3.0), (1, 1000.0), (0, 5.0), (1, 6.0)];
    let (answers, rounds) = at_once(vec![stored(&chains)], &chains, &requests);
    let right: Vec<Option<f32>> = answers.iter().map(|a| a.as_ref().ok().copied()).collect();
    assert_eq!(right, [None, Some(7.0), Some(5.0), None, Some(7.0), Some(11.0)], "{answers:?}");
    assert_eq!(rounds, 3);
    // Nobody is left of the first round.
    let (answers, rounds) = at_once(vec![stored(&chains)], &chains, &[(0, -1.0), (1, -2.0), (0, 3.0), (1, 4.0)]);
    assert!(answers[0].is_err() && answers[1].is_err());
    assert_eq!((&answers[2..], rounds), (&[Ok(5.0), Ok(9.0)][..], 2));
}

/// Adds one, when it may; says that it is asked, and counts.
#[derive(Debug)]
struct Held {
    asked: Mutex<mpsc::SyncSender<()>>,
    may: Mutex<mpsc::Receiver<()>>,
}

impl HostFn for Held {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        // Whoever leaves is not asked for the rest.
        let _ = self.asked.lock().unwrap().send(());
        let _ = self.may.lock().unwrap().recv();
        AddOne.eval(inputs)
    }
}

/// Adds one and counts.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl HostFn for Counting {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        AddOne.eval(inputs)
    }
}

#[test]
fn who_leaves_in_the_middle_of_a_round_is_left_out_of_the_rest() {
    let ((asked, is_asked), (may, let_go)) = (mpsc::sync_channel(64), mpsc::sync_channel(64));
    let held = Arc::new(Held { asked: Mutex::new(asked), may: Mutex::new(let_go) });
    let counting = Arc::new(Counting::default());
    let schedules = vec![stored(&["LLLLLL", "LLLLLLLL"])];
    let builder = Engine::builder().submission(1, Duration::ZERO).submissions_in_flight(1).schedules(schedules);
    let gated = Gated::start(builder);
    let install = |name, operators, host: Arc<dyn HostFn>| {
        gated.engine.install(spec(name), chain_of(operators, host), Vec::new(), &mut |_| {}).unwrap()
    };
    let leaves = install("leaves", "LLLLLL", held);
    let stays = install("stays", "LLLLLLLL", counting.clone());
    let (lost, answer) = gated.at_once(|| (leaves.infer(x(0.0)).unwrap(), stays.infer(x(1.0)).unwrap()));
    is_asked.recv().unwrap();
    drop(leaves);
    drop(may);
    assert!(matches!(lost.wait(), Err(InferError::TenantGone { .. })));
    assert_eq!(first(answer.wait().unwrap()), 9.0);
    assert_eq!(counting.0.load(Ordering::Relaxed), 8, "each operator once");
    assert_eq!(gated.engine.stats().unwrap().rounds, 1);
}

#[test]
fn a_tenant_that_leaves_takes_only_its_part_of_a_round_with_it() {
    let engine = Engine::builder().schedules(vec![stored(&["L", "LL"])]).start_on(device()).unwrap();
    let stays = load(&engine, "stays", "LL");
    for _ in 0..50 {
        let leaves = load(&engine, "leaves", "L");
        let answers: Vec<Pending> = (0..4).map(|k| stays.infer(x(k as f32)).unwrap()).collect();
        let lost: Vec<Pending> = (0..4).map(|k| leaves.infer(x(k as f32)).unwrap()).collect();
        drop(leaves);
        for (k, answer) in answers.into_iter().enumerate() {
            assert_eq!(first(answer.wait().unwrap()), k as f32 + 2.0);
        }
        // Each was answered before its tenant left, or was told.
        for (k, answer) in lost.into_iter().enumerate() {
            assert!(
                answer
                    .wait()
                    .map(first)
                    .map_or_else(|e| matches!(e, InferError::TenantGone { .. }), |v| v == k as f32 + 1.0)
            );
        }
    }
}

#[test]
fn schedules_that_an_engine_cannot_run_are_refused_when_it_starts() {
    let mut lanes = stored(&["LL", "LLL"]);
    lanes.schedule.lanes.push(Vec::new());
    let started = Engine::builder().schedules(vec![lanes]).start_on(device());
    let error = started.err().expect("two lanes");
    assert!(matches!(error, StartError::Schedule(StoredError::Lanes { lanes: 2, .. })), "{error}");
    let builder = Engine::builder().policy("multi-stream").schedules(vec![stored(&["LL"])]);
    let error = builder.start_on(device()).err().expect("lanes for each").to_string();
    assert!(error.contains("multi-stream") && error.contains("choose another policy"), "{error}");
}

#[test]
fn a_damaged_schedule_is_not_used() {
    let chains = ["LL", "LLLLL"];
    let mut damaged = stored(&chains);
    damaged.schedule.lanes[0].pop();
    let (answers, rounds) = at_once(vec![damaged], &chains, &[(0, 1.0), (1, 2.0)]);
    assert_eq!((answers, rounds), (vec![Ok(3.0), Ok(7.0)], 0));
}
