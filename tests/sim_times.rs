//! The simulated GPU as a device, against times worked by hand: launches, copies, stages, priorities, partitions, turns.
//!
//! Kernels are of recorded length on a device of round numbers, so that every expected time is a sum that a reader can do.

use std::sync::Arc;
use std::time::Duration;

use cotenant::graph::{self, LoadOptions, ModelSource};
use cotenant::hal::sim::{Profile, SimDevice, SimOptions, VirtualClock};
use cotenant::hal::{
    Completion, Device, GivenCost, LaneId, LaneSpec, PartitionSpec, Recording, RecordingId, Slice, Stage, Submission,
    SubmissionId, Units, Wait,
};
use cotenant::tensor::{Nanos, TenantId};

const SMS: u32 = 4;

fn open(change: impl FnOnce(&mut Profile)) -> SimDevice {
    let mut profile = Profile::bare(SMS);
    change(&mut profile);
    SimDevice::open(profile, VirtualClock::new(), SimOptions::default())
}

/// A recording of one launch of `tiles` tiles, each an SM for as long as all of them take together where they fit at once.
fn kernel(device: &mut SimDevice, us: f64, tiles: u32) -> RecordingId {
    let graph = graph::load(&ModelSource::Zoo("matmul_64".into()), &LoadOptions::default()).unwrap();
    let compiled = graph::compile(&graph, device, TenantId(1)).unwrap().recording;
    let mut recording: Recording = Arc::into_inner(compiled).expect("nobody else has it");
    recording.operations.truncate(1);
    recording.operations[0].launches.truncate(1);
    recording.operations[0].given = Some(GivenCost::Recorded { ns: us * 1e3, bytes: 0.0 });
    recording.operations[0].launches[0].tiles = tiles;
    device.install(Arc::new(recording), &mut |_, _, _| {}).unwrap()
}

/// A slice of all tiles.
fn slice(recording: RecordingId, tiles: u32) -> Slice {
    Slice { recording, operation: 0, launch: 0, tiles: 0..tiles, workers: 1_000, follows: false }
}

/// Each as a stage of its own.
fn stages(slices: Vec<Slice>) -> Submission {
    Submission { stages: slices.into_iter().map(Stage::of).collect(), timed: true, ..Submission::default() }
}

fn lane(device: &mut SimDevice, priority: i32) -> LaneId {
    device.lane(&LaneSpec { priority, partition: None, tenant: None }).unwrap()
}

/// Waits for everything; completions in order of their submissions.
fn finish(device: &mut SimDevice, submissions: &[SubmissionId]) -> Vec<Completion> {
    let mut out = Vec::new();
    while out.len() < submissions.len() {
        device.poll(Wait::AtMost(Duration::MAX), &mut out).unwrap();
    }
    out.sort_by_key(|c: &Completion| c.submission);
    assert!(out.iter().map(|c| c.submission).eq(submissions.iter().copied()));
    out
}

/// First begin and last end of each completion's slices, in µs after `from`.
fn times(completions: &[Completion], from: Nanos) -> Vec<(f64, f64)> {
    let us = |at: Nanos| at.since(from).0 as f64 / 1e3;
    let first = |c: &Completion| us(c.spans.iter().map(|s| s.start).min().unwrap());
    completions.iter().map(|c| (first(c), us(c.finished))).collect()
}

fn check(got: &[(f64, f64)], expected: &[(f64, f64)]) {
    let near = |a: f64, b: f64| (a - b).abs() <= 2e-3;
    let same = got.iter().zip(expected).all(|(g, e)| near(g.0, e.0) && near(g.1, e.1));
    assert!(got.len() == expected.len() && same, "got {got:?}, expected {expected:?}");
}

#[test]
fn launches_follow_each_other_on_the_host_and_kernels_of_a_lane_with_a_gap() {
    let mut device = open(|p| (p.launch.host_us, p.launch.gap_us) = (3.0, 0.5));
    let (short, long) = (kernel(&mut device, 1.0, SMS), kernel(&mut device, 10.0, SMS));
    let lane = lane(&mut device, 0);
    // Launched at 3, 6, 9: the first runs 3 to 4, the second 6 to 16, the third after the gap.
    let work = stages(vec![slice(short, SMS), slice(long, SMS), slice(short, SMS)]);
    let id = device.submit(lane, work).unwrap();
    let done = finish(&mut device, &[id]);
    let spans: Vec<_> = done[0].spans.iter().map(|s| (s.start.0, s.end.0)).collect();
    assert_eq!(spans, [(3_000, 4_000), (6_000, 16_000), (16_500, 17_500)]);
}

#[test]
fn inputs_and_outputs_take_the_time_of_their_copies() {
    let mut device = open(|p| (p.copy.latency_us, p.copy.engines) = (2.0, 1));
    let kernel = kernel(&mut device, 5.0, SMS);
    let buffer = device.alloc(TenantId(1), 40_000).unwrap();
    let region = |bytes: u64| cotenant::hal::Region { buffer, offset: 0, bytes };
    let lane = lane(&mut device, 0);
    let mut work = stages(vec![slice(kernel, SMS)]);
    work.uploads.push((region(10_000), vec![0; 10_000]));
    work.reads.push(region(40_000));
    // 10 kB at 10 bytes a nanosecond are 1 µs after a latency of 2, then the kernel, then 2 + 4.
    let id = device.submit(lane, work).unwrap();
    check(&times(&finish(&mut device, &[id]), Nanos(0)), &[(3.0, 14.0)]);
}

#[test]
fn slices_of_a_stage_run_at_the_same_time_and_the_next_stage_waits_for_all() {
    let mut device = open(|_| {});
    let (a, b, c) = (kernel(&mut device, 3.0, 1), kernel(&mut device, 7.0, 2), kernel(&mut device, 1.0, SMS));
    let lane = lane(&mut device, 0);
    let mut work = stages(vec![slice(c, SMS)]);
    work.stages.insert(0, Stage { slices: vec![slice(a, 1), slice(b, 2)] });
    let id = device.submit(lane, work).unwrap();
    let done = finish(&mut device, &[id]);
    let spans: Vec<_> = done[0].spans.iter().map(|s| (s.stage, s.slice, s.start.0, s.end.0)).collect();
    assert_eq!(spans, [(0, 0, 0, 3_000), (0, 1, 0, 7_000), (1, 0, 7_000, 8_000)]);
}

#[test]
fn a_lanes_priority_decides_who_gets_room_first() {
    for (urgent, expected) in
        [(0, [(0.0, 10.0), (10.0, 20.0), (20.0, 22.0)]), (1, [(0.0, 10.0), (12.0, 22.0), (10.0, 12.0)])]
    {
        let mut device = open(|_| {});
        let (long, short) = (kernel(&mut device, 10.0, SMS), kernel(&mut device, 2.0, SMS));
        let lanes = [lane(&mut device, 0), lane(&mut device, 0), lane(&mut device, urgent)];
        let work = [long, long, short].map(|k| stages(vec![slice(k, SMS)]));
        let ids: Vec<_> = lanes.into_iter().zip(work).map(|(l, w)| device.submit(l, w).unwrap()).collect();
        check(&times(&finish(&mut device, &ids), Nanos(0)), &expected);
    }
}

#[test]
fn partitions_take_turns_without_mps() {
    let mut device = open(|p| p.sharing.switch_us = 1.0);
    let turn = |us: u64| PartitionSpec { turn: Some(Nanos(us * 1_000)), ..PartitionSpec::of(Units::All) };
    let parts = device.partition(&[turn(10), turn(5)]).unwrap();
    let (a, b) = (kernel(&mut device, 25.0, SMS), kernel(&mut device, 12.0, SMS));
    let lanes =
        [0, 1].map(|at| device.lane(&LaneSpec { priority: 0, partition: Some(parts[at]), tenant: None }).unwrap());
    let ids = [a, b].into_iter().zip(lanes).map(|(k, l)| device.submit(l, stages(vec![slice(k, SMS)])).unwrap());
    let ids: Vec<_> = ids.collect();
    // The first: 0 to 10, 17 to 27, 34 to 39. The second: 11 to 16, 28 to 33, 40 to 42; a microsecond for every change.
    check(&times(&finish(&mut device, &ids), Nanos(0)), &[(0.0, 39.0), (11.0, 42.0)]);
    // Alone it keeps the device: the turn that it has is not taken from it. It changes from the second to the first: 1 µs.
    let from = Nanos(42_000);
    let id = device.submit(lanes[0], stages(vec![slice(a, SMS)])).unwrap();
    check(&times(&finish(&mut device, &[id]), from), &[(1.0, 26.0)]);
    let mixed = device.partition(&[turn(10), PartitionSpec::of(Units::All)]);
    assert!(mixed.unwrap_err().to_string().contains("take turns and some do not"));
}

#[test]
fn a_percentage_and_certain_sms_bound_what_runs_at_the_same_time() {
    let mut device = open(|p| p.sharing.green_change_ms = 0.02);
    let only = |from, to| PartitionSpec::of(Units::Only(from..to));
    let parts = device.partition(&[only(0, 1), only(1, 4)]).unwrap();
    let lanes =
        [0, 1].map(|at| device.lane(&LaneSpec { priority: 0, partition: Some(parts[at]), tenant: None }).unwrap());
    let tiles = 6;
    let wave = kernel(&mut device, 20.0, tiles);
    // Six tiles on four SMs are two waves of 10 µs each: six waves on one SM, two on three, after 20 µs to make them.
    let ids: Vec<_> = lanes.iter().map(|&l| device.submit(l, stages(vec![slice(wave, tiles)])).unwrap()).collect();
    check(&times(&finish(&mut device, &ids), Nanos(0)), &[(20.0, 80.0), (20.0, 40.0)]);
    let half = device.partition(&[PartitionSpec::of(Units::Percent(50.0))]).unwrap();
    let lane = device.lane(&LaneSpec { priority: 0, partition: Some(half[0]), tenant: None }).unwrap();
    let id = device.submit(lane, stages(vec![slice(wave, tiles)])).unwrap();
    check(&times(&finish(&mut device, &[id]), Nanos(80_000)), &[(0.0, 30.0)]);
}

#[test]
fn a_new_percentage_waits_for_its_client_to_start_anew() {
    let mut device = open(|p| p.sharing.mps_change_ms = 0.1);
    let parts = device.partition(&[PartitionSpec::of(Units::Percent(100.0))]).unwrap();
    let lane = device.lane(&LaneSpec { priority: 0, partition: Some(parts[0]), tenant: None }).unwrap();
    let wave = kernel(&mut device, 10.0, SMS);
    let before = device.submit(lane, stages(vec![slice(wave, SMS)])).unwrap();
    device.reshape(parts[0], Units::Percent(25.0)).unwrap();
    let after = device.submit(lane, stages(vec![slice(wave, SMS)])).unwrap();
    let done = finish(&mut device, &[before, after]);
    // What has begun goes on with four SMs; from 100 µs on one SM does the four tiles one after the other.
    check(&times(&done, Nanos(0)), &[(0.0, 10.0), (100.0, 140.0)]);
}

#[test]
fn instances_come_after_their_delay_and_have_their_own_sms() {
    let profile = Profile::find("a100-80gb").unwrap();
    let (delay_us, sms) = (profile.sharing.mig_change_ms * 1e3, profile.compute.sms);
    let mut device = open(|p| {
        *p = Profile { launch: p.launch.clone(), copy: p.copy.clone(), ..profile };
    });
    let instance = |start: u32| PartitionSpec { instance: Some(("3g".into(), start)), ..PartitionSpec::of(Units::All) };
    let parts = device.partition(&[instance(0), instance(4)]).unwrap();
    // 84 tiles of 10 µs are one wave on 108 SMs, two on 42.
    let wave = kernel(&mut device, 10.0, 84);
    assert!(sms > 84);
    let submit = |device: &mut SimDevice, at: usize| {
        let lane = device.lane(&LaneSpec { priority: 0, partition: Some(parts[at]), tenant: None }).unwrap();
        device.submit(lane, stages(vec![slice(wave, 84)])).unwrap()
    };
    let ids = [submit(&mut device, 0), submit(&mut device, 1)];
    let expected = (delay_us, delay_us + 20.0);
    check(&times(&finish(&mut device, &ids), Nanos(0)), &[expected, expected]);
}
