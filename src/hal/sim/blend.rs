//! SMs that are not told apart any more, so that the cost of an event stays that of the kernels and not of the SMs.
//!
//! Kernels that come and go at different times leave every SM in a state of its own, with trains of its own, and every event
//! would look at all of them. Where trains times kernels are more than [`GROUPS_MAX`], all cohorts with blocks become one:
//! its room is the sum of theirs, and the blocks that a kernel has on it go on as one train, with the mean of the work that is
//! left. Work, room and order are conserved; when exactly one block of a kernel ends, and whether free room lies on one SM, is
//! lost, and with it the time for which a kernel waits for its slowest SM. SMs that hold nothing are told apart again, and so
//! is everything when one train is left. docs/SIMULATOR.md says what that changes.
//!
//! Where somebody has certain SMs (a green context), all cohorts stay apart, and events cost more.

use super::agenda::What;
use super::clock::Ps;
use super::exec::Shared;
use super::pool::{Bound, Pool};
use super::slab::Slab;
use super::train::Train;

/// Trains that are told apart times kernels that are ready or run, unless somebody asks for another number.
pub(super) const GROUPS_MAX: usize = 16;

impl Pool {
    /// Makes one cohort of those with blocks where there are too many trains; false where there are not.
    pub(super) fn blend(&mut self, shared: &mut Shared, now: Ps) -> bool {
        let trains: usize = self.cohorts.iter().map(|c| c.trains.len()).sum();
        let groups = trains * self.jobs as usize;
        if self.cohorts.len() <= 2 || groups <= self.groups_max || self.bound() == Bound::Certain {
            return false;
        }
        while self.cohorts.len() > 2 {
            let Some(mut gone) = self.cohorts.pop() else { break };
            let cohort = &mut self.cohorts[1];
            cohort.sms = cohort.sms.or(gone.sms);
            cohort.n += gone.n;
            cohort.free.add(&gone.free);
            for &train in &gone.trains {
                shared.trains[train].cohort = 1;
            }
            cohort.trains.append(&mut gone.trains);
            self.spare.push(gone.trains);
        }
        let cohort = &mut self.cohorts[1];
        (cohort.uniform, cohort.dirty) = (false, true);
        let mut at = 1;
        while let Some(&train) = self.cohorts[1].trains.get(at) {
            if !self.unite(train, shared, now) {
                at += 1;
            }
        }
        true
    }

    /// Lets a train go on as one with another of its kernel on the same cohort; false where there is none.
    pub(super) fn unite(&mut self, at: u32, shared: &mut Shared, now: Ps) -> bool {
        let (job, own) = (shared.trains[at].job, shared.trains[at].cohort as usize);
        let same = |t: &u32| *t != at && shared.trains[*t].job == job;
        let Some(other) = self.cohorts[own].trains.iter().copied().find(same) else { return false };
        shared.advance(at, now);
        shared.advance(other, now);
        let gone = shared.trains[at].clone();
        let one = &mut shared.trains[other];
        let work = f64::from(one.slots) * one.left + f64::from(gone.slots) * gone.left;
        one.slots += gone.slots;
        one.blocks += gone.blocks;
        one.left = work / f64::from(one.slots);
        let cap = self.views[shared.jobs[job].view as usize].cap;
        one.sms = (one.sms + gone.sms).min(self.cohorts[own].n).min(cap);
        // It stands until its rate is found.
        one.wave_ps = f64::INFINITY;
        shared.agenda.remove(What::Train(at));
        if gone.bulk {
            self.add_bulk(other, shared);
        }
        if shared.fresh.contains(&at) {
            shared.fresh.retain(|&t| t != at && t != other);
            shared.fresh.push(other);
        }
        self.strike(at, shared);
        true
    }

    /// SMs of a cohort on which kernels of a view have blocks; never more than the view's bound leaves, as its kernels share
    /// them where SMs are not told apart.
    pub(super) fn sms_of_view(&self, at: usize, view: usize, shared: &Shared) -> u32 {
        let of_view = |t: &&u32| shared.jobs[shared.trains[**t].job].view as usize == view;
        let cohort = &self.cohorts[at];
        if cohort.uniform {
            return if cohort.trains.iter().any(|t| of_view(&t)) { cohort.n } else { 0 };
        }
        let sum: u32 = cohort.trains.iter().filter(of_view).map(|&t| shared.trains[t].sms).sum();
        let before = |c: usize| c != at && (self.cohorts[c].uniform || c < at);
        let elsewhere = || -> u32 {
            let others = (0..self.cohorts.len()).filter(|&c| before(c));
            others.map(|c| self.sms_of_view(c, view, shared)).sum()
        };
        let bound = self.views[view].cap;
        if sum == 0 || bound >= cohort.n && self.cohorts.len() <= 2 {
            return sum.min(cohort.n);
        }
        sum.min(cohort.n).min(bound.saturating_sub(elsewhere()))
    }

    /// Gives back those SMs of a blended cohort on which its trains have no blocks.
    pub(super) fn tell_apart(&mut self, index: usize, trains: &Slab<Train>) {
        let cohort = &mut self.cohorts[index];
        if cohort.uniform {
            return;
        }
        let used: u32 = cohort.trains.iter().map(|&t| trains[t].sms).sum();
        if used < cohort.n {
            let more = cohort.n - used;
            let sms = cohort.sms.lowest(more);
            cohort.sms = cohort.sms.minus(sms);
            cohort.n = used;
            cohort.free.sub(&self.empty.times(more));
            self.idle(sms, more);
        }
        // Kernels of a view with a bound may have shared SMs that their trains count as different ones.
        let bounded = self.bound() != Bound::None;
        let cohort = &mut self.cohorts[index];
        if let [only] = cohort.trains[..]
            && !bounded
        {
            let train = &trains[only];
            cohort.uniform = train.sms == cohort.n && train.slots.is_multiple_of(train.sms);
        }
    }
}
