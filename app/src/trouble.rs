//! What went wrong, for the window: where, what was found, and what to do about it.

use cotenant::engine::device::OpenError;
use cotenant::engine::run::RunError;
use cotenant::engine::{LoadError, StartError};
use cotenant::timeline::perfetto::{FORMAT, TraceError, VERSION};

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was tried.
    pub title: String,
    /// The place and what was found there.
    pub what: String,
    /// What helps.
    pub remedy: String,
}

impl Trouble {
    /// A trace that cannot be opened.
    pub fn opening(error: &TraceError) -> Trouble {
        let write_again = "Write it again with `cotenant demo --trace FILE` or `cotenant run SCENARIO --trace FILE`.";
        let remedy = match error {
            TraceError::Io { .. } => "Check that the file is there and that you may read it.".into(),
            TraceError::TooLarge { .. } => {
                "Record a shorter run; `duration_s` of the scenario or `--seconds` of the demo sets its length.".into()
            }
            TraceError::Json { .. } => format!("The file is damaged, cut off, or no trace. {write_again}"),
            TraceError::Foreign { .. } => format!(
                "This window opens traces of Cotenant (format {FORMAT}, up to version {VERSION}). Traces of other programs \
                 open at ui.perfetto.dev. {write_again}"
            ),
            TraceError::Event { .. } => format!("The file was changed after it was written. {write_again}"),
        };
        Trouble { title: "This trace cannot be opened".into(), what: error.to_string(), remedy }
    }

    /// A run that ended before its time.
    pub fn running(error: &RunError) -> Trouble {
        let remedy = match error {
            RunError::Start(StartError::Device(OpenError::Unavailable(_))) => {
                "Install a driver; a software GPU is enough (Debian: apt-get install mesa-vulkan-drivers libvulkan1)."
            }
            RunError::Start(_) => "`cotenant devices` lists what this machine has.",
            RunError::Load(LoadError::Model { .. } | LoadError::Device { .. }) => {
                "The model does not fit this device; `cotenant inspect MODEL` shows what it needs."
            }
            RunError::Scenario { .. } => "Correct the scenario there and run again.",
            RunError::EngineGone(_) | RunError::Infer(_) => {
                "The device may have been lost: run again, and `cotenant devices` shows whether it is still there."
            }
            _ => "Run `cotenant demo` in a terminal; it shows the log.",
        };
        Trouble { title: "The run has ended".into(), what: error.to_string(), remedy: remedy.into() }
    }

    /// The system gave no thread for something.
    pub fn no_thread(error: &std::io::Error) -> Trouble {
        Trouble {
            title: "The system gives no thread".into(),
            what: error.to_string(),
            remedy: "Close other programs and try again.".into(),
        }
    }

    /// A thread of ours ended without an answer.
    pub fn internal(what: &str) -> Trouble {
        Trouble {
            title: "Internal error".into(),
            what: what.into(),
            remedy: "Please report it, with the file or the device that it happened with.".into(),
        }
    }
}
