//! EDF: earliest deadline first (Liu and Layland 1973), the deadline being arrival plus the promised latency.
//! Best-effort tenants, who were promised nothing, come after all others in order of arrival.

use super::Policy;
use super::ranked::Ranked;
use crate::service::{Class, Decisions, View};
use crate::tensor::{Nanos, RequestId};

/// See the module's comment.
#[derive(Debug, Default)]
pub struct EarliestDeadline {
    waiting: Ranked<(Class, Nanos, RequestId)>,
}

impl Policy for EarliestDeadline {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        self.waiting.update(view, |t| {
            let r = t.ready()?;
            let due = if t.class == Class::Latency { r.deadline } else { r.arrival };
            Some((t.class, due, r.request))
        });
        self.waiting.serve(view, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{decide_tenants, tenants};
    use super::*;

    #[test]
    fn the_nearest_deadline_is_served_first() {
        let mut rows = tenants(&[(0, 2, 2), (30, 2, 2), (0, 2, 2)]);
        rows[1].request.as_mut().unwrap().deadline = Nanos::from_ms(50.0);
        rows[2].class = Class::BestEffort;
        assert_eq!(decide_tenants(&mut EarliestDeadline::default(), 5, &rows), "1x2 0x2 2x1");
    }
}
