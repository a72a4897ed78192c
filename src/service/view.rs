//! What a policy sees and what it answers: plain values, prepared by the engine, with room that is taken once.

use std::fmt;

use super::ReadySet;
use crate::tensor::{Nanos, RequestId, TenantId};

/// What a tenant was promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
///
/// A policy that keeps an order of its own looks only at [`View::changed`], so that a decision costs what changed and
/// not how many tenants there are.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The tenants in order of their ids.
    pub tenants: &'a [TenantView],
    /// Positions in `tenants` of those with [`RequestView::operators_ready`] above zero.
    pub ready: &'a ReadySet,
    /// Tenants that are not as the policy last saw them, each once: those that it granted operators to as well. One that
    /// left is listed and is not in `tenants`.
    pub changed: &'a [TenantId],
    /// Operators that this decision may hand out in all; the engine sizes it so that a submission stays short.
    pub operators_max: u32,
}

impl View<'_> {
    /// The position of a tenant in [`View::tenants`].
    pub fn position(&self, tenant: TenantId) -> Option<usize> {
        self.tenants.binary_search_by_key(&tenant, |t| t.tenant).ok()
    }

    /// One tenant.
    pub fn tenant(&self, tenant: TenantId) -> Option<&TenantView> {
        self.position(tenant).map(|at| &self.tenants[at])
    }
}

/// Where a policy's grants run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lanes {
    /// One after the other in one lane, in the order of the grants.
    #[default]
    One,
    /// Each tenant in a lane of its own, at the same time as far as the device can. On a device with one lane they
    /// follow each other there.
    PerTenant {
        /// Lanes get the priorities of their tenants.
        prioritised: bool,
    },
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
    /// Device time that its operators took so far; those under way count with their estimate.
    pub used: Nanos,
    /// The request that is being served, or that would be next; requests of a tenant run one at a time. None while the
    /// tenant is paused.
    pub request: Option<RequestView>,
}

impl TenantView {
    /// Its request, if operators of it could be submitted now.
    pub fn ready(&self) -> Option<&RequestView> {
        self.request.as_ref().filter(|r| r.operators_ready > 0)
    }
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
    /// How many of them could be submitted now; zero while the request waits for the CPU or while its own lane is full.
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

impl RequestView {
    /// An even part of [`RequestView::cost_left`] for one operator; one nanosecond where it is not known.
    pub fn operator_cost(&self) -> Nanos {
        let left = u64::from(self.operators_left.max(1));
        Nanos(self.cost_left.map_or(1, |cost| (cost.0 / left).max(1)))
    }
}

/// An ordered list of picks. [`Decisions::grant`] keeps it within what the view allows.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    picks: Vec<Pick>,
    left: u32,
    wake: Option<Nanos>,
}

impl Decisions {
    /// Room for `picks` decisions.
    pub fn with_capacity(picks: usize) -> Decisions {
        Decisions { picks: Vec::with_capacity(picks), left: 0, wake: None }
    }

    /// Empties the list for a new decision of at most `operators_max` operators.
    pub fn begin(&mut self, operators_max: u32) {
        self.picks.clear();
        self.left = operators_max;
        self.wake = None;
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

    /// Asks to be called at `at` if nothing happens before; the earliest moment counts.
    pub fn wake_at(&mut self, at: Nanos) {
        self.wake = Some(self.wake.map_or(at, |before| before.min(at)));
    }

    /// When the policy wants to be called at the latest.
    pub fn wake(&self) -> Option<Nanos> {
        self.wake
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
