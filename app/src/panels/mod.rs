//! The panels, one file each. A panel reads a snapshot, keeps its own view state at most, and pushes commands.

pub mod detail;
pub mod start;
pub mod tenants;
pub mod toolbar;
pub mod trouble;
