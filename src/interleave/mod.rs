//! The operator interleaver: launches of several tenants become one schedule that uses the device better than running them one
//! after another or side by side.
//!
//! A [`Problem`] is what there is to do and on what [`Machine`]; a [`Schedule`] is an answer, a plain value that is
//! checked, printed, stored and replayed. A [`cost`] model says what a schedule takes, a [`search`] looks for a better one,
//! [`rewrite`] rules change one step by step. [`online`] composes single stages as requests come. Nothing here runs anything, but for the
//! cost model that measures.
//!
//! Deliberately not here: how a stage becomes a dispatch, which is the backend's, and merging of equal operators of
//! several tenants, which is done on graphs before there are launches.

mod baseline;
mod check;
pub mod cost;
mod lean;
mod machine;
pub mod online;
mod problem;
pub mod rewrite;
mod schedule;
pub mod search;
mod stored;
pub mod synthetic;
mod text;

pub use check::ScheduleError;
pub use machine::{ChainForm, Machine};
pub use problem::{KernelNumbers, KnownCosts, LaunchCost, LaunchInfo, Model, Problem, ProblemError};
pub use schedule::{Chain, Piece, Schedule, Stage};
pub use stored::{StoredError, StoredModel, StoredSchedule};
pub use text::ParseError;
