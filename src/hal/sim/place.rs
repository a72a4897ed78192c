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
use super::pool::{Bound, Pool, PoolView};
use super::sm_set::SmSet;
use super::train::Train;

/// SMs of a cohort that can take blocks of a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    cohort: u32,
    part: SmSet,
    sms: u32,
    /// Free warps of an SM, less those of the blocks that it was given.
    warps: f64,
    /// Blocks that fit on all of them together.
    capacity: u32,
    /// Blocks that they are given.
    give: u32,
}

/// Gives room to ready kernels until none that may go next finds any.
pub(super) fn schedule(pool: &mut Pool, number: u32, shared: &mut Shared, now: Ps) {
    loop {
        let waiting = give_room(pool, number, shared, now);
        if !pool.blend(shared, now) {
            if let Some(key) = waiting {
                shorten(pool, key, shared, now);
            }
            return;
        }
    }
}

/// One round; the kernel that waits for room and comes first.
fn give_room(pool: &mut Pool, number: u32, shared: &mut Shared, now: Ps) -> Option<Key> {
    pool.views.iter_mut().for_each(|v| v.stuck = false);
    let mut waiting: Option<Key> = None;
    while let Some((view, key, job)) = next(pool, shared) {
        let mut placed = 0;
        if shared.jobs[job].resident > 0 || pool.grids < shared.grids_max {
            find(pool, view, job, shared);
            placed = place(pool, number, job, waiting.is_none(), shared, now);
        }
        let PoolView { sms, cap, .. } = &pool.views[view];
        if shared.jobs[job].wanting() == 0 {
            pool.views[view].ready.pop();
        } else if placed == 0 || *cap >= sms.count() {
            pool.views[view].stuck = true;
            waiting = waiting.or(Some(key));
        }
        // Which SMs the kernels of a view with a bound share may be seen otherwise after each placement: it is asked again.
    }
    waiting
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

/// The SMs that have room for a kernel of a view, into `shared.candidates`. Where the number of its SMs is bounded, those that
/// the view has and as many more as the bound leaves, idle ones first.
fn find(pool: &Pool, view: usize, job: u32, shared: &mut Shared) {
    shared.candidates.clear();
    let allowed = &pool.views[view];
    let everywhere = allowed.sms == pool.sms;
    let certain = pool.bound() == Bound::Certain;
    let bounded = allowed.cap < allowed.sms.count();
    let used = if bounded { (0..pool.cohorts.len()).map(|at| pool.sms_of_view(at, view, shared)).sum() } else { 0 };
    let mut more = allowed.cap.saturating_sub(used);
    for (at, cohort) in pool.cohorts.iter().enumerate() {
        // Where certain SMs matter and it is not known what a cohort's SMs hold, it takes no blocks until it is idle.
        if certain && !cohort.uniform || cohort.n == 0 {
            continue;
        }
        let (mut part, mut sms, mut own) = (cohort.sms, cohort.n, 0);
        if bounded {
            own = pool.sms_of_view(at, view, shared);
            sms = own + more.min(cohort.n - own);
            part = if cohort.uniform { part.lowest(sms) } else { part };
        } else if !everywhere {
            part = part.and(allowed.sms);
            sms = part.count();
        }
        let capacity = capacity(pool, at, sms, job, shared);
        if capacity > 0 {
            more -= if bounded { sms - own } else { 0 };
            let warps = cohort.free.warps as f64 / f64::from(cohort.n);
            shared.candidates.push(Candidate { cohort: at as u32, part, sms, warps, capacity, give: 0 });
        }
    }
}

/// Blocks of a kernel that fit on so many SMs of a cohort besides what they hold.
fn capacity(pool: &Pool, at: usize, sms: u32, job: u32, shared: &Shared) -> u32 {
    let cohort = &pool.cohorts[at];
    let kernel = &shared.jobs[job];
    let shape = &kernel.shape;
    let own = || -> u32 {
        let trains = cohort.trains.iter().map(|&t| &shared.trains[t]);
        trains.filter(|t| t.job == job).map(|t| t.slots).sum()
    };
    if !cohort.uniform {
        let mut fit = cohort.free.fits(&shape.need);
        if sms < cohort.n {
            // What its view has lies on these SMs, what others have lies elsewhere where it can.
            let mut room = pool.empty.times(sms);
            let trains = cohort.trains.iter().map(|&t| &shared.trains[t]);
            for train in trains.filter(|t| shared.jobs[t.job].view == kernel.view) {
                room.take(&shared.jobs[train.job].shape.need, train.slots);
            }
            fit = fit.min(room.fits(&shape.need));
        }
        return fit.min(shape.per_sm_max.saturating_mul(sms).saturating_sub(own()));
    }
    let mut fit = cohort.free.part(1, cohort.n).fits(&shape.need).min(shape.per_sm_max);
    if fit > 0 && kernel.resident > 0 {
        fit = fit.min(shape.per_sm_max - own() / cohort.n);
    }
    fit * sms
}

/// Gives blocks of `job` places on the candidates, as many as there is room for. With `whole_waves`, trains of a kernel that
/// still has blocks left are given several waves at once. Answers how many got one.
fn place(pool: &mut Pool, number: u32, job: u32, whole_waves: bool, shared: &mut Shared, now: Ps) -> u32 {
    if shared.candidates.is_empty() {
        return 0;
    }
    take_back(pool, job, shared, now);
    let want = shared.jobs[job].wanting();
    let placed = distribute(&mut shared.candidates, want, f64::from(shared.jobs[job].shape.need.warps));
    let candidates = std::mem::take(&mut shared.candidates);
    shared.fresh.clear();
    for c in candidates.iter().filter(|c| c.give > 0) {
        let need = shared.jobs[job].shape.need;
        if !pool.cohorts[c.cohort as usize].uniform {
            let train = Train::new(job, number, c.give, c.give.min(c.sms), now);
            let train = pool.board(c.cohort, train, &need, &mut shared.trains);
            shared.fresh.push(train);
            pool.unite(train, shared, now);
            continue;
        }
        let extra = c.give % c.sms;
        let more = if extra == 0 { SmSet::EMPTY } else { c.part.lowest(extra) };
        let parts = [(more, extra, c.give / c.sms + 1), (c.part.minus(more), c.sms - extra, c.give / c.sms)];
        for (part, sms, per_sm) in parts.into_iter().filter(|(_, sms, per_sm)| sms * per_sm > 0) {
            let cohort = pool.carve(c.cohort, (part, sms), shared);
            let train = Train::new(job, number, per_sm * sms, sms, now);
            let train = pool.board(cohort, train, &need, &mut shared.trains);
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
    placed
}

/// Hands out `want` blocks of `warps` each and returns how many found a place.
fn distribute(candidates: &mut [Candidate], want: u32, warps: f64) -> u32 {
    if let [only] = candidates {
        only.give = want.min(only.capacity);
        return only.give;
    }
    let mut left = want;
    while left > 0 {
        let mut best: Option<usize> = None;
        let mut second = 0.0f64;
        for (at, c) in candidates.iter().enumerate().filter(|(_, c)| c.give < c.capacity) {
            match best {
                Some(b) if c.warps <= candidates[b].warps => second = second.max(c.warps),
                _ => {
                    second = best.map_or(second, |b| second.max(candidates[b].warps));
                    best = Some(at);
                }
            }
        }
        let Some(best) = best else { break };
        let c = &mut candidates[best];
        // One block for each SM, so many times that the next best comes first.
        let layers = ((c.warps - second) / warps).max(1.0) as u32;
        let blocks = layers.saturating_mul(c.sms).min(c.capacity - c.give).min(left);
        c.give += blocks;
        c.warps -= f64::from(layers) * warps;
        left -= blocks;
    }
    want - left
}

/// Gives the trains that just began the waves that they will run if nothing changes, in equal parts, but for the last
/// blocks of the kernel.
pub(super) fn give_waves(pool: &mut Pool, job: u32, shared: &mut Shared) {
    let kernel = &shared.jobs[job];
    if kernel.left == 0 || kernel.resident == 0 {
        return;
    }
    let more = (kernel.left - 1) / kernel.resident;
    if more == 0 {
        return;
    }
    for at in 0..shared.fresh.len() {
        let number = shared.fresh[at];
        let train = &mut shared.trains[number];
        train.blocks += more * train.slots;
        train.left += f64::from(more);
        shared.jobs[job].left -= more * train.slots;
        pool.add_bulk(number, shared);
    }
}

/// Takes the waves that have not begun from the trains of a kernel that found more room: they are shared out anew.
fn take_back(pool: &mut Pool, job: u32, shared: &mut Shared, now: Ps) {
    if shared.jobs[job].bulk > 0 {
        cut_if(pool, shared, now, |shared, at| shared.trains[at].job == job);
    }
}

/// Takes the waves that have not begun from trains of kernels that come after `key`, but for workers, which keep their places.
fn shorten(pool: &mut Pool, key: Key, shared: &mut Shared, now: Ps) {
    cut_if(pool, shared, now, |shared, at| {
        let job = &shared.jobs[shared.trains[at].job];
        job.key > key && !job.shape.persistent
    });
}

fn cut_if(pool: &mut Pool, shared: &mut Shared, now: Ps, which: impl Fn(&Shared, u32) -> bool) {
    let mut bulk = std::mem::take(&mut pool.bulk);
    bulk.retain(|&at| {
        let chosen = which(shared, at);
        if chosen {
            shared.cut_waves(at, now);
            let train = &mut shared.trains[at];
            train.bulk = false;
            shared.jobs[train.job].bulk -= 1;
        }
        !chosen
    });
    pool.bulk = bulk;
}
