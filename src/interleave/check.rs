//! Whether a schedule is right: every tile once, dependencies complete before, the machine's rules kept. Linear in pieces and
//! dependencies, but for sorting the pieces of launches that were cut.

use super::{Piece, Problem, Schedule, Stage};

/// What is wrong with a schedule, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A piece names what the problem does not have.
    #[error("lane {lane}, stage {stage}: {piece} names no tiles of a launch of this problem")]
    Unknown {
        /// Where.
        lane: usize,
        /// Where.
        stage: usize,
        /// The piece.
        piece: Piece,
    },
    /// A stage without chains, or a chain without pieces.
    #[error("lane {lane}, stage {stage}: it has a chain without pieces, or no chains")]
    Empty {
        /// Where.
        lane: usize,
        /// Where.
        stage: usize,
    },
    /// A tenant has pieces in two lanes.
    #[error("lane {lane}, stage {stage}: {piece} is of a tenant whose other pieces are in lane {other}")]
    TwoLanes {
        /// Where.
        lane: usize,
        /// Where.
        stage: usize,
        /// The piece.
        piece: Piece,
        /// The lane of those before.
        other: usize,
    },
    /// A piece begins before what it needs is complete.
    #[error(
        "lane {lane}, stage {stage}: {piece} needs launch {dep} of its tenant, which is complete neither in an earlier stage nor earlier in its chain"
    )]
    Dependency {
        /// Where.
        lane: usize,
        /// Where.
        stage: usize,
        /// The piece.
        piece: Piece,
        /// What it needs.
        dep: u32,
    },
    /// Tiles are missing or there twice.
    #[error("tenant {tenant}, launch {launch}: tile {tile} is scheduled {times} times, not once")]
    Tiles {
        /// Whose.
        tenant: u32,
        /// Which launch.
        launch: u32,
        /// The first such tile.
        tile: u32,
        /// How often: 0 or 2 (or more).
        times: u32,
    },
    /// The machine cannot run a stage.
    #[error("lane {lane}, stage {stage}: {reason}")]
    Machine {
        /// Where.
        lane: usize,
        /// Where.
        stage: usize,
        /// The rule, with numbers.
        reason: String,
    },
}

impl Schedule {
    /// Checks that it computes every tile of every launch of `problem` exactly once, that dependencies are complete in an
    /// earlier stage of the lane or earlier in the same chain, and that the machine can run its stages.
    ///
    /// # Errors
    /// The first [`ScheduleError`] found.
    pub fn check(&self, problem: &Problem) -> Result<(), ScheduleError> {
        let mut walk = Walk::new(problem);
        for (lane, stages) in self.lanes.iter().enumerate() {
            for (at, stage) in stages.iter().enumerate() {
                walk.stage(lane, at, stage)?;
                machine_rules(problem, stage).map_err(|reason| ScheduleError::Machine { lane, stage: at, reason })?;
            }
        }
        walk.every_tile_once(self)
    }
}

/// Whether the machine can run the stage; the reason where it cannot. Nothing is said about dependencies.
pub(super) fn machine_rules(problem: &Problem, stage: &Stage) -> Result<(), String> {
    let machine = &problem.machine;
    let deep = stage.chains.iter().any(|c| c.pieces.len() > 1);
    if deep
        && machine.single_workers()
        && let Some(piece) = stage.pieces().find(|p| p.workers != 1)
    {
        return Err(format!("{piece} has {} workers beside chains of several pieces, which have one", piece.workers));
    }
    let workers: u64 =
        stage.chains.iter().map(|c| u64::from(c.pieces.iter().map(|p| p.workers).max().unwrap_or(0))).sum();
    if workers > u64::from(machine.workers_max) && machine.single_workers() {
        return Err(format!("its {workers} workers are more than {} of one dispatch", machine.workers_max));
    }
    if let Some(bound) = machine.iterations_max() {
        for (at, chain) in stage.chains.iter().enumerate() {
            let of_piece = |p: &Piece| {
                let tiles = p.n_tiles().div_ceil(p.workers);
                (problem.launch(p.tenant, p.launch).iterations(tiles), tiles)
            };
            let (iterations, tiles) = chain.pieces.iter().map(of_piece).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            // A tile that is longer by itself runs alone.
            if iterations > u64::from(bound) && tiles > 1 {
                return Err(format!("a worker of chain {at} takes {iterations} loop iterations, {bound} are allowed"));
            }
        }
    }
    let kernels_max = machine.kernels_max();
    if stage.pieces().count() > kernels_max {
        let mut kernels: Vec<u32> = stage.pieces().map(|p| problem.launch(p.tenant, p.launch).kernel).collect();
        kernels.sort_unstable();
        kernels.dedup();
        if kernels.len() > kernels_max {
            return Err(format!("it has {} kernels, {kernels_max} are allowed", kernels.len()));
        }
    }
    Ok(())
}

/// What was seen of each launch.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Tiles in the stages before.
    done: u32,
    /// Tiles in the chain numbered so.
    in_chain: u32,
    chain: u32,
    /// Tiles in the stage numbered so.
    in_stage: u32,
    stage: u32,
}

struct Walk<'a> {
    problem: &'a Problem,
    /// The first launch of each tenant in `seen`.
    base: Vec<usize>,
    seen: Vec<Seen>,
    lane_of: Vec<Option<usize>>,
    chain: u32,
    stage: u32,
}

impl<'a> Walk<'a> {
    fn new(problem: &'a Problem) -> Walk<'a> {
        let base = problem
            .models
            .iter()
            .scan(0, |next, model| {
                let first = *next;
                *next += model.launches.len();
                Some(first)
            })
            .collect();
        let seen = vec![Seen::default(); problem.launches()];
        Walk { problem, base, seen, lane_of: vec![None; problem.models.len()], chain: 0, stage: 0 }
    }

    fn stage(&mut self, lane: usize, at: usize, stage: &Stage) -> Result<(), ScheduleError> {
        if stage.chains.is_empty() || stage.chains.iter().any(|c| c.pieces.is_empty()) {
            return Err(ScheduleError::Empty { lane, stage: at });
        }
        self.stage += 1;
        for chain in &stage.chains {
            self.chain += 1;
            for piece in &chain.pieces {
                self.piece(lane, at, piece)?;
            }
        }
        Ok(())
    }

    fn piece(&mut self, lane: usize, stage: usize, piece: &Piece) -> Result<(), ScheduleError> {
        let model = self.problem.models.get(piece.tenant as usize);
        let known = model.and_then(|m| m.launches.get(piece.launch as usize));
        let Some(launch) = known.filter(|l| piece.first < piece.end && piece.end <= l.tiles && piece.workers > 0)
        else {
            return Err(ScheduleError::Unknown { lane, stage, piece: *piece });
        };
        let other = *self.lane_of[piece.tenant as usize].get_or_insert(lane);
        if other != lane {
            return Err(ScheduleError::TwoLanes { lane, stage, piece: *piece, other });
        }
        let base = self.base[piece.tenant as usize];
        for &dep in &launch.deps {
            let seen = self.seen[base + dep as usize];
            let of_stage = if seen.stage == self.stage { seen.in_stage } else { 0 };
            let in_chain = if seen.chain == self.chain { seen.in_chain } else { 0 };
            // `done` counts this stage as well.
            if seen.done - of_stage + in_chain < self.problem.launch(piece.tenant, dep).tiles {
                return Err(ScheduleError::Dependency { lane, stage, piece: *piece, dep });
            }
        }
        let seen = &mut self.seen[base + piece.launch as usize];
        if seen.chain != self.chain {
            (seen.chain, seen.in_chain) = (self.chain, 0);
        }
        if seen.stage != self.stage {
            (seen.stage, seen.in_stage) = (self.stage, 0);
        }
        let n = piece.n_tiles();
        seen.in_chain = seen.in_chain.saturating_add(n);
        seen.in_stage = seen.in_stage.saturating_add(n);
        seen.done = seen.done.saturating_add(n);
        Ok(())
    }

    /// Looks at the tiles of launches that were cut, and counts those of all.
    fn every_tile_once(&self, schedule: &Schedule) -> Result<(), ScheduleError> {
        let mut cut: Vec<Piece> = Vec::new();
        for piece in schedule.pieces() {
            if piece.n_tiles() < self.problem.launch(piece.tenant, piece.launch).tiles {
                cut.push(*piece);
            }
        }
        cut.sort_unstable();
        for pieces in cut.chunk_by(|a, b| (a.tenant, a.launch) == (b.tenant, b.launch)) {
            let mut next = 0;
            for piece in pieces {
                if piece.first != next {
                    let (tile, times) = if piece.first > next { (next, 0) } else { (piece.first, 2) };
                    return Err(ScheduleError::Tiles { tenant: piece.tenant, launch: piece.launch, tile, times });
                }
                next = piece.end;
            }
        }
        for (tenant, model) in (0..).zip(&self.problem.models) {
            for (launch, info) in (0..).zip(&model.launches) {
                let done = self.seen[self.base[tenant as usize] + launch as usize].done;
                if done != info.tiles {
                    let (tile, times) =
                        if done < info.tiles { (done, 0) } else { (0, done.div_ceil(info.tiles.max(1))) };
                    return Err(ScheduleError::Tiles { tenant, launch, tile, times });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interleave::synthetic;

    /// What is wrong with the stages of one lane, for two chains of two launches.
    fn check(stages: &str, expected: &str) {
        let problem = synthetic::chains(&[2, 2]);
        let schedule: Schedule = format!("lane 0\n{stages}").parse().unwrap();
        let found = schedule.check(&problem).map_or_else(|error| error.to_string(), |()| "right".into());
        assert!(found.contains(expected), "{stages}\n{found}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let rest = "1.0[0..8]x1\n1.1[0..8]x1";
        check(&format!("0.0[0..8]x8\n0.1[0..8]x8\n{rest}"), "right");
        check(&format!("0.0[0..8]x1 0.1[0..8]x1\n{rest}"), "right");
        check(&format!("0.0[0..3]x1 | 0.0[3..8]x1\n0.1[0..8]x8\n{rest}"), "right");
        check(&format!("0.0[0..8]x1 | 0.1[0..8]x1\n{rest}"), "stage 0: 0.1[0..8]x1 needs launch 0");
        check(&format!("0.0[0..3]x1 0.1[0..8]x1 | 0.0[3..8]x1\n{rest}"), "stage 0: 0.1[0..8]x1 needs launch 0");
        check(&format!("0.1[0..8]x8\n0.0[0..8]x8\n{rest}"), "stage 0: 0.1[0..8]x8 needs launch 0");
        check(&format!("0.0[0..8]x8\n0.1[0..7]x8\n{rest}"), "launch 1: tile 7 is scheduled 0 times");
        check(&format!("0.0[0..8]x8\n0.1[0..7]x8\n0.1[6..8]x1\n{rest}"), "launch 1: tile 6 is scheduled 2 times");
        check(&format!("0.0[0..8]x8\n0.0[0..8]x8\n0.1[0..8]x8\n{rest}"), "launch 0: tile 0 is scheduled 2 times");
        check(&format!("0.0[0..9]x8\n0.1[0..8]x8\n{rest}"), "stage 0: 0.0[0..9]x8 names no tiles");
        check(&format!("0.0[0..8]x0\n0.1[0..8]x8\n{rest}"), "0.0[0..8]x0 names no tiles");
        check(&format!("0.0[0..8]x1 0.1[0..8]x2\n{rest}"), "0.1[0..8]x2 has 2 workers beside chains");
        check(
            &format!("0.0[0..8]x8\n0.1[0..8]x8\n{rest}\nlane 1\n1.1[0..8]x8"),
            "lane 1, stage 0: 1.1[0..8]x8 is of a tenant",
        );
    }

    #[test]
    fn a_workers_iterations_and_kernels_are_bounded() {
        let mut problem = synthetic::chains(&[3]);
        problem.models[0].launches.iter_mut().for_each(|l| l.tile_iterations = 999);
        let all = Schedule::side_by_side(&problem);
        assert_eq!(all.n_stages(), 2, "8,000 iterations each, 21,844 allowed: {all}");
        let schedule: Schedule = "lane 0\n0.0[0..8]x1 0.1[0..8]x1 0.2[0..8]x1".parse().unwrap();
        let message = schedule.check(&problem).unwrap_err().to_string();
        assert!(message.contains("chain 0 takes 24192 loop iterations, 21844 are allowed"), "{message}");
        problem.machine.chains =
            crate::interleave::ChainForm::CoKernel { iterations_max: None, kernels_max: 2, body_ns: 0.0 };
        let message = schedule.check(&problem).unwrap_err().to_string();
        assert!(message.contains("3 kernels, 2 are allowed"), "{message}");
    }

    /// The same by the definition: sets of tiles that are complete before each piece.
    fn by_definition(problem: &Problem, schedule: &Schedule) -> bool {
        use std::collections::HashSet;
        let mut done: HashSet<(u32, u32, u32)> = HashSet::new();
        for stage in &schedule.lanes[0] {
            let mut now = Vec::new();
            for chain in &stage.chains {
                let mut own = HashSet::new();
                for piece in &chain.pieces {
                    for &dep in &problem.launch(piece.tenant, piece.launch).deps {
                        let mut tiles = 0..problem.launch(piece.tenant, dep).tiles;
                        if tiles
                            .any(|t| !done.contains(&(piece.tenant, dep, t)) && !own.contains(&(piece.tenant, dep, t)))
                        {
                            return false;
                        }
                    }
                    for tile in piece.tiles() {
                        own.insert((piece.tenant, piece.launch, tile));
                        now.push((piece.tenant, piece.launch, tile));
                    }
                }
            }
            if now.into_iter().any(|tile| !done.insert(tile)) {
                return false;
            }
        }
        let tiles: u32 = problem.models.iter().flat_map(|m| &m.launches).map(|l| l.tiles).sum();
        done.len() == tiles as usize
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(
            tenants in 1usize..3, launches in 1usize..5, seed: u64, shuffle in prop::collection::vec((0usize..20, 0usize..20), 0..3)
        ) {
            let mut problem = synthetic::mixed(tenants, launches, seed);
            problem.machine = synthetic::streams();
            let mut schedule =
                if seed.is_multiple_of(2) { Schedule::side_by_side(&problem) } else { Schedule::breadth_first(&problem) };
            // Pieces change places, now and then one is lost.
            for (a, b) in shuffle {
                let n = schedule.pieces().count();
                let mut pieces: Vec<Piece> = schedule.pieces().copied().collect();
                pieces.swap(a % n, b % n);
                let mut pieces = pieces.into_iter();
                let all = schedule.lanes.iter_mut().flatten().flat_map(|s| &mut s.chains).flat_map(|c| &mut c.pieces);
                all.zip(&mut pieces).for_each(|(place, piece)| *place = piece);
                if a == b {
                    schedule.lanes[0].pop();
                    if schedule.lanes[0].is_empty() {
                        break;
                    }
                }
            }
            prop_assert_eq!(schedule.check(&problem).is_ok(), by_definition(&problem, &schedule), "{}", schedule);
        }
    }
}
