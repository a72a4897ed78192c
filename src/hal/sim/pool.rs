//! The SMs of a GPU or of a part of it, with the blocks that reside on them.
//!
//! SMs that hold the same blocks are a [`Cohort`], and blocks of one kernel that got their places on a cohort at the same
//! moment are a [`Train`]: they run at one rate and end together. So a kernel of a million blocks is a train or a few,
//! and there are never more cohorts than SMs. Where a kernel fills all the room there is and nobody more urgent waits, its
//! train is given many waves at once; it gives them back when somebody more urgent comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::agenda::{Agenda, What};
use super::clock::Ps;
use super::job::{Job, Key};
use super::occupancy::{Room, SmLimits};
use super::slab::Slab;
use super::sm_set::SmSet;

/// SMs in the same state.
#[derive(Clone, Debug)]
pub(super) struct Cohort {
    pub(super) sms: SmSet,
    /// What is free on each.
    pub(super) free: Room,
    pub(super) trains: Vec<u32>,
    /// Its trains' rates are to be found anew.
    pub(super) dirty: bool,
}

/// Blocks that began together.
#[derive(Clone, Debug)]
pub(super) struct Train {
    pub(super) job: u32,
    pub(super) pool: u32,
    pub(super) cohort: u32,
    /// Blocks on each SM.
    pub(super) per_sm: u32,
    /// SMs of the cohort.
    pub(super) sms: u32,
    /// Waves of blocks that it was given.
    pub(super) waves: u32,
    /// Waves to go at `since`.
    pub(super) left: f64,
    pub(super) since: Ps,
    /// Picoseconds of a wave at the present rates; infinite while it stands still.
    pub(super) wave_ps: f64,
    /// Picoseconds of a wave as far as the SM decides.
    pub(super) sm_wave_ps: f64,
    /// DRAM bytes of a wave.
    pub(super) bytes: f64,
    /// DRAM bytes of a wave at the rate at which it runs now; `bytes` may be newer.
    pub(super) moving: f64,
    /// Bytes per picosecond that it could use.
    pub(super) want: f64,
    /// Bytes per picosecond that it gets.
    pub(super) grant: f64,
    /// `want` in bytes per second, as it was added to [`Pool::demand`].
    pub(super) demand: u64,
}

impl Train {
    /// Blocks of a wave.
    pub(super) fn slots(&self) -> u32 {
        self.per_sm * self.sms
    }

    /// Goes on to `now` at the present rate and returns the waves done since the last time.
    pub(super) fn advance(&mut self, now: Ps) -> f64 {
        let done = if self.wave_ps.is_finite() { (now - self.since) as f64 / self.wave_ps } else { 0.0 };
        let done = done.min(self.left);
        self.left -= done;
        self.since = now;
        done
    }

    /// When it ends at the present rate; `None` while it stands still.
    pub(super) fn end(&self) -> Option<Ps> {
        let ps = self.left * self.wave_ps;
        ps.is_finite().then(|| self.since + if self.left > 0.0 { (ps.round() as Ps).max(1) } else { 0 })
    }
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
    pub(super) limits: SmLimits,
    pub(super) memory: MemoryPart,
    /// The first is of the idle SMs and may be empty of SMs.
    pub(super) cohorts: Vec<Cohort>,
    pub(super) views: Vec<PoolView>,
    /// Trains of several waves that may be shortened.
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
    /// Bytes that these would hold in L2.
    pub(super) working_set: u64,
    /// The part of it that L2 holds.
    pub(super) held: f64,
    /// Bytes per second that all trains together could use.
    pub(super) demand: u64,
    /// They want more than there is.
    pub(super) contended: bool,
    /// SM·ps with a block, up to `accounted`.
    pub(super) busy: u128,
    pub(super) accounted: Ps,
    spare: Vec<Vec<u32>>,
}

impl Pool {
    pub(super) fn new(sms: SmSet, limits: SmLimits, memory: MemoryPart, now: Ps) -> Pool {
        let idle = Cohort { sms, free: limits.room(), trains: Vec::new(), dirty: false };
        Pool {
            sms,
            limits,
            memory,
            cohorts: vec![idle],
            views: Vec::new(),
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

    /// Adds the time since the last call to the busy time.
    pub(super) fn account(&mut self, now: Ps) {
        if self.running {
            let busy = self.sms.count() - self.cohorts[0].sms.count();
            self.busy += u128::from(busy) * u128::from(now - self.accounted);
        }
        self.accounted = now;
    }

    /// Makes `part` of a cohort's SMs a cohort of its own, with the trains on them, and returns its index. Indices of
    /// other cohorts stay.
    pub(super) fn carve(&mut self, at: u32, part: SmSet, trains: &mut Slab<Train>, agenda: &mut Agenda) -> u32 {
        let new = self.cohorts.len() as u32;
        let from = &mut self.cohorts[at as usize];
        if at > 0 && part == from.sms {
            return at;
        }
        from.sms = from.sms.minus(part);
        from.dirty |= at > 0;
        let mut cohort =
            Cohort { sms: part, free: from.free, trains: self.spare.pop().unwrap_or_default(), dirty: true };
        for &old in &self.cohorts[at as usize].trains {
            let sms = part.count();
            let rest = &mut trains[old];
            // What moved until now is counted when their rates are found.
            let (moving, all) = (rest.moving, f64::from(rest.sms));
            rest.sms -= sms;
            rest.moving = moving * f64::from(rest.sms) / all;
            let train = Train { sms, cohort: new, demand: 0, moving: moving - rest.moving, ..rest.clone() };
            let end = agenda.time(What::Train(old));
            let copy = trains.insert(train);
            if let Some(end) = end {
                agenda.set(What::Train(copy), end);
            }
            if self.bulk.contains(&old) {
                self.bulk.push(copy);
            }
            cohort.trains.push(copy);
        }
        self.cohorts.push(cohort);
        new
    }

    /// Puts a new train on a cohort. Its rate is found when the pool settles.
    pub(super) fn board(&mut self, train: Train, need: &super::occupancy::Need, trains: &mut Slab<Train>) -> u32 {
        let cohort = &mut self.cohorts[train.cohort as usize];
        cohort.free.take(need, train.per_sm);
        cohort.dirty = true;
        let at = trains.insert(train);
        cohort.trains.push(at);
        at
    }

    /// Takes a train off its cohort; SMs without blocks become idle again.
    pub(super) fn leave(&mut self, at: u32, trains: &mut Slab<Train>, jobs: &Slab<Job>) {
        let train = &trains[at];
        let (index, demand) = (train.cohort as usize, train.demand);
        let cohort = &mut self.cohorts[index];
        cohort.free.give(&jobs[train.job].shape.need, train.per_sm);
        cohort.dirty = true;
        cohort.trains.retain(|&t| t != at);
        self.demand -= demand;
        self.bulk.retain(|&t| t != at);
        trains.free(at);
        if cohort.trains.is_empty() {
            let gone = self.cohorts.swap_remove(index);
            self.cohorts[0].sms = self.cohorts[0].sms.or(gone.sms);
            self.spare.push(gone.trains);
            if let Some(moved) = self.cohorts.get(index) {
                moved.trains.iter().for_each(|&t| trains[t].cohort = index as u32);
            }
        }
    }

    /// Everything that runs, with its cohort.
    pub(super) fn trains(&self) -> impl Iterator<Item = u32> {
        self.cohorts.iter().flat_map(|c| c.trains.iter().copied())
    }
}
