//! Chains of slices in a stage: one after another in each, and no bit or span that says otherwise.

use cotenant::hal::{Device, Slice, Stage, Submission};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::program::{Loaded, alternating, execute};
use super::stages::random_cut;
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "slices of a chain run in order", needs: &[Need::Results], check: chains_in_order },
    Case { name: "no bit depends on chains", needs: &[Need::Results], check: chains_change_nothing },
    Case { name: "a slice of a chain begins when the one before has ended", needs: &[Need::Timestamps], check: spans },
];

/// These slices one after another.
fn chain(slices: impl IntoIterator<Item = Slice>) -> Vec<Slice> {
    slices.into_iter().enumerate().map(|(at, s)| Slice { follows: at > 0, ..s }).collect()
}

/// Operations `from..to` of a program as one chain, cut or whole.
fn operations(loaded: &Loaded, from: usize, to: usize, rng: Option<&mut StdRng>) -> Vec<Slice> {
    let whole = |o| loaded.slice(o, 0, 0..loaded.launch(o, 0).tiles, 3);
    match rng {
        None => chain((from..to).map(whole)),
        Some(rng) => chain((from..to).flat_map(|o| random_cut(loaded, o, 0, rng)).collect::<Vec<_>>()),
    }
}

fn chains_in_order(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    for (n, length) in [(1, 2), (5, 33), (2000, 17)] {
        // Of different lengths, so that some chains go on when others have ended.
        let tenants: Vec<Loaded> =
            (1..6).map(|k| alternating(k, n * k as usize, length + 3 * k as usize).0.load(device)).collect();
        let slices = tenants.iter().flat_map(|t| operations(t, 0, t.recording.operations.len(), None)).collect();
        execute(device, lane, Submission { stages: vec![Stage { slices }], ..Submission::default() });
        for tenant in &tenants {
            tenant.assert_exact(device, &format!("{} with {length} operators, a chain", tenant.program.tenant));
        }
    }
}

fn chains_change_nothing(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let tenants: Vec<Loaded> = (1..5).map(|k| alternating(k, 900 * k as usize, 14).0.load(device)).collect();
    for seed in 0..8 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut next = vec![0; tenants.len()];
        let mut stages = Vec::new();
        while next.iter().any(|n| *n < 14) {
            let mut chains = Vec::new();
            for (tenant, next) in tenants.iter().zip(&mut next) {
                let to = 14.min(*next + rng.random_range(0..5));
                let cut = rng.random_bool(0.5);
                chains.push(operations(tenant, *next, to, cut.then_some(&mut *rng)));
                *next = to;
            }
            chains.shuffle(rng);
            stages.push(Stage { slices: chains.concat() });
        }
        let uploads = tenants.iter().map(Loaded::reset).collect();
        execute(device, lane, Submission { uploads, stages, ..Submission::default() });
        for tenant in &tenants {
            tenant.assert_exact(device, &format!("{} in chains of seed {seed}", tenant.program.tenant));
        }
    }
}

fn spans(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let rng = &mut StdRng::seed_from_u64(43);
    let tenants: Vec<Loaded> = (1..5).map(|k| alternating(k, 1500 * k as usize, 9).0.load(device)).collect();
    let stage = |from, to, rng: &mut StdRng| Stage {
        slices: tenants.iter().flat_map(|t| operations(t, from, to, Some(&mut *rng))).collect(),
    };
    let stages = vec![stage(0, 4, rng), stage(4, 9, rng)];
    let completion = execute(device, lane, Submission { stages: stages.clone(), timed: true, ..Submission::default() });
    assert_eq!(completion.spans.len(), stages.iter().map(|s| s.slices.len()).sum::<usize>(), "a span for each slice");
    for pair in completion.spans.windows(2).filter(|pair| pair[0].stage == pair[1].stage) {
        if stages[pair[1].stage as usize].slices[pair[1].slice as usize].follows {
            assert!(pair[0].end <= pair[1].start, "{pair:?} are one after another");
        }
    }
}
