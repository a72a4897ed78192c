//! Tests as values, and what runs them on a backend. No case names a backend: it says which capabilities it needs, and a
//! device without them is told so. A backend may be known to fail a case; then it must fail, so that the note goes when
//! the fault does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use cotenant::hal::{Clock, Device, DeviceCaps};
use cotenant::timeline::ClockKind;

/// After this time a case hangs. Far beyond what any case takes: it tells a hang from slowness, and measures nothing.
const HANG: Duration = Duration::from_secs(600);

/// One sentence of the contract.
#[derive(Clone, Copy)]
pub struct Case {
    /// What must be true.
    pub name: &'static str,
    /// What the device must be able to do for it to have a meaning.
    pub needs: &'static [Need],
    /// Panics where it is not so. The device was opened for this case; it is dropped afterwards, with whatever the case
    /// left under way.
    pub check: fn(&mut dyn Device),
}

/// A capability that a case rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Submitted work has results.
    Results,
    /// Launches run kernels, tile by tile.
    Kernels,
    /// Operators run through their CPU functions.
    HostFunctions,
    /// Completions say when slices ran.
    Timestamps,
    /// Time passes by itself.
    WallClock,
}

impl Need {
    /// Why a device with these capabilities does not have it.
    fn lacking(self, caps: &DeviceCaps, clock: &dyn Clock) -> Option<&'static str> {
        let (has, reason) = match self {
            Need::Results => (caps.computes(), "the device computes nothing"),
            Need::Kernels => (caps.runs_kernels(), "the device runs no kernels"),
            Need::HostFunctions => (caps.computes() && !caps.runs_kernels(), "no CPU function runs on the device"),
            Need::Timestamps => (caps.timestamps, "the device has no timestamps"),
            Need::WallClock => (clock.kind() == ClockKind::Wall, "the device's time is virtual"),
        };
        (!has).then_some(reason)
    }
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is so.
    Passed,
    /// It is not, and why.
    Failed(String),
    /// It means nothing on this device, and why.
    Skipped(&'static str),
}

/// Opens a device afresh.
pub type Factory<'a> = &'a dyn Fn() -> Box<dyn Device>;

/// Runs one case on a device of its own.
pub fn run(case: Case, open: Factory) -> Outcome {
    let device = open();
    let lacking = |need: &Need| need.lacking(device.caps(), &*device.clock());
    if let Some(reason) = case.needs.iter().find_map(lacking) {
        return Outcome::Skipped(reason);
    }
    let (tell, told) = sync_channel(1);
    // Its own thread, because a device may be sent to one, and so that a hang is seen.
    let run = move || {
        let mut device = device;
        let ended = catch_unwind(AssertUnwindSafe(|| (case.check)(device.as_mut())));
        drop(device);
        let _ = tell.send(ended.map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").to_string()
        }));
    };
    std::thread::Builder::new().name(case.name.into()).spawn(run).expect("a thread starts");
    match told.recv_timeout(HANG) {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(RecvTimeoutError::Timeout) => Outcome::Failed(format!("it hangs: no end after {HANG:?}")),
        Err(RecvTimeoutError::Disconnected) => Outcome::Failed("dropping the device panicked".into()),
    }
}

/// What is wrong with a backend: cases that fail, and cases that pass though `known` says that they fail (case, why).
pub fn objections(name: &str, open: Factory, cases: &[Case], known: &[(&str, &str)]) -> Vec<String> {
    let mut objections = Vec::new();
    for (case, _) in known {
        if !cases.iter().any(|c| c.name == *case) {
            objections.push(format!("{case:?}, known to fail, is no case"));
        }
    }
    for case in cases {
        let why = known.iter().find(|(name, _)| *name == case.name).map(|(_, why)| why);
        match (run(*case, open), why) {
            (Outcome::Passed, None) => println!("{name}: {}: passed", case.name),
            (Outcome::Skipped(reason), None) => println!("{name}: {}: does not apply: {reason}", case.name),
            (Outcome::Failed(error), None) => objections.push(format!("{}: {error}", case.name)),
            (Outcome::Failed(error), Some(why)) => println!("{name}: {}: fails as known ({why}): {error}", case.name),
            (_, Some(why)) => objections.push(format!("{}: known to fail ({why}), and does not", case.name)),
        }
    }
    objections
}
