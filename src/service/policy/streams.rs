//! Multi-stream: everything at once. Each tenant's operators go to a lane of its own as soon as they are ready, and the
//! device shares itself as it will: the best throughput that needs no thought, and no promise to anybody. With
//! priorities, the lanes of important tenants get free compute units first; running work is not evicted.

use super::Policy;
use super::ranked::ready;
use crate::service::{Decisions, Lanes, View};
use crate::tensor::Nanos;

/// See the module's comment.
#[derive(Debug)]
pub struct Streams {
    /// Lanes get the priorities of their tenants.
    pub prioritised: bool,
}

impl Policy for Streams {
    fn lanes(&self) -> Lanes {
        Lanes::PerTenant { prioritised: self.prioritised }
    }

    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        for at in view.ready.cycle_from(0) {
            let tenant = view.tenants[at].tenant;
            out.grant(tenant, ready(view, tenant));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::decide;
    use super::*;

    #[test]
    fn everybody_gets_everything() {
        let rows = [(0, 9, 4), (5, 3, 3), (1, 2, 0)];
        assert_eq!(decide(&mut Streams { prioritised: false }, 99, &rows), "0x4 1x3");
    }
}
