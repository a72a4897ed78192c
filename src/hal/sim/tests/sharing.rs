//! Contexts and partitions, worked by hand.

use super::*;
use Command::Kernel;

fn spec(gpu: &Gpu, sms: SmBound) -> ContextSpec {
    ContextSpec { instance: gpu.whole(), sms, slice: None }
}

/// A GPU with a context and a stream for each bound.
fn bounded(profile: Profile, mode: Mode, bounds: &[SmBound]) -> (Gpu, HostId, Vec<ContextId>, Vec<StreamId>) {
    let mut gpu = Gpu::new(Arc::new(profile));
    gpu.set_mode(gpu.whole(), mode).unwrap();
    let contexts: Vec<_> = bounds.iter().map(|b| gpu.context(spec(&gpu, *b)).unwrap()).collect();
    let streams = contexts.iter().map(|&c| gpu.stream(c, 0).unwrap()).collect();
    let host = gpu.host();
    (gpu, host, contexts, streams)
}

#[test]
fn a_percentage_bounds_the_sms_and_reserves_none() {
    let half = [SmBound::Percent(50.0), SmBound::All];
    let (mut gpu, host, _, streams) = bounded(Profile::bare(4), Mode::Shared, &half);
    gpu.submit(host, streams[0], Kernel(blocks(4, 10.0)), 0).unwrap();
    gpu.submit(host, streams[1], Kernel(blocks(4, 10.0)), 1).unwrap();
    // The first has two SMs for two waves. The other takes two at once, and the rest whenever it comes to it: at 10 both want
    // more, the older one goes first.
    assert_eq!(finish(&mut gpu), [(1, 0.0, 20.0), (0, 0.0, 20.0)]);
    // Without anybody else the bound still holds.
    gpu.submit(host, streams[0], Kernel(blocks(4, 10.0)), 0).unwrap();
    assert_eq!(finish(&mut gpu), [(0, 20.0, 40.0)]);
}

#[test]
fn green_contexts_have_certain_sms_and_may_overlap() {
    let bounds = [SmBound::Only(SmSet::range(0, 2)), SmBound::Only(SmSet::range(1, 4))];
    let (mut gpu, host, _, streams) = bounded(Profile::bare(4), Mode::Shared, &bounds);
    gpu.submit(host, streams[0], Kernel(blocks(2, 10.0)), 0).unwrap();
    gpu.submit(host, streams[1], Kernel(blocks(3, 4.0)), 1).unwrap();
    // SM 1 is busy until 10, so the second runs on two of its three: 4 and then 4 again.
    assert_eq!(finish(&mut gpu), [(1, 0.0, 8.0), (0, 0.0, 10.0)]);
}

#[test]
fn contexts_take_turns_without_mps() {
    let mut profile = Profile::bare(4);
    (profile.sharing.time_slice_us, profile.sharing.switch_us) = (10.0, 1.0);
    let (mut gpu, host, _, streams) = bounded(profile, Mode::Sliced, &[SmBound::All, SmBound::All]);
    gpu.submit(host, streams[0], Kernel(KernelCost::fixed(25_000.0)), 0).unwrap();
    gpu.submit(host, streams[1], Kernel(KernelCost::fixed(15_000.0)), 1).unwrap();
    // 0: 0–10, 22–32, 38–43 (5 left); 1: 11–21, 33–38 (5 left, then it gives its turn away, 1 µs for the switch).
    assert_eq!(finish(&mut gpu), [(1, 11.0, 38.0), (0, 0.0, 44.0)]);
}

#[test]
fn a_context_alone_keeps_its_turn() {
    let mut profile = Profile::bare(4);
    (profile.sharing.time_slice_us, profile.sharing.switch_us) = (10.0, 5.0);
    let (mut gpu, host, _, streams) = bounded(profile, Mode::Sliced, &[SmBound::All, SmBound::All]);
    gpu.submit(host, streams[0], Kernel(KernelCost::fixed(35_000.0)), 0).unwrap();
    gpu.submit(host, streams[0], Kernel(KernelCost::fixed(5_000.0)), 1).unwrap();
    assert_eq!(finish(&mut gpu), [(0, 0.0, 35.0), (1, 35.0, 40.0)]);
}

#[test]
fn mig_instances_have_their_own_sms_and_bandwidth() {
    let profile = Profile::find("a100-80gb").unwrap();
    let stream_cost = |sms: u32| KernelCost {
        source: Source::Given,
        blocks: Blocks::Count(sms),
        need: BlockNeed::Part(1),
        work: Work::Roofline(Roofline {
            unit: Unit::Fp32,
            flops: 1.0,
            efficiency: 1.0,
            dram_bytes: 8e6,
            reused_bytes: 0.0,
            working_set: 0,
        }),
        workers: None,
    };
    let time = |plan: &[(&str, u32)], busy: usize| {
        let mut gpu = Gpu::new(Arc::new(profile.clone()));
        let plan: Vec<_> = plan.iter().map(|&(p, start)| MigPlacement { profile: p.into(), start }).collect();
        let ids = gpu.partition(&plan, Mode::Shared).unwrap();
        let host = gpu.host();
        for &instance in &ids[..busy] {
            let context = gpu.context(ContextSpec { instance, sms: SmBound::All, slice: None }).unwrap();
            let stream = gpu.stream(context, 0).unwrap();
            gpu.submit(host, stream, Kernel(stream_cost(42)), 0).unwrap();
        }
        let done = finish(&mut gpu);
        assert!(done[0].1 >= 500_000.0, "instances take time to make: {done:?}");
        done[0].2 - done[0].1
    };
    // 336 MB at half of 2039 GB/s · 0.9, whoever runs beside it.
    let expected = 336e6 / (2039e9 * 0.9 / 2.0) * 1e6;
    for busy in [1, 2] {
        let got = time(&[("3g", 0), ("3g", 4)], busy);
        assert!((got / expected - 1.0).abs() < 1e-3, "{busy} busy: {got} µs, expected {expected}");
    }
    // The whole device's bandwidth is more than 42 SMs can draw.
    let drawn = time(&[("7g", 0)], 1) / (336e6 / (42.0 * 34.3e9) * 1e6);
    assert!((drawn - 1.0).abs() < 1e-3, "{drawn}");
}

#[test]
fn illegal_partitions_are_refused_with_the_reason() {
    let check = |profile: &str, plan: &[(&str, u32)], expected: &str| {
        let mut gpu = Gpu::new(Arc::new(Profile::find(profile).unwrap()));
        let plan: Vec<_> = plan.iter().map(|&(p, start)| MigPlacement { profile: p.into(), start }).collect();
        let error = gpu.partition(&plan, Mode::Shared).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("a100-80gb", &[("5g", 0)], "a100-80gb has 1g, 1g+2, 2g, 3g, 4g, 7g");
    check("a100-80gb", &[("3g", 2)], "it may begin at [0, 4]");
    check("a100-80gb", &[("4g", 0), ("2g", 2)], "another instance has its memory slices");
    check("a100-80gb", &[("3g", 0), ("3g", 4), ("1g", 6)], "another instance");
    check("t4", &[("1g", 0)], "t4 has no MIG");
    let mut gpu = Gpu::new(Arc::new(Profile::find("mi50").unwrap()));
    let green = spec(&gpu, SmBound::Only(SmSet::range(0, 2)));
    assert!(gpu.context(green).unwrap_err().to_string().contains("no green contexts"));
    let none = spec(&gpu, SmBound::Percent(0.0));
    assert!(gpu.context(none).unwrap_err().to_string().contains("allowed is more than 0"));
    gpu.plain_context().unwrap();
    assert!(gpu.plain_context().unwrap_err().to_string().contains("let them take turns"), "no MPS on it");
}

#[test]
fn a_busy_gpu_is_not_partitioned_and_old_streams_are_gone_after_it() {
    let (mut gpu, host, streams) = gpu(Profile::find("a100-40gb").unwrap(), &[0]);
    gpu.submit(host, streams[0], Kernel(KernelCost::fixed(1e6)), 0).unwrap();
    let plan = [MigPlacement { profile: "7g".into(), start: 0 }];
    assert!(matches!(gpu.partition(&plan, Mode::Shared), Err(SimError::Busy { waiting: 1 })));
    finish(&mut gpu);
    gpu.partition(&plan, Mode::Shared).unwrap();
    let late = gpu.submit(host, streams[0], Kernel(KernelCost::fixed(1e6)), 0);
    assert!(matches!(late, Err(SimError::NoStream(_))), "{late:?}");
}

#[test]
fn a_new_percentage_acts_on_what_begins_after_the_change() {
    let mut profile = Profile::bare(4);
    profile.sharing.mps_change_ms = 0.1;
    let (mut gpu, host, contexts, streams) = bounded(profile, Mode::Shared, &[SmBound::Percent(100.0)]);
    gpu.submit(host, streams[0], Kernel(blocks(8, 10.0)), 0).unwrap();
    gpu.submit(host, streams[0], Kernel(blocks(8, 10.0)), 1).unwrap();
    gpu.advance_to(Nanos(5_000));
    gpu.reshape(contexts[0], SmBound::Percent(25.0)).unwrap();
    assert_eq!(finish(&mut gpu), [(0, 0.0, 20.0), (1, 105.0, 185.0)]);
}
