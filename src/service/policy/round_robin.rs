//! Round-robin at operator granularity: one operator of each ready tenant in turn, going on after the tenant that was
//! served last. Every tenant waits at most one operator of each other one.

use super::Policy;
use crate::service::{Decisions, View};
use crate::tensor::{Nanos, TenantId};

/// See the module's comment.
#[derive(Debug, Default)]
pub struct RoundRobin {
    last: Option<TenantId>,
    /// Ready operators per tenant of the view, counted down within a decision.
    ready: Vec<u32>,
}

impl Policy for RoundRobin {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        self.ready.clear();
        self.ready.extend(view.tenants.iter().map(|t| t.request.map_or(0, |r| r.operators_ready)));
        let n = view.tenants.len();
        let first = view.tenants.iter().position(|t| Some(t.tenant) > self.last).unwrap_or(0);
        let mut served = true;
        while served && out.operators_left() > 0 {
            served = false;
            for at in (0..n).map(|k| (first + k) % n) {
                if self.ready[at] > 0 && out.grant(view.tenants[at].tenant, 1) == 1 {
                    self.ready[at] -= 1;
                    self.last = Some(view.tenants[at].tenant);
                    served = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::decide;
    use super::*;

    #[test]
    fn tenants_take_turns_operator_by_operator() {
        assert_eq!(decide(&mut RoundRobin::default(), 6, &[(0, 9, 9), (0, 9, 9)]), "0x1 1x1 0x1 1x1 0x1 1x1");
    }

    #[test]
    fn the_turn_goes_on_where_it_ended() {
        let policy = &mut RoundRobin::default();
        let rows = [(0, 9, 9), (0, 9, 9), (0, 9, 9)];
        assert_eq!(decide(policy, 2, &rows), "0x1 1x1");
        assert_eq!(decide(policy, 2, &rows), "2x1 0x1");
        assert_eq!(decide(policy, 1, &rows), "1x1");
    }

    #[test]
    fn who_waits_for_the_cpu_or_has_nothing_to_do_is_passed_over() {
        assert_eq!(decide(&mut RoundRobin::default(), 8, &[(0, 5, 0), (0, 3, 3), (0, 0, 0), (0, 4, 1)]), "1x1 3x1 1x2");
    }

    #[test]
    fn nobody_ready_is_no_decision() {
        assert_eq!(decide(&mut RoundRobin::default(), 8, &[]), "");
        assert_eq!(decide(&mut RoundRobin::default(), 8, &[(0, 2, 0)]), "");
    }
}
