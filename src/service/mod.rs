//! The service level: who arrives when, and who is served next.
//!
//! A policy sees a [`View`] and answers with [`Decisions`]. It never touches a device or a wall clock, so the same code
//! schedules a real device in real time and a simulated one in virtual time.

pub mod arrival;
pub mod policy;
mod ready;
mod view;

pub use ready::ReadySet;
pub use view::{Class, Decisions, Lanes, Pick, RequestView, TenantView, View};
