//! A submission being made: operators that were granted, with what must go up before and come back after. Their stages are made
//! when it is complete (`compose.rs`).

use std::ops::Range;
use std::sync::Arc;

use super::compose::Measured;
use crate::engine::cpu_nodes::HostRun;
use crate::engine::loaded::{Current, Loaded, Step};
use crate::engine::request::Request;
use crate::engine::trace::Launched;
use crate::hal::{Region, Submission};
use crate::tensor::{Nanos, RequestId, TenantId};

/// An operator in a submission.
#[derive(Clone, Copy)]
pub(super) struct Submitted {
    pub(super) tenant: TenantId,
    pub(super) request: RequestId,
    pub(super) operator: u32,
    /// What it was expected to take when it was submitted.
    pub(super) estimated_ns: f64,
}

/// What becomes of some reads of a submission.
pub(super) struct Part {
    pub(super) tenant: TenantId,
    pub(super) reads: Range<usize>,
    pub(super) then: Then,
}

pub(super) enum Then {
    /// They are the outputs of this request.
    Answer(Request),
    /// The CPU goes on with this request.
    Compute(RequestId, Arc<HostRun>),
}

/// See the module's comment.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) submission: Submission,
    pub(super) parts: Vec<Part>,
    pub(super) operators: Vec<Submitted>,
    /// The requests of a round that its stages are of, each once; these stages are in `submission` already.
    pub(super) round: Vec<Submitted>,
    /// Only where a timeline is recorded.
    pub(super) launched: Vec<Launched>,
    /// What is to be learned from.
    pub(super) measured: Vec<Measured>,
}

impl Draft {
    pub(super) fn is_empty(&self) -> bool {
        self.operators.is_empty() && self.parts.is_empty() && self.round.is_empty()
    }

    /// Begins the current request of a tenant: its inputs go up.
    pub(super) fn begin(&mut self, tenant: &mut Loaded, now: Nanos) {
        if let Some(current) = &mut tenant.current {
            current.request.started.get_or_insert(now);
            self.submission.uploads.append(&mut Arc::unwrap_or_clone(std::mem::take(&mut current.request.uploads)));
        }
    }

    /// All operators of a tenant's request are in it, by a schedule.
    pub(super) fn end_round(&mut self, tenant: &mut Loaded) {
        let operators = tenant.plan.operators();
        if let Some(current) = &mut tenant.current {
            current.next = operators;
        }
        self.end(tenant);
    }

    /// Adds up to `operators` of a tenant's current request, and its reads where it ends or goes on on the CPU. Answers
    /// how many were added.
    pub(super) fn add(&mut self, tenant: &mut Loaded, operators: u32, now: Nanos) -> u32 {
        let id = tenant.shared.id;
        if tenant.current.as_ref().is_none_or(|c| c.on_cpu) {
            return 0;
        }
        self.begin(tenant, now);
        let Some(current) = &mut tenant.current else { return 0 };
        let request = current.request.id;
        for added in 0..operators {
            match tenant.plan.steps.get(current.next as usize) {
                None | Some(Step::WithinHost) => {
                    self.end(tenant);
                    return added;
                }
                Some(Step::Host(run)) => {
                    let reads = self.read(run.regions.iter().copied());
                    self.parts.push(Part { tenant: id, reads, then: Then::Compute(request, run.clone()) });
                    current.on_cpu = true;
                    return added + 1;
                }
                Some(Step::Launches(_)) => {
                    let estimated_ns = tenant.costs.operator_ns(current.next);
                    self.operators.push(Submitted { tenant: id, request, operator: current.next, estimated_ns });
                    current.submitted_ns += estimated_ns;
                    tenant.used_ns += estimated_ns;
                    current.next += 1;
                }
            }
        }
        self.end(tenant);
        operators
    }

    /// Reads the outputs of a tenant's request, if no operator is left of it.
    fn end(&mut self, tenant: &mut Loaded) {
        if tenant.is_computed()
            && let Some(Current { request, .. }) = tenant.current.take()
        {
            let reads = self.read(tenant.shared.output_regions());
            self.parts.push(Part { tenant: tenant.shared.id, reads, then: Then::Answer(request) });
        }
    }

    fn read(&mut self, regions: impl Iterator<Item = Region>) -> Range<usize> {
        let first = self.submission.reads.len();
        self.submission.reads.extend(regions);
        first..self.submission.reads.len()
    }
}
