//! CPU nodes on simulated devices: modelled threads, to the nanosecond.

use super::cpu_nodes::{HostJob, HostRun};
use super::*;
use crate::hal::HostCpu;
use crate::hal::sim::{Profile, SimDevice, VirtualClock};
use crate::tensor::RequestId;

const CPU: HostCpu = HostCpu { operator_us: 100.0, gflops: 1.0, gbs: 1.0, threads: 2 };

/// One CPU node of [`chain`]: 4 FLOPs and 32 bytes at 1 GB/s.
const NODE: Nanos = Nanos(100_032);

fn engine(numerics: bool) -> Engine {
    let profile = Profile { cpu: CPU, ..Profile::bare(4) };
    let device = SimDevice::open(profile, VirtualClock::new(), SimOptions { numerics });
    Engine::builder().cpu_threads(1).start_on(Box::new(device)).unwrap()
}

fn answer(pending: Pending) -> (f32, Nanos) {
    let response = pending.wait().unwrap();
    let latency = response.latency();
    (first(response), latency)
}

#[test]
fn a_cpu_node_takes_what_the_profile_says_and_computes() {
    for (operators, nodes) in [("C", 1), ("CC", 2), ("CCC", 3)] {
        let engine = engine(true);
        let tenant = load(&engine, operators, operators);
        let (value, latency) = answer(tenant.infer(x(5.0)).unwrap());
        assert_eq!(value, 5.0 + nodes as f32);
        // Besides, the input goes up, the run's regions come back, its result goes up, and the output comes back: 16 to
        // 64 bytes each at 10 GB/s.
        let copies = latency.since(Nanos(NODE.0 * nodes));
        assert!(copies < Nanos(100), "{operators}: {latency:?}");
    }
    let engine = engine(true);
    let mixed = load(&engine, "mixed", "LCLLCCL");
    assert_eq!(answer(mixed.infer(x(1.0)).unwrap()).0, 8.0);
    assert!(mixed.infer(x(-1.0)).unwrap().wait().is_err(), "its error ends the request");
    assert_eq!(answer(mixed.infer(x(2.0)).unwrap()).0, 9.0, "and no other");
}

#[test]
fn without_results_the_time_is_the_same() {
    let times = [false, true].map(|numerics| {
        let engine = engine(numerics);
        let tenant = load(&engine, "t", "LCLLCCL");
        let (value, latency) = answer(tenant.infer(x(5.0)).unwrap());
        assert_eq!(value, if numerics { 12.0 } else { 0.0 });
        latency
    });
    assert_eq!(times[0], times[1]);
}

#[test]
fn a_policy_that_puts_everything_off_fails_the_requests() {
    let device = SimDevice::open(Profile::bare(4), VirtualClock::new(), SimOptions { numerics: true });
    let later = |_: &service::View, out: &mut Decisions| out.wake_at(Nanos(1 << 60));
    let engine = Engine::builder().own_policy("later", Box::new(Nonsense(later))).start_on(Box::new(device)).unwrap();
    let tenant = load(&engine, "t", "LL");
    let error = tenant.infer(x(0.0)).unwrap().wait().unwrap_err().to_string();
    assert!(error.contains("the policy granted nothing"), "{error}");
    assert_eq!(engine.stats().unwrap().faults.first, Some(PolicyFault::Stalled));
}

#[test]
fn no_more_run_at_once_than_there_are_modelled_threads() {
    let clock = VirtualClock::new();
    let shared: SharedClock = Arc::new(clock.clone());
    let mut pool = CpuPool::modelled(CpuModel::new(CPU, true), &shared);
    let mut device = device::open("null", WallClock::start()).unwrap();
    for tenant in [1, 2, 3, 1].map(TenantId) {
        let compiled = chain("CC")(&mut *device, tenant).unwrap();
        let run = Arc::new(HostRun::new(&compiled.recording, 0..2));
        let reads = run.regions.iter().map(|region| vec![0; region.bytes as usize]).collect();
        assert!(pool.compute(HostJob { tenant, request: RequestId(tenant.0.into()), run, reads }).is_empty());
    }
    let twice = Nanos(2 * NODE.0);
    let mut ends = Vec::new();
    while let Some(end) = pool.next_end() {
        clock.advance_to(end);
        while let Some(done) = pool.ended() {
            assert_eq!(done.spans.last().unwrap().2, end);
            ends.push((done.tenant, end));
            assert!(pool.finished(done.thread).is_empty());
        }
    }
    // Two begin at once; the others when a thread is free, a tenant's second run not before its first ended.
    let expected = [(1, twice), (2, twice), (3, twice + twice), (1, twice + twice)];
    assert_eq!(ends, expected.map(|(tenant, end)| (TenantId(tenant), end)));
    assert!(!pool.is_busy());
}
