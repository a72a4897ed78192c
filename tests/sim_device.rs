//! The simulated GPU as a device: real outputs on request, lanes, stages, partitions, memory.

use std::sync::Arc;
use std::time::Duration;

use cotenant::graph::{self, LoadOptions, ModelSource};
use cotenant::hal::reference::ReferenceDevice;
use cotenant::hal::sim::{Profile, SimDevice, SimOptions, Source, VirtualClock, kernel_key};
use cotenant::hal::{
    Completion, Device, GivenCost, HalError, LaneId, LaneSpec, PartitionSpec, Recording, RecordingId, Slice, Stage,
    Submission, Units, Wait, WallClock, eval,
};
use cotenant::tensor::{HostTensor, Nanos, TenantId};
use cotenant::timeline::ClockKind;

fn sim(profile: &str, numerics: bool) -> SimDevice {
    SimDevice::open(Profile::find(profile).unwrap(), VirtualClock::new(), SimOptions { numerics })
}

/// A network of the zoo, lowered for a device.
fn compile(device: &mut dyn Device, name: &str, tenant: u32) -> Arc<Recording> {
    let graph = graph::load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).unwrap();
    graph::compile(&graph, device, TenantId(tenant)).unwrap().recording
}

/// A network of the zoo on a device.
fn load(device: &mut dyn Device, name: &str, tenant: u32) -> (Arc<Recording>, RecordingId) {
    let recording = compile(device, name, tenant);
    let id = device.install(recording.clone(), &mut |_, _, _| {}).unwrap();
    (recording, id)
}

/// All operations of a recording, every launch in `slices` ranges for `workers` each.
fn whole(recording: &Recording, id: RecordingId, slices: u32, workers: u32, inputs: &[HostTensor]) -> Submission {
    let mut submission = Submission { timed: true, ..Submission::default() };
    for ((_, tensor), value) in recording.inputs.iter().zip(inputs) {
        submission.uploads.push((eval::region(tensor), eval::encode(tensor, value).unwrap()));
    }
    for (operation, o) in (0..).zip(&recording.operations) {
        for (launch, l) in (0..).zip(&o.launches) {
            let cut = |at: u32| (u64::from(l.tiles) * u64::from(at) / u64::from(slices)) as u32;
            let ranges = (0..slices).map(|s| cut(s)..cut(s + 1)).filter(|r| !r.is_empty());
            let slices = ranges
                .map(|tiles| Slice { recording: id, operation, launch, tiles, workers, follows: false })
                .collect();
            submission.stages.push(Stage { slices });
        }
    }
    submission.reads = recording.outputs.iter().map(|(_, t)| eval::region(t)).collect();
    submission
}

/// Submits and waits for one completion.
fn run(device: &mut dyn Device, lane: LaneId, submission: Submission) -> Completion {
    device.submit(lane, submission).unwrap();
    wait(device)
}

fn wait(device: &mut dyn Device) -> Completion {
    let mut out = Vec::new();
    while out.is_empty() {
        device.poll(Wait::AtMost(Duration::MAX), &mut out).unwrap();
    }
    out.remove(0)
}

fn input(recording: &Recording) -> Vec<HostTensor> {
    let make = |t: &cotenant::hal::TensorRef| {
        let n = t.view.volume();
        HostTensor::from_f32(&t.view.shape, &(0..n).map(|i| (i % 17) as f32 / 17.0 - 0.4).collect::<Vec<_>>())
    };
    recording.inputs.iter().map(|(_, t)| make(t)).collect()
}

#[test]
fn outputs_are_those_of_the_reference_device() {
    let mut reference = ReferenceDevice::open(WallClock::start());
    let (recording, id) = load(&mut reference, "keyword_spotting", 1);
    let values = input(&recording);
    let lane = reference.lane(&LaneSpec::default()).unwrap();
    let expected = run(&mut reference, lane, whole(&recording, id, 1, 8, &values)).reads;
    assert!(expected[0].iter().any(|b| *b != 0));
    for (slices, workers) in [(1, 1_000), (3, 7)] {
        let mut device = sim("a100-80gb", true);
        let (recording, id) = load(&mut device, "keyword_spotting", 1);
        let lane = device.lane(&LaneSpec::default()).unwrap();
        let done = run(&mut device, lane, whole(&recording, id, slices, workers, &values));
        assert_eq!(done.reads, expected, "{slices} slices");
        assert!(done.failed.is_empty());
        assert!(done.finished > Nanos(0) && device.clock().now() == done.finished);
        assert_eq!(device.clock().kind(), ClockKind::Virtual);
        let stages = |s: u32| done.spans.iter().filter(move |span| span.stage == s);
        for stage in 1..done.spans.last().unwrap().stage {
            let before = stages(stage - 1).map(|s| s.end).max().unwrap();
            assert!(stages(stage).all(|s| s.start >= before && s.end > s.start), "stages run in order");
        }
    }
}

#[test]
fn without_numerics_times_are_the_same_and_outputs_are_zeros() {
    let finished = |numerics| {
        let mut device = sim("t4", numerics);
        let (recording, id) = load(&mut device, "keyword_spotting", 1);
        let lane = device.lane(&LaneSpec::default()).unwrap();
        let done = run(&mut device, lane, whole(&recording, id, 2, 16, &input(&recording)));
        assert_eq!(numerics, done.reads[0].iter().any(|b| *b != 0));
        assert_eq!(device.cost_sources(id).iter().map(|s| s.0).collect::<Vec<_>>(), [Source::Operators]);
        (done.finished, done.spans)
    };
    assert_eq!(finished(true), finished(false));
}

#[test]
fn polling_moves_time_to_the_completion_or_by_what_was_asked() {
    let mut device = sim("a100-80gb", false);
    let clock = device.clock();
    let mut out = Vec::new();
    device.poll(Wait::AtMost(Duration::from_micros(7)), &mut out).unwrap();
    assert_eq!((clock.now(), out.len()), (Nanos(7_000), 0), "time passes without work");
    device.poll(Wait::AtMost(Duration::MAX), &mut out).unwrap();
    assert_eq!((clock.now(), out.len()), (Nanos(7_000), 0), "nothing will ever happen");
    let (recording, id) = load(&mut device, "matmul_64", 1);
    let lane = device.lane(&LaneSpec::default()).unwrap();
    device.submit(lane, whole(&recording, id, 1, 64, &input(&recording))).unwrap();
    device.poll(Wait::No, &mut out).unwrap();
    device.poll(Wait::AtMost(Duration::from_nanos(100)), &mut out).unwrap();
    assert_eq!((clock.now(), out.len()), (Nanos(7_100), 0), "not done yet");
    device.poll(Wait::AtMost(Duration::from_secs(1)), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(clock.now(), out[0].finished);
    assert!(out[0].finished < Nanos(1_000_000));
}

#[test]
fn slices_of_one_stage_run_at_the_same_time() {
    let mut device = sim("a100-80gb", false);
    let (recording, id) = load(&mut device, "matmul_1024", 1);
    let lane = device.lane(&LaneSpec::default()).unwrap();
    let one = run(&mut device, lane, whole(&recording, id, 1, 20, &input(&recording)));
    let four = run(&mut device, lane, whole(&recording, id, 4, 20, &input(&recording)));
    let length = |c: &Completion| {
        let (start, end) = (c.spans.iter().map(|s| s.start).min(), c.spans.iter().map(|s| s.end).max());
        end.unwrap().since(start.unwrap()).0 as f64
    };
    let ratio = length(&one) / length(&four);
    assert!(ratio > 3.0 && ratio < 4.01, "four slices of 20 workers each are as 80 workers: {ratio}");
}

#[test]
fn chains_of_a_stage_run_at_the_same_time_each_in_its_order() {
    let mut device = sim("v100-sxm2", false);
    let (recording, id) = load(&mut device, "keyword_spotting", 1);
    let launches: Vec<_> = (0..).zip(&recording.operations).filter(|(_, o)| !o.launches.is_empty()).take(4).collect();
    let chain = |at: usize| {
        let (operation, o) = launches[at % launches.len()];
        let slice =
            Slice { recording: id, operation, launch: 0, tiles: 0..o.launches[0].tiles, workers: 2, follows: false };
        (0..4).map(move |place| Slice { follows: place > 0, ..slice.clone() })
    };
    let n = 3;
    let slices: Vec<Slice> = (0..n).flat_map(chain).collect();
    let lane = device.lane(&LaneSpec::default()).unwrap();
    let stages = vec![Stage { slices: slices.clone() }, Stage { slices: chain(0).collect() }];
    let done = run(&mut device, lane, Submission { stages, timed: true, ..Submission::default() });
    let of = |stage: u32| done.spans.iter().filter(move |s| s.stage == stage).collect::<Vec<_>>();
    let (first, second) = (of(0), of(1));
    assert_eq!(first.len(), slices.len());
    for chain in first.chunks(4) {
        assert!(chain.windows(2).all(|pair| pair[0].end <= pair[1].start), "{chain:?}");
    }
    let begun = first.chunks(4).map(|c| c[0].start).max().unwrap();
    let ended = first.chunks(4).map(|c| c[3].end).min().unwrap();
    assert!(begun < ended, "breadth-first: every chain begins before any ends, {first:?}");
    let all = first.iter().map(|s| s.end).max().unwrap();
    assert!(second.iter().all(|s| s.start >= all), "the next stage waits for every chain");
}

#[test]
fn an_urgent_lane_goes_first() {
    let order = |urgent: i32| {
        let mut device = sim("t4", false);
        let (recording, id) = load(&mut device, "matmul_4096", 1);
        let lanes: Vec<_> = [0, 0, urgent]
            .iter()
            .map(|&priority| device.lane(&LaneSpec { priority, partition: None, tenant: None }).unwrap())
            .collect();
        let ids: Vec<_> = lanes
            .iter()
            .map(|&lane| device.submit(lane, whole(&recording, id, 1, 65_535, &input(&recording))).unwrap())
            .collect();
        let ends: Vec<_> = (0..3).map(|_| wait(&mut device).submission).collect();
        ends.iter().position(|e| *e == ids[2]).unwrap()
    };
    assert_eq!(order(0), 2, "first come, first served");
    assert_eq!(order(3), 1, "it waits for what runs, and for nothing else");
}

#[test]
fn partitions_take_time_end_lanes_and_bound_what_runs() {
    let mut device = sim("a100-80gb", false);
    let (recording, id) = load(&mut device, "matmul_4096", 1);
    let old = device.lane(&LaneSpec::default()).unwrap();
    let length = |c: Completion| c.spans.iter().map(|s| s.end.since(s.start).0).sum::<u64>() as f64;
    let full = length(run(&mut device, old, whole(&recording, id, 1, 65_535, &input(&recording))));
    let spec = |start: u32| PartitionSpec { instance: Some(("3g".into(), start)), units: Units::All, turn: None };
    let before = device.clock().now();
    let parts = device.partition(&[spec(0), spec(4)]).unwrap();
    assert!(matches!(
        device.submit(old, Submission::default()),
        Err(HalError::NoLane(lane)) if lane == old
    ));
    let lane = device.lane(&LaneSpec { priority: 0, partition: Some(parts[1]), tenant: None }).unwrap();
    let done = run(&mut device, lane, whole(&recording, id, 1, 65_535, &input(&recording)));
    assert!(done.finished.since(before) > Nanos(500_000_000), "MIG instances take half a second to make");
    let ratio = length(done) / full;
    assert!(ratio > 2.3 && ratio < 2.7, "42 of 108 SMs: {ratio}");
    let wrong = [spec(2)];
    assert!(device.partition(&wrong).unwrap_err().to_string().contains("it may begin at [0, 4]"));
    let mixed = [spec(0), PartitionSpec::of(Units::All)];
    assert!(device.partition(&mixed).unwrap_err().to_string().contains("name an instance and some do not"));
    device.submit(lane, whole(&recording, id, 1, 65_535, &input(&recording))).unwrap();
    assert!(device.partition(&[]).unwrap_err().to_string().contains("idle"));
    wait(&mut device);
    let halves = device.partition(&[PartitionSpec::of(Units::Percent(50.0)), PartitionSpec::of(Units::All)]).unwrap();
    let lane = device.lane(&LaneSpec { priority: 0, partition: Some(halves[0]), tenant: None }).unwrap();
    let ratio = length(run(&mut device, lane, whole(&recording, id, 1, 65_535, &input(&recording)))) / full;
    assert!(ratio > 1.7 && ratio < 2.3, "half of the SMs: {ratio}");
    device.reshape(halves[0], Units::Percent(100.0)).unwrap();
    let again = length(run(&mut device, lane, whole(&recording, id, 1, 65_535, &input(&recording))));
    assert_eq!(again, full);
}

#[test]
fn memory_is_bounded_by_the_device_and_by_the_tenant() {
    let mut device = sim("t4", false);
    let (a, b) = (TenantId(1), TenantId(2));
    device.limit_memory(b, Some(1 << 30));
    let held: Vec<_> = (0..5).map(|_| device.alloc(a, 3 << 30).unwrap()).collect();
    assert!(matches!(device.alloc(a, 3 << 30), Err(HalError::OutOfMemory { .. })), "16 GiB");
    device.free(held[0]);
    assert!(matches!(device.alloc(b, 2 << 30), Err(HalError::TenantMemory { .. })));
    assert!(matches!(device.alloc(a, 5 << 30), Err(HalError::BufferTooLarge { .. })));
    assert!(device.alloc(b, 1 << 30).is_ok());
}

#[test]
fn a_recorded_a_fitted_and_a_measured_time_are_taken_as_they_are() {
    let spans = |profile: Profile, given: Option<GivenCost>, tiles: u32| {
        let mut device = SimDevice::open(profile, VirtualClock::new(), SimOptions::default());
        let mut recording = Arc::into_inner(compile(&mut device, "matmul_1024", 1)).expect("nobody else has it");
        recording.operations[0].given = given;
        if tiles > 0 {
            recording.operations[0].launches[0].tiles = tiles;
        }
        recording.operations.truncate(1);
        let recording = Arc::new(recording);
        let id = device.install(recording.clone(), &mut |_, _, _| {}).unwrap();
        let lane = device.lane(&LaneSpec::default()).unwrap();
        let done = run(&mut device, lane, whole(&recording, id, 1, 1_000, &input(&recording)));
        (done.spans[0].end.since(done.spans[0].start).0 as f64, device.cost_sources(id)[0].0)
    };
    let v100 = || Profile::find("v100-sxm2").unwrap();
    let (ns, source) = spans(v100(), Some(GivenCost::Recorded { ns: 33_333.0, bytes: 0.0 }), 170);
    assert!((ns - 33_333.0).abs() <= 2.0 && source == Source::Recorded, "{ns} {source:?}");
    let law = GivenCost::Law {
        floor_ns: 1e4,
        overlap_ns: 0.0,
        fixed_ns: 2e4,
        unit_ns: 8e6,
        memory_ns: 3e4,
        sharing: [1.0; 5],
    };
    let (ns, source) = spans(v100(), Some(law), 1);
    assert!((ns - 1.5e5).abs() <= 2.0 && source == Source::Fitted, "{ns} {source:?}");
    let mut device = sim("v100-sxm2", false);
    let key = kernel_key(&load(&mut device, "matmul_1024", 1).0.operations[0], 0);
    assert!(key.contains("1024"), "{key}");
    let mut twin = v100();
    twin.kernels.push(cotenant::hal::sim::MeasuredKernel { key, ns: 77_777.0, ..Default::default() });
    let (ns, source) = spans(twin, None, 0);
    assert!((ns - 77_777.0).abs() <= 2.0 && source == Source::Measured, "{ns} {source:?}");
}

#[test]
fn what_was_submitted_completes_although_its_tenant_is_gone() {
    let mut device = sim("a100-80gb", true);
    let (recording, id) = load(&mut device, "keyword_spotting", 1);
    let lane = device.lane(&LaneSpec::default()).unwrap();
    device.submit(lane, whole(&recording, id, 1, 100, &input(&recording))).unwrap();
    device.uninstall(id);
    device.free(recording.arena);
    let done = wait(&mut device);
    assert!(done.reads[0].iter().any(|b| *b != 0) && done.failed.is_empty());
    let whole = whole(&recording, id, 1, 100, &input(&recording));
    let late = Submission { uploads: Vec::new(), reads: Vec::new(), ..whole.clone() };
    assert_eq!(device.submit(lane, late).unwrap_err(), HalError::NoRecording(id));
    assert!(matches!(device.submit(lane, whole), Err(HalError::Range { .. })));
}

#[test]
fn a_network_takes_a_plausible_time() {
    // ResNet18 of the zoo is 3.6 GFLOP; 19.5 TFLOP/s at three quarters would be 0.25 ms, launches and small layers add to it.
    let mut device = sim("a100-80gb", false);
    let (recording, id) = load(&mut device, "resnet18", 1);
    let flops: u64 = recording.operations.iter().map(|o| o.flops).sum();
    let lane = device.lane(&LaneSpec::default()).unwrap();
    let done = run(&mut device, lane, whole(&recording, id, 1, 1_024, &input(&recording)));
    let floor = flops as f64 / (19.5e12 * 0.75) * 1e9;
    assert!(done.finished.0 as f64 > floor, "{} ns, at least {floor}", done.finished.0);
    assert!(done.finished < Nanos(20_000_000), "{:?}", done.finished);
}
