//! Pooled memory keeps tenants apart, and what cannot be one dispatch runs as several.

use std::sync::Arc;

use cotenant::hal::{
    BufferId, Device, HostFn, KernelSpec, LaneSpec, Launch, Operation, Recording, RecordingId, Region, Slice, Stage,
    Submission,
};
use cotenant::tensor::{HostTensor, TenantId};
use rand::Rng;

use crate::{common, submit};

const HEAD: &str = "
const LANES: u32 = 8u;
struct TrialOp { y: u32, n: u32 }
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;
var<workgroup> parts: array<f32, LANES>;
";

#[derive(Debug)]
struct NoHost;

impl HostFn for NoHost {
    fn eval(&self, _inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Err("kernels only".into())
    }
}

struct Trial {
    recording: RecordingId,
    arena: BufferId,
    words: u64,
}

/// A tenant of one launch with one tile, whose arena of `words` words holds its number everywhere.
fn trial(device: &mut dyn Device, tenant: u32, body: &str, lanes: u32, params: [u32; 2], words: u64) -> Trial {
    let text = format!("{HEAD}fn trial_tile(op: TrialOp, tile: u32, lane: u32) {{\n{body}\n}}\n");
    let kernel = KernelSpec { name: "trial", source: text.leak(), functions: &[], consts: vec![], lanes, chain: None };
    let tenant = TenantId(tenant);
    device.pool(tenant);
    let (weights, arena) =
        (device.alloc_constants(tenant, words * 4).unwrap(), device.alloc(tenant, words * 4).unwrap());
    let own = vec![tenant.0 as f32; words as usize];
    for buffer in [weights, arena] {
        device.write(Region { buffer, offset: 0, bytes: words * 4 }, bytemuck::cast_slice(&own)).unwrap();
    }
    let launch = Launch {
        kernel: Arc::new(kernel),
        params: params.to_vec(),
        tiles: 1,
        workers: 1,
        tile_iterations: 70,
        weights,
    };
    let operation = Operation {
        name: "trial".into(),
        kind: "trial".into(),
        inputs: vec![],
        outputs: vec![],
        deps: vec![],
        launches: vec![launch],
        host: Arc::new(NoHost),
        flops: 0,
        bytes: 0,
        reason: None,
        given: None,
    };
    let recording =
        Recording { name: "trial".into(), tenant, arena, operations: vec![operation], inputs: vec![], outputs: vec![] };
    Trial { recording: device.install(Arc::new(recording), &mut |_, _, _| {}).unwrap(), arena, words }
}

fn stage(trials: &[&Trial], chained: bool) -> Stage {
    let slice = |(at, t): (usize, &&Trial)| Slice {
        recording: t.recording,
        operation: 0,
        launch: 0,
        tiles: 0..1,
        workers: 1,
        follows: chained && at > 0,
    };
    Stage { slices: trials.iter().enumerate().map(slice).collect() }
}

fn arena(device: &mut dyn Device, trial: &Trial) -> Vec<f32> {
    let bytes = device.read(Region { buffer: trial.arena, offset: 0, bytes: trial.words * 4 }).unwrap();
    bytemuck::pod_collect_to_vec(&bytes)
}

#[test]
fn a_wild_index_reads_and_writes_the_tenants_own_memory_only() {
    // Reads far behind its memory, by a word's worth of strides, and writes there too.
    let body = "for (var i = 0u; i < 64u; i++) {
            let far = op.n * (i * LANES + lane + 1u);
            let seen = arena[far] + weights[far];
            arena[lane] = max(arena[lane], seen);
            arena[far + 77u] = -5.0;
        }";
    for mut device in common::devices() {
        let mut rng = common::rng(11);
        for _ in 0..6 {
            let words = rng.random_range(3..300) * 2;
            let stride = rng.random_range(1..u32::MAX);
            let quiet = "arena[op.y + lane] = arena[op.y + lane] + 0.0;";
            let before = trial(&mut *device, 100, quiet, 8, [0, 0], 40);
            let wild = trial(&mut *device, 7, body, 8, [0, stride], words);
            let behind = trial(&mut *device, 200, quiet, 8, [0, 0], 40);
            let stages = vec![stage(&[&before, &wild, &behind], rng.random())];
            assert_eq!(device.prepare(&stages).unwrap(), 1);
            let lane = device.lane(&LaneSpec::default()).unwrap();
            submit(&mut *device, lane, Submission { stages, ..Submission::default() });
            assert!(arena(&mut *device, &before).iter().all(|v| *v == 100.0), "its neighbour before was written");
            assert!(arena(&mut *device, &behind).iter().all(|v| *v == 200.0), "its neighbour behind was written");
            // Its own is 7 in both buffers, or the -5 that it wrote: never 100 or 200, nor a sum with them.
            let own = arena(&mut *device, &wild);
            assert!(own.iter().all(|v| [7.0, 14.0, -5.0, 2.0].contains(v) || *v == 21.0 || *v % 7.0 == 0.0), "{own:?}");
            assert!(own.iter().all(|v| *v < 100.0 || *v % 100.0 != 0.0), "it saw a neighbour's: {own:?}");
            for t in [before, wild, behind] {
                device.uninstall(t.recording);
                device.free(t.arena);
            }
        }
    }
}

#[test]
fn workgroups_of_different_sizes_are_one_dispatch_where_invocations_do_not_work_together() {
    let apart = "arena[op.y + lane] = f32(lane) + arena[op.y + lane];";
    let together = "parts[lane] = f32(lane) + arena[op.y];
        workgroupBarrier();
        arena[op.y + lane] = parts[LANES - 1u - lane];";
    for mut device in common::devices() {
        let wide = trial(&mut *device, 1, apart, 32, [0, 0], 64);
        let narrow = trial(&mut *device, 2, apart, 8, [0, 0], 64);
        let group = trial(&mut *device, 3, together, 16, [0, 0], 64);
        let other = trial(&mut *device, 4, together, 8, [0, 0], 64);
        let lane = device.lane(&LaneSpec::default()).unwrap();
        let fits = [vec![&wide, &narrow], vec![&narrow, &group], vec![&wide, &group], vec![&wide, &other, &narrow]];
        for members in fits {
            assert_eq!(device.prepare(&[stage(&members, false)]).unwrap(), 1);
        }
        // Sixteen invocations and eight cannot wait for each other in one workgroup.
        assert_eq!(device.prepare(&[stage(&[&group, &other], false)]).unwrap(), 0);
        let stages = vec![stage(&[&wide, &group, &narrow], false), stage(&[&group, &other], true)];
        device.prepare(&stages).unwrap();
        submit(&mut *device, lane, Submission { stages, ..Submission::default() });
        for lane in 0..32 {
            assert_eq!(arena(&mut *device, &wide)[lane], 1.0 + lane as f32);
        }
        for lane in 0..8 {
            assert_eq!(arena(&mut *device, &narrow)[lane], 2.0 + lane as f32);
            assert_eq!(arena(&mut *device, &other)[lane], 4.0 + (7 - lane) as f32);
        }
        // Run twice: first 3 + 15 - lane, then from word 0 of that, which is 18.
        for lane in 0..16 {
            assert_eq!(arena(&mut *device, &group)[lane], 18.0 + (15 - lane) as f32);
        }
    }
}

#[test]
fn a_range_that_others_used_is_zero_again() {
    for mut device in common::devices() {
        let mut rng = common::rng(5);
        let tenants: Vec<TenantId> = (1..5).map(TenantId).collect();
        tenants.iter().for_each(|&t| device.pool(t));
        let mut held: Vec<(BufferId, u64)> = Vec::new();
        for _ in 0..60 {
            let bytes = rng.random_range(0..3_000) * 4;
            let buffer = device.alloc(tenants[rng.random_range(0..tenants.len())], bytes).unwrap();
            let region = Region { buffer, offset: 0, bytes };
            assert!(device.read(region).unwrap().iter().all(|b| *b == 0), "not zeroed");
            device.write(region, &vec![0xa5; bytes as usize]).unwrap();
            held.push((buffer, bytes));
            if rng.random() {
                let (gone, _) = held.swap_remove(rng.random_range(0..held.len()));
                device.free(gone);
            }
        }
        for (buffer, bytes) in held {
            let all = device.read(Region { buffer, offset: 0, bytes }).unwrap();
            assert!(all.iter().all(|b| *b == 0xa5), "another's write is in it");
        }
    }
}
