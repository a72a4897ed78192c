//! Where tenants live: a lane for a tenant can use its memory, tenants placed together share stages, and nothing is mixed
//! up between those that were placed apart.

use cotenant::hal::{BufferId, Device, HalError, LaneId, LaneSpec, Region, Stage, Submission};
use cotenant::tensor::TenantId;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::program::{Loaded, alternating, assert_fine, execute, stages, wait};
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "tenants that are placed together share stages", needs: &[Need::Results], check: placed_together },
    Case { name: "a tenant without memory can be placed anew", needs: &[Need::Results], check: placed_anew },
    Case { name: "identifiers differ wherever tenants live", needs: &[], check: identifiers_differ },
    Case { name: "a quota holds wherever its tenant is placed", needs: &[], check: quotas_follow },
];

fn lane_for(device: &mut dyn Device, tenant: u32) -> LaneId {
    device.lane(&LaneSpec { tenant: Some(TenantId(tenant)), ..LaneSpec::default() }).unwrap()
}

fn placed_together(device: &mut dyn Device) {
    const LENGTH: usize = 12;
    let lanes = [1, 2].map(|tenant| lane_for(device, tenant));
    // Tenants 3 and 5 live with 1, tenant 4 with 2.
    for (tenant, at) in [(3, 0), (4, 1), (5, 0)] {
        device.place(TenantId(tenant), lanes[at]);
    }
    let homes = [vec![1, 3, 5], vec![2, 4]];
    let load = |tenant: &u32, device: &mut dyn Device| {
        alternating(*tenant, 700 + 100 * *tenant as usize, LENGTH).0.load(device)
    };
    let tenants: Vec<Vec<Loaded>> =
        homes.iter().map(|home| home.iter().map(|tenant| load(tenant, device)).collect()).collect();
    // A further lane for a tenant that has memory can use it.
    let further = lane_for(device, 4);
    for operation in 0..LENGTH {
        for (at, home) in tenants.iter().enumerate() {
            let stage =
                Stage { slices: home.iter().flat_map(|t| t.stages_of(operation)).flat_map(|s| s.slices).collect() };
            // Lanes run in any order, so those of one tenant take turns.
            let lane = if at == 1 && operation >= LENGTH / 2 { further } else { lanes[at] };
            device.submit(lane, stages(vec![stage])).unwrap();
        }
        if operation + 1 == LENGTH / 2 {
            wait(device, LENGTH).iter().for_each(assert_fine);
        }
    }
    wait(device, LENGTH).iter().for_each(assert_fine);
    for tenant in tenants.iter().flatten() {
        tenant.assert_exact(device, &format!("{} beside others", tenant.program.tenant));
    }
}

fn placed_anew(device: &mut dyn Device) {
    let lanes = [1, 2].map(|tenant| lane_for(device, tenant));
    for round in 0..6 {
        let lane = lanes[round % 2];
        device.place(TenantId(1), lane);
        let loaded = alternating(1, 500, 7).0.load(device);
        execute(device, lane, stages(loaded.stages()));
        loaded.assert_exact(device, &format!("placed at {lane:?}"));
        loaded.unload(device);
        let gone = device.submit(lane, stages(loaded.stages()));
        assert_eq!(gone, Err(HalError::NoRecording(loaded.id)));
        assert!(device.read(loaded.arena()).is_err(), "what was unloaded is freed");
    }
}

fn identifiers_differ(device: &mut dyn Device) {
    let rng = &mut StdRng::seed_from_u64(61);
    let tenants = [1, 2, 3];
    let lanes = tenants.map(|tenant| lane_for(device, tenant));
    let mut held: Vec<(BufferId, usize, u8)> = Vec::new();
    let mut seen: Vec<BufferId> = Vec::new();
    for mark in 1..=60u8 {
        let at = rng.random_range(0..tenants.len());
        let buffer = device.alloc(TenantId(tenants[at]), 64).unwrap();
        assert!(!seen.contains(&buffer), "{buffer:?} is given twice");
        seen.push(buffer);
        let region = Region { buffer, offset: 0, bytes: 64 };
        let submission = Submission { uploads: vec![(region, vec![mark; 64])], ..Submission::default() };
        device.submit(lanes[at], submission).unwrap();
        held.push((buffer, at, mark));
        if rng.random_range(0..3) == 0 {
            let (freed, ..) = held.swap_remove(rng.random_range(0..held.len()));
            device.free(freed);
        }
    }
    wait(device, 60).iter().for_each(assert_fine);
    held.shuffle(rng);
    for (buffer, at, mark) in held {
        let region = Region { buffer, offset: 0, bytes: 64 };
        let read = execute(device, lanes[at], Submission { reads: vec![region], ..Submission::default() }).reads;
        assert_eq!(read, device.read(region).map(|bytes| vec![bytes]).unwrap());
        assert!(read[0] == [mark; 64] || !device.caps().computes(), "{buffer:?} holds {read:?} and not {mark}");
    }
}

fn quotas_follow(device: &mut dyn Device) {
    let lanes = [1, 2].map(|tenant| lane_for(device, tenant));
    for (tenant, lane) in [(7, lanes[1]), (8, lanes[0])] {
        let tenant = TenantId(tenant);
        device.limit_memory(tenant, Some(100));
        device.place(tenant, lane);
        let buffer = device.alloc(tenant, 80).unwrap();
        let refused = HalError::TenantMemory { tenant, asked: 24, used: 80, limit: 100 };
        assert_eq!(device.alloc(tenant, 24), Err(refused));
        device.limit_memory(tenant, Some(104));
        device.alloc(tenant, 24).expect("the limit was raised");
        device.free(buffer);
        device.alloc(tenant, 80).expect("what was freed can be had again");
    }
}
