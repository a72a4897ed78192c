//! The SMs of a GPU or of a part of it, with the blocks that reside on them.
//!
//! SMs that hold the same blocks are a [`Cohort`], and blocks of one kernel that got their places on a cohort at the same
//! moment are a [`Train`]: they run at one rate and end together. So a kernel of a million blocks is a train or a few. Where
//! a kernel fills all the room there is and nobody more urgent waits, its train is given many waves at once; it gives them
//! back when somebody more urgent comes. What becomes of cohorts when there are many of them stands in `blend.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::agenda::What;
use super::clock::Ps;
use super::exec::Shared;
use super::job::Key;
use super::occupancy::{Need, Room, SmLimits};
use super::slab::Slab;
use super::sm_set::SmSet;
use super::train::Train;

/// SMs in the same state, or in states that are not told apart.
#[derive(Clone, Debug)]
pub(super) struct Cohort {
    pub(super) sms: SmSet,
    pub(super) n: u32,
    /// What is free on all of them together.
    pub(super) free: Room,
    /// Every SM holds the same.
    pub(super) uniform: bool,
    pub(super) trains: Vec<u32>,
    /// Its trains' rates are to be found anew.
    pub(super) dirty: bool,
}

/// Kernels that may use the same SMs, in the order in which they get them.
#[derive(Clone, Debug)]
pub(super) struct PoolView {
    /// The SMs.
    pub(super) sms: SmSet,
    /// SMs at the same time at most: a percentage of MPS.
    pub(super) cap: u32,
    /// The ready ones. Entries whose key is not their job's any more are outdated.
    pub(super) ready: BinaryHeap<Reverse<(Key, u32)>>,
    /// Its head found no room in this round.
    pub(super) stuck: bool,
}

impl PoolView {
    /// Without ready kernels.
    fn new(sms: SmSet, cap: u32) -> PoolView {
        PoolView { sms, cap, ready: BinaryHeap::new(), stuck: false }
    }
}

/// How the SMs of views are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    /// Not at all.
    None,
    /// Some have a number of SMs, any ones.
    Number,
    /// Some have certain SMs.
    Certain,
}

/// What a pool has of the memory system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MemoryPart {
    /// Bytes per picosecond.
    pub(super) bandwidth: f64,
    /// Bytes per picosecond of one SM at most.
    pub(super) sm_bandwidth: f64,
    pub(super) l2_bytes: u64,
    /// The part of the device's memory slices.
    pub(super) fraction: f64,
}

/// See the module's comment.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// All its SMs.
    pub(super) sms: SmSet,
    pub(super) memory: MemoryPart,
    /// An empty SM.
    pub(super) empty: Room,
    /// Trains that are told apart at most: see `blend.rs`.
    pub(super) groups_max: usize,
    /// Some view has not all SMs, or not certain ones: see [`Pool::add_view`].
    bound: Bound,
    /// The first is of the idle SMs and may be empty of SMs.
    pub(super) cohorts: Vec<Cohort>,
    pub(super) views: Vec<PoolView>,
    /// Trains of several waves, from which those that have not begun may be taken back.
    pub(super) bulk: Vec<u32>,
    /// Whose SMs they are.
    pub(super) instance: u32,
    /// It is its turn; false while another context has the SMs.
    pub(super) running: bool,
    /// It waits for its turn.
    pub(super) waits: bool,
    /// Length of its turns.
    pub(super) turn: Ps,
    pub(super) dirty: bool,
    /// Kernels with blocks on it.
    pub(super) grids: u32,
    /// Kernels that are ready or run.
    pub(super) jobs: u32,
    /// Bytes that those with blocks would hold in L2.
    pub(super) working_set: u64,
    /// The part of it that L2 holds.
    pub(super) held: f64,
    /// Bytes per second that all trains together could use.
    pub(super) demand: u64,
    /// They want more than there is.
    pub(super) contended: bool,
    /// SM·ps with a block, up to `accounted`.
    busy: u128,
    accounted: Ps,
    pub(super) spare: Vec<Vec<u32>>,
}

impl Pool {
    pub(super) fn new(sms: SmSet, limits: &SmLimits, memory: MemoryPart, groups_max: usize, now: Ps) -> Pool {
        let (n, empty) = (sms.count(), limits.room());
        let idle = Cohort { sms, n, free: empty.times(n), uniform: true, trains: Vec::new(), dirty: false };
        Pool {
            sms,
            memory,
            empty,
            groups_max,
            bound: Bound::None,
            cohorts: vec![idle],
            views: vec![PoolView::new(sms, u32::MAX)],
            bulk: Vec::new(),
            instance: 0,
            running: true,
            waits: false,
            turn: Ps::MAX,
            dirty: false,
            grids: 0,
            jobs: 0,
            working_set: 0,
            held: 1.0,
            demand: 0,
            contended: false,
            busy: 0,
            accounted: now,
            spare: Vec::new(),
        }
    }

    /// The number of the view of these SMs, at most `cap` of them at once; those without bounds share the first.
    pub(super) fn add_view(&mut self, sms: SmSet, cap: u32) -> u32 {
        if cap == u32::MAX && sms == self.sms {
            return 0;
        }
        self.bound = self.bound.max(if sms == self.sms { Bound::Number } else { Bound::Certain });
        self.views.push(PoolView::new(sms, cap));
        (self.views.len() - 1) as u32
    }

    /// How the SMs of its views are bounded.
    pub(super) fn bound(&self) -> Bound {
        self.bound
    }

    /// Adds the time since the last call to the busy time.
    pub(super) fn account(&mut self, now: Ps) {
        self.busy = self.busy(now);
        self.accounted = now;
    }

    /// SM·ps with a block up to `now`. SMs that are not told apart count as busy together.
    pub(super) fn busy(&self, now: Ps) -> u128 {
        let busy = if self.running { self.sms.count() - self.cohorts[0].n } else { 0 };
        self.busy + u128::from(busy) * u128::from(now - self.accounted)
    }

    /// Makes `n` of a uniform cohort's SMs, `part`, a cohort of their own, with the trains on them, and returns its index. Indices
    /// of other cohorts stay.
    pub(super) fn carve(&mut self, at: u32, (part, n): (SmSet, u32), shared: &mut Shared) -> u32 {
        let Shared { trains, jobs, agenda, .. } = shared;
        let new = self.cohorts.len() as u32;
        let from = &mut self.cohorts[at as usize];
        if at > 0 && n == from.n {
            return at;
        }
        debug_assert!(from.uniform, "what is on which SM is known");
        let all = from.n;
        let free = from.free.part(n, all);
        from.free = from.free.part(all - n, all);
        from.sms = from.sms.minus(part);
        from.n -= n;
        from.dirty |= at > 0;
        let list = self.spare.pop().unwrap_or_default();
        let mut cohort = Cohort { sms: part, n, free, uniform: true, trains: list, dirty: true };
        for &old in &self.cohorts[at as usize].trains {
            let rest = &mut trains[old];
            let mut train = Train { cohort: new, demand: 0, ..rest.clone() };
            train.blocks = (u64::from(train.blocks) * u64::from(n) / u64::from(all)) as u32;
            rest.blocks -= train.blocks;
            for (one, sms) in [(&mut train, n), (&mut *rest, all - n)] {
                one.slots = one.slots / all * sms;
                one.sms = sms;
                // What moved until now is counted when rates are found.
                one.moving *= f64::from(sms) / f64::from(all);
            }
            let end = agenda.time(What::Train(old));
            let copy = trains.insert(train);
            if let Some(end) = end {
                agenda.set(What::Train(copy), end);
            }
            if trains[copy].bulk {
                self.bulk.push(copy);
                jobs[trains[copy].job].bulk += 1;
            }
            cohort.trains.push(copy);
        }
        self.cohorts.push(cohort);
        new
    }

    /// Puts a new train on a cohort. Its rate is found when the pool settles.
    pub(super) fn board(&mut self, at: u32, mut train: Train, need: &Need, trains: &mut Slab<Train>) -> u32 {
        let cohort = &mut self.cohorts[at as usize];
        cohort.free.take(need, train.slots);
        cohort.dirty = true;
        train.cohort = at;
        let number = trains.insert(train);
        cohort.trains.push(number);
        number
    }

    /// Takes a train off its cohort; SMs without blocks become idle again.
    pub(super) fn leave(&mut self, at: u32, shared: &mut Shared) {
        let train = &shared.trains[at];
        let index = train.cohort as usize;
        self.cohorts[index].free.give(&shared.jobs[train.job].shape.need, train.slots);
        self.strike(at, shared);
        if self.cohorts[index].trains.is_empty() {
            let gone = self.remove(index, &mut shared.trains);
            self.idle(gone.sms, gone.n);
            self.spare.push(gone.trains);
        } else {
            self.tell_apart(index, &shared.trains);
        }
    }

    /// All but `slots` of a train's blocks end and are not followed by others. Where its SMs then differ, it becomes two:
    /// those that go on, with their blocks.
    pub(super) fn shrink(&mut self, at: u32, slots: u32, shared: &mut Shared) -> [Option<(u32, u32)>; 2] {
        let index = shared.trains[at].cohort as usize;
        let cohort = &self.cohorts[index];
        let (n, more) = (cohort.n, slots % cohort.n);
        if !cohort.uniform || more == 0 {
            self.resize(at, slots, shared);
            self.tell_apart(index, &shared.trains);
            return [Some((at, slots)), None];
        }
        let place = cohort.trains.iter().position(|&t| t == at).expect("it is on its cohort");
        let part = cohort.sms.lowest(more);
        let new = self.carve(index as u32, (part, more), shared);
        let other = self.cohorts[new as usize].trains[place];
        let (less, more) = (slots / n * (n - more), (slots / n + 1) * more);
        self.resize(other, more, shared);
        if less == 0 {
            self.leave(at, shared);
            return [Some((other, more)), None];
        }
        self.resize(at, less, shared);
        [Some((other, more)), Some((at, less))]
    }

    /// Gives a train another number of blocks at the same time, on the SMs that it has.
    fn resize(&mut self, at: u32, slots: u32, shared: &mut Shared) {
        let train = &mut shared.trains[at];
        let cohort = &mut self.cohorts[train.cohort as usize];
        cohort.free.give(&shared.jobs[train.job].shape.need, train.slots - slots);
        cohort.dirty = true;
        train.slots = slots;
        train.sms = train.sms.min(slots);
    }

    /// Takes a train off all lists; the room that it had is not given back.
    pub(super) fn strike(&mut self, at: u32, shared: &mut Shared) {
        self.unbulk(at, shared);
        let train = &shared.trains[at];
        let cohort = &mut self.cohorts[train.cohort as usize];
        cohort.dirty = true;
        cohort.trains.retain(|&t| t != at);
        self.demand -= train.demand;
        shared.trains.free(at);
    }

    /// A train has waves that may be taken back.
    pub(super) fn add_bulk(&mut self, at: u32, shared: &mut Shared) {
        let train = &mut shared.trains[at];
        if !std::mem::replace(&mut train.bulk, true) {
            shared.jobs[train.job].bulk += 1;
            self.bulk.push(at);
        }
    }

    /// It has none any more.
    pub(super) fn unbulk(&mut self, at: u32, shared: &mut Shared) {
        let train = &mut shared.trains[at];
        if std::mem::take(&mut train.bulk) {
            shared.jobs[train.job].bulk -= 1;
            self.bulk.retain(|&t| t != at);
        }
    }

    /// SMs that hold nothing any more.
    pub(super) fn idle(&mut self, sms: SmSet, n: u32) {
        let idle = &mut self.cohorts[0];
        idle.sms = idle.sms.or(sms);
        idle.n += n;
        idle.free = self.empty.times(idle.n);
    }

    /// Takes a cohort out; the last one gets its index.
    pub(super) fn remove(&mut self, index: usize, trains: &mut Slab<Train>) -> Cohort {
        let gone = self.cohorts.swap_remove(index);
        if let Some(moved) = self.cohorts.get(index) {
            moved.trains.iter().for_each(|&t| trains[t].cohort = index as u32);
        }
        gone
    }

    /// Everything that runs.
    pub(super) fn trains(&self) -> impl Iterator<Item = u32> {
        self.cohorts.iter().flat_map(|c| c.trains.iter().copied())
    }
}
