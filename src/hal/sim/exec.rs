//! Kernels that are ready or run, on all pools: the part of the simulated GPU that knows blocks and no streams.

use std::cmp::Reverse;

use super::agenda::{Agenda, What};
use super::bandwidth::Ask;
use super::clock::Ps;
use super::cost::KernelCost;
use super::job::{Job, Key, Owner, Shape};
use super::place::{self, Candidate};
use super::pool::Pool;
use super::profile::Profile;
use super::rates::{self, RateLimits};
use super::slab::Slab;
use super::train::Train;

/// Sums over everything that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Kernels that ended, nodes of graphs included.
    pub kernels: u64,
    /// Blocks that ended.
    pub blocks: u64,
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes that blocks moved, from L2 or from DRAM.
    pub traffic_bytes: f64,
    /// Bytes from and to DRAM.
    pub dram_bytes: f64,
    /// Bytes copied between host and device.
    pub copied_bytes: f64,
}

/// What the scheduler's parts use together: jobs, trains, times, and scratch space.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) agenda: Agenda,
    pub(super) jobs: Slab<Job>,
    pub(super) trains: Slab<Train>,
    pub(super) totals: Totals,
    pub(super) limits: RateLimits,
    /// Kernels that have blocks on one pool at the same time at most.
    pub(super) grids_max: u32,
    pub(super) candidates: Vec<Candidate>,
    /// Trains of the last placement.
    pub(super) fresh: Vec<u32>,
    pub(super) asks: Vec<Ask>,
}

impl Shared {
    /// Brings a train to `now`; what it moved counts.
    pub(super) fn advance(&mut self, train: u32, now: Ps) {
        let train = &mut self.trains[train];
        self.totals.dram_bytes += train.advance(now) * train.moving;
    }

    /// Gives a train its new rate.
    pub(super) fn retime(&mut self, at: u32, now: Ps) {
        let train = &self.trains[at];
        let moved = if train.bytes > 0.0 { train.bytes / train.grant } else { 0.0 };
        let wave_ps = train.sm_wave_ps.max(moved).max(1.0);
        if wave_ps == train.wave_ps && train.bytes == train.moving {
            return;
        }
        self.advance(at, now);
        let train = &mut self.trains[at];
        train.wave_ps = wave_ps;
        train.moving = train.bytes;
        if let Some(end) = train.end() {
            self.agenda.set(What::Train(at), end);
        }
    }

    /// Takes the waves that have not begun from a train and gives their blocks back to the kernel.
    pub(super) fn cut_waves(&mut self, at: u32, now: Ps) {
        self.advance(at, now);
        let train = &mut self.trains[at];
        let slots = f64::from(train.slots);
        // A wave that just ended is not begun again; the tolerance is for the rounding of times to picoseconds.
        let begun = (f64::from(train.blocks) / slots - train.left - 1e-9).ceil().max(1.0) as u32;
        let back = train.blocks.saturating_sub(begun.saturating_mul(train.slots));
        if back == 0 {
            return;
        }
        train.blocks -= back;
        train.left = (train.left - f64::from(back) / slots).max(0.0);
        self.jobs[train.job].left += back;
        if let Some(end) = train.end() {
            self.agenda.set(What::Train(at), end);
        }
    }
}

/// See the module's comment.
#[derive(Clone, Debug)]
pub(super) struct Exec {
    pub(super) shared: Shared,
    pub(super) pools: Vec<Pool>,
    /// Kernels that ended and were not collected yet.
    pub(super) finished: Vec<u32>,
    /// Pools that lost or got work since they were settled.
    dirty: Vec<u32>,
    ready: u64,
}

impl Exec {
    pub(super) fn new(profile: &Profile) -> Exec {
        let limits = RateLimits {
            saturating_warps: f64::from(profile.compute.saturating_warps),
            wave_ps_min: profile.launch.block_floor_us * 1e6,
        };
        Exec {
            shared: Shared {
                agenda: Agenda::default(),
                jobs: Slab::new(),
                trains: Slab::new(),
                totals: Totals::default(),
                limits,
                grids_max: profile.launch.grids_max,
                candidates: Vec::new(),
                fresh: Vec::new(),
                asks: Vec::new(),
            },
            pools: Vec::new(),
            finished: Vec::new(),
            dirty: Vec::new(),
            ready: 0,
        }
    }

    /// A kernel that is not ready yet, for a view of a pool.
    pub(super) fn job(&mut self, owner: Owner, cost: &KernelCost, profile: &Profile, pool: u32, view: u32) -> u32 {
        let view_of = &self.pools[pool as usize].views[view as usize];
        let shape = Shape::of(cost, profile, view_of.cap.min(view_of.sms.count()));
        self.shared.jobs.insert(Job {
            owner,
            shape,
            key: Key::new(0, 0),
            pool,
            view,
            left: shape.blocks,
            resident: 0,
            done: 0,
            withdrawn: 0,
            bulk: 0,
            started: None,
        })
    }

    /// The block scheduler gets to know a kernel.
    pub(super) fn ready(&mut self, at: u32, priority: i32, now: Ps) {
        self.ready += 1;
        let job = &mut self.shared.jobs[at];
        job.key = Key::new(priority, self.ready);
        let (pool, view) = (job.pool, job.view as usize);
        if job.left == 0 {
            job.started = Some(now);
            self.finished.push(at);
            return;
        }
        let key = job.key;
        self.touch(pool, now);
        let pool = &mut self.pools[pool as usize];
        pool.jobs += 1;
        pool.views[view].ready.push(Reverse((key, at)));
    }

    /// A train's waves are done.
    pub(super) fn train_ended(&mut self, at: u32, now: Ps) {
        let shared = &mut self.shared;
        let train = &mut shared.trains[at];
        shared.totals.dram_bytes += train.left * train.moving;
        train.left = 0.0;
        train.since = now;
        let (number, slots, blocks, pool) = (train.job, train.slots, train.blocks, train.pool);
        let job = &mut shared.jobs[number];
        job.done += blocks;
        shared.totals.blocks += u64::from(blocks);
        if job.shape.persistent && job.left > 0 {
            self.pools[pool as usize].unbulk(at, &mut self.shared);
            return self.workers_go_on(at, now);
        }
        self.touch(pool, now);
        let shared = &mut self.shared;
        let home = &mut self.pools[pool as usize];
        home.leave(at, shared);
        let job = &mut shared.jobs[number];
        job.resident -= slots;
        if job.resident == 0 {
            home.grids -= 1;
            home.working_set -= job.shape.working_set;
        }
        self.end_if_over(number);
    }

    /// Workers of a persistent kernel take the next blocks where they are; where fewer are left, the others end.
    fn workers_go_on(&mut self, at: u32, now: Ps) {
        let train = &self.shared.trains[at];
        let (number, pool, before) = (train.job, train.pool, train.slots);
        let slots = before.min(self.shared.jobs[number].left);
        let mut going = [Some((at, slots)), None];
        if slots < before {
            self.touch(pool, now);
            going = self.pools[pool as usize].shrink(at, slots, &mut self.shared);
        }
        let shared = &mut self.shared;
        let job = &mut shared.jobs[number];
        job.left -= slots;
        job.resident -= before - slots;
        let over = job.left == 0;
        shared.fresh.clear();
        for (at, slots) in going.into_iter().flatten() {
            let train = &mut shared.trains[at];
            (train.blocks, train.left) = (slots, 1.0);
            shared.fresh.push(at);
        }
        if over {
            // If it was waiting for more room, it does so no longer, and those behind it may go on.
            self.touch(pool, now);
        }
        let shared = &mut self.shared;
        place::give_waves(&mut self.pools[pool as usize], number, shared);
        for at in 0..shared.fresh.len() {
            let train = shared.fresh[at];
            let end = shared.trains[train].end().expect("a train that ended was running");
            shared.agenda.set(What::Train(train), end);
        }
    }

    /// Asks a kernel to give up the blocks that have no place yet; it ends at the boundary of those that have one.
    pub(super) fn retreat(&mut self, number: u32, now: Ps) {
        let pool = self.shared.jobs[number].pool;
        self.touch(pool, now);
        let trains: Vec<u32> = self.pools[pool as usize].trains().collect();
        for at in trains {
            if self.shared.trains[at].job == number {
                self.shared.cut_waves(at, now);
                self.pools[pool as usize].unbulk(at, &mut self.shared);
            }
        }
        let job = &mut self.shared.jobs[number];
        job.withdrawn += job.left;
        job.left = 0;
        self.end_if_over(number);
    }

    fn end_if_over(&mut self, number: u32) {
        let job = &self.shared.jobs[number];
        if job.left == 0 && job.resident == 0 {
            self.pools[job.pool as usize].jobs -= 1;
            self.finished.push(number);
        }
    }

    /// Something of a pool is about to change.
    pub(super) fn touch(&mut self, number: u32, now: Ps) {
        let pool = &mut self.pools[number as usize];
        if !pool.dirty {
            pool.account(now);
            pool.dirty = true;
            self.dirty.push(number);
        }
    }

    /// The pools that changed since they were settled, by their place in that list.
    pub(super) fn touched(&self, at: usize) -> Option<u32> {
        self.dirty.get(at).copied()
    }

    /// Gives room and finds rates on all pools that changed.
    pub(super) fn settle(&mut self, now: Ps) {
        while let Some(number) = self.dirty.pop() {
            let pool = &mut self.pools[number as usize];
            pool.dirty = false;
            if pool.running {
                place::schedule(pool, number, &mut self.shared, now);
                rates::settle(pool, &mut self.shared, now);
            }
        }
    }

    /// Stops or continues everything on a pool: another context has the SMs, or had them.
    pub(super) fn set_running(&mut self, number: u32, running: bool, now: Ps) {
        self.touch(number, now);
        let pool = &mut self.pools[number as usize];
        if pool.running == running {
            return;
        }
        pool.running = running;
        pool.cohorts.iter_mut().for_each(|c| c.dirty = true);
        if running {
            return;
        }
        let trains: Vec<u32> = pool.trains().collect();
        for at in trains {
            self.shared.advance(at, now);
            self.shared.trains[at].wave_ps = f64::INFINITY;
            self.shared.agenda.remove(What::Train(at));
        }
    }

    /// A job that was collected counts and goes; its place keeps it until the next one comes.
    pub(super) fn forget(&mut self, number: u32) -> &Job {
        let Shared { jobs, totals, .. } = &mut self.shared;
        let job = &jobs[number];
        let shape = &job.shape;
        totals.kernels += 1;
        totals.flops += f64::from(job.done) * shape.flops;
        totals.traffic_bytes += f64::from(job.done) * (shape.dram_bytes + shape.reused_bytes);
        jobs.free(number);
        &self.shared.jobs[number]
    }

    /// The SMs of a pool that hold a block, summed over time up to `now`, in SM·ps.
    pub(super) fn busy(&self, number: u32, now: Ps) -> u128 {
        self.pools[number as usize].busy(now)
    }
}
