//! What a policy sees and what it answers: plain values, prepared by the engine, with room that is taken once.

use std::fmt;

use crate::tensor::{Nanos, RequestId, TenantId};

/// What a tenant was promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// Its latency matters.
    #[default]
    Latency,
    /// It takes what is left.
    BestEffort,
}

impl Class {
    /// The name in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Class::Latency => "latency",
            Class::BestEffort => "best-effort",
        }
    }
}

/// The state of all tenants at one moment, and how much may be decided now.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The tenants in order of their ids.
    pub tenants: &'a [TenantView],
    /// Operators that this decision may hand out in all; the engine sizes it so that a submission stays short.
    pub operators_max: u32,
}

/// One tenant as a policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantView {
    /// Who.
    pub tenant: TenantId,
    /// What it was promised.
    pub class: Class,
    /// Larger is more important.
    pub priority: u32,
    /// Latency that was promised.
    pub slo: Nanos,
    /// Requests that wait behind [`TenantView::request`].
    pub queued: u32,
    /// The request that is being served, or that would be next; requests of a tenant run one at a time.
    pub request: Option<RequestView>,
}

/// The request of a tenant that operators can be granted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// Which request.
    pub request: RequestId,
    /// When it arrived (was due, in an open loop).
    pub arrival: Nanos,
    /// Arrival plus the promised latency.
    pub deadline: Nanos,
    /// The first operator that was not submitted yet; zero for a request that has not begun.
    pub next_operator: u32,
    /// Operators that were not submitted yet.
    pub operators_left: u32,
    /// How many of them could be submitted now; zero while the request waits for the CPU.
    pub operators_ready: u32,
    /// Device time of the operators left, where it is known from earlier requests.
    pub cost_left: Option<Nanos>,
}

/// Some operators of one tenant's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Whose.
    pub tenant: TenantId,
    /// How many, beginning with the request's next one.
    pub operators: u32,
}

/// An ordered list of picks. [`Decisions::grant`] keeps it within what the view allows.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    picks: Vec<Pick>,
    left: u32,
}

impl Decisions {
    /// Room for `picks` decisions.
    pub fn with_capacity(picks: usize) -> Decisions {
        Decisions { picks: Vec::with_capacity(picks), left: 0 }
    }

    /// Empties the list for a new decision of at most `operators_max` operators.
    pub fn begin(&mut self, operators_max: u32) {
        self.picks.clear();
        self.left = operators_max;
    }

    /// Appends up to `operators` operators of `tenant`; answers how many there was room for.
    pub fn grant(&mut self, tenant: TenantId, operators: u32) -> u32 {
        let granted = operators.min(self.left);
        self.left -= granted;
        match self.picks.last_mut() {
            _ if granted == 0 => {}
            Some(last) if last.tenant == tenant => last.operators += granted,
            _ => self.picks.push(Pick { tenant, operators: granted }),
        }
        granted
    }

    /// Operators that can still be granted.
    pub fn operators_left(&self) -> u32 {
        self.left
    }

    /// The picks in order.
    pub fn picks(&self) -> &[Pick] {
        &self.picks
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pick) in self.picks.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{}x{}", pick.tenant.0, pick.operators)?;
        }
        Ok(())
    }
}
