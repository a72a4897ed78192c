//! Round-robin at operator granularity: one operator of each ready tenant in turn, going on after the tenant that was
//! served last. Every tenant waits at most one operator of each other one.

use super::Policy;
use crate::service::{Decisions, View};
use crate::tensor::{Nanos, TenantId};

/// See the module's comment.
#[derive(Debug, Default)]
pub struct RoundRobin {
    last: Option<TenantId>,
    /// Tenants of this decision, in turn, and operators that they have left.
    turn: Vec<(TenantId, u32)>,
}

impl Policy for RoundRobin {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        let first = view.tenants.partition_point(|t| Some(t.tenant) <= self.last);
        self.turn.clear();
        let ready = view.ready.cycle_from(first).take(out.operators_left() as usize);
        self.turn.extend(ready.map(|at| {
            let t = &view.tenants[at];
            (t.tenant, t.request.map_or(0, |r| r.operators_ready))
        }));
        while out.operators_left() > 0 && !self.turn.is_empty() {
            for (tenant, left) in &mut self.turn {
                if out.grant(*tenant, 1) == 1 {
                    *left -= 1;
                    self.last = Some(*tenant);
                }
            }
            self.turn.retain(|(_, left)| *left > 0);
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
