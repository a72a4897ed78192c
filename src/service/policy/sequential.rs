//! Sequential: one request at a time, whole, in order of arrival. The baseline: what a program does that calls its
//! models one after the other.

use super::Policy;
use crate::service::{Decisions, RequestView, View};
use crate::tensor::{Nanos, RequestId};

/// See the module's comment.
#[derive(Debug, Default)]
pub struct Sequential {
    /// The request that was begun and has operators left.
    begun: Option<RequestId>,
}

impl Policy for Sequential {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        let requests = || view.tenants.iter().filter_map(|t| Some((t.tenant, t.request?)));
        let begun = self.begun;
        // The request that was begun comes first; if it failed or was withdrawn, it is not there any more.
        let order = |r: &RequestView| (Some(r.request) != begun, r.arrival, r.request);
        let mut served = None;
        loop {
            let waiting = requests().filter(|(_, r)| served.is_none_or(|last| order(r) > last));
            let Some((tenant, request)) = waiting.min_by_key(|(_, r)| order(r)) else { return };
            let granted = out.grant(tenant, request.operators_ready);
            self.begun = Some(request.request);
            if granted < request.operators_left {
                return;
            }
            served = Some(order(&request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::decide;
    use super::*;

    #[test]
    fn the_first_to_arrive_is_served_whole() {
        let policy = &mut Sequential::default();
        assert_eq!(decide(policy, 4, &[(2, 3, 3), (1, 6, 6)]), "1x4");
        assert_eq!(decide(policy, 4, &[(2, 3, 3), (1, 2, 2)]), "1x2 0x2");
    }

    #[test]
    fn a_request_that_was_begun_is_finished_first() {
        let policy = &mut Sequential::default();
        assert_eq!(decide(policy, 2, &[(0, 0, 0), (5, 6, 6)]), "1x2");
        assert_eq!(decide(policy, 9, &[(1, 3, 3), (5, 4, 4)]), "1x4 0x3");
    }

    #[test]
    fn all_wait_for_a_request_that_waits_for_the_cpu() {
        let policy = &mut Sequential::default();
        assert_eq!(decide(policy, 9, &[(1, 5, 2), (2, 4, 4)]), "0x2");
        assert_eq!(decide(policy, 9, &[(1, 3, 0), (2, 4, 4)]), "");
        assert_eq!(decide(policy, 9, &[(1, 3, 3), (2, 4, 4)]), "0x3 1x4");
    }

    #[test]
    fn a_request_that_vanished_holds_nobody_up() {
        let policy = &mut Sequential::default();
        assert_eq!(decide(policy, 1, &[(1, 5, 5), (2, 4, 4)]), "0x1");
        assert_eq!(decide(policy, 9, &[(0, 0, 0), (2, 4, 4)]), "1x4");
    }
}
