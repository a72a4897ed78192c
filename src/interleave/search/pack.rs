//! Packing: from the parts of several tenants that are next, stages that run them side by side.
//!
//! With streams that is a chain for each tenant. With co-kernels tenants are dealt out to as many chains as there are slots,
//! longest first, and those of one chain are merged such that pieces of one kernel are together: then the chain takes as
//! many passes over the stage's bodies as the tenant that needs most, not as all of them one after another. What a worker
//! may not do in one dispatch goes on in the next stage.

use std::collections::HashMap;
use std::ops::Range;

use crate::interleave::{Chain, ChainForm, Piece, Problem, Stage};

/// How far a tenant is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    /// The next launch.
    pub(super) launch: u32,
    /// Its next tile.
    pub(super) tile: u32,
}

/// A tenant's pieces that follow each other, and what they take by one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    pub(super) pieces: Vec<Piece>,
    pub(super) ns: f64,
}

impl Segment {
    /// Whole launches of a tenant.
    pub(super) fn of(problem: &Problem, tenant: u32, launches: Range<u32>) -> Segment {
        let mut segment = Segment::default();
        let mut cursor = Cursor { launch: launches.start, tile: 0 };
        segment.extend(problem, tenant, &mut cursor, launches.end, f64::INFINITY);
        segment
    }

    /// Takes of a tenant what fits into `room_ns`, from `cursor` to before the launch `end`; at least half of a piece has to
    /// fit, and a launch that is worth a dispatch or two is cut between tiles. Where not even the first piece fits it is
    /// taken nevertheless, so that there is progress.
    pub(super) fn extend(&mut self, problem: &Problem, tenant: u32, cursor: &mut Cursor, end: u32, room_ns: f64) {
        let launches = &problem.models[tenant as usize].launches;
        let single = problem.machine.single_workers();
        let worth_cutting_ns = 2.0 * problem.machine.dispatch_ns;
        while cursor.launch < end {
            let launch = &launches[cursor.launch as usize];
            let left = launch.tiles - cursor.tile;
            let left_ns = if single { launch.tiles_ns(left) } else { launch.alone_ns };
            let room_left_ns = room_ns - self.ns;
            let mut n = left;
            if left_ns > room_left_ns {
                if single && left_ns > worth_cutting_ns {
                    n = (f64::from(left) * room_left_ns / left_ns).round().max(0.0) as u32;
                } else if left_ns > 2.0 * room_left_ns {
                    n = 0;
                }
                if n == 0 && self.pieces.is_empty() {
                    n = if left_ns > worth_cutting_ns && single { 1 } else { left };
                }
            }
            if n == 0 && left > 0 {
                return;
            }
            let first = cursor.tile;
            if single && n > 0 {
                let (launch, end) = (cursor.launch, first + n);
                self.pieces.push(Piece { tenant, launch, first, end, workers: 1 });
            } else if !single {
                self.pieces.extend(launch.cuts.iter().map(|cut| Piece {
                    tenant,
                    launch: cursor.launch,
                    first: cut.tiles.start,
                    end: cut.tiles.end,
                    workers: cut.workers,
                }));
            }
            self.ns += if single { launch.tiles_ns(n) } else { launch.alone_ns };
            if n < left {
                cursor.tile += n;
                return;
            }
            *cursor = Cursor { launch: cursor.launch + 1, tile: 0 };
        }
    }
}

/// The stages that run these segments side by side, appended to `stages`. Each segment's dependencies outside of it are complete.
pub(super) fn side_by_side(problem: &Problem, mut segments: Vec<Segment>, slots: usize, stages: &mut Vec<Stage>) {
    segments.retain(|s| !s.pieces.is_empty());
    match problem.machine.chains {
        ChainForm::Streams { .. } if segments.is_empty() => {}
        ChainForm::Streams { .. } => {
            let chains = segments.into_iter().map(|s| Chain { pieces: s.pieces }).collect();
            stages.push(Stage { chains });
        }
        ChainForm::CoKernel { .. } => {
            let chains = deal(segments, slots);
            let mut bodies = Bodies::default();
            let merged: Vec<Vec<Piece>> = chains.into_iter().map(|c| bodies.merge(problem, c)).collect();
            cut(problem, merged, stages);
        }
    }
}

/// Longest first to the chain that is shortest so far; chains of most pieces first.
fn deal(mut segments: Vec<Segment>, slots: usize) -> Vec<Vec<Segment>> {
    segments.sort_by(|a, b| b.ns.total_cmp(&a.ns));
    let n = slots.clamp(1, segments.len().max(1));
    let mut chains: Vec<(f64, Vec<Segment>)> = vec![(0.0, Vec::new()); n];
    for segment in segments {
        let shortest = chains.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((ns, chain)) = shortest {
            *ns += segment.ns;
            chain.push(segment);
        }
    }
    let mut chains: Vec<Vec<Segment>> = chains.into_iter().map(|(_, c)| c).filter(|c| !c.is_empty()).collect();
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.iter().map(|s| s.pieces.len()).max().unwrap_or(0)));
    chains
}

/// The order of a stage's bodies while chains are merged: that of first use.
#[derive(Default)]
struct Bodies {
    place: HashMap<u32, usize>,
}

impl Bodies {
    /// The segments' pieces in one order: from body to body as they stand, and at each the next pieces of all tenants that are
    /// of its kernel. A kernel without a body gets one at the end, where the pass comes to it.
    fn merge(&mut self, problem: &Problem, segments: Vec<Segment>) -> Vec<Piece> {
        if segments.len() == 1 {
            let pieces = segments.into_iter().flat_map(|s| s.pieces).collect::<Vec<_>>();
            for piece in &pieces {
                let next = self.place.len();
                self.place.entry(kernel_of(problem, piece)).or_insert(next);
            }
            return pieces;
        }
        let mut heads: Vec<std::slice::Iter<Piece>> = segments.iter().map(|s| s.pieces.iter()).collect();
        let mut merged = Vec::with_capacity(segments.iter().map(|s| s.pieces.len()).sum());
        let mut at = 0;
        loop {
            let kernels = heads.iter().filter_map(|h| h.as_slice().first()).map(|p| kernel_of(problem, p));
            let known = |kernel| self.place.get(&kernel).copied();
            // (behind the body at `at`, its place): the next in this pass, then new ones, then those of the next pass.
            let next = kernels.min_by_key(|&k| match known(k) {
                Some(place) if place >= at => (0, place),
                None => (1, 0),
                Some(place) => (2, place),
            });
            let Some(kernel) = next else { return merged };
            let places = self.place.len();
            at = *self.place.entry(kernel).or_insert(places);
            for head in &mut heads {
                while let Some(piece) = head.as_slice().first().filter(|p| kernel_of(problem, p) == kernel) {
                    merged.push(*piece);
                    head.next();
                }
            }
        }
    }
}

fn kernel_of(problem: &Problem, piece: &Piece) -> u32 {
    problem.launch(piece.tenant, piece.launch).kernel
}

/// Cuts chains where a worker's loop iterations end, and stages that have too many kernels.
fn cut(problem: &Problem, chains: Vec<Vec<Piece>>, stages: &mut Vec<Stage>) {
    let mut parts: Vec<std::vec::IntoIter<Chain>> = match problem.machine.iterations_max() {
        None => chains.into_iter().map(|pieces| vec![Chain { pieces }].into_iter()).collect(),
        Some(bound) => chains.into_iter().map(|c| within(problem, c, u64::from(bound)).into_iter()).collect(),
    };
    loop {
        let chains: Vec<Chain> = parts.iter_mut().filter_map(Iterator::next).filter(|c| !c.pieces.is_empty()).collect();
        if chains.is_empty() {
            return;
        }
        within_kernels(problem, Stage { chains }, stages);
    }
}

/// A chain as several of which none exceeds the bound. Pieces are cut between tiles; a tile that is longer by itself is alone.
fn within(problem: &Problem, pieces: Vec<Piece>, bound: u64) -> Vec<Chain> {
    let mut chains = vec![Chain::default()];
    let mut room = bound;
    for mut piece in pieces {
        let launch = problem.launch(piece.tenant, piece.launch);
        while piece.first < piece.end {
            let last = chains.last_mut().expect("there is always one");
            let fitting = (room / launch.iterations(1)).min(u64::from(piece.n_tiles())) as u32;
            let n = if last.pieces.is_empty() { fitting.max(1) } else { fitting };
            if n > 0 {
                last.pieces.push(Piece { end: piece.first + n, ..piece });
                room = room.saturating_sub(launch.iterations(n));
                piece.first += n;
            }
            if piece.first < piece.end || room == 0 {
                chains.push(Chain::default());
                room = bound;
            }
        }
    }
    chains.retain(|c| !c.pieces.is_empty());
    chains
}

/// Halves a stage as long as it has more kernels than a stage may have.
fn within_kernels(problem: &Problem, stage: Stage, stages: &mut Vec<Stage>) {
    let mut kernels: Vec<u32> = stage.pieces().map(|p| kernel_of(problem, p)).collect();
    kernels.sort_unstable();
    kernels.dedup();
    if kernels.len() <= problem.machine.kernels_max().max(1) {
        stages.push(stage);
        return;
    }
    let longest = stage.chains.iter().map(|c| c.pieces.len()).max().unwrap_or(0);
    let mut halves = [Stage::default(), Stage::default()];
    if longest == 1 {
        let half = stage.chains.len() / 2;
        for (at, chain) in stage.chains.into_iter().enumerate() {
            halves[usize::from(at >= half)].chains.push(chain);
        }
    } else {
        for mut chain in stage.chains {
            let rest = chain.pieces.split_off(chain.pieces.len().div_ceil(2));
            for (half, pieces) in halves.iter_mut().zip([chain.pieces, rest]) {
                if !pieces.is_empty() {
                    half.chains.push(Chain { pieces });
                }
            }
        }
    }
    halves.into_iter().for_each(|half| within_kernels(problem, half, stages));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interleave::cost::Passes;
    use crate::interleave::{Schedule, synthetic};

    #[test]
    fn merged_tenants_take_the_passes_of_one() {
        let problem = synthetic::chains(&[6; 4]);
        let segments = (0..4).map(|t| Segment::of(&problem, t, 0..6)).collect();
        let mut stages = Vec::new();
        side_by_side(&problem, segments, 2, &mut stages);
        assert_eq!((stages.len(), stages[0].chains.len()), (1, 2));
        let mut passes = Passes::default();
        assert_eq!(passes.order(&problem, &stages[0]), 6);
        for chain in &stages[0].chains {
            assert_eq!(chain.pieces.len(), 12);
            assert_eq!(passes.of(&problem, chain), 1);
        }
    }

    proptest! {
        #[test]
        fn packed_stages_are_right(
            tenants in 1usize..7, launches in 1usize..25, seed: u64, slots in 1usize..5, kernels_max in 1u32..9, bound in 1u32..30_000
        ) {
            let mut problem = synthetic::mixed(tenants, launches, seed);
            problem.machine.chains =
                ChainForm::CoKernel { iterations_max: Some(bound), kernels_max, body_ns: 1_000.0 };
            let segments = (0..tenants as u32).map(|t| Segment::of(&problem, t, 0..launches as u32)).collect();
            let mut stages = Vec::new();
            side_by_side(&problem, segments, slots, &mut stages);
            let schedule = Schedule::of(stages);
            prop_assert_eq!(schedule.check(&problem), Ok(()), "{}", schedule);
        }

        #[test]
        fn a_segment_goes_on_where_it_was_cut(launches in 1usize..25, seed: u64, room_us in 1.0f64..2_000.0) {
            let problem = synthetic::mixed(1, launches, seed);
            let mut cursor = Cursor::default();
            let mut stages = Vec::new();
            while cursor.launch < launches as u32 {
                let mut segment = Segment::default();
                let before = cursor;
                segment.extend(&problem, 0, &mut cursor, launches as u32, room_us * 1e3);
                prop_assert!(cursor > before);
                side_by_side(&problem, vec![segment], 2, &mut stages);
            }
            prop_assert_eq!(Schedule::of(stages).check(&problem), Ok(()));
        }
    }
}
