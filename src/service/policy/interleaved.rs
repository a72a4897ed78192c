//! Interleaved: shares of the device instead of turns. Grants are those of weighted fair queueing ([`super::WeightedFair`]), and what
//! is granted to several tenants in one submission runs in stages, at the same time, each tenant with its share of the compute units: the
//! survey's operator interleaving, decided as requests come. On devices without streams it is weighted fair queueing.

use super::{Policy, WeightedFair};
use crate::service::{Decisions, View};
use crate::tensor::Nanos;

/// See the module's comment.
#[derive(Debug, Default)]
pub struct Interleaved(WeightedFair);

impl Policy for Interleaved {
    fn interleaves(&self) -> bool {
        true
    }

    fn decide(&mut self, now: Nanos, view: &View, out: &mut Decisions) {
        self.0.decide(now, view, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::decide;
    use super::*;

    #[test]
    fn grants_are_those_of_weighted_fair_queueing() {
        let rows = [(2, 9, 9), (1, 9, 9), (0, 3, 0)];
        let granted = decide(&mut Interleaved::default(), 6, &rows);
        assert_eq!(granted, decide(&mut WeightedFair::default(), 6, &rows));
        assert!(Interleaved::default().interleaves() && !WeightedFair::default().interleaves());
    }
}
