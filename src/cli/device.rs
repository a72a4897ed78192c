//! The option that chooses a device, and what it names.

use clap::Args;

use super::error::CliError;
use crate::engine::device;
use crate::hal::{Device, WallClock};

/// The option that chooses a device.
#[derive(Args, Clone, Debug)]
pub struct DeviceArg {
    /// auto, wgpu, wgpu:PART of the adapter's name, sim:PROFILE-OR-FILE, reference or null; check, conformance and run also take `all`
    #[arg(long, short, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
}

impl DeviceArg {
    /// The device, without an engine.
    ///
    /// # Errors
    /// [`CliError::Input`] for a name that means nothing and for `all`, [`CliError::Unavailable`] for a device that is not
    /// there.
    pub fn open(&self) -> Result<Box<dyn Device>, CliError> {
        self.only_one()?;
        Ok(device::open(&self.device, WallClock::start())?)
    }

    /// True for `all`.
    pub fn is_all(&self) -> bool {
        self.device == "all"
    }

    /// The name of the device, or of every device for `all`.
    pub fn each(&self) -> Vec<String> {
        if self.is_all() { device::all_specs() } else { vec![self.device.clone()] }
    }

    /// Refuses `all`.
    ///
    /// # Errors
    /// [`CliError::Input`].
    pub fn only_one(&self) -> Result<(), CliError> {
        if self.is_all() {
            let what = "--device all: this command runs on one device; check, conformance and run take all";
            return Err(CliError::Input(what.into()));
        }
        Ok(())
    }
}
