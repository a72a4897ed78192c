//! Preemption latency: how long best-effort work that was under way when a latency tenant's request arrived went on.

use std::collections::{BTreeSet, VecDeque};

use crate::hal::SubmissionId;
use crate::tensor::Nanos;
use crate::timeline::Latencies;

/// Measures it from arrivals and submissions.
#[derive(Default)]
pub(in crate::engine) struct Preemptions {
    /// Submissions with best-effort operators that the device has.
    under_way: BTreeSet<SubmissionId>,
    /// Arrivals that found such work, and the last submission of it, in order.
    waiting: VecDeque<(Nanos, SubmissionId)>,
    latencies: Latencies,
}

impl Preemptions {
    /// A latency tenant's request came.
    pub(super) fn arrived(&mut self, at: Nanos) {
        if let Some(&last) = self.under_way.last() {
            self.waiting.push_back((at, last));
        }
    }

    /// A submission with best-effort operators was made.
    pub(super) fn submitted(&mut self, id: SubmissionId) {
        self.under_way.insert(id);
    }

    /// A submission ended.
    pub(super) fn ended(&mut self, id: SubmissionId, at: Nanos) {
        if !self.under_way.remove(&id) {
            return;
        }
        let oldest = self.under_way.first().copied();
        while let Some((arrival, _)) = self.waiting.pop_front_if(|(_, last)| oldest.is_none_or(|id| id > *last)) {
            self.latencies.record(at.since(arrival));
        }
    }

    /// What was measured since the last [`Preemptions::clear`].
    pub(in crate::engine) fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Begins a new measurement.
    pub(in crate::engine) fn clear(&mut self) {
        self.latencies.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_waits_for_the_best_effort_work_that_it_found() {
        let mut p = Preemptions::default();
        p.arrived(Nanos(1));
        p.submitted(SubmissionId(1));
        p.submitted(SubmissionId(2));
        p.arrived(Nanos(10_000_000));
        p.submitted(SubmissionId(3));
        p.ended(SubmissionId(2), Nanos(11_000_000));
        assert_eq!(p.latencies().count(), 0, "the first is under way");
        p.ended(SubmissionId(1), Nanos(12_000_000));
        assert_eq!((p.latencies().count(), p.latencies().ms().max), (1, Some(2.0)));
        p.ended(SubmissionId(3), Nanos(20_000_000));
        assert_eq!(p.latencies().count(), 1, "work that came later does not count");
    }
}
