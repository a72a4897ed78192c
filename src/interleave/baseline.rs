//! Schedules without a search: what everything else is measured against.

use super::{Chain, Piece, Problem, Schedule, Stage};

impl Schedule {
    /// One tenant after the other, each launch a stage of its own with the whole device.
    pub fn sequential(problem: &Problem) -> Schedule {
        Schedule::of((0..problem.models.len() as u32).flat_map(|tenant| alone(problem, tenant)).collect())
    }

    /// Naive interleaving on one lane: a launch of each tenant in turn, a stage each.
    pub fn breadth_first(problem: &Problem) -> Schedule {
        let longest = problem.models.iter().map(|m| m.launches.len()).max().unwrap_or(0) as u32;
        let turn = |at: u32| {
            let there = move |tenant: &u32| (at as usize) < problem.models[*tenant as usize].launches.len();
            (0..problem.models.len() as u32).filter(there).flat_map(move |tenant| stages_of(problem, tenant, at))
        };
        Schedule::of((0..longest).flat_map(turn).collect())
    }

    /// Depth-first, all at once: each tenant is one chain with all its launches, as far as the machine can run that in one
    /// stage, and the next stages go on from there.
    pub fn side_by_side(problem: &Problem) -> Schedule {
        let mut cursors: Vec<Cursor> =
            (0..problem.models.len() as u32).map(|t| Cursor { tenant: t, launch: 0, tile: 0 }).collect();
        let mut stages = Vec::new();
        loop {
            let mut kernels = Vec::new();
            let chains: Vec<Chain> =
                cursors.iter_mut().map(|c| c.chain(problem, &mut kernels)).filter(|c| !c.pieces.is_empty()).collect();
            if chains.is_empty() {
                return Schedule::of(stages);
            }
            stages.push(Stage { chains });
        }
    }

    /// As [`Schedule::sequential`] with one worker for each launch, in pieces that the device lets one worker do.
    pub fn single_workers(problem: &Problem) -> Schedule {
        let bound = problem.machine.iterations_max().map_or(u64::MAX, u64::from);
        let mut stages = Vec::new();
        for (tenant, model) in (0..).zip(&problem.models) {
            for (launch, info) in (0..).zip(&model.launches) {
                let most = (bound / info.iterations(1)).clamp(1, u64::from(info.tiles.max(1))) as u32;
                let piece =
                    |first: u32| Piece { tenant, launch, first, end: (first + most).min(info.tiles), workers: 1 };
                stages.extend((0..info.tiles).step_by(most as usize).map(|first| Stage::of(piece(first))));
            }
        }
        Schedule::of(stages)
    }

    /// A lane for each tenant, in it each launch a stage of its own.
    pub fn lane_per_tenant(problem: &Problem) -> Schedule {
        Schedule { lanes: (0..problem.models.len() as u32).map(|tenant| alone(problem, tenant)).collect() }
    }
}

/// The stages of a tenant that has the device for itself.
fn alone(problem: &Problem, tenant: u32) -> Vec<Stage> {
    let launches = 0..problem.models[tenant as usize].launches.len() as u32;
    launches.flat_map(|launch| stages_of(problem, tenant, launch)).collect()
}

/// The stages of a launch that has the device for itself.
pub(super) fn stages_of(problem: &Problem, tenant: u32, launch: u32) -> impl Iterator<Item = Stage> + '_ {
    problem.launch(tenant, launch).cuts.iter().map(move |cut| {
        Stage::of(Piece { tenant, launch, first: cut.tiles.start, end: cut.tiles.end, workers: cut.workers })
    })
}

/// How far a tenant is.
struct Cursor {
    tenant: u32,
    launch: u32,
    tile: u32,
}

impl Cursor {
    /// What of the rest fits into one chain; with one worker where the machine wants that, else cut as alone. `kernels` are
    /// those that the stage has already.
    fn chain(&mut self, problem: &Problem, kernels: &mut Vec<u32>) -> Chain {
        let launches = &problem.models[self.tenant as usize].launches;
        let single = problem.machine.single_workers();
        let mut room = problem.machine.iterations_max().map_or(u64::MAX, u64::from);
        let mut pieces = Vec::new();
        while let Some(info) = launches.get(self.launch as usize) {
            if info.tiles == 0 {
                self.launch += 1;
                continue;
            }
            if single && !kernels.contains(&info.kernel) {
                if kernels.len() >= problem.machine.kernels_max() {
                    break;
                }
                kernels.push(info.kernel);
            }
            let (n, workers) = if single {
                let fitting = (room / info.iterations(1)).min(u64::from(info.tiles - self.tile)) as u32;
                // A tile that is longer than a chain may be is a chain by itself.
                (if pieces.is_empty() { fitting.max(1) } else { fitting }, 1)
            } else {
                (info.tiles - self.tile, info.workers())
            };
            if n == 0 {
                break;
            }
            room = room.saturating_sub(info.iterations(n));
            pieces.push(Piece {
                tenant: self.tenant,
                launch: self.launch,
                first: self.tile,
                end: self.tile + n,
                workers,
            });
            self.tile += n;
            if self.tile < info.tiles {
                break;
            }
            (self.launch, self.tile) = (self.launch + 1, 0);
        }
        Chain { pieces }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn the_baselines_of_two_chains_are_these() {
        let problem = synthetic::chains(&[2, 1]);
        let text = |s: Schedule| s.to_string();
        assert_eq!(text(Schedule::sequential(&problem)), "lane 0\n  0.0[0..8]x8\n  0.1[0..8]x8\n  1.0[0..8]x8\n");
        assert_eq!(text(Schedule::breadth_first(&problem)), "lane 0\n  0.0[0..8]x8\n  1.0[0..8]x8\n  0.1[0..8]x8\n");
        assert_eq!(text(Schedule::side_by_side(&problem)), "lane 0\n  0.0[0..8]x1 0.1[0..8]x1 | 1.0[0..8]x1\n");
        assert_eq!(
            text(Schedule::lane_per_tenant(&problem)),
            "lane 0\n  0.0[0..8]x8\n  0.1[0..8]x8\nlane 1\n  1.0[0..8]x8\n"
        );
    }

    proptest! {
        #[test]
        fn every_baseline_is_a_right_schedule(tenants in 1usize..6, launches in 1usize..30, seed: u64, streams: bool) {
            let mut problem = synthetic::mixed(tenants, launches, seed);
            if streams {
                problem.machine = synthetic::streams();
            }
            for schedule in [
                Schedule::sequential(&problem),
                Schedule::breadth_first(&problem),
                Schedule::side_by_side(&problem),
                Schedule::lane_per_tenant(&problem),
            ] {
                prop_assert_eq!(schedule.check(&problem), Ok(()), "{}", schedule);
            }
        }
    }
}
