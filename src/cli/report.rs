//! What a command answers: one JSON document or tables, and whether its requirement was met.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::hal::DeviceCaps;
use crate::timeline::DeviceInfo;

/// The answer of a command.
pub trait Report {
    /// The document that `--json` prints.
    ///
    /// # Errors
    /// Where a value cannot be written as JSON.
    fn json(&self) -> serde_json::Result<String>;

    /// The tables for people.
    ///
    /// # Errors
    /// What `out` reports.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;

    /// What else goes to stderr: the first thing that is wrong with the input, where some of it was.
    fn complaint(&self) -> Option<String> {
        None
    }

    /// The exit status: 0, or 1 when it ran and a requirement failed, or 2 when some of the input was bad.
    fn status(&self) -> u8 {
        0
    }
}

/// Serialises a report that is itself the document.
pub fn to_json(report: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report)
}

/// The object that names a device in every document.
pub fn device_info(caps: &DeviceCaps) -> DeviceInfo {
    DeviceInfo { backend: caps.backend.into(), name: caps.name.clone(), driver: caps.driver.clone() }
}

/// A progress bar on stderr; nothing where stderr is no terminal.
pub fn progress(steps: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}
