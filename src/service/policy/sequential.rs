//! Sequential: one request at a time, whole, in order of arrival. The baseline: what a program does that calls its
//! models one after the other. All wait for a request that waits for the CPU; [`super::Fifo`] lets others by.

use super::Policy;
use super::ranked::{Ranked, ends_before_another, ready};
use crate::service::{Decisions, View};
use crate::tensor::{Nanos, RequestId, TenantId};

/// See the module's comment.
#[derive(Debug, Default)]
pub struct Sequential {
    waiting: Ranked<(Nanos, RequestId)>,
    /// The request that was begun and has operators left.
    begun: Option<(TenantId, RequestId)>,
}

impl Policy for Sequential {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        self.waiting.update(view, |t| t.request.map(|r| (r.arrival, r.request)));
        while out.operators_left() > 0 {
            // The request that was begun comes first; if it failed or was withdrawn, it is not there any more.
            let current = |t: TenantId| view.tenant(t).and_then(|t| t.request);
            let begun = self.begun.filter(|&(t, id)| current(t).is_some_and(|r| r.request == id));
            let Some((tenant, request)) = begun.or(self.waiting.first().map(|((_, id), t)| (t, id))) else { return };
            let granted = out.grant(tenant, ready(view, tenant));
            self.begun = Some((tenant, request));
            if current(tenant).is_some_and(|r| granted < r.operators_left) {
                return;
            }
            self.begun = None;
            self.waiting.set(tenant, None);
            if ends_before_another(view, tenant, granted) {
                return;
            }
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
    fn a_request_of_the_same_tenant_may_have_arrived_before_others() {
        let mut tenants = super::super::table::tenants(&[(1, 2, 2), (5, 4, 4)]);
        tenants[0].queued = 1;
        for policy in [&mut Sequential::default() as &mut dyn Policy, &mut super::super::Fifo::default()] {
            assert_eq!(super::super::table::decide_tenants(policy, 9, &tenants), "0x2", "the next decision knows");
            tenants[0].queued = 0;
            assert_eq!(super::super::table::decide_tenants(policy, 9, &tenants), "0x2 1x4");
            tenants[0].queued = 1;
        }
    }

    #[test]
    fn a_request_that_vanished_holds_nobody_up() {
        let policy = &mut Sequential::default();
        assert_eq!(decide(policy, 1, &[(1, 5, 5), (2, 4, 4)]), "0x1");
        assert_eq!(decide(policy, 9, &[(0, 0, 0), (2, 4, 4)]), "1x4");
    }
}
