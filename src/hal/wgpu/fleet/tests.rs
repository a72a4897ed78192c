//! What only a fleet has: members, and what is wrong between them.

use std::time::Duration;

use super::*;
use crate::hal::caught;
use crate::hal::wgpu::find;

/// A fleet on each software adapter of this machine; none is no failure, the conformance suite demands them in CI.
fn fleets(members: usize) -> Vec<WgpuFleet> {
    let software: Vec<Found> = find().into_iter().filter(Found::is_software).collect();
    software.iter().map(|found| WgpuFleet::open(found, members, WallClock::start()).unwrap()).collect()
}

/// A lane for a tenant, with a buffer of 16 bytes.
fn settle(fleet: &mut WgpuFleet, tenant: u32) -> (LaneId, Region) {
    let tenant = TenantId(tenant);
    let lane = fleet.lane(&LaneSpec { tenant: Some(tenant), ..LaneSpec::default() }).unwrap();
    (lane, Region { buffer: fleet.alloc(tenant, 16).unwrap(), offset: 0, bytes: 16 })
}

/// Writes a mark and reads it back.
fn marking(region: Region, mark: u8) -> Submission {
    Submission { uploads: vec![(region, vec![mark; 16])], reads: vec![region], ..Submission::default() }
}

fn wait(fleet: &mut WgpuFleet, n: usize) -> Vec<Completion> {
    let mut done = Vec::new();
    while done.len() < n {
        fleet.poll(Wait::AtMost(Duration::from_secs(60)), &mut done).unwrap();
    }
    assert_eq!(done.len(), n);
    done.sort_by_key(|c| c.submission);
    done
}

#[test]
fn members_are_opened_one_by_one_as_tenants_come() {
    for mut fleet in fleets(3) {
        assert_eq!((fleet.members(), fleet.caps().lanes_max), (1, 3));
        fleet.lane(&LaneSpec::default()).unwrap();
        let mut found = Vec::new();
        for tenant in 1..=6 {
            let (_, region) = settle(&mut fleet, tenant);
            found.push((fleet.members(), region.buffer.0 % 3));
        }
        assert_eq!(found, [(1, 0), (2, 1), (3, 2), (3, 0), (3, 1), (3, 2)]);
        let nobody = Region { buffer: fleet.alloc(TenantId(99), 16).unwrap(), offset: 0, bytes: 16 };
        assert_eq!(nobody.buffer.0 % 3, 0, "who was not placed lives on the first member");
    }
}

#[test]
fn submissions_of_all_members_are_numbered_together_and_end_in_order_of_their_lane() {
    for mut fleet in fleets(2) {
        let homes = [settle(&mut fleet, 1), settle(&mut fleet, 2)];
        let submitted: Vec<(SubmissionId, u8)> = (0..80)
            .map(|mark| {
                let (lane, region) = homes[usize::from(mark % 5 < 2)];
                (fleet.submit(lane, marking(region, mark)).unwrap(), mark)
            })
            .collect();
        assert!(submitted.windows(2).all(|pair| pair[0].0 < pair[1].0), "{submitted:?}");
        let found: Vec<_> = wait(&mut fleet, 80).into_iter().map(|c| (c.submission, c.reads[0][0])).collect();
        assert_eq!(found, submitted);
        assert_eq!(fleet.counters().submissions, 80);
    }
}

#[test]
fn work_at_a_lane_that_cannot_use_its_memory_is_a_broken_promise() {
    for mut fleet in fleets(2) {
        let [(first, mine), (second, other)] = [settle(&mut fleet, 1), settle(&mut fleet, 2)];
        for (lane, region) in [(first, other), (second, mine)] {
            let message = caught(|| fleet.submit(lane, marking(region, 1)).is_ok()).unwrap_err();
            assert!(message.contains("lies where its lane cannot use it"), "{message}");
        }
        let message = caught(|| fleet.place(TenantId(1), second)).unwrap_err();
        assert!(message.contains("tenant 1 has memory elsewhere"), "{message}");
        // Nothing was changed by any of it.
        fleet.submit(first, marking(mine, 5)).unwrap();
        assert_eq!(wait(&mut fleet, 1)[0].reads, [[5; 16]]);
        let unknown = Region { buffer: BufferId(4001), ..mine };
        assert!(matches!(fleet.submit(first, marking(unknown, 1)), Err(HalError::Range { .. })));
        assert_eq!(fleet.submit(LaneId(77), Submission::default()), Err(HalError::NoLane(LaneId(77))));
    }
}

#[test]
fn a_member_that_is_lost_takes_its_own_work_with_it() {
    for mut fleet in fleets(2) {
        let [(first, mine), (second, other)] = [settle(&mut fleet, 1), settle(&mut fleet, 2)];
        fleet.members[1].device().device.destroy();
        let mut lost = Vec::new();
        for mark in 0..10 {
            fleet.submit(first, marking(mine, mark)).unwrap();
            lost.push(fleet.submit(second, marking(other, mark)).unwrap());
        }
        for completion in wait(&mut fleet, 20) {
            let is_lost = matches!(completion.error, Some(HalError::DeviceLost(_)));
            assert_eq!(is_lost, lost.contains(&completion.submission), "{completion:?}");
        }
        // Who comes now does not come to the lost member.
        let (third, region) = settle(&mut fleet, 3);
        fleet.submit(third, marking(region, 9)).unwrap();
        assert_eq!(wait(&mut fleet, 1)[0].reads, [[9; 16]]);
        fleet.members[0].device().device.destroy();
        let mut done = Vec::new();
        let all_lost = (0..50).any(|_| {
            let submitted = fleet.submit(first, marking(mine, 1));
            let polled = fleet.poll(Wait::AtMost(Duration::from_secs(1)), &mut done);
            submitted.is_err() && polled.is_err()
        });
        assert!(all_lost, "a device of which nothing is left says so");
    }
}
