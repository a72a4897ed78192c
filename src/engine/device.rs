//! Device names, as `--device` and scenario files give them, and what they open.

use crate::hal::null::NullDevice;
use crate::hal::reference::ReferenceDevice;
use crate::hal::wgpu::{self, WgpuDevice};
use crate::hal::{Device, Unavailable, WallClock};

/// What a device name may be, for help and errors.
pub const SPECS: &str = "auto, wgpu, wgpu:PART-OF-ADAPTER-NAME, reference, null (cuda… and sim:… are names of devices that this build lacks)";

/// Why a device cannot be opened.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// It is not there: exit status 3.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Nothing has this name: bad usage.
    #[error("device: found {found:?}, allowed is {SPECS}")]
    Spec {
        /// What was given.
        found: String,
    },
}

/// Opens the device called `spec`, dating its completions on `clock`.
///
/// `auto` is the first hardware adapter, else the first software adapter, else the reference device: it always opens.
///
/// # Errors
/// [`OpenError`].
pub fn open(spec: &str, clock: WallClock) -> Result<Box<dyn Device>, OpenError> {
    let (kind, rest) = match spec.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (spec, None),
    };
    match (kind, rest) {
        ("auto", None) => Ok(best(clock)),
        ("wgpu", wanted) => Ok(Box::new(WgpuDevice::open(&wgpu::choose(wanted.unwrap_or(""))?, clock)?)),
        ("reference", None) => Ok(Box::new(ReferenceDevice::open(clock))),
        ("null", None) => Ok(Box::new(NullDevice::open(clock))),
        ("cuda", _) => Err(not_built(spec, "this build has no CUDA backend", "choose --device wgpu for the same GPU")),
        ("sim", Some(_)) => {
            Err(not_built(spec, "this build has no simulated devices", "choose --device auto, reference or null"))
        }
        _ => Err(OpenError::Spec { found: spec.into() }),
    }
}

/// The names of all devices of this machine that compute: what `all` stands for. Each opens with [`open`].
pub fn all_specs() -> Vec<String> {
    let adapters = wgpu::find();
    adapters.iter().map(|f| format!("wgpu:{}", f.name())).chain(["reference".into()]).collect()
}

/// Opens every device of [`all_specs`].
pub fn open_all(clock: WallClock) -> Vec<Result<Box<dyn Device>, OpenError>> {
    all_specs().iter().map(|spec| open(spec, clock)).collect()
}

fn best(clock: WallClock) -> Box<dyn Device> {
    for found in wgpu::find() {
        match WgpuDevice::open(&found, clock) {
            Ok(device) => return Box::new(device),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    tracing::warn!("no GPU was found, not even a software one: operators are computed one by one on the CPU");
    Box::new(ReferenceDevice::open(clock))
}

fn not_built(spec: &str, reason: &str, remedy: &str) -> OpenError {
    OpenError::Unavailable(Unavailable { spec: spec.into(), reason: reason.into(), remedy: remedy.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, expected: &str) {
        let message = open(spec, WallClock::start()).err().expect("it does not open").to_string();
        assert!(message.contains(expected), "{spec}: {message}");
    }

    #[test]
    fn what_is_not_there_says_what_to_choose_instead() {
        check("cuda", "no CUDA backend");
        check("cuda:mig:UUID", "choose --device wgpu");
        check("sim:a100-80gb", "no simulated devices");
        check("wgpu:no such adapter", "no such adapter");
        check("gpu", "allowed is auto, wgpu, wgpu:PART");
        check("null:1", "found \"null:1\"");
    }

    #[test]
    fn the_devices_without_hardware_always_open() {
        for spec in ["reference", "null", "auto"] {
            assert!(open(spec, WallClock::start()).is_ok(), "{spec}");
        }
    }
}
