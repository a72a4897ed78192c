//! Views written as tables, for the policies' tests.

use super::Policy;
use crate::service::{Class, Decisions, ReadySet, RequestView, TenantView, View};
use crate::tensor::{Nanos, RequestId, TenantId};

/// One tenant: arrival in ms, operators left, operators ready.
pub(super) type Row = (u64, u32, u32);

/// A view's tenants; a tenant with no operators left has no request.
pub(super) fn tenants(rows: &[Row]) -> Vec<TenantView> {
    let tenant = |(id, &(arrival_ms, left, ready)): (u32, &Row)| TenantView {
        tenant: TenantId(id),
        class: Class::Latency,
        priority: 5,
        slo: Nanos::from_ms(100.0),
        queued: 0,
        used: Nanos(0),
        request: (left > 0).then_some(RequestView {
            request: RequestId(u64::from(id)),
            arrival: Nanos(arrival_ms * 1_000_000),
            deadline: Nanos((arrival_ms + 100) * 1_000_000),
            next_operator: 0,
            operators_left: left,
            operators_ready: ready,
            cost_left: None,
        }),
    };
    (0..).zip(rows).map(tenant).collect()
}

/// What `policy` decides, printed as `tenantxoperators …`.
pub(super) fn decide(policy: &mut dyn Policy, operators_max: u32, rows: &[Row]) -> String {
    decide_at(policy, 0.0, operators_max, rows)
}

/// The same at a moment, in milliseconds.
pub(super) fn decide_at(policy: &mut dyn Policy, at_ms: f64, operators_max: u32, rows: &[Row]) -> String {
    decided(policy, Nanos::from_ms(at_ms), operators_max, &tenants(rows))
}

/// The same for tenants that differ in more than a row says.
pub(super) fn decide_tenants(policy: &mut dyn Policy, operators_max: u32, tenants: &[TenantView]) -> String {
    decided(policy, Nanos(0), operators_max, tenants)
}

fn decided(policy: &mut dyn Policy, now: Nanos, operators_max: u32, tenants: &[TenantView]) -> String {
    let mut ready = ReadySet::default();
    tenants.iter().enumerate().for_each(|(at, t)| ready.set(at, t.ready().is_some()));
    let changed: Vec<TenantId> = tenants.iter().map(|t| t.tenant).collect();
    let mut out = Decisions::with_capacity(8);
    out.begin(operators_max);
    policy.decide(now, &View { tenants, ready: &ready, changed: &changed, operators_max }, &mut out);
    out.to_string()
}
