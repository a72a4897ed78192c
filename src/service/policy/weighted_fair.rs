//! Weighted fair queueing by virtual time (start-time fair queueing, Goyal, Vin and Cheng 1996): tenants get device time in
//! proportion to their priorities, whatever their operators cost. A tenant's virtual time is the device time that it used
//! over its weight; the smallest is served next, one operator at a time. Who was idle begins at the present virtual time,
//! so that idleness saves nothing up.

use super::Policy;
use super::ranked::Ranked;
use crate::service::{Decisions, TenantView, View};
use crate::tensor::{Nanos, TenantId};

/// Virtual nanoseconds per nanosecond at weight one; keeps fractions of large weights.
const SCALE: u128 = 1 << 16;

/// See the module's comment.
#[derive(Debug, Default)]
pub struct WeightedFair {
    waiting: Ranked<u128>,
    flows: Vec<Flow>,
    /// Virtual time of the tenant that was served last.
    now: u128,
    /// Tenants of this decision: operators granted.
    granted: Vec<(TenantId, u32)>,
}

/// One tenant, by its id.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// What is added to the tenant's own virtual time.
    offset: u128,
    backlogged: bool,
}

/// A tenant's weight: its priority, at least one.
fn weight(tenant: &TenantView) -> u128 {
    u128::from(tenant.priority.max(1))
}

impl WeightedFair {
    /// The virtual time of a tenant, moved to the present where it was idle.
    fn tag(&mut self, tenant: &TenantView) -> u128 {
        let id = tenant.tenant.0 as usize;
        if id >= self.flows.len() {
            self.flows.resize(id + 1, Flow::default());
        }
        let flow = &mut self.flows[id];
        let own = u128::from(tenant.used.0) * SCALE / weight(tenant);
        if !flow.backlogged && tenant.request.is_some() {
            flow.offset = flow.offset.max(self.now.saturating_sub(own));
        }
        flow.backlogged = tenant.request.is_some();
        flow.offset + own
    }
}

impl Policy for WeightedFair {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        for &id in view.changed {
            let tenant = view.tenant(id);
            let tag = tenant.map(|t| self.tag(t));
            self.waiting.set(id, tag.filter(|_| tenant.is_some_and(|t| t.ready().is_some())));
        }
        self.granted.clear();
        while out.operators_left() > 0
            && let Some((tag, id)) = self.waiting.pop()
        {
            let Some((tenant, request)) = view.tenant(id).and_then(|t| Some((t, t.ready()?))) else { continue };
            self.now = tag;
            out.grant(id, 1);
            let at = self.granted.iter().position(|(t, _)| *t == id).unwrap_or_else(|| {
                self.granted.push((id, 0));
                self.granted.len() - 1
            });
            self.granted[at].1 += 1;
            if self.granted[at].1 < request.operators_ready {
                let cost = u128::from(request.operator_cost().0) * SCALE / weight(tenant);
                self.waiting.set(id, Some(tag + cost));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{decide_tenants, tenants};
    use super::*;

    #[test]
    fn time_is_shared_by_weight() {
        let mut rows = tenants(&[(0, 9, 9), (0, 9, 9)]);
        rows[0].priority = 1;
        rows[1].priority = 3;
        for row in &mut rows {
            row.request.as_mut().unwrap().cost_left = Some(Nanos(9_000));
        }
        let decided = decide_tenants(&mut WeightedFair::default(), 8, &rows);
        let of = |id: &str| -> u32 {
            decided
                .split(' ')
                .filter_map(|p| p.split_once('x'))
                .filter(|p| p.0 == id)
                .map(|p| p.1.parse::<u32>().unwrap())
                .sum()
        };
        assert_eq!((of("0"), of("1")), (2, 6), "{decided}");
    }

    #[test]
    fn dear_operators_count_for_what_they_cost() {
        let policy = &mut WeightedFair::default();
        let mut rows = tenants(&[(0, 9, 9), (0, 9, 9)]);
        assert_eq!(decide_tenants(policy, 1, &rows), "0x1");
        rows[0].used = Nanos(1_000_000);
        assert_eq!(decide_tenants(policy, 4, &rows), "1x4");
    }

    #[test]
    fn idleness_saves_nothing_up() {
        let policy = &mut WeightedFair::default();
        let mut rows = tenants(&[(0, 9, 9), (0, 0, 0)]);
        rows[0].used = Nanos(1_000_000_000);
        assert_eq!(decide_tenants(policy, 1, &rows), "0x1");
        rows = tenants(&[(0, 8, 8), (9, 9, 9)]);
        rows[0].used = Nanos(1_000_000_000);
        for row in &mut rows {
            row.request.as_mut().unwrap().cost_left = Some(Nanos(9_000_000));
        }
        let decided = decide_tenants(policy, 4, &rows);
        assert!(decided.contains("0x") && decided.contains("1x"), "{decided}");
    }
}
