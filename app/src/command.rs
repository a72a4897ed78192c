//! What panels ask for. They read a snapshot and push commands; [`crate::app::App`] carries them out after the frame's
//! panels were drawn, in one place.

use std::path::PathBuf;

use crate::trace::BarRef;

/// A wish of whoever sits at the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Open a trace file.
    Open(PathBuf),
    /// Run the built-in tenants.
    RunDemo,
    /// Let no further request of the run come.
    Stop,
    /// Go back to the start screen; a run ends.
    Close,
    /// Forget what went wrong.
    Dismiss,
    /// Select a bar, or nothing.
    Select(Option<BarRef>),
    /// Look at one tenant, or at all.
    Highlight(Option<usize>),
    /// Show all of the time.
    Fit,
    /// Show so many times as much time.
    Zoom(f64),
    /// Keep the end of a run in view, or not.
    Follow(bool),
}
