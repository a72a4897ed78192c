//! Submissions: their order in a lane, several lanes, and what polling does and does not do.

use std::time::Duration;

use cotenant::hal::{Device, LaneId, LaneSpec, Region, Submission, SubmissionId, Wait};
use cotenant::tensor::TenantId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::program::{Loaded, Program, alternating, assert_fine, matmul, stages, submit_times, wait};
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "submissions to a lane run in order", needs: &[Need::Results], check: lane_in_order },
    Case { name: "lanes complete in order, each by itself", needs: &[], check: several_lanes },
    Case { name: "lanes compute side by side", needs: &[Need::Results], check: lanes_compute },
    Case { name: "a poll on an idle device returns at once", needs: &[], check: poll_idle },
    Case { name: "a poll appends", needs: &[], check: poll_appends },
    Case { name: "polling without waiting sees everything complete", needs: &[Need::WallClock], check: poll_spins },
    Case { name: "a poll does not wait for more than it must", needs: &[Need::Results], check: poll_does_not_wait },
    Case { name: "completions are dated", needs: &[], check: dates },
    Case { name: "a device can be dropped with work under way", needs: &[], check: dropped_under_way },
];

fn lane_in_order(device: &mut dyn Device) {
    const LENGTH: usize = 200;
    let lane = device.lane(&Default::default()).unwrap();
    let (program, x) = alternating(1, 300, LENGTH);
    let loaded = program.load(device);
    let ids: Vec<SubmissionId> = (0..LENGTH)
        .map(|operation| {
            let stages = loaded.stages_of(operation).collect();
            let submission = Submission { stages, reads: vec![loaded.region(x)], ..Submission::default() };
            device.submit(lane, submission).unwrap()
        })
        .collect();
    let done = wait(device, LENGTH);
    assert_eq!(done.iter().map(|c| c.submission).collect::<Vec<_>>(), ids);
    for (k, completion) in done.iter().enumerate() {
        assert_fine(completion);
        let (prefix, _) = alternating(1, 300, k + 1);
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&completion.reads[0]);
        let at = loaded.region(x).offset as usize / 4;
        assert_eq!(words, prefix.expected()[at..at + 300], "after {} operators", k + 1);
    }
}

/// Some lanes of all priorities, each for the tenant of its number; at least two, though a device may run one at a time.
fn lanes(device: &mut dyn Device) -> Vec<LaneId> {
    let n = device.caps().lanes_max.clamp(2, 4) as usize;
    let specs = [0, i32::MIN, i32::MAX, 1].into_iter().zip(0..).take(n);
    let specs = specs.map(|(priority, k)| LaneSpec { priority, tenant: Some(TenantId(k)), ..LaneSpec::default() });
    specs.map(|spec| device.lane(&spec).unwrap()).collect()
}

fn several_lanes(device: &mut dyn Device) {
    let rng = &mut StdRng::seed_from_u64(31);
    let lanes = lanes(device);
    let marks: Vec<Region> = (0..lanes.len())
        .map(|k| Region { buffer: device.alloc(TenantId(k as u32), 4).unwrap(), offset: 0, bytes: 4 })
        .collect();
    let mut submitted: Vec<Vec<(SubmissionId, u32)>> = vec![Vec::new(); lanes.len()];
    let mut last = None;
    for mark in 0..150u32 {
        let at = rng.random_range(0..lanes.len());
        let uploads = vec![(marks[at], mark.to_le_bytes().to_vec())];
        let submission = Submission { uploads, reads: vec![marks[at]], ..Submission::default() };
        let id = device.submit(lanes[at], submission).unwrap();
        assert!(last < Some(id), "numbers grow over all lanes");
        last = Some(id);
        submitted[at].push((id, mark));
    }
    let done = wait(device, 150);
    for (of_lane, lane) in submitted.iter().zip(&lanes) {
        let completed = done.iter().filter(|c| of_lane.iter().any(|(id, _)| *id == c.submission));
        let found: Vec<_> =
            completed.map(|c| (c.submission, u32::from_le_bytes(c.reads[0][..].try_into().unwrap()))).collect();
        assert_eq!(found, *of_lane, "{lane:?} completes in order, and each read is of its own submission");
    }
}

fn lanes_compute(device: &mut dyn Device) {
    let lanes = lanes(device);
    let tenants: Vec<Loaded> = (0..lanes.len() as u32).map(|k| alternating(k, 2500, 24).0.load(device)).collect();
    for operations in (0..24).collect::<Vec<usize>>().chunks(3) {
        for (lane, tenant) in lanes.iter().zip(&tenants) {
            let all = operations.iter().flat_map(|&o| tenant.stages_of(o)).collect();
            device.submit(*lane, stages(all)).unwrap();
        }
    }
    wait(device, 8 * lanes.len()).iter().for_each(assert_fine);
    for tenant in &tenants {
        tenant.assert_exact(device, &format!("{} on a lane of its own", tenant.program.tenant));
    }
}

fn poll_idle(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let mut done = Vec::new();
    for wait in [Wait::No, Wait::AtMost(Duration::ZERO), Wait::AtMost(Duration::MAX)] {
        device.poll(wait, &mut done).unwrap();
        assert!(done.is_empty());
    }
    device.submit(lane, Submission::default()).unwrap();
    device.poll(Wait::AtMost(Duration::MAX), &mut done).unwrap();
    assert_eq!(done.len(), 1, "however long it may wait, it returns when something completed");
    device.poll(Wait::AtMost(Duration::MAX), &mut done).unwrap();
    assert_eq!(done.len(), 1, "nothing completes twice");
}

fn poll_appends(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let ids: Vec<SubmissionId> = (0..5).map(|_| device.submit(lane, Submission::default()).unwrap()).collect();
    let mut done = Vec::new();
    while done.len() < ids.len() {
        let before = done.len();
        device.poll(Wait::AtMost(Duration::from_secs(300)), &mut done).unwrap();
        assert!(done.len() > before, "what a poll finds in the vector stays there");
    }
    assert_eq!(done.iter().map(|c| c.submission).collect::<Vec<_>>(), ids);
}

fn poll_spins(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = alternating(1, 1000, 30).0.load(device);
    submit_times(device, lane, &stages(loaded.stages()), 5);
    let mut done = Vec::new();
    while done.len() < 5 {
        device.poll(Wait::No, &mut done).unwrap();
        std::thread::yield_now();
    }
}

/// A product that takes every device a while.
fn heavy(device: &mut dyn Device, tenant: u32) -> Loaded {
    const N: usize = 160;
    let mut program = Program::new(tenant);
    let a = program.tensor(&[N, N], &[1.0; N * N]);
    let b = program.weight(&[N, N], &[2.0; N * N]);
    let c = program.output(&[N, N]);
    program.push(matmul(N, N, N, 1.0), &[a, b], c);
    program.load(device)
}

/// Whether work is still under way when a poll returns is a matter of speed, so one of some attempts is enough: a poll
/// that waits for everything never succeeds.
fn poll_does_not_wait(device: &mut dyn Device) {
    const SUBMISSIONS: usize = 10;
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = heavy(device, 1);
    for wait_for in [Wait::No, Wait::AtMost(Duration::MAX)] {
        let mut returned_early = false;
        for _ in 0..30 {
            submit_times(device, lane, &stages(loaded.stages()), SUBMISSIONS);
            let mut done = Vec::new();
            device.poll(wait_for, &mut done).unwrap();
            assert!(!done.is_empty() || wait_for == Wait::No, "a poll that may wait for ever returned with nothing");
            returned_early = done.len() < SUBMISSIONS;
            wait(device, SUBMISSIONS - done.len());
            if returned_early {
                break;
            }
        }
        assert!(returned_early, "{wait_for:?} waits until everything is done");
    }
}

fn dates(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = alternating(1, 1000, 5).0.load(device);
    let mut last = device.clock().now();
    for _ in 0..20 {
        let submitted = device.clock().now();
        assert!(submitted >= last, "time goes forward");
        submit_times(device, lane, &stages(loaded.stages()), 3);
        let done = wait(device, 3);
        let now = device.clock().now();
        let mut before = submitted;
        for completion in &done {
            let finished = completion.finished;
            assert!(before <= finished && finished <= now, "{before:?} <= {finished:?} <= {now:?}");
            before = finished;
        }
        last = now;
    }
}

/// The suite drops the device behind every case, and a hang is a failure.
fn dropped_under_way(device: &mut dyn Device) {
    for (tenant, lane) in (0..).zip(lanes(device)) {
        let loaded = heavy(device, tenant);
        for timed in [false, true] {
            let submission = Submission {
                uploads: vec![loaded.reset()],
                stages: loaded.stages(),
                reads: vec![loaded.arena()],
                timed,
            };
            submit_times(device, lane, &submission, 4);
        }
    }
    let mut done = Vec::new();
    device.poll(Wait::No, &mut done).unwrap();
}
