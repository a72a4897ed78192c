//! Stages, slices and tile ranges: the order of what depends on each other, and bits that no cut changes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cotenant::hal::{Device, Slice, Stage, Submission, Wait};
use cotenant::kernel::fragments;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::program::{
    Loaded, POISON, Program, Tensor, affine, alternating, assert_words, binary, execute, matmul, read_words, stages,
};
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "stages run in order", needs: &[Need::Results], check: stages_in_order },
    Case { name: "slices of several tenants share stages", needs: &[Need::Results], check: tenants_share_stages },
    Case { name: "no bit depends on cuts and workers", needs: &[Need::Results], check: cuts_change_nothing },
    Case { name: "a slice computes its tiles and no others", needs: &[Need::Kernels], check: only_its_tiles },
    Case { name: "empty submissions and stages complete", needs: &[], check: empty_stages },
    Case { name: "a plan that breaks its promise is caught", needs: &[], check: broken_plans },
];

fn stages_in_order(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    for (n, length) in [(1, 7), (3000, 60), (257, 301)] {
        let loaded = alternating(1, n, length).0.load(device);
        execute(device, lane, stages(loaded.stages()));
        loaded.assert_exact(device, &format!("{length} operators on {n} numbers, one after the other"));
    }
}

/// A launch cut into ranges of random lengths with random workers.
pub fn random_cut(loaded: &Loaded, operation: usize, launch: usize, rng: &mut StdRng) -> Vec<Slice> {
    let tiles = loaded.launch(operation, launch).tiles;
    let longest = rng.random_range(1..=tiles);
    let mut slices = Vec::new();
    let mut first = 0;
    while first < tiles {
        let end = tiles.min(first + rng.random_range(1..=longest));
        let workers = [1, 2, 3, 7, 64, u32::MAX][rng.random_range(0..6)];
        slices.push(loaded.slice(operation, launch, first..end, workers));
        first = end;
    }
    slices.shuffle(rng);
    slices
}

fn tenants_share_stages(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let rng = &mut StdRng::seed_from_u64(21);
    let tenants: Vec<Loaded> = (1..6).map(|k| alternating(k, 700 * k as usize, 12).0.load(device)).collect();
    for round in 0..4 {
        let mut all = Vec::new();
        for operation in 0..12 {
            let mut slices: Vec<Slice> = tenants.iter().flat_map(|t| random_cut(t, operation, 0, rng)).collect();
            slices.shuffle(rng);
            all.push(Stage { slices });
        }
        let uploads = tenants.iter().map(Loaded::reset).collect();
        execute(device, lane, Submission { uploads, stages: all, ..Submission::default() });
        for tenant in &tenants {
            tenant.assert_exact(device, &format!("{} in round {round}", tenant.program.tenant));
        }
    }
}

/// Products, a broadcast and a chain, on numbers whose sums round.
fn rounding(rng: &mut StdRng) -> (Program, Tensor) {
    let mut values = |n: usize| (0..n).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
    let mut program = Program::new(1);
    let a = program.tensor(&[90, 70], &values(6300));
    let b = program.weight(&[70, 170], &values(11_900));
    let bias = program.tensor(&[170], &values(170));
    let (c, d) = (program.output(&[90, 170]), program.output(&[90, 170]));
    program.push(matmul(90, 170, 70, 0.3), &[a, b], c);
    program.push(binary(fragments::ADD, &[90, 170]), &[c, bias], d);
    program.push(affine(&[90, 170], 0.7, 0.1), &[d], d);
    (program, d)
}

fn cuts_change_nothing(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let rng = &mut StdRng::seed_from_u64(22);
    let (program, _) = rounding(rng);
    let loaded = program.load(device);
    execute(device, lane, stages(loaded.stages()));
    let uncut = read_words(device, loaded.arena());
    let mut check = |what: &str, mut cut: Box<dyn FnMut(usize) -> Vec<Stage> + '_>| {
        let stages = (0..3).flat_map(&mut cut).collect();
        execute(device, lane, Submission { uploads: vec![loaded.reset()], stages, ..Submission::default() });
        assert_words(&read_words(device, loaded.arena()), &uncut, what);
    };
    let tiles = |operation| loaded.launch(operation, 0).tiles;
    for workers in [1, 2, 3, 5, 8, 100, u32::MAX] {
        let whole = |o| vec![Stage::of(loaded.slice(o, 0, 0..tiles(o), workers))];
        check(&format!("{workers} workers"), Box::new(whole));
    }
    let each = |o| -> Vec<Slice> { (0..tiles(o)).map(|t| loaded.slice(o, 0, t..t + 1, 1)).collect() };
    check("a slice a tile, in one stage", Box::new(|o| vec![Stage { slices: each(o) }]));
    check("a stage a tile", Box::new(|o| each(o).into_iter().map(Stage::of).collect()));
    check("a stage a tile, backwards", Box::new(|o| each(o).into_iter().rev().map(Stage::of).collect()));
    for round in 0..10 {
        let mut rng = StdRng::seed_from_u64(round);
        let loaded = &loaded;
        let random =
            move |o| random_cut(loaded, o, 0, &mut rng).chunks(3).map(|s| Stage { slices: s.to_vec() }).collect();
        check(&format!("random cut {round}"), Box::new(random));
    }
}

fn only_its_tiles(device: &mut dyn Device) {
    const N: usize = 24 << 8;
    let lane = device.lane(&Default::default()).unwrap();
    let mut program = Program::new(1);
    let x = program.tensor(&[N], &[1.0; N]);
    let y = program.output(&[N]);
    program.push(affine(&[N], 1.0, 1.0), &[x], y);
    let loaded = program.load(device);
    let tiles = loaded.launch(0, 0).tiles;
    assert!(tiles >= 4 && N.is_multiple_of(tiles as usize), "{tiles} tiles");
    let mut computed = 0;
    for range in [1..2, 3..tiles, 0..1, 2..3] {
        computed += range.end - range.start;
        execute(device, lane, stages(vec![Stage::of(loaded.slice(0, 0, range, 2))]));
        let words = read_words(device, loaded.region(y));
        assert!(words.iter().all(|&w| w == 2.0f32.to_bits() || w == POISON));
        let written = words.iter().filter(|&&w| w != POISON).count();
        assert_eq!(written, computed as usize * (N / tiles as usize), "{computed} of {tiles} tiles were computed");
    }
    loaded.assert_exact(device, "all tiles");
}

fn empty_stages(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = alternating(1, 100, 2).0.load(device);
    for timed in [false, true] {
        let nothing = execute(device, lane, Submission { timed, ..Submission::default() });
        assert!(nothing.reads.is_empty() && nothing.spans.is_empty(), "{nothing:?}");
        let stages = vec![Stage::default(), Stage::default()];
        let idle = execute(device, lane, Submission { stages, timed, ..Submission::default() });
        assert!(idle.reads.is_empty() && idle.spans.is_empty(), "{idle:?}");
        let mut stages = loaded.stages();
        stages.insert(1, Stage::default());
        stages.insert(0, Stage::default());
        let uploads = vec![loaded.reset()];
        execute(device, lane, Submission { uploads, stages, timed, ..Submission::default() });
        if device.caps().computes() {
            loaded.assert_exact(device, "with empty stages between");
        }
    }
}

fn broken_plans(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = alternating(1, 2000, 2).0.load(device);
    let good = loaded.slice(0, 0, 0..loaded.launch(0, 0).tiles, 4);
    let tiles = good.tiles.end;
    let broken = [
        Slice { tiles: 0..tiles + 1, ..good.clone() },
        Slice { tiles: tiles..tiles + 1, ..good.clone() },
        Slice { tiles: 0..u32::MAX, ..good.clone() },
        Slice { tiles: 1..1, ..good.clone() },
        Slice { workers: 0, ..good.clone() },
        Slice { operation: 2, ..good.clone() },
        Slice { launch: 1, ..good.clone() },
    ];
    let before = read_words(device, loaded.arena());
    let reset = loaded.reset();
    for slice in broken {
        let stages = vec![Stage::of(good.clone()), Stage::of(slice.clone())];
        let uploads = vec![(reset.0, vec![7; reset.1.len()])];
        let submission = Submission { uploads, stages, ..Submission::default() };
        let submitted = catch_unwind(AssertUnwindSafe(|| device.submit(lane, submission)));
        assert!(submitted.is_err(), "{slice:?} went through");
    }
    let first = Stage::of(Slice { follows: true, ..good.clone() });
    for stages in [vec![first.clone()], vec![Stage::of(good.clone()), Stage::default(), first]] {
        let submission = Submission { stages, ..Submission::default() };
        let submitted = catch_unwind(AssertUnwindSafe(|| device.submit(lane, submission)));
        assert!(submitted.is_err(), "the first slice of a stage follows none");
    }
    let short = Submission { uploads: vec![(reset.0, vec![7; reset.1.len() - 4])], ..Submission::default() };
    assert!(catch_unwind(AssertUnwindSafe(|| device.submit(lane, short))).is_err(), "an upload that is too short");
    let mut done = Vec::new();
    device.poll(Wait::No, &mut done).unwrap();
    assert!(done.is_empty(), "nothing was submitted");
    assert_words(&read_words(device, loaded.arena()), &before, "nothing was changed");
}
