//! Joins all layers: tenants, the event loop, scenarios.

pub mod scenario;
