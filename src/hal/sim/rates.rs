//! How fast blocks run: each SM's arithmetic and its port to memory are shared by those that reside on it, the memory's
//! bandwidth and L2 by everything that runs.
//!
//! A wave of blocks takes the longer of its arithmetic and its bytes. Arithmetic goes by resident
//! warps, none gets more than its warps can issue; bandwidth goes by SMs, none gets more than it wants. Who waits for memory
//! does not use its part of the SM: a second round gives that to the others, and a third does so after the memory was
//! shared. More rounds would change little and are left out.
//!
//! As long as all wishes together are within the bandwidth and all working sets within L2, a kernel that comes or goes
//! changes only the SMs that it is on. Otherwise everything that runs is looked at, which the number of resident kernels
//! bounds.

use super::bandwidth::{Ask, fill};
use super::clock::Ps;
use super::exec::Shared;
use super::job::Pace;
use super::l2;
use super::pool::{Bound, Pool};

/// Bytes per second in a byte per picosecond; demands are summed as integers, which come back to zero exactly.
const PER_SECOND: f64 = 1e12;

/// What a device adds to every rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimits {
    /// Warps from which on an SM runs at its full rate.
    pub(super) saturating_warps: f64,
    /// Shortest time of a wave.
    pub(super) wave_ps_min: f64,
}

/// Finds the rates of everything that changed since the last time.
pub(super) fn settle(pool: &mut Pool, shared: &mut Shared, now: Ps) {
    let held = l2::held(pool.memory.l2_bytes, pool.working_set);
    let all = pool.contended || held != pool.held;
    pool.held = held;
    for at in 1..pool.cohorts.len() {
        if all || pool.cohorts[at].dirty {
            wishes(pool, at, shared);
        }
    }
    let contended = pool.demand as f64 > pool.memory.bandwidth * PER_SECOND;
    if contended {
        divide(pool, shared);
        for at in 1..pool.cohorts.len() {
            if pool.cohorts[at].trains.len() > 1 {
                share_sm(pool, at, true, shared);
            }
        }
        divide(pool, shared);
    }
    let changed = all || contended;
    pool.contended = contended;
    for cohort in pool.cohorts.iter_mut().skip(1) {
        if changed || cohort.dirty {
            cohort.dirty = false;
            for &train in &cohort.trains {
                if !contended {
                    shared.trains[train].grant = shared.trains[train].want;
                }
                shared.retime(train, now);
            }
        }
    }
}

/// What the trains of a cohort could use, as far as their SMs decide.
fn wishes(pool: &mut Pool, at: usize, shared: &mut Shared) {
    let cohort = &pool.cohorts[at];
    for &t in &cohort.trains {
        let train = &mut shared.trains[t];
        let shape = &shared.jobs[train.job].shape;
        train.bytes = f64::from(train.slots) * l2::dram_bytes(shape.dram_bytes, shape.reused_bytes, pool.held);
    }
    reach(pool, at, shared);
    if let [only] = cohort.trains[..] {
        alone(pool, only, shared);
    } else {
        share_sm(pool, at, false, shared);
        // Nobody is held up: the second round would find the same.
        if pool.cohorts[at].trains.iter().any(|&t| shared.trains[t].is_held_up()) {
            share_sm(pool, at, true, shared);
        }
    }
    for &t in &pool.cohorts[at].trains {
        let train = &mut shared.trains[t];
        let demand = (train.want * PER_SECOND) as u64;
        pool.demand = pool.demand + demand - train.demand;
        train.demand = demand;
    }
}

/// The SMs that each train of a cohort can use: where they are not told apart, kernels of a view with a bound share its SMs.
fn reach(pool: &Pool, at: usize, shared: &mut Shared) {
    let cohort = &pool.cohorts[at];
    let bounded = !cohort.uniform && pool.bound() != Bound::None;
    for &t in &cohort.trains {
        let mut reach = f64::from(shared.trains[t].sms);
        if bounded {
            let view = shared.jobs[shared.trains[t].job].view;
            let of_view = cohort.trains.iter().map(|&t| &shared.trains[t]).filter(|t| shared.jobs[t.job].view == view);
            let sum: u32 = of_view.map(|t| t.sms).sum();
            reach *= f64::from(pool.sms_of_view(at, view as usize, shared)) / f64::from(sum);
        }
        shared.trains[t].reach = reach;
    }
}

/// A train that has its SMs for itself.
fn alone(pool: &Pool, t: u32, shared: &mut Shared) {
    let limits = shared.limits;
    let train = &mut shared.trains[t];
    let shape = &shared.jobs[train.job].shape;
    let per_sm = f64::from(train.slots) / train.reach;
    let warps = per_sm * f64::from(shape.need.warps);
    let ps = match shape.pace {
        Pace::Compute(sm_ps) => per_sm * sm_ps * (limits.saturating_warps / warps).max(1.0),
        Pace::Fixed(block_ps) => block_ps,
        Pace::Law(law, sms) => law.ns(sms, pool.memory.fraction, 1) * 1e3,
    };
    train.sm_wave_ps = ps.max(limits.wave_ps_min);
    train.want = (train.bytes / train.sm_wave_ps).min(train.reach * pool.memory.sm_bandwidth);
}

/// Shares the SMs of a cohort among several trains; with `after_memory`, those that their grants hold up give way.
fn share_sm(pool: &Pool, at: usize, after_memory: bool, shared: &mut Shared) {
    let Shared { trains, jobs, asks, limits, .. } = shared;
    let cohort = &pool.cohorts[at];
    asks.clear();
    for &t in &cohort.trains {
        let train = &trains[t];
        let shape = &jobs[train.job].shape;
        let warps = f64::from(train.slots * shape.need.warps);
        let mut cap = (warps / limits.saturating_warps).min(train.reach);
        let Pace::Compute(sm_ps) = shape.pace else {
            asks.push(Ask::new(0.0, 0.0));
            continue;
        };
        if after_memory && train.is_held_up() {
            cap = cap.min(train.grant / train.bytes * f64::from(train.slots) * sm_ps);
        }
        asks.push(Ask::new(warps, cap));
    }
    fill(f64::from(cohort.n), asks);
    let together = cohort.trains.len();
    for (&t, ask) in cohort.trains.iter().zip(asks.iter()) {
        let train = &mut trains[t];
        let ps = match jobs[train.job].shape.pace {
            Pace::Compute(sm_ps) if sm_ps > 0.0 => f64::from(train.slots) * sm_ps / ask.grant,
            Pace::Compute(_) => 0.0,
            Pace::Fixed(block_ps) => block_ps,
            Pace::Law(law, sms) => law.ns(sms, pool.memory.fraction, together) * 1e3,
        };
        train.sm_wave_ps = ps.max(limits.wave_ps_min);
    }
    asks.clear();
    asks.extend(cohort.trains.iter().map(|&t| {
        let (train, port) = (&trains[t], pool.memory.sm_bandwidth);
        Ask::new(1.0, (train.bytes / train.sm_wave_ps).min(train.reach * port))
    }));
    fill(f64::from(cohort.n) * pool.memory.sm_bandwidth, asks);
    for (&t, ask) in cohort.trains.iter().zip(asks.iter()) {
        trains[t].want = ask.grant;
        trains[t].grant = ask.grant;
    }
}

/// Shares the bandwidth among all trains that want some.
fn divide(pool: &Pool, shared: &mut Shared) {
    let Shared { trains, asks, .. } = shared;
    asks.clear();
    asks.extend(pool.trains().map(|t| Ask::new(f64::from(trains[t].sms), trains[t].want)));
    fill(pool.memory.bandwidth, asks);
    for (t, ask) in pool.trains().zip(asks.iter()) {
        trains[t].grant = ask.grant;
    }
}
