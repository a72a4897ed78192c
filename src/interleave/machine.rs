//! What schedules must know about a device: how many workers it runs at once, what a chain is on it, and what starting
//! things costs.
//!
//! The figures of [`Machine::of`] are the first guess from a device's capabilities (`docs/PERFORMANCE.md`); every field is
//! public, so that calibrated ones are put in their place.

use serde::Serialize;

use crate::hal::{DeviceCaps, DeviceKind};

/// A driver may count loop passes that a kernel's own count does not know, up to three times as many for some kernels
/// (`hal::cut`), and in a co-kernel those of its entry point besides; so a chain's tiles stay this many times below the bound.
const ITERATIONS_MARGIN: u32 = 5;

/// Kernels of a stage unless told otherwise: each is a body of the stage's module, to be passed over and to be compiled, in
/// time that grows faster than their number (`docs/INTERLEAVING.md`).
const KERNELS_MAX: u32 = 8;

/// How the chains of a stage run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainForm {
    /// One dispatch runs the stage. A chain is the program of one worker, or its only piece has any number of workers. All
    /// kernels of the stage are bodies of one module in a cyclic order; a worker passes over them again and again, and each
    /// runs the next pieces of the worker's chain that are of its kernel.
    CoKernel {
        /// Loop iterations of a worker over all its pieces, where the driver stops loops.
        iterations_max: Option<u32>,
        /// Different kernels of a stage at most.
        kernels_max: u32,
        /// Time in ns that a worker takes to pass over a body, whether it has work there or not.
        body_ns: f64,
    },
    /// A chain is a stream; pieces with any number of workers follow each other in it.
    Streams {
        /// Chains of a stage that can overlap; further ones are allowed and wait.
        streams: u32,
        /// Time in ns that the host takes to launch a piece; launches follow each other.
        launch_ns: f64,
        /// Host time in ns of each chain of a stage beyond the first: events before and after.
        join_ns: f64,
    },
}

/// A device as schedules see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Compute units: cores, SMs.
    pub units: u32,
    /// Workers that run at full speed at the same time; more of them share. At least the units.
    pub slots: u32,
    /// Workers in one dispatch at most.
    pub workers_max: u32,
    /// Lanes that overlap.
    pub lanes: u32,
    /// What a chain is.
    pub chains: ChainForm,
    /// Arithmetic of the whole device in FLOP/ns (GFLOP/s).
    pub gflops: f64,
    /// Memory bandwidth in bytes/ns (GB/s).
    pub gbs: f64,
    /// Time in ns of a stage beside its work: a dispatch and its barrier.
    pub dispatch_ns: f64,
    /// Time in ns of a submission beside its stages.
    pub submission_ns: f64,
    /// Time in ns between two pieces of a chain.
    pub gap_ns: f64,
}

impl Machine {
    /// The first guess for a device: co-kernels where launches are dispatches of our kernels, streams elsewhere.
    pub fn of(caps: &DeviceCaps) -> Machine {
        let units = caps.compute_units.unwrap_or(16).max(1);
        let software = matches!(caps.kind, DeviceKind::SoftwareGpu | DeviceKind::Cpu | DeviceKind::Null);
        let chains = if caps.runs_kernels() && caps.backend == "wgpu" {
            let bound = caps.quirks.loop_iterations_max;
            ChainForm::CoKernel {
                iterations_max: bound.map(|bound| bound.saturating_sub(1) / ITERATIONS_MARGIN),
                kernels_max: KERNELS_MAX,
                body_ns: if software { 1_500.0 } else { 100.0 },
            }
        } else {
            // Literature: 2 to 6 µs for a launch, 1 to 3 µs for an event.
            ChainForm::Streams { streams: caps.lanes_max.max(1), launch_ns: 4_000.0, join_ns: 4_500.0 }
        };
        Machine {
            units,
            // A core runs one workgroup; an SM needs some to hide latency (`saturating_warps` of the profiles).
            slots: if software { units } else { units * 4 },
            workers_max: caps.limits.workers_max.max(1),
            lanes: caps.lanes_max.max(1),
            chains,
            gflops: f64::from(units) * if software { 8.0 } else { 120.0 },
            gbs: if software { 6.0 } else { 900.0 },
            dispatch_ns: if software { 40_000.0 } else { 1_500.0 },
            submission_ns: if software { 150_000.0 } else { 20_000.0 },
            gap_ns: if software { 500.0 } else { 1_200.0 },
        }
    }

    /// Loop iterations of a worker in one stage at most, where that is bounded.
    pub fn iterations_max(&self) -> Option<u32> {
        match self.chains {
            ChainForm::CoKernel { iterations_max, .. } => iterations_max,
            ChainForm::Streams { .. } => None,
        }
    }

    /// Different kernels of a stage at most.
    pub fn kernels_max(&self) -> usize {
        match self.chains {
            ChainForm::CoKernel { kernels_max, .. } => kernels_max as usize,
            ChainForm::Streams { .. } => usize::MAX,
        }
    }

    /// True where the pieces of a chain of several have one worker each.
    pub fn single_workers(&self) -> bool {
        matches!(self.chains, ChainForm::CoKernel { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hal::Execution;

    #[test]
    fn co_kernels_are_for_devices_that_run_kernels() {
        let mut caps = DeviceCaps::of_units(4);
        assert!(!Machine::of(&caps).single_workers());
        caps.backend = "wgpu";
        caps.execution = Execution::Kernels;
        caps.quirks.loop_iterations_max = Some(65_535);
        let machine = Machine::of(&caps);
        assert!(machine.single_workers());
        assert_eq!(machine.iterations_max(), Some(13_106));
    }
}
