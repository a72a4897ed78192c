//! `cotenant-app`: the window in which one sees which tenant had the device when, live or from a trace file.
//!
//! It uses the library's public API only. Per frame the window takes the news of its job ([`work`]), draws the panels
//! ([`panels`], [`timeline`]) from a [`trace::Trace`], collects their [`command::Command`]s and carries them out in one
//! place ([`app`]). Nothing blocks a frame: files are read and engines run on threads of their own.
//!
//! [`trace`] and most of [`timeline`] know no drawing, so they are tested without it; the rest is tested through a window
//! without a screen, by the accessible names of its controls.

#![warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

pub mod app;
pub mod command;
pub mod format;
pub mod panels;
pub mod theme;
pub mod timeline;
pub mod trace;
pub mod trouble;
pub mod window;
pub mod work;
