//! Co-kernels on every wgpu device: a stage of chains as one dispatch computes bit for bit what its launches compute one by
//! one, whatever is cut, chained and mixed, with pooled memory and with isolated memory; and no kernel leaves its tenant's range.

#[path = "../common/mod.rs"]
mod common;
mod isolation;
mod tenants;

use cotenant::hal::{Device, LaneId, Slice, Stage, Submission, Together, Wait};
use rand::Rng;
use rand::rngs::StdRng;
use std::time::Duration;

use tenants::Tenants;

/// Kernels of a stage at most, so that what is composed at random is compiled in some seconds.
const KERNELS_MAX: usize = 5;

/// Loop iterations of a chain, below what lavapipe stops.
const ITERATIONS_MAX: u64 = 20_000;

fn submit(device: &mut dyn Device, lane: LaneId, submission: Submission) -> Vec<Vec<u8>> {
    let id = device.submit(lane, submission).unwrap();
    let mut done = Vec::new();
    while done.is_empty() {
        device.poll(Wait::AtMost(Duration::from_secs(60)), &mut done).unwrap();
    }
    let completion = done.pop().unwrap();
    assert!(completion.submission == id && completion.error.is_none() && completion.failed.is_empty());
    completion.reads
}

/// A random right schedule: launches of each tenant in order, in chains of one worker that also mix tenants, or side by side with
/// random workers.
fn schedule(tenants: &Tenants, rng: &mut StdRng) -> Vec<Stage> {
    let mut next = vec![(0, 0); tenants.launches.len()];
    let mut stages = Vec::new();
    loop {
        let open: Vec<usize> = (0..next.len()).filter(|&t| next[t].0 < tenants.launches[t].len()).collect();
        if open.is_empty() {
            return stages;
        }
        let chained = rng.random_range(0..3) > 0;
        let mut kernels = Vec::new();
        let mut slices: Vec<Slice> = Vec::new();
        // A tenant is in one chain of a stage only: launches of a chain are in order, chains are in none.
        let mut left = open;
        while !left.is_empty() {
            let together = rng.random_range(1..=left.len().min(3));
            let mut members: Vec<usize> = left.drain(..together).collect();
            let (mut first, mut iterations) = (true, 0);
            while !members.is_empty() {
                let pick = rng.random_range(0..members.len());
                let t = members[pick];
                let (launch, tile) = next[t];
                let Some(info) = tenants.launches[t].get(launch) else {
                    members.swap_remove(pick);
                    continue;
                };
                if !kernels.contains(&info.kernel) && kernels.len() >= KERNELS_MAX {
                    members.swap_remove(pick);
                    continue;
                }
                let rest = info.tiles - tile;
                let tiles = if rng.random_range(0..4) == 0 { rng.random_range(1..=rest) } else { rest };
                iterations += u64::from(tiles) * info.iterations;
                if !first && iterations > ITERATIONS_MAX {
                    break;
                }
                if !kernels.contains(&info.kernel) {
                    kernels.push(info.kernel.clone());
                }
                let workers = if chained { 1 } else { rng.random_range(1..=9) };
                slices.push(Slice { tiles: tile..tile + tiles, workers, follows: !first, ..info.slice.clone() });
                next[t] = if tiles == rest { (launch + 1, 0) } else { (launch, tile + tiles) };
                first = false;
                if !chained || rng.random_range(0..12) == 0 {
                    break;
                }
            }
        }
        if !slices.is_empty() {
            slices[0].follows = false;
            stages.push(Stage { slices });
        }
    }
}

fn check(models: &[&str], pooled: bool, seed: u64) {
    for mut device in common::devices() {
        let mut rng = common::rng(seed);
        let mut tenants = Tenants::load(&mut *device, models, pooled, &mut rng);
        let expected = tenants.run(&mut *device, tenants.one_by_one());
        for round in 0..3 {
            let stages = schedule(&tenants, &mut rng);
            let several = stages.iter().filter(|s| s.slices.len() > 1).count();
            let prepared = device.prepare(&stages).unwrap();
            let name = device.caps().name.clone();
            // Workgroups that work together and differ in size are no co-kernel, and isolated tenants take bindings each, of
            // which a device has only so many.
            let apart = |s: &&Stage| s.slices.len() > 1 && device.together(s) == Together::Apart;
            let apart: Vec<&Stage> = stages.iter().filter(apart).collect();
            let most = if pooled { several * 9 / 10 } else { 1 };
            assert!(prepared >= most, "{name}: {prepared} of {several}, not {apart:?}");
            assert!(expected == tenants.run(&mut *device, stages), "{name}, round {round} of {models:?}");
        }
        tenants.unload(&mut *device);
    }
}

#[test]
fn pooled_tenants_compute_the_same_in_any_mixture() {
    check(&["keyword_spotting", "dlrm", "lstm"], true, 1);
}

#[test]
fn isolated_tenants_compute_the_same_in_any_mixture() {
    check(&["keyword_spotting", "dlrm"], false, 2);
}

#[test]
fn a_tenant_alone_is_fused_without_pooling() {
    check(&["lstm"], false, 3);
    check(&["add_64"], true, 4);
}
