//! The block scheduler: leftover policy.
//!
//! The ready kernel that comes first, by priority and then by age, gets all the room that it can use before the next one
//! gets any; nothing that resides is ever evicted, so a priority acts at the boundary of a block. A kernel that waits for
//! room keeps those behind it waiting, even if they would fit; only kernels of another partition go past it. Blocks go
//! to the SMs that have most room, one each before any gets a second.

use std::cmp::Reverse;

use super::clock::Ps;
use super::exec::Shared;
use super::job::Key;
use super::pool::{Pool, PoolView, Train};
use super::sm_set::SmSet;

/// Some SMs of a cohort that can take blocks of a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    cohort: u32,
    part: SmSet,
    sms: u32,
    /// Warps that are free on each, with what it was given.
    warps: u32,
    /// Blocks that fit besides.
    fit: u32,
    /// Blocks for each.
    give: u32,
    /// SMs that get one more.
    extra: u32,
}

/// Gives room to ready kernels until none that may go next finds any.
pub(super) fn schedule(pool: &mut Pool, number: u32, shared: &mut Shared, now: Ps) {
    pool.views.iter_mut().for_each(|v| v.stuck = false);
    let mut waiting: Option<Key> = None;
    while let Some((view, key, job)) = next(pool, shared) {
        if shared.jobs[job].resident > 0 || pool.grids < shared.grids_max {
            let allowed = allowed(pool, view, job, shared);
            place(pool, number, job, allowed, waiting.is_none(), shared, now);
        }
        if shared.jobs[job].wanting() == 0 {
            pool.views[view].ready.pop();
        } else {
            pool.views[view].stuck = true;
            waiting = waiting.or(Some(key));
        }
    }
    if let Some(key) = waiting {
        shorten(pool, key, shared, now);
    }
}

/// The ready kernel that comes first among the heads that are not stuck.
fn next(pool: &mut Pool, shared: &Shared) -> Option<(usize, Key, u32)> {
    let mut best: Option<(usize, Key, u32)> = None;
    for (at, view) in pool.views.iter_mut().enumerate().filter(|(_, v)| !v.stuck) {
        while let Some(&Reverse((key, job))) = view.ready.peek() {
            // Withdrawn kernels leave their entries behind.
            if shared.jobs[job].key == key && shared.jobs[job].wanting() > 0 {
                if best.is_none_or(|(_, other, _)| key < other) {
                    best = Some((at, key, job));
                }
                break;
            }
            view.ready.pop();
        }
    }
    best
}

/// The SMs that a kernel of a view may use now: where their number is bounded, those that the view has and as many more with
/// room for the kernel as the bound leaves, idle ones first.
fn allowed(pool: &Pool, view: usize, job: u32, shared: &Shared) -> SmSet {
    let PoolView { sms, cap, .. } = &pool.views[view];
    if *cap >= sms.count() {
        return *sms;
    }
    let of_view = |t: &u32| shared.jobs[shared.trains[*t].job].view as usize == view;
    let used = pool.cohorts.iter().filter(|c| c.trains.iter().any(of_view));
    let mut chosen = used.fold(SmSet::EMPTY, |all, c| all.or(c.sms)).lowest(*cap);
    let need = &shared.jobs[job].shape.need;
    for cohort in pool.cohorts.iter().filter(|c| c.free.fits(need) > 0) {
        let more = cohort.sms.and(*sms).minus(chosen);
        chosen = chosen.or(more.lowest(cap.saturating_sub(chosen.count())));
    }
    chosen
}

/// Gives blocks of `job` places on `allowed` SMs, as many as there is room for. With `whole_waves`, trains of a kernel
/// that still has blocks left are given several waves at once.
pub(super) fn place(
    pool: &mut Pool,
    number: u32,
    job: u32,
    allowed: SmSet,
    whole_waves: bool,
    shared: &mut Shared,
    now: Ps,
) {
    find(pool, job, allowed, shared);
    if shared.candidates.is_empty() {
        return;
    }
    take_back(pool, job, shared, now);
    let want = shared.jobs[job].wanting();
    let placed = distribute(&mut shared.candidates, want, shared.jobs[job].shape.need.warps);
    let candidates = std::mem::take(&mut shared.candidates);
    shared.fresh.clear();
    for c in &candidates {
        let more = c.part.lowest(c.extra);
        for (part, per_sm) in [(more, c.give + 1), (c.part.minus(more), c.give)] {
            if per_sm == 0 || part.is_empty() {
                continue;
            }
            let cohort = pool.carve(c.cohort, part, &mut shared.trains, &mut shared.agenda);
            let train = Train {
                job,
                pool: number,
                cohort,
                per_sm,
                sms: part.count(),
                waves: 1,
                left: 1.0,
                since: now,
                wave_ps: f64::INFINITY,
                sm_wave_ps: 0.0,
                bytes: 0.0,
                moving: 0.0,
                want: 0.0,
                grant: 0.0,
                demand: 0,
            };
            let train = pool.board(train, &shared.jobs[job].shape.need, &mut shared.trains);
            shared.fresh.push(train);
        }
    }
    shared.candidates = candidates;
    let kernel = &mut shared.jobs[job];
    if kernel.resident == 0 {
        pool.grids += 1;
        pool.working_set += kernel.shape.working_set;
        kernel.started.get_or_insert(now);
    }
    kernel.resident += placed;
    kernel.left -= placed;
    if whole_waves {
        give_waves(pool, job, shared);
    }
}

/// The SMs of `allowed` that have room for `job`, into `shared.candidates`.
fn find(pool: &Pool, job: u32, allowed: SmSet, shared: &mut Shared) {
    shared.candidates.clear();
    let kernel = &shared.jobs[job];
    let everywhere = allowed == pool.sms;
    for (at, cohort) in (0..).zip(&pool.cohorts) {
        let mut fit = cohort.free.fits(&kernel.shape.need).min(kernel.shape.per_sm_max);
        if fit > 0 && kernel.resident > 0 {
            let own = cohort.trains.iter().map(|&t| &shared.trains[t]).filter(|t| t.job == job);
            fit = fit.min(kernel.shape.per_sm_max - own.map(|t| t.per_sm).sum::<u32>());
        }
        if fit == 0 {
            continue;
        }
        let part = if everywhere { cohort.sms } else { cohort.sms.and(allowed) };
        let sms = part.count();
        if sms > 0 {
            let warps = cohort.free.warps;
            shared.candidates.push(Candidate { cohort: at, part, sms, warps, fit, give: 0, extra: 0 });
        }
    }
}

/// Hands out `want` blocks of `warps` each and returns how many found a place.
fn distribute(candidates: &mut [Candidate], want: u32, warps: u32) -> u32 {
    let mut left = want;
    if let [only] = candidates {
        only.give = only.fit.min(left / only.sms);
        left -= only.give * only.sms;
        if only.give < only.fit {
            only.extra = left;
            left = 0;
        }
        return want - left;
    }
    while left > 0 {
        let mut best: Option<usize> = None;
        let mut second = 0;
        for (at, c) in candidates.iter().enumerate().filter(|(_, c)| c.fit > 0) {
            match best {
                Some(b) if c.warps <= candidates[b].warps => second = second.max(c.warps),
                _ => {
                    second = second.max(best.map_or(0, |b| candidates[b].warps));
                    best = Some(at);
                }
            }
        }
        let Some(best) = best else { break };
        let c = &mut candidates[best];
        if left < c.sms {
            c.extra = left;
            left = 0;
            break;
        }
        // So many layers that the next best comes first, at least one.
        let layers = ((c.warps - second) / warps).clamp(1, c.fit).min(left / c.sms);
        c.give += layers;
        c.fit -= layers;
        c.warps -= layers * warps;
        left -= layers * c.sms;
    }
    want - left
}

/// Gives the trains that just began the waves that they will run if nothing changes, in equal parts, but for the last
/// blocks of the kernel.
pub(super) fn give_waves(pool: &mut Pool, job: u32, shared: &mut Shared) {
    let kernel = &mut shared.jobs[job];
    if kernel.left == 0 || kernel.resident == 0 {
        return;
    }
    let more = (kernel.left - 1) / kernel.resident;
    if more == 0 {
        return;
    }
    for &at in &shared.fresh {
        let train = &mut shared.trains[at];
        train.waves += more;
        train.left += f64::from(more);
        kernel.left -= more * train.slots();
        if !kernel.shape.persistent {
            pool.bulk.push(at);
        }
    }
}

/// Takes the waves that have not begun from the trains of a kernel that found more room: they are shared out anew.
fn take_back(pool: &mut Pool, job: u32, shared: &mut Shared, now: Ps) {
    pool.bulk.retain(|&at| {
        let own = shared.trains[at].job == job;
        if own {
            shared.cut_waves(at, now);
        }
        !own
    });
}

/// Takes the waves that have not begun from trains of kernels that come after `key`.
fn shorten(pool: &mut Pool, key: Key, shared: &mut Shared, now: Ps) {
    let mut bulk = std::mem::take(&mut pool.bulk);
    bulk.retain(|&at| {
        let later = shared.jobs[shared.trains[at].job].key > key;
        if later {
            shared.cut_waves(at, now);
        }
        !later
    });
    pool.bulk = bulk;
}
