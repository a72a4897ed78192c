//! Greedy packing, in near-linear time: the default, and what other searches begin with.
//!
//! Stage by stage, the tenants with most work left are put side by side as far as all slots stay busy: where one chain would end
//! much before the others all are cut there, and what is left is dealt out anew. A tenant with more work left than the others
//! can fill the slots beside goes ahead alone where its launches are long enough to be worth the whole device. That is done in
//! a few variants (tenants at once, parts of each, lanes), of which the cost model chooses; the best ones are polished
//! (`polish.rs`), and of the best a bounded number of random changes is tried. That goes by the counted cost, so that the number of
//! variants is all that the search asks its cost model.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::hunt::Hunt;
use super::moves;
use super::pack::{Cursor, Segment, side_by_side};
use super::polish::Polish;
use super::{Budget, Found, Search};
use crate::interleave::baseline::stages_of;
use crate::interleave::cost::{CostError, CostModel, Estimated};
use crate::interleave::{ChainForm, Problem, Schedule, Stage};

/// A chain may end so many dispatches before another one ends, rather than that all are cut there.
const UNEVEN_DISPATCHES: f64 = 3.0;

/// Variants that are polished: the best ones.
const POLISHED: usize = 5;

/// Pieces that are looked at while the best schedule is refined: random changes times pieces of the schedule.
const REFINE_PIECES: usize = 2_000_000;

/// The greedy search. Its seed is always the same.
#[derive(Clone, Debug, Default)]
pub struct Greedy {}

/// A way of packing.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Variant {
    /// Tenants side by side at most.
    tenants: usize,
    /// Parts into which each tenant's work is cut, by time.
    parts: usize,
    /// Lanes over which tenants are spread.
    lanes: usize,
}

impl Search for Greedy {
    fn search(&mut self, problem: &Problem, cost: &mut dyn CostModel, budget: &Budget) -> Result<Found, CostError> {
        let mut hunt = Hunt::begin(problem, cost, budget)?;
        consider_all(&mut hunt)?;
        Ok(hunt.end())
    }
}

/// A schedule after random changes of which those are kept that are better by the counted cost. As the work is bounded whatever the
/// size, it is small mixes that gain: there a piece in the wrong place is a larger part.
fn refined(problem: &Problem, mut schedule: Schedule) -> Schedule {
    let mut rng = StdRng::seed_from_u64(0);
    let mut counted = Estimated::new();
    // Of equal ones the one of fewer stages and pieces.
    let mut cost = |schedule: &Schedule| {
        let ns = counted.schedule(problem, schedule).map_or(f64::INFINITY, |e| e.ns);
        (ns, schedule.n_stages(), schedule.pieces().count())
    };
    let mut least = cost(&schedule);
    for _ in 0..REFINE_PIECES / schedule.pieces().count().max(100) {
        if let Some(changed) = moves::random(problem, &schedule, &mut rng) {
            let changed_cost = cost(&changed);
            if changed_cost <= least {
                (schedule, least) = (changed, changed_cost);
            }
        }
    }
    schedule
}

/// Considers the schedules of all variants, the best ones polished, and the best refined.
pub(super) fn consider_all(hunt: &mut Hunt) -> Result<(), CostError> {
    let problem = hunt.problem;
    let mut best: Vec<(f64, Schedule)> = Vec::with_capacity(POLISHED + 1);
    for schedule in candidates(problem) {
        if !hunt.goes_on() {
            break;
        }
        let ns = hunt.ns(&schedule)?;
        hunt.keep(&schedule, ns);
        best.push((ns, schedule));
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        best.truncate(POLISHED);
    }
    let mut polish = Polish::default();
    for (_, schedule) in best {
        if !hunt.goes_on() {
            break;
        }
        let stages = schedule.lanes.into_iter().map(|lane| polish.lane(problem, lane));
        hunt.consider(Schedule { lanes: stages.collect() })?;
    }
    if hunt.goes_on() {
        hunt.consider(refined(problem, hunt.best().0.clone()))?;
    }
    Ok(())
}

/// The schedules of all variants, made as they are asked for.
fn candidates(problem: &Problem) -> impl Iterator<Item = Schedule> + '_ {
    let plans: Vec<Plan> = (0..problem.models.len() as u32).map(|tenant| Plan::of(problem, tenant)).collect();
    variants(problem).into_iter().map(move |variant| packed(problem, &plans, variant))
}

/// The ways that are tried, the most promising first.
fn variants(problem: &Problem) -> Vec<Variant> {
    let (tenants, machine) = (problem.models.len().max(1), &problem.machine);
    let slots = machine.slots as usize;
    let longest = problem.models.iter().map(|m| m.launches.len()).max().unwrap_or(0);
    let mut at_once = vec![tenants];
    let mut parts = vec![1];
    match machine.chains {
        ChainForm::CoKernel { .. } => {
            at_once.extend((0..).map(|k| slots << k).take_while(|&n| n < tenants).take(4));
            parts.extend([2, 4, 8]);
        }
        ChainForm::Streams { streams, .. } => {
            at_once.extend([2, 4, streams as usize].into_iter().filter(|&n| n < tenants));
            parts.extend([2, 4, 8, 16, 32]);
        }
    }
    parts.retain(|&parts| parts <= longest.max(1));
    let mut lanes = vec![1];
    if machine.lanes > 1 && tenants > 1 {
        lanes.push((machine.lanes as usize).min(slots.max(2)).min(tenants));
    }
    let mut all = Vec::new();
    for &lanes in &lanes {
        for &parts in &parts {
            all.extend(at_once.iter().map(|&tenants| Variant { tenants, parts, lanes }));
        }
    }
    all
}

/// What is known of a tenant before packing.
struct Plan {
    /// Work from each launch on, by one worker (co-kernels) or alone (streams), in ns.
    left_ns: Vec<f64>,
    /// Launches that are best run on the whole device when the tenant has it for itself.
    wide: Vec<bool>,
}

impl Plan {
    fn of(problem: &Problem, tenant: u32) -> Plan {
        let launches = &problem.models[tenant as usize].launches;
        let machine = &problem.machine;
        let single = machine.single_workers();
        let n = launches.len();
        let mut left_ns = vec![0.0; n + 1];
        for (at, launch) in launches.iter().enumerate().rev() {
            left_ns[at] = left_ns[at + 1] + if single { launch.worker_ns } else { launch.alone_ns };
        }
        // The least time from a launch on, where a chain is open and where none is.
        let (mut open, mut closed) = (0.0f64, 0.0f64);
        let mut wide = vec![false; n];
        let mut wide_if_open = vec![false; n];
        for (at, launch) in launches.iter().enumerate().rev() {
            let alone = launch.alone_ns + machine.dispatch_ns * launch.cuts.len().max(1) as f64 + closed;
            let on = launch.worker_ns + machine.gap_ns + open;
            wide[at] = alone < machine.dispatch_ns + on;
            wide_if_open[at] = alone < on;
            closed = alone.min(machine.dispatch_ns + on);
            open = alone.min(on);
        }
        let mut is_open = false;
        for at in 0..n {
            let now = if is_open { wide_if_open[at] } else { wide[at] };
            wide[at] = single && now;
            is_open = !now;
        }
        Plan { left_ns, wide }
    }

    /// The launch before which the tenant's work of now ends: the next wide one.
    fn next_wide(&self, from: u32) -> u32 {
        let rest = &self.wide[from as usize..];
        from + rest.iter().position(|&w| w).unwrap_or(rest.len()) as u32
    }
}

fn packed(problem: &Problem, plans: &[Plan], variant: Variant) -> Schedule {
    let mut order: Vec<u32> = (0..plans.len() as u32).collect();
    order.sort_by(|&a, &b| plans[b as usize].left_ns[0].total_cmp(&plans[a as usize].left_ns[0]));
    let mut lanes: Vec<(f64, Vec<u32>)> = vec![(0.0, Vec::new()); variant.lanes];
    for tenant in order {
        if let Some((ns, tenants)) = lanes.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0)) {
            *ns += plans[tenant as usize].left_ns[0];
            tenants.push(tenant);
        }
    }
    let slots = (problem.machine.slots as usize / variant.lanes).max(1);
    let lane = |(_, tenants): (f64, Vec<u32>)| Packing::new(problem, plans, tenants, slots, variant).stages();
    Schedule { lanes: lanes.into_iter().map(lane).collect() }
}

/// A lane being packed.
struct Packing<'a> {
    problem: &'a Problem,
    plans: &'a [Plan],
    slots: usize,
    variant: Variant,
    /// Tenants with work left, how far they are, and what is left in ns; most first.
    left: Vec<(u32, Cursor, f64)>,
    /// What a part of each tenant's work is, in ns.
    part_ns: Vec<f64>,
    stages: Vec<Stage>,
}

impl<'a> Packing<'a> {
    fn new(problem: &'a Problem, plans: &'a [Plan], tenants: Vec<u32>, slots: usize, variant: Variant) -> Packing<'a> {
        let left = tenants.iter().map(|&t| (t, Cursor::default(), plans[t as usize].left_ns[0])).collect();
        let part_ns = plans.iter().map(|p| p.left_ns[0] / variant.parts as f64).collect();
        Packing { problem, plans, slots, variant, left, part_ns, stages: Vec::new() }
    }

    fn stages(mut self) -> Vec<Stage> {
        loop {
            self.left.retain(|(tenant, cursor, _)| {
                (cursor.launch as usize) < self.problem.models[*tenant as usize].launches.len()
            });
            self.left.sort_by(|a, b| b.2.total_cmp(&a.2));
            let Some(&(tenant, cursor, most_ns)) = self.left.first() else { return self.stages };
            let all_ns: f64 = self.left.iter().map(|l| l.2).sum();
            let dominates = self.problem.machine.single_workers()
                && most_ns > all_ns / self.slots as f64 + self.problem.machine.dispatch_ns;
            if dominates && cursor.tile == 0 && self.plans[tenant as usize].wide[cursor.launch as usize] {
                self.whole_device();
            } else {
                self.together(dominates);
            }
        }
    }

    /// The next launch of the tenant with most work left, alone.
    fn whole_device(&mut self) {
        let (tenant, cursor, _) = self.left[0];
        self.stages.extend(stages_of(self.problem, tenant, cursor.launch));
        self.move_on(0, Cursor { launch: cursor.launch + 1, tile: 0 });
    }

    /// The tenants with most work left side by side, as long as none of their chains ends much before the others. The first goes on
    /// until its next launch that is worth the whole device, if it dominates.
    fn together(&mut self, dominates: bool) {
        let n = self.variant.tenants.min(self.left.len());
        let mut ends = Vec::with_capacity(n);
        for (at, &(tenant, cursor, left_ns)) in self.left[..n].iter().enumerate() {
            let plan = &self.plans[tenant as usize];
            let launches = plan.wide.len() as u32;
            let end = if dominates && at == 0 { plan.next_wide(cursor.launch) } else { launches };
            let end = end.max(cursor.launch + 1);
            ends.push((end, (left_ns - plan.left_ns[end as usize]).min(self.part_ns[tenant as usize])));
        }
        let fractions = self.fractions(&ends);
        let mut segments = Vec::with_capacity(n);
        for (at, ((end, ns), fraction)) in ends.into_iter().zip(fractions).enumerate() {
            let (tenant, mut cursor, _) = self.left[at];
            let mut segment = Segment::default();
            let whole = fraction >= 1.0 && self.variant.parts == 1;
            let room_ns = if whole { f64::INFINITY } else { ns * fraction };
            segment.extend(self.problem, tenant, &mut cursor, end, room_ns);
            self.move_on(at, cursor);
            segments.push(segment);
        }
        side_by_side(self.problem, segments, self.slots, &mut self.stages);
    }

    /// How much of each tenant's work is taken such that chains end together: dealt out as packing does it, with what a
    /// chain has more than the shortest one left for later, if that is worth a stage.
    fn fractions(&self, ends: &[(u32, f64)]) -> Vec<f64> {
        let chains = if self.problem.machine.single_workers() { self.slots.min(ends.len()) } else { ends.len() };
        let mut sums = vec![0.0f64; chains.max(1)];
        let mut order: Vec<usize> = (0..ends.len()).collect();
        order.sort_by(|&a, &b| ends[b].1.total_cmp(&ends[a].1));
        let mut chain_of = vec![0; ends.len()];
        for at in order {
            let shortest = (0..sums.len()).min_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap_or(0);
            sums[shortest] += ends[at].1;
            chain_of[at] = shortest;
        }
        let least = sums.iter().copied().fold(f64::INFINITY, f64::min);
        let most = sums.iter().copied().fold(0.0, f64::max);
        let uneven = most - least > UNEVEN_DISPATCHES * self.problem.machine.dispatch_ns;
        let alone = self.left.len() == 1;
        chain_of.into_iter().map(|c| if uneven && !alone { (least / sums[c]).min(1.0) } else { 1.0 }).collect()
    }

    fn move_on(&mut self, at: usize, cursor: Cursor) {
        let (tenant, place, left_ns) = &mut self.left[at];
        let plan = &self.plans[*tenant as usize];
        *place = cursor;
        let launches = &self.problem.models[*tenant as usize].launches;
        let begun = launches.get(cursor.launch as usize).map_or(0.0, |l| l.tiles_ns(cursor.tile));
        *left_ns = plan.left_ns[(cursor.launch as usize).min(plan.wide.len())] - begun;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::never_worse_than_the_baselines;
    use super::*;
    use crate::interleave::synthetic;

    fn greedy_ns(problem: &Problem) -> f64 {
        super::super::tests::search(&mut Greedy::default(), problem, 1_000).ns
    }

    #[test]
    fn eight_short_tenants_become_few_dispatches() {
        let problem = synthetic::chains(&[20; 8]);
        let found = super::super::tests::search(&mut Greedy::default(), &problem, 1_000);
        assert!(found.schedule.n_stages() <= 4, "{}", found.schedule);
        let sequential = Estimated::new().schedule(&problem, &Schedule::sequential(&problem)).unwrap().ns;
        assert!(found.ns < sequential / 5.0, "{} {sequential}", found.ns);
    }

    #[test]
    fn a_launch_that_fills_the_device_has_it_alone() {
        let mut problem = synthetic::chains(&[3]);
        for launch in &mut problem.models[0].launches {
            (launch.worker_ns, launch.alone_ns) = (8e6, 4e6);
        }
        let found = super::super::tests::search(&mut Greedy::default(), &problem, 1_000);
        assert_eq!(found.schedule, Schedule::sequential(&problem), "sequential is the best there");
    }

    #[test]
    fn unequal_tenants_are_balanced() {
        let mut problem = synthetic::chains(&[30, 20, 10]);
        problem.models.iter_mut().flat_map(|m| &mut m.launches).for_each(|l| l.worker_ns = 80_000.0);
        problem.models.iter_mut().flat_map(|m| &mut m.launches).for_each(|l| l.alone_ns = 40_000.0);
        let bound = problem.bound_ns();
        assert!(greedy_ns(&problem) < 1.25 * bound, "{} {bound}", greedy_ns(&problem));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn it_is_right_and_never_worse(tenants in 1usize..9, launches in 1usize..40, seed: u64, streams: bool) {
            never_worse_than_the_baselines(&mut Greedy::default(), tenants, launches, seed, streams);
        }
    }
}
