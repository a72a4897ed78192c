//! Device names of the command line: what they mean, and opening the device behind one.

use clap::Args;

use super::error::CliError;
use crate::hal::null::NullDevice;
use crate::hal::reference::ReferenceDevice;
use crate::hal::wgpu::{Found, WgpuDevice};
use crate::hal::{Device, Unavailable, WallClock, wgpu};

/// The option that chooses a device.
#[derive(Args, Clone, Debug)]
pub struct DeviceArg {
    /// auto, wgpu, wgpu:SUBSTRING of the adapter's name, reference, null; with several rows also `all`
    #[arg(long, short, value_name = "DEVICE")]
    pub device: Option<String>,
}

impl DeviceArg {
    /// The name, `auto` where none was given.
    pub fn spec(&self) -> &str {
        self.device.as_deref().unwrap_or("auto")
    }
}

/// A device, and what the user should know about the choice.
pub struct Opened {
    /// The device.
    pub device: Box<dyn Device>,
    /// Why it is not a better one, where `auto` had to settle.
    pub note: Option<String>,
}

impl Opened {
    /// Says on stderr what there is to know about the choice.
    pub fn tell(&self) {
        if let Some(note) = &self.note {
            super::complain(note);
        }
    }
}

/// What a device name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Spec {
    Auto,
    All,
    Wgpu(String),
    Reference,
    Null,
    /// A backend that this build does not have.
    Absent,
}

fn parse(spec: &str) -> Result<Spec, CliError> {
    let (backend, rest) = spec.split_once(':').unwrap_or((spec, ""));
    match (backend, rest) {
        ("auto", "") => Ok(Spec::Auto),
        ("all", "") => Ok(Spec::All),
        ("wgpu", name) => Ok(Spec::Wgpu(name.into())),
        ("reference", "") => Ok(Spec::Reference),
        ("null", "") => Ok(Spec::Null),
        ("cuda", _) => Ok(Spec::Absent),
        ("sim", profile) if !profile.is_empty() => Ok(Spec::Absent),
        _ => Err(CliError::Input(format!(
            "--device {spec:?}: allowed is auto, all, wgpu, wgpu:SUBSTRING of an adapter's name, reference or null (`cotenant devices` lists what is there)"
        ))),
    }
}

/// Opens the one device that `spec` names.
///
/// # Errors
/// [`CliError::Input`] for a name that means nothing and for `all`, [`CliError::Unavailable`] for a device that is not there.
pub fn open(spec: &str) -> Result<Opened, CliError> {
    match parse(spec)? {
        Spec::Auto => Ok(best()),
        Spec::All => Err(CliError::Input(
            "--device all: this command runs on one device; allowed with check, conformance and run".into(),
        )),
        Spec::Wgpu(name) => Ok(plain(Box::new(open_wgpu(&wgpu::choose(&name)?)?))),
        Spec::Reference => Ok(plain(reference())),
        Spec::Null => Ok(plain(Box::new(NullDevice::open(WallClock::start())))),
        Spec::Absent => Err(Unavailable {
            spec: spec.into(),
            reason: "this build has no such backend".into(),
            remedy: "choose wgpu, reference or null (`cotenant devices` lists what is there)".into(),
        }
        .into()),
    }
}

/// Opens what `spec` names: one device, or for `all` every wgpu adapter and the reference.
///
/// # Errors
/// As [`open`].
pub fn open_each(spec: &str) -> Result<Vec<Opened>, CliError> {
    if parse(spec)? != Spec::All {
        return Ok(vec![open(spec)?]);
    }
    let mut devices = Vec::new();
    for found in wgpu::find() {
        devices.push(plain(Box::new(open_wgpu(&found)?)));
    }
    devices.push(plain(reference()));
    Ok(devices)
}

/// The best device of this machine: a GPU, else a software one, else the CPU.
fn best() -> Opened {
    let mut reason = String::from("no Vulkan, Metal or DX12 adapter was found");
    for found in wgpu::find() {
        match open_wgpu(&found) {
            Ok(device) => return plain(Box::new(device)),
            Err(e) => reason = e.to_string(),
        }
    }
    let note = format!(
        "running on the CPU, operator by operator: {reason}. A software GPU is enough (Debian: apt-get install mesa-vulkan-drivers libvulkan1)"
    );
    Opened { device: reference(), note: Some(note) }
}

fn plain(device: Box<dyn Device>) -> Opened {
    Opened { device, note: None }
}

fn reference() -> Box<dyn Device> {
    Box::new(ReferenceDevice::open(WallClock::start()))
}

fn open_wgpu(found: &Found) -> Result<WgpuDevice, Unavailable> {
    WgpuDevice::open(found, WallClock::start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(spec: &str) -> u8 {
        open(spec).map_or_else(|e| e.status(), |_| 0)
    }

    #[test]
    fn names_that_mean_nothing_are_bad_usage_and_absent_backends_are_unavailable() {
        for bad in ["", "gpu", "reference:1", "sim:", "null:", "auto:x", "all"] {
            assert_eq!(status(bad), 2, "{bad:?}");
        }
        for absent in ["cuda", "cuda:0", "cuda:mig:MIG-1", "sim:a100-80gb", "wgpu:no such adapter"] {
            assert_eq!(status(absent), 3, "{absent:?}");
        }
        assert_eq!((status("reference"), status("null"), status("auto")), (0, 0, 0));
    }
}
