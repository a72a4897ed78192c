//! IOS (Ding et al., MLSys'21): dynamic programming over endings of the union graph.
//!
//! `cost[S] = min over endings E of S of cost[S − E] + T(E)`: an ending is a set of launches of which nothing else in `S` needs
//! any, it is the last stage, and its weakly connected groups are its chains. Pruned as published: a group has at most
//! `r` launches, an ending at most `s` groups. Sets are bits of a word, and a set's answer is kept.
//!
//! The union graph of several models is cut into blocks, each a stretch of every model, as long as the set has room and the number
//! of sets stays small; blocks are solved one after another. Both strategies are tried of each ending: groups side by
//! side, and all in one chain. Merging operators, IOS's other strategy, is a rewrite of graphs and done before there are
//! launches.

use std::collections::HashMap;

use super::hunt::Hunt;
use super::{Budget, Found, Search};
use crate::interleave::check::machine_rules;
use crate::interleave::cost::{CostError, CostModel};
use crate::interleave::{Chain, Piece, Problem, Schedule, Stage};

/// Launches of a block at most: bits of a set.
const BLOCK_MAX: usize = 64;

/// IOS with its pruning.
#[derive(Clone, Debug)]
pub struct Ios {
    /// Launches of a group at most; 3 as published.
    pub group_max: usize,
    /// Groups of an ending at most; 8 as published.
    pub groups_max: usize,
    /// Sets of a block at most, by an estimate; blocks are made smaller until they have fewer.
    pub sets_max: f64,
}

impl Default for Ios {
    fn default() -> Ios {
        Ios { group_max: 3, groups_max: 8, sets_max: 600.0 }
    }
}

impl Search for Ios {
    fn search(&mut self, problem: &Problem, cost: &mut dyn CostModel, budget: &Budget) -> Result<Found, CostError> {
        let mut hunt = Hunt::begin(problem, cost, budget)?;
        let mut stages = Vec::new();
        for nodes in self.blocks(problem) {
            stages.extend(Block::new(self, problem, nodes).solve(&mut hunt)?);
        }
        hunt.consider(Schedule::of(stages))?;
        Ok(hunt.end())
    }
}

impl Ios {
    /// Stretches of all models that go together. A model's launches are spread over as many blocks as the longest model has.
    fn blocks(&self, problem: &Problem) -> Vec<Vec<(u32, u32)>> {
        let lengths: Vec<usize> = problem.models.iter().map(|m| m.launches.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let fits = |blocks: usize| {
            let per_block = lengths.iter().map(|n| n.div_ceil(blocks));
            // A chain of n launches has n + 1 sets of done ones; branches have more.
            let sets: f64 = per_block.clone().map(|n| (n + 1) as f64).product();
            per_block.sum::<usize>() <= BLOCK_MAX && sets <= self.sets_max
        };
        let blocks = (1..=longest).find(|&blocks| fits(blocks));
        // Many tenants are too many with a launch each; then they take turns.
        let at_once =
            if blocks.is_some() { BLOCK_MAX } else { (self.sets_max.max(2.0).log2() as usize).min(BLOCK_MAX) };
        let blocks = blocks.unwrap_or(longest);
        let block = |b: usize| {
            let of_model = |(tenant, n): (u32, &usize)| {
                (n * b / blocks..n * (b + 1) / blocks).map(move |launch| (tenant, launch as u32))
            };
            (0..).zip(&lengths).flat_map(of_model).collect::<Vec<_>>()
        };
        let turns = |nodes: Vec<(u32, u32)>| nodes.chunks(at_once).map(<[_]>::to_vec).collect::<Vec<_>>();
        (0..blocks).map(block).flat_map(turns).collect()
    }
}

/// A block and what is known of its sets.
struct Block<'a> {
    ios: &'a Ios,
    problem: &'a Problem,
    nodes: Vec<(u32, u32)>,
    /// Nodes that each needs, within the block.
    needs: Vec<u64>,
    /// Nodes that need each.
    needed_by: Vec<u64>,
    /// The least cost of each set, and its last stage.
    known: HashMap<u64, (f64, u64, Stage)>,
    /// What each ending takes as a stage.
    endings: HashMap<u64, (f64, Stage)>,
}

impl<'a> Block<'a> {
    fn new(ios: &'a Ios, problem: &'a Problem, nodes: Vec<(u32, u32)>) -> Block<'a> {
        let place: HashMap<(u32, u32), usize> = nodes.iter().enumerate().map(|(at, n)| (*n, at)).collect();
        let mut needs = vec![0u64; nodes.len()];
        let mut needed_by = vec![0u64; nodes.len()];
        for (at, &(tenant, launch)) in nodes.iter().enumerate() {
            for dep in problem.launch(tenant, launch).deps.iter().filter_map(|&d| place.get(&(tenant, d))) {
                needs[at] |= 1 << dep;
                needed_by[*dep] |= 1 << at;
            }
        }
        Block { ios, problem, nodes, needs, needed_by, known: HashMap::new(), endings: HashMap::new() }
    }

    /// The stages of the whole block.
    fn solve(mut self, hunt: &mut Hunt) -> Result<Vec<Stage>, CostError> {
        let all = if self.nodes.len() == BLOCK_MAX { u64::MAX } else { (1 << self.nodes.len()) - 1 };
        self.cost(all, hunt)?;
        let mut stages = Vec::new();
        let mut set = all;
        while set != 0 {
            let (_, ending, stage) = self.known.remove(&set).expect("every set on the way was solved");
            stages.push(stage);
            set &= !ending;
        }
        stages.reverse();
        // Launches whose tiles one dispatch cannot hold are several stages.
        Ok(stages.into_iter().flat_map(|s| self.runnable(s)).collect())
    }

    /// The least cost of a set in ns. Without budget only the first ending is looked at, so that there is an answer.
    fn cost(&mut self, set: u64, hunt: &mut Hunt) -> Result<f64, CostError> {
        if set == 0 {
            return Ok(0.0);
        }
        if let Some((ns, ..)) = self.known.get(&set) {
            return Ok(*ns);
        }
        let mut best: Option<(f64, u64, Stage)> = None;
        for ending in self.endings_of(set) {
            if best.is_some() && !hunt.goes_on() {
                break;
            }
            let (stage_ns, stage) = self.ending(ending, hunt)?;
            if best.as_ref().is_some_and(|(ns, ..)| stage_ns >= *ns) {
                continue;
            }
            let ns = stage_ns + self.cost(set & !ending, hunt)?;
            if best.as_ref().is_none_or(|(least, ..)| ns < *least) {
                best = Some((ns, ending, stage));
            }
        }
        let best = best.expect("a set has an ending: its last launch");
        let ns = best.0;
        self.known.insert(set, best);
        Ok(ns)
    }

    /// Endings of a set within the pruning; the larger ones first.
    fn endings_of(&self, set: u64) -> Vec<u64> {
        let mut found = Vec::new();
        self.grow(set, 0, set, &mut found);
        found.sort_by_key(|e| (std::cmp::Reverse(e.count_ones()), std::cmp::Reverse(*e)));
        found
    }

    /// Adds to `ending` what may still be added, `from` being the nodes not decided yet, the last first.
    fn grow(&self, set: u64, ending: u64, from: u64, found: &mut Vec<u64>) {
        if from == 0 {
            if ending != 0 {
                found.push(ending);
            }
            return;
        }
        let node = 63 - from.leading_zeros() as usize;
        let rest = from & !(1 << node);
        // With it: all that needs it in the set is in the ending already, as later nodes were decided before.
        let with = ending | 1 << node;
        if self.needed_by[node] & set & !ending == 0 && self.is_within(with) {
            self.grow(set, with, rest, found);
        }
        self.grow(set, ending, self.without(rest, node), found);
    }

    /// What is left to decide when `node` stays: nothing that it needs can be in the ending.
    fn without(&self, from: u64, node: usize) -> u64 {
        let mut left = from;
        let mut stay = self.needs[node];
        while stay != 0 {
            let at = 63 - stay.leading_zeros() as usize;
            stay &= !(1 << at);
            if left >> at & 1 == 1 {
                left &= !(1 << at);
                stay |= self.needs[at];
            }
        }
        left
    }

    fn is_within(&self, ending: u64) -> bool {
        let groups = self.groups(ending);
        groups.len() <= self.ios.groups_max && groups.iter().all(|g| g.count_ones() as usize <= self.ios.group_max)
    }

    /// The weakly connected parts of a set.
    fn groups(&self, set: u64) -> Vec<u64> {
        let mut left = set;
        let mut groups = Vec::new();
        while left != 0 {
            let mut group = left & left.wrapping_neg();
            loop {
                let mut grown = group;
                let mut members = group;
                while members != 0 {
                    let at = members.trailing_zeros() as usize;
                    members &= members - 1;
                    grown |= (self.needs[at] | self.needed_by[at]) & left;
                }
                if grown == group {
                    break;
                }
                group = grown;
            }
            groups.push(group);
            left &= !group;
        }
        groups
    }

    /// The better strategy of an ending as a stage, and its cost in ns.
    fn ending(&mut self, ending: u64, hunt: &mut Hunt) -> Result<(f64, Stage), CostError> {
        if let Some(known) = self.endings.get(&ending) {
            return Ok(known.clone());
        }
        let groups = self.groups(ending);
        let mut best: Option<(f64, Stage)> = None;
        for stage in self.strategies(&groups) {
            // What the machine cannot run at once is costed stage by stage.
            let mut ns = 0.0;
            for part in self.runnable(stage.clone()) {
                ns += hunt.stage_ns(&part)?;
            }
            if best.as_ref().is_none_or(|(least, _)| ns < *least) {
                best = Some((ns, stage));
            }
        }
        let best = best.expect("there is always a strategy");
        self.endings.insert(ending, best.clone());
        Ok(best)
    }

    /// Groups as chains side by side, with few workers and, where no chain has several launches, with all of them; and all in
    /// one chain.
    fn strategies(&self, groups: &[u64]) -> Vec<Stage> {
        let single = self.problem.machine.single_workers();
        let short = groups.iter().all(|g| g.count_ones() == 1);
        let chain = |set: u64, whole_device: bool| Chain { pieces: self.pieces(set, whole_device) };
        let mut stages = Vec::new();
        if !single || short {
            stages.push(Stage { chains: groups.iter().map(|g| chain(*g, true)).collect() });
        }
        if single {
            stages.push(Stage { chains: groups.iter().map(|g| chain(*g, false)).collect() });
        }
        if groups.len() > 1 {
            let all = groups.iter().fold(0, |a, b| a | b);
            stages.push(Stage { chains: vec![chain(all, !single)] });
        }
        stages
    }

    fn pieces(&self, set: u64, whole_device: bool) -> Vec<Piece> {
        let mut left = set;
        let mut pieces = Vec::new();
        while left != 0 {
            let (tenant, launch) = self.nodes[left.trailing_zeros() as usize];
            left &= left - 1;
            let info = self.problem.launch(tenant, launch);
            if whole_device {
                let piece = |c: &crate::hal::Cut| Piece {
                    tenant,
                    launch,
                    first: c.tiles.start,
                    end: c.tiles.end,
                    workers: c.workers,
                };
                pieces.extend(info.cuts.iter().map(piece));
            } else if info.tiles > 0 {
                pieces.push(Piece::whole(self.problem, tenant, launch, 1));
            }
        }
        pieces
    }

    /// The stage as the machine can run it: itself, or else each launch as it runs alone.
    fn runnable(&self, stage: Stage) -> Vec<Stage> {
        if stage.chains.iter().all(|c| !c.pieces.is_empty()) && machine_rules(self.problem, &stage).is_ok() {
            return vec![stage];
        }
        let mut launches: Vec<(u32, u32)> = stage.pieces().map(|p| (p.tenant, p.launch)).collect();
        launches.sort_unstable();
        launches.dedup();
        launches.into_iter().flat_map(|(t, l)| crate::interleave::baseline::stages_of(self.problem, t, l)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{never_worse_than_the_baselines, search};
    use super::*;
    use crate::interleave::cost::Estimated;
    use crate::interleave::synthetic;

    /// The least cost over all ways to cut chains into stages of at most three launches of each, side by side.
    fn exhaustive(problem: &Problem, at: &[u32]) -> f64 {
        let lengths: Vec<u32> = problem.models.iter().map(|m| m.launches.len() as u32).collect();
        if at == lengths {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for take in 1..4usize.pow(at.len() as u32) {
            let steps: Vec<u32> = (0..at.len()).map(|t| (take / 4usize.pow(t as u32) % 4) as u32).collect();
            let next: Vec<u32> = at.iter().zip(&steps).map(|(a, s)| a + s).collect();
            if next.iter().zip(&lengths).any(|(n, l)| n > l) {
                continue;
            }
            let whole = steps.iter().all(|&s| s <= 1);
            let chain = |t: usize, workers: u32| Chain {
                pieces: (at[t]..next[t]).map(|l| Piece::whole(problem, t as u32, l, workers)).collect(),
            };
            let stage = |workers| {
                let chains = (0..at.len()).filter(|&t| steps[t] > 0).map(|t| chain(t, workers)).collect();
                Stage { chains }
            };
            let one = Stage { chains: vec![Chain { pieces: stage(1).pieces().copied().collect() }] };
            let mut cost = Estimated::new();
            let mut ns = cost.stage_ns(problem, &stage(1)).min(cost.stage_ns(problem, &one));
            if whole {
                ns = ns.min(cost.stage_ns(problem, &stage(8)));
            }
            best = best.min(ns + exhaustive(problem, &next));
        }
        best
    }

    #[test]
    fn of_chains_it_finds_the_best_within_its_pruning() {
        for lengths in [&[5][..], &[4, 3], &[2, 2, 3]] {
            let mut problem = synthetic::chains(lengths);
            problem.machine.dispatch_ns = 3_000.0;
            let mut cost = Estimated::new();
            let clock = super::super::tests::still();
            let budget = Budget::evaluations(u64::MAX, clock);
            let mut hunt = Hunt::begin(&problem, &mut cost, &budget).unwrap();
            let nodes = Ios::default().blocks(&problem).concat();
            let stages = Block::new(&Ios::default(), &problem, nodes).solve(&mut hunt).unwrap();
            let ns: f64 = stages.iter().map(|s| Estimated::new().stage_ns(&problem, s)).sum();
            let best = exhaustive(&problem, &vec![0; lengths.len()]);
            assert!((ns - best).abs() < 1e-6 * best, "{lengths:?}: {ns} {best}");
        }
    }

    #[test]
    fn branches_of_one_model_run_side_by_side() {
        let mut problem = synthetic::chains(&[6]);
        problem.machine = synthetic::streams();
        // One, four that need it, one that needs the four.
        for (launch, deps) in [vec![], vec![0], vec![0], vec![0], vec![0], vec![1, 2, 3, 4]].into_iter().enumerate() {
            let info = &mut problem.models[0].launches[launch];
            (info.deps, info.alone_ns, info.worker_ns) = (deps, 100_000.0, 800_000.0);
        }
        let found = search(&mut Ios::default(), &problem, 10_000);
        let widest = found.schedule.lanes[0].iter().map(|s| s.chains.len()).max();
        assert_eq!(widest, Some(4), "{}", found.schedule);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn it_is_right_and_never_worse(tenants in 1usize..13, launches in 1usize..12, seed: u64, streams: bool) {
            never_worse_than_the_baselines(&mut Ios::default(), tenants, launches, seed, streams);
        }
    }
}
