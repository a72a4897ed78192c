//! FIFO: first in, first out. Requests in order of arrival, whole; while one waits for the CPU, later ones go by.

use super::Policy;
use super::ranked::Ranked;
use crate::service::{Decisions, View};
use crate::tensor::{Nanos, RequestId};

/// See the module's comment.
#[derive(Debug, Default)]
pub struct Fifo {
    waiting: Ranked<(Nanos, RequestId)>,
}

impl Policy for Fifo {
    fn decide(&mut self, _now: Nanos, view: &View, out: &mut Decisions) {
        self.waiting.update(view, |t| t.ready().map(|r| (r.arrival, r.request)));
        self.waiting.serve(view, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::decide;
    use super::*;

    #[test]
    fn the_first_to_arrive_is_served_first() {
        let policy = &mut Fifo::default();
        assert_eq!(decide(policy, 4, &[(2, 3, 3), (1, 6, 6)]), "1x4");
        assert_eq!(decide(policy, 4, &[(2, 3, 3), (1, 2, 2)]), "1x2 0x2");
    }

    #[test]
    fn a_request_that_waits_for_the_cpu_lets_others_by() {
        let policy = &mut Fifo::default();
        assert_eq!(decide(policy, 9, &[(1, 5, 2), (2, 4, 4)]), "0x2 1x4");
        assert_eq!(decide(policy, 9, &[(1, 3, 0), (2, 4, 4)]), "1x4");
    }

    #[test]
    fn who_comes_back_is_served_again() {
        let policy = &mut Fifo::default();
        assert_eq!(decide(policy, 9, &[(1, 5, 5), (0, 0, 0)]), "0x5");
        assert_eq!(decide(policy, 9, &[(0, 0, 0), (2, 4, 4)]), "1x4");
        assert_eq!(decide(policy, 9, &[(3, 2, 2), (4, 1, 1)]), "0x2 1x1");
    }
}
