//! Random changes of a schedule, for searches over full ones: the rewrites at random places, and what only a search wants.

use rand::Rng;
use rand::rngs::StdRng;

use crate::interleave::rewrite::{Border, Divide, Join, Onto, Place, Rewrite, Split, Way, checked};
use crate::interleave::{Chain, Piece, Problem, Schedule, Stage};

/// A random change; `None` where the one drawn does not apply.
pub(super) fn random(problem: &Problem, schedule: &Schedule, rng: &mut StdRng) -> Option<Schedule> {
    let lane = rng.random_range(0..schedule.lanes.len().max(1));
    let stages = schedule.lanes.get(lane).filter(|l| !l.is_empty())?;
    let stage = rng.random_range(0..stages.len());
    let chain = rng.random_range(0..stages[stage].chains.len());
    let piece = rng.random_range(0..stages[stage].chains[chain].pieces.len());
    let at = Place { lane, stage, chain, piece };
    match rng.random_range(0..12) {
        0..=2 => border(schedule, at, rng).apply(problem, schedule),
        3 => Join { lane, stage }.apply(problem, schedule),
        4 => Divide { lane, stage, at: rng.random_range(0.0..1.0) }.apply(problem, schedule),
        5 => split(schedule, at, rng).apply(problem, schedule),
        6 | 7 => rehome(problem, schedule, at, rng),
        8 => reorder(problem, schedule, at, rng),
        9 => workers(problem, schedule, at, rng),
        10 => lift(problem, schedule, at),
        _ => change_lane(problem, schedule, at, rng),
    }
}

fn border(schedule: &Schedule, at: Place, rng: &mut StdRng) -> Border {
    let stages = &schedule.lanes[at.lane];
    let way = if rng.random() { Way::Later } else { Way::Earlier };
    let chains = match way {
        Way::Later => stages[at.stage].chains.len(),
        Way::Earlier => stages.get(at.stage + 1).map_or(1, |s| s.chains.len()),
    };
    let onto = if rng.random_range(0..4) == 0 { Some(rng.random_range(0..3)) } else { None };
    // Mostly few pieces, now and then many.
    let pieces = 1 << rng.random_range(0..4u32);
    Border { lane: at.lane, stage: at.stage, chain: rng.random_range(0..chains), pieces, way, onto }
}

fn split(schedule: &Schedule, at: Place, rng: &mut StdRng) -> Split {
    let tiles = schedule.lanes[at.lane][at.stage].chains[at.chain].pieces[at.piece].n_tiles();
    let to = if rng.random() { Onto::SameStage } else { Onto::NextStage };
    let chain = if rng.random() { None } else { Some(rng.random_range(0..3)) };
    Split { at, keep: rng.random_range(1..=tiles), to, chain }
}

/// A tenant's pieces of a chain go to another chain of the stage, or to one of their own.
fn rehome(problem: &Problem, schedule: &Schedule, at: Place, rng: &mut StdRng) -> Option<Schedule> {
    let mut changed = schedule.clone();
    let stage = &mut changed.lanes[at.lane][at.stage];
    let tenant = stage.chains[at.chain].pieces[at.piece].tenant;
    let (moved, rest): (Vec<Piece>, Vec<Piece>) =
        stage.chains[at.chain].pieces.iter().partition(|p| p.tenant == tenant);
    let onto = rng.random_range(0..=stage.chains.len());
    if onto == at.chain || (onto == stage.chains.len() && rest.is_empty()) {
        return None;
    }
    stage.chains[at.chain].pieces = rest;
    match stage.chains.get_mut(onto) {
        Some(chain) => chain.pieces = merged(problem, &chain.pieces, &moved),
        None => stage.chains.push(Chain { pieces: moved }),
    }
    checked(problem, changed)
}

/// Two chains' pieces in one order, those of equal kernels together as far as one walk along the first allows.
fn merged(problem: &Problem, first: &[Piece], second: &[Piece]) -> Vec<Piece> {
    let kernel = |p: &Piece| problem.launch(p.tenant, p.launch).kernel;
    let mut second = second.iter().peekable();
    let mut all = Vec::with_capacity(first.len() + second.len());
    for piece in first {
        while let Some(equal) = second.next_if(|p| kernel(p) == kernel(piece)) {
            all.push(*equal);
        }
        all.push(*piece);
    }
    all.extend(second);
    all
}

/// A piece goes to another place of its chain.
fn reorder(problem: &Problem, schedule: &Schedule, at: Place, rng: &mut StdRng) -> Option<Schedule> {
    let n = schedule.lanes[at.lane][at.stage].chains[at.chain].pieces.len();
    let to = rng.random_range(0..n);
    if to == at.piece {
        return None;
    }
    let mut changed = schedule.clone();
    let pieces = &mut changed.lanes[at.lane][at.stage].chains[at.chain].pieces;
    let piece = pieces.remove(at.piece);
    pieces.insert(to, piece);
    checked(problem, changed)
}

/// Another number of workers for a piece that is a chain by itself.
fn workers(problem: &Problem, schedule: &Schedule, at: Place, rng: &mut StdRng) -> Option<Schedule> {
    let piece = schedule.lanes[at.lane][at.stage].chains[at.chain].pieces[at.piece];
    let choices =
        [1, problem.machine.units, problem.machine.slots, problem.launch(piece.tenant, piece.launch).workers()];
    let workers = choices[rng.random_range(0..choices.len())].clamp(1, piece.n_tiles());
    if workers == piece.workers {
        return None;
    }
    let mut changed = schedule.clone();
    changed.lanes[at.lane][at.stage].chains[at.chain].pieces[at.piece].workers = workers;
    // A chain of several would set it back to one.
    checked(problem, changed).filter(|c| c != schedule)
}

/// A piece gets a stage of its own with the whole device: its chain goes on after it, the others of its stage before it.
fn lift(problem: &Problem, schedule: &Schedule, at: Place) -> Option<Schedule> {
    let stage = &schedule.lanes[at.lane][at.stage];
    let chain = &stage.chains[at.chain].pieces;
    stage.pieces().nth(1)?;
    let piece = chain[at.piece];
    let mut before = stage.clone();
    before.chains[at.chain].pieces.truncate(at.piece);
    let workers = problem.launch(piece.tenant, piece.launch).workers().clamp(1, piece.n_tiles());
    let alone = Stage::of(Piece { workers, ..piece });
    let after = Stage { chains: vec![Chain { pieces: chain[at.piece + 1..].to_vec() }] };
    let mut changed = schedule.clone();
    changed.lanes[at.lane].splice(at.stage..=at.stage, [before, alone, after]);
    checked(problem, changed)
}

/// A tenant goes to another lane, a chain of its own in each stage.
fn change_lane(problem: &Problem, schedule: &Schedule, at: Place, rng: &mut StdRng) -> Option<Schedule> {
    let lanes = (problem.machine.lanes as usize).min(problem.models.len());
    if lanes < 2 {
        return None;
    }
    let to = rng.random_range(0..lanes);
    if to == at.lane {
        return None;
    }
    let tenant = schedule.lanes[at.lane][at.stage].chains[at.chain].pieces[at.piece].tenant;
    let mut changed = schedule.clone();
    if changed.lanes.len() <= to {
        changed.lanes.resize(to + 1, Vec::new());
    }
    for number in 0..changed.lanes[at.lane].len() {
        let mut moved = Vec::new();
        for chain in &mut changed.lanes[at.lane][number].chains {
            let (of_tenant, rest): (Vec<Piece>, Vec<Piece>) = chain.pieces.iter().partition(|p| p.tenant == tenant);
            chain.pieces = rest;
            if !of_tenant.is_empty() {
                moved.push(Chain { pieces: of_tenant });
            }
        }
        let there = &mut changed.lanes[to];
        if there.len() <= number {
            there.resize(number + 1, Stage::default());
        }
        there[number].chains.extend(moved);
    }
    checked(problem, changed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::interleave::synthetic;

    proptest! {
        #[test]
        fn random_changes_leave_right_schedules(tenants in 1usize..5, launches in 1usize..12, seed: u64, streams: bool) {
            let mut problem = synthetic::mixed(tenants, launches, seed);
            if streams {
                problem.machine = synthetic::streams();
            }
            let mut rng = StdRng::seed_from_u64(seed);
            let mut schedule = Schedule::side_by_side(&problem);
            let mut changes = 0;
            for _ in 0..200 {
                if let Some(changed) = random(&problem, &schedule, &mut rng) {
                    prop_assert_eq!(changed.check(&problem), Ok(()), "{}", changed);
                    schedule = changed;
                    changes += 1;
                }
            }
            prop_assert!(changes > 0 || problem.launches() < 3);
        }
    }
}
