//! The service level: who arrives when, and who is served next.

pub mod arrival;
