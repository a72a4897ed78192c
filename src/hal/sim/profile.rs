//! A GPU as data: one TOML file per device in `profiles/`, every number with its source in a comment beside it.
//!
//! A profile describes any device whose work is blocks on units: a GPU, a systolic array cut into subarrays, or a software
//! device whose units are cores and whose kernels have measured times ([`MeasuredKernel`]), as `calibrate` writes it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::cost::Unit;
use super::occupancy::SmLimits;
use super::profile_check;
use crate::hal::HostCpu;

/// The profiles that come with the program: name and text.
pub const PROFILES: &[(&str, &str)] = &[
    ("a100-80gb", include_str!("../../../profiles/a100-80gb.toml")),
    ("a100-40gb", include_str!("../../../profiles/a100-40gb.toml")),
    ("h100-sxm", include_str!("../../../profiles/h100-sxm.toml")),
    ("v100-sxm2", include_str!("../../../profiles/v100-sxm2.toml")),
    ("t4", include_str!("../../../profiles/t4.toml")),
    ("titan-v", include_str!("../../../profiles/titan-v.toml")),
    ("mi50", include_str!("../../../profiles/mi50.toml")),
    ("rtx-2080ti", include_str!("../../../profiles/rtx-2080ti.toml")),
    ("rtx-4090", include_str!("../../../profiles/rtx-4090.toml")),
    ("rtx-3080", include_str!("../../../profiles/rtx-3080.toml")),
    ("orin-64", include_str!("../../../profiles/orin-64.toml")),
    ("planaria", include_str!("../../../profiles/planaria.toml")),
];

/// A device. Numbers are those of the whole device; MIG instances take parts of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, as `--device sim:NAME` gives it.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Arithmetic.
    pub compute: Compute,
    /// What one SM has room for.
    pub sm: SmLimits,
    /// DRAM and L2.
    pub memory: Memory,
    /// How work gets onto the device.
    pub launch: Launches,
    /// How data gets there.
    pub copy: Copies,
    /// How contexts share the device.
    pub sharing: SharingCosts,
    /// MIG profiles; empty where the device has none.
    #[serde(default)]
    pub mig: Vec<MigProfile>,
    /// What operators without a kernel take on its host.
    pub cpu: HostCpu,
    /// What it draws; without, energy is not known.
    pub power: Option<Power>,
    /// What kernels may use of it.
    pub device: DeviceLimits,
    /// On what and how it was measured, where `calibrate` wrote it; profiles made by hand name a source at every number.
    pub calibration: Option<Calibration>,
    /// Times of kernels measured on the device; they are preferred to what the other numbers would give.
    #[serde(default, rename = "kernel")]
    pub kernels: Vec<MeasuredKernel>,
}

/// Arithmetic of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// SMs, compute units, subarrays or cores.
    pub sms: u32,
    /// Boost clock in MHz, for people; no time follows from it.
    pub clock_mhz: Option<f64>,
    /// Peak in single precision, TFLOP/s.
    pub fp32_tflops: f64,
    /// Peak of the matrix units with TF32 inputs, TFLOP/s.
    pub tf32_tflops: Option<f64>,
    /// Peak of the matrix units with 16-bit inputs, dense, TFLOP/s.
    pub fp16_tflops: Option<f64>,
    /// The part of the peak that good kernels reach.
    pub achievable: f64,
    /// Resident warps from which on an SM computes at its full rate.
    pub saturating_warps: u32,
}

/// Memory of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Capacity in GiB; without, allocations have no bound but their tenants'.
    pub gib: Option<f64>,
    /// Peak bandwidth of DRAM in GB/s.
    pub gbs: f64,
    /// The part of the peak that streaming kernels reach.
    pub achievable: f64,
    /// What one SM can draw at most, in GB/s.
    pub sm_gbs: f64,
    /// L2 in MiB; without, what a kernel loads again takes no time beyond what [`Compute::achievable`] says.
    pub l2_mib: Option<f64>,
}

/// Times of launches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launches {
    /// Host time of a kernel launch in µs; launches of one host thread follow each other.
    pub host_us: f64,
    /// Host time of a submission as a whole in µs, where work is handed over in command buffers: none of it begins before.
    #[serde(default)]
    pub submit_us: f64,
    /// Host time in µs of each slice of such a submission, beside [`Launches::submit_us`].
    #[serde(default)]
    pub encode_us: f64,
    /// Device time in µs at the beginning of such a submission, before its first command.
    #[serde(default)]
    pub begin_us: f64,
    /// Time in µs from the end of a submission until the host knows; the device goes on meanwhile.
    #[serde(default)]
    pub notice_us: f64,
    /// Time between a kernel's end and the beginning of the next one in its stream, in µs.
    pub gap_us: f64,
    /// Host time of a graph launch in µs.
    pub graph_us: f64,
    /// Time before each node of a graph in µs.
    pub graph_node_us: f64,
    /// Host time to record an event or to wait for it, in µs.
    pub event_us: f64,
    /// Shortest time of a block in µs.
    pub block_floor_us: f64,
    /// Hardware queues of a context; streams beyond that share them.
    pub queues: u32,
    /// Kernels that have blocks on the device at the same time at most.
    pub grids_max: u32,
}

/// Copies between host and device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// Pinned, host to device, GB/s.
    pub to_device_gbs: f64,
    /// Pinned, device to host, GB/s.
    pub to_host_gbs: f64,
    /// The part of that rate that pageable memory reaches.
    pub pageable: f64,
    /// Fixed time of a copy in µs.
    pub latency_us: f64,
    /// Host time to begin a copy in µs.
    pub host_us: f64,
    /// Engines in each direction.
    pub engines: u32,
}

/// How contexts share a device, and what changing that costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingCosts {
    /// Time slice between contexts in µs where they do not run at the same time.
    pub time_slice_us: f64,
    /// Switching between them in µs.
    pub switch_us: f64,
    /// Clients of MPS at once; 0 where there is none.
    pub mps_clients_max: u32,
    /// Changing a client's percentage, in ms: it must start anew.
    pub mps_change_ms: f64,
    /// Green contexts take SMs in multiples of this; 0 where there are none.
    pub green_granule: u32,
    /// Making a green context, in ms.
    pub green_change_ms: f64,
    /// Making or destroying MIG instances, in ms.
    pub mig_change_ms: f64,
    /// Priorities of streams.
    pub priority_levels: u32,
}

/// A kind of MIG instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigProfile {
    /// `1g`, `2g`, …
    pub name: String,
    /// Compute slices of seven.
    pub compute: u32,
    /// Memory slices of eight.
    pub memory: u32,
    /// Memory slices at which it may begin.
    pub starts: Vec<u32>,
    /// SMs.
    pub sms: u32,
}

/// Electrical power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Without work, in W.
    pub idle_w: f64,
    /// With all SMs and all bandwidth in use, in W.
    pub busy_w: f64,
}

/// Kinds of devices that are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A GPU of its own.
    Discrete,
    /// A GPU that shares memory with the CPU.
    Integrated,
    /// A GPU interface on the CPU.
    Software,
}

/// What kernels may use; it becomes the simulated device's capabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceLimits {
    /// What it is.
    pub kind: Kind,
    /// Bytes that one binding can span.
    pub binding_bytes_max: u64,
    /// Storage buffers of one dispatch.
    pub storage_buffers_max: u32,
    /// Invocations of a workgroup.
    pub invocations_max: u32,
    /// Workgroups of a dispatch.
    pub workers_max: u32,
    /// Lanes of a subgroup where kernels can rely on it.
    pub subgroup: Option<u32>,
    /// 16-bit floats in kernels.
    pub f16: bool,
    /// 64-bit integers in kernels.
    pub int64: bool,
    /// A driver's bound on the iterations of loops.
    pub loop_iterations_max: Option<u32>,
    /// Pipelines compile slowly.
    #[serde(default)]
    pub slow_pipelines: bool,
}

/// A kernel's measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredKernel {
    /// What it is: [`super::kernel_key`].
    pub key: String,
    /// All of its tiles on the whole device, in ns, without [`Launches::gap_us`]: the median.
    pub ns: f64,
    /// Workers that walked its tiles; a slice of fewer than the device has units takes longer in proportion.
    #[serde(default)]
    pub workers: u32,
    /// Times measured.
    #[serde(default)]
    pub samples: u32,
    /// From the first to the third quartile of them, over the median.
    #[serde(default)]
    pub spread: f64,
}

/// The layout of calibrated profiles that this program writes and reads.
pub const CALIBRATION_FORMAT: u32 = 1;

/// How a profile was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`CALIBRATION_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// The backend of the device.
    pub backend: String,
    /// Its name.
    pub device: String,
    /// Its driver with the version.
    pub driver: String,
    /// Day of the measurement, as 2026-01-31.
    pub date: String,
    /// The models whose kernels were timed.
    pub models: Vec<String>,
}

/// Why a profile cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}: {field}: {reason}")]
pub struct ProfileError {
    /// The file or the profile's name.
    pub file: String,
    /// The field, with its section: `memory.gbs`.
    pub field: String,
    /// What is wrong, with what would be right.
    pub reason: String,
}

impl Profile {
    /// The profile that comes with the program under this name.
    ///
    /// # Errors
    /// [`ProfileError`] naming those that exist, or what is wrong in the file.
    pub fn find(name: &str) -> Result<Profile, ProfileError> {
        let Some((file, text)) = PROFILES.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = PROFILES.iter().map(|(known, _)| *known).collect();
            let reason = format!("no profile has this name; there are {}, or give a file's path", names.join(", "));
            return Err(ProfileError { file: name.into(), field: "name".into(), reason });
        };
        Profile::parse(&format!("profiles/{file}.toml"), text)
    }

    /// Reads a profile file's text; `file` is for errors.
    ///
    /// # Errors
    /// [`ProfileError`]: not TOML, a field that is missing, unknown or out of range.
    pub fn parse(file: &str, text: &str) -> Result<Profile, ProfileError> {
        profile_check::format(text).map_err(|(field, reason)| ProfileError {
            file: file.into(),
            field: field.into(),
            reason,
        })?;
        let profile: Profile = toml::from_str(text).map_err(|error| {
            let (field, reason) = profile_check::place(text, &error);
            ProfileError { file: file.into(), field, reason }
        })?;
        profile_check::check(&profile).map_err(|(field, reason)| ProfileError {
            file: file.into(),
            field: field.into(),
            reason,
        })?;
        Ok(profile)
    }

    /// The profile as the text of a file that [`Profile::parse`] reads.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a profile has only numbers, strings and tables")
    }

    /// A device of `sms` SMs without any overhead: kernels take what their costs say, to the nanosecond. For closed forms
    /// and tests.
    pub fn bare(sms: u32) -> Profile {
        let mut profile = Profile::parse("bare", include_str!("bare.toml")).expect("a test reads it");
        profile.compute.sms = sms;
        profile
    }

    /// FLOPs of one SM in a picosecond with this unit, as good kernels reach them.
    pub(super) fn sm_flops_per_ps(&self, unit: Unit) -> f64 {
        let c = &self.compute;
        let peak = match unit {
            Unit::Fp32 => c.fp32_tflops,
            Unit::Tf32 => c.tf32_tflops.unwrap_or(c.fp32_tflops),
            Unit::Fp16 => c.fp16_tflops.or(c.tf32_tflops).unwrap_or(c.fp32_tflops),
        };
        peak * c.achievable / f64::from(c.sms)
    }

    /// Bytes in a picosecond that the whole memory delivers.
    pub(super) fn bytes_per_ps(&self) -> f64 {
        self.memory.gbs * self.memory.achievable * 1e-3
    }

    /// Bytes of L2; no bound where it is not known.
    pub(super) fn l2_bytes(&self) -> u64 {
        self.memory.l2_mib.map_or(u64::MAX, |mib| (mib * f64::from(1 << 20)) as u64)
    }

    /// Bytes of memory; no bound where that is not known.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.gib.map_or(u64::MAX, |gib| (gib * f64::from(1 << 30)) as u64)
    }

    /// Measured kernel times in ns by key.
    pub fn measured(&self) -> HashMap<&str, f64> {
        self.kernels.iter().map(|k| (k.key.as_str(), k.ns)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_reads_and_is_written_back() {
        for (name, _) in PROFILES {
            let profile = Profile::find(name).unwrap();
            assert_eq!(profile.name, *name);
            assert_eq!(Profile::parse("again", &profile.to_toml()).unwrap(), profile);
        }
        assert_eq!(Profile::bare(3).compute.sms, 3);
    }

    #[test]
    fn every_number_of_the_profiles_has_a_source_beside_it() {
        for (name, text) in PROFILES {
            for (at, line) in text.lines().enumerate() {
                let number = line.split_once(" = ").is_some_and(|(_, v)| v.starts_with(|c: char| c.is_ascii_digit()));
                assert!(!number || line.contains('#'), "profiles/{name}.toml:{}: no source: {line}", at + 1);
            }
        }
    }

    fn check(change: (&str, &str), expected: &str) {
        let text = PROFILES[0].1;
        assert!(text.contains(change.0), "{} is in the file", change.0);
        let error = Profile::parse("mine.toml", &text.replacen(change.0, change.1, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("mine.toml: "), "{error}");
    }

    #[test]
    fn errors_name_file_and_field() {
        check(("sms = 108", "sms = 0"), "compute.sms: found 0, allowed is 1 to 256");
        check(("sms = 108", "sms = 300"), "compute.sms: found 300");
        check(("sms = 108", "sms = \"many\""), "compute.sms: ");
        check(("fp32_tflops = 19.5", "fp32_tflops = -1.0"), "compute.fp32_tflops: found -1");
        check(("fp32_tflops = 19.5", "fp32_tflops = nan"), "compute.fp32_tflops: found NaN");
        check(("fp32_tflops = 19.5", "fp33_tflops = 19.5"), "fp33_tflops");
        check(("sm_gbs = 34.3", "#"), "memory");
        check(("[power]", "[calibration]\nformat = 0\n\n[power]"), "calibration.format: found 0, this program reads 1");
        check(("starts = [0, 4]", "starts = [5]"), "mig.starts: ");
        assert!(Profile::find("a100").unwrap_err().to_string().contains("h100-sxm"));
        assert!(Profile::parse("x", "not toml").unwrap_err().field.contains("line 1"));
    }
}
