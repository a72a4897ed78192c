//! Interleaved: shares of the device instead of turns. Grants are those of weighted fair queueing ([`super::WeightedFair`]), and what
//! is granted to several tenants in one submission runs in stages, at the same time, each tenant with its share of the compute units: the
//! survey's operator interleaving, decided as requests come.

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
