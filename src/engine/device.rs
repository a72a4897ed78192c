//! Device names, as `--device` and scenario files give them, and what they open.

use crate::hal::null::NullDevice;
use crate::hal::reference::ReferenceDevice;
use crate::hal::sim::{Profile, ProfileError, SimDevice, SimOptions, VirtualClock};
use crate::hal::wgpu::{self, Found, WgpuDevice, WgpuFleet};
use crate::hal::{Device, Unavailable, WallClock};

/// What a device name may be, for help and errors.
pub const SPECS: &str = "auto, wgpu, wgpu:PART-OF-ADAPTER-NAME, sim:PROFILE-OR-FILE, reference, null (cuda… is a device that this build lacks)";

/// Why a device cannot be opened.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// It is not there: exit status 3.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The simulated device's profile cannot be used: bad input.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Nothing has this name: bad usage.
    #[error("device: found {found:?}, allowed is {SPECS}")]
    Spec {
        /// What was given.
        found: String,
    },
}

/// How a device is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// How a simulated device simulates.
    pub sim: SimOptions,
    /// Logical devices of a wgpu adapter at most, one at least. Tenants that have lanes of their own are spread over them, so
    /// that their work overlaps where one queue does not. Each takes memory and compiles its own kernels; they are opened
    /// when they are needed.
    pub logical_devices: usize,
}

impl Default for OpenOptions {
    /// One logical device; simulated devices compute results.
    fn default() -> OpenOptions {
        OpenOptions { sim: SimOptions { numerics: true }, logical_devices: 1 }
    }
}

/// Opens the device called `spec`, dating its completions on `clock` unless it is simulated and has its own. Simulated
/// devices compute results as all others do.
///
/// `auto` is the first hardware adapter, else a software adapter, else a simulated GPU: it always opens.
///
/// # Errors
/// [`OpenError`].
pub fn open(spec: &str, clock: WallClock) -> Result<Box<dyn Device>, OpenError> {
    open_as(spec, clock, OpenOptions::default())
}

/// Opens a device as [`open`] does, with `options`.
///
/// # Errors
/// [`OpenError`].
pub fn open_as(spec: &str, clock: WallClock, options: OpenOptions) -> Result<Box<dyn Device>, OpenError> {
    let (kind, rest) = match spec.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (spec, None),
    };
    match (kind, rest) {
        ("auto", None) => Ok(best(clock, options)?),
        ("wgpu", wanted) => Ok(open_found(&wgpu::choose(wanted.unwrap_or(""))?, clock, options)?),
        ("reference", None) => Ok(Box::new(ReferenceDevice::open(clock))),
        ("null", None) => Ok(Box::new(NullDevice::open(clock))),
        ("cuda", _) => Err(not_built(spec, "this build has no CUDA backend", "choose --device wgpu for the same GPU")),
        ("sim", Some(profile)) => Ok(Box::new(simulated(profile, options.sim)?)),
        _ => Err(OpenError::Spec { found: spec.into() }),
    }
}

/// Opens a device as [`open_as`] does whose first `lanes` lanes overlap, where that takes something.
///
/// # Errors
/// [`OpenError`].
pub fn open_lanes(spec: &str, clock: WallClock, sim: SimOptions, lanes: usize) -> Result<Box<dyn Device>, OpenError> {
    open_as(spec, clock, OpenOptions { sim, logical_devices: lanes })
}

/// Opens the simulated device with the profile called `profile`, or with that in the file `profile`. Its clock is virtual and
/// begins at zero.
///
/// # Errors
/// [`ProfileError`] naming the file and the field.
pub fn simulated(profile: &str, options: SimOptions) -> Result<SimDevice, ProfileError> {
    let is_file = profile.ends_with(".toml") || profile.contains(std::path::is_separator);
    let profile = if is_file { from_file(profile)? } else { Profile::find(profile)? };
    Ok(SimDevice::open(profile, VirtualClock::new(), options))
}

fn from_file(path: &str) -> Result<Profile, ProfileError> {
    let bad = |reason: String| ProfileError { file: path.into(), field: "file".into(), reason };
    let bytes = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?.len();
    if bytes > PROFILE_BYTES_MAX {
        return Err(bad(format!("{bytes} bytes, allowed is at most {PROFILE_BYTES_MAX}")));
    }
    Profile::parse(path, &std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?)
}

/// Largest profile file that is read, in bytes.
const PROFILE_BYTES_MAX: u64 = 64 << 20;

/// The names of all devices of this machine that compute: what `all` stands for. Each opens with [`open`].
pub fn all_specs() -> Vec<String> {
    let adapters = wgpu::find();
    adapters.iter().map(|f| format!("wgpu:{}", f.name())).chain(["reference".into()]).collect()
}

/// Opens every device of [`all_specs`].
pub fn open_all(clock: WallClock) -> Vec<Result<Box<dyn Device>, OpenError>> {
    all_specs().iter().map(|spec| open(spec, clock)).collect()
}

/// The profile that `auto` takes where there is no GPU.
const AUTO_PROFILE: &str = "a100-80gb";

fn open_found(found: &Found, clock: WallClock, options: OpenOptions) -> Result<Box<dyn Device>, Unavailable> {
    match options.logical_devices {
        0 | 1 => Ok(Box::new(WgpuDevice::open(found, clock)?)),
        members => Ok(Box::new(WgpuFleet::open(found, members, clock)?)),
    }
}

fn best(clock: WallClock, options: OpenOptions) -> Result<Box<dyn Device>, OpenError> {
    let mut adapters = wgpu::find();
    // Of the software adapters, lavapipe computes two to three times as fast as SwiftShader.
    adapters.sort_by_key(|f| f.is_software() && !f.answers_to("lavapipe"));
    for found in adapters {
        match open_found(&found, clock, options) {
            Ok(device) => return Ok(device),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    tracing::warn!("no GPU was found, not even a software one: a simulated one is used, sim:{AUTO_PROFILE}");
    Ok(Box::new(simulated(AUTO_PROFILE, options.sim)?))
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
        check("sim:a100", "h100-sxm");
        check("sim:/nowhere/a.toml", "/nowhere/a.toml");
        check("wgpu:no such adapter", "no such adapter");
        check("gpu", "allowed is auto, wgpu, wgpu:PART");
        check("null:1", "found \"null:1\"");
    }

    #[test]
    fn the_devices_without_hardware_always_open() {
        for spec in ["reference", "null", "auto", "sim:a100-80gb", "sim:planaria"] {
            assert!(open(spec, WallClock::start()).is_ok(), "{spec}");
        }
    }
}
