//! What a policy decided that cannot be done. It is refused and counted, and the run goes on without it.

use std::fmt;

use crate::service::Pick;
use crate::tensor::TenantId;

/// One decision that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFault {
    /// Operators were granted to a tenant that is not there.
    UnknownTenant(TenantId),
    /// More operators were granted than are ready.
    NotReady {
        /// To whom.
        tenant: TenantId,
        /// How many were granted.
        granted: u32,
        /// How many there were.
        ready: u32,
    },
    /// Nothing was granted although operators are ready, nothing runs, and nothing else will happen.
    Stalled,
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyFault::UnknownTenant(tenant) => write!(f, "it granted operators to {tenant}, which is not loaded"),
            PolicyFault::NotReady { tenant, granted, ready } => {
                write!(f, "it granted {granted} operators to {tenant}, which has {ready} ready")
            }
            PolicyFault::Stalled => {
                write!(f, "it granted nothing although operators are ready, nothing runs and nothing else will happen")
            }
        }
    }
}

/// The faults of a policy so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Option<PolicyFault>,
}

impl Faults {
    /// Compares a grant with what became of it: so many operators, or no such tenant.
    pub(super) fn granted(&mut self, pick: &Pick, done: Option<u32>) {
        match done {
            None => self.note(PolicyFault::UnknownTenant(pick.tenant)),
            Some(ready) if ready < pick.operators => {
                self.note(PolicyFault::NotReady { tenant: pick.tenant, granted: pick.operators, ready });
            }
            Some(_) => {}
        }
    }

    pub(super) fn stalled(&mut self) {
        self.note(PolicyFault::Stalled);
    }

    fn note(&mut self, fault: PolicyFault) {
        if self.count == 0 {
            tracing::warn!("the policy decided something that cannot be done: {fault}; later ones are counted");
        }
        self.count += 1;
        self.first.get_or_insert(fault);
    }
}
