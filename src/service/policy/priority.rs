//! Static priority: latency tenants before best-effort ones, then the larger priority, then the earlier arrival. Decided
//! anew for every submission, so the most important request waits at most for what is under way.

use std::cmp::Reverse;

use super::Policy;
use super::ranked::Ranked;
use crate::service::{Class, Decisions, View};
use crate::tensor::{Nanos, RequestId};

/// See the module's comment.
#[derive(Debug, Default)]
pub struct StaticPriority {
    waiting: Ranked<(Class, Reverse<u32>, Nanos, RequestId)>,
}

impl Policy for StaticPriority {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        self.waiting.update(view, |t| t.ready().map(|r| (t.class, Reverse(t.priority), r.arrival, r.request)));
        self.waiting.serve(view, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{decide_tenants, tenants};
    use super::*;

    #[test]
    fn the_important_come_first_and_the_best_effort_last() {
        let mut rows = tenants(&[(1, 2, 2), (2, 2, 2), (3, 2, 2), (0, 2, 2)]);
        rows[2].priority = 9;
        rows[3].priority = 100;
        rows[3].class = Class::BestEffort;
        assert_eq!(decide_tenants(&mut StaticPriority::default(), 7, &rows), "2x2 0x2 1x2 3x1");
    }

    #[test]
    fn a_request_that_was_begun_gives_way() {
        let policy = &mut StaticPriority::default();
        let mut rows = tenants(&[(1, 9, 9), (0, 0, 0)]);
        assert_eq!(decide_tenants(policy, 3, &rows), "0x3");
        rows = tenants(&[(1, 6, 6), (5, 2, 2)]);
        rows[1].priority = 6;
        assert_eq!(decide_tenants(policy, 3, &rows), "1x2 0x1");
    }
}
