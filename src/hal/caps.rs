//! What a device can do, as data: the survey's Table II and the limits that lowering needs. Choices are made by asking
//! these, never by failing.

use serde::{Deserialize, Serialize};

use crate::tensor::Nanos;
use crate::timeline::metrics::Power;

/// How strictly a partition separates its tenants (the survey's Table II, first row).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKind {
    /// Tenants share everything.
    None,
    /// Compute is divided by software; memory and its bandwidth are shared.
    Logical,
    /// Compute, cache and bandwidth are divided by hardware.
    Physical,
}

/// How running work can be asked to yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preemption {
    /// Submitted work runs to its end.
    None,
    /// Work that is not submitted yet can wait, and long operators are cut into tile ranges.
    SliceBoundary,
    /// Workers poll a flag between tiles and retreat.
    Retreat,
}

/// What kind of thing executes the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A GPU of its own.
    DiscreteGpu,
    /// A GPU that shares memory with the CPU.
    IntegratedGpu,
    /// A GPU interface implemented on the CPU (lavapipe, SwiftShader).
    SoftwareGpu,
    /// The CPU, operator by operator.
    Cpu,
    /// Nothing executes.
    Null,
}

/// How submitted work is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// Launches execute their kernels.
    Kernels,
    /// Operators are computed one by one by their CPU functions.
    CpuFunctions,
    /// Nothing is computed: what reads bring means nothing.
    Nothing,
}

/// What an operator without a kernel takes on the host of a simulated device:
/// `operator_us + max(flops / gflops, bytes / gbs)` on one of `threads`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCpu {
    /// Fixed time of an operator in µs.
    pub operator_us: f64,
    /// Rate of one thread in GFLOP/s.
    pub gflops: f64,
    /// Memory bandwidth of one thread in GB/s.
    pub gbs: f64,
    /// Operators of different tenants at the same time at most.
    pub threads: u32,
}

impl HostCpu {
    /// The time of an operator with `flops` floating-point operations and `bytes` read and written.
    pub fn time(&self, flops: u64, bytes: u64) -> Nanos {
        let work_ns = (flops as f64 / self.gflops).max(bytes as f64 / self.gbs);
        Nanos((self.operator_us * 1e3 + work_ns).round() as u64)
    }
}

/// Sizes that lowering must respect. All are upper bounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Bytes that one binding can span; no buffer is larger.
    pub binding_bytes_max: u64,
    /// Storage buffers that one dispatch can bind.
    pub storage_buffers_max: u32,
    /// Invocations in a workgroup.
    pub invocations_max: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes_max: u32,
    /// Workgroups in one dispatch.
    pub workers_max: u32,
}

/// Behaviour that a kernel or a lowering must know about, found by measurement (`docs/PERFORMANCE.md`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Quirks {
    /// An invocation silently leaves its loops after this many iterations over all loops of the shader (lavapipe).
    pub loop_iterations_max: Option<u32>,
    /// The driver compiles slowly and without a cache on disk, so distinct pipelines are dear.
    pub slow_pipelines: bool,
    /// The driver compiles a pipeline when it is dispatched first, and all that comes after it on the queue waits (lavapipe).
    pub compiles_at_dispatch: bool,
}

/// A device's capabilities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceCaps {
    /// The backend: `wgpu`, `reference`, `null`, ….
    pub backend: &'static str,
    /// The adapter's name.
    pub name: String,
    /// Driver name and version, for telling measurements apart.
    pub driver: String,
    /// What executes the work.
    pub kind: DeviceKind,
    /// How submitted work is carried out.
    pub execution: Execution,
    /// What CPU nodes take, where time is virtual; elsewhere they take what they take.
    pub host_cpu: Option<HostCpu>,
    /// Partition type.
    pub partition: PartitionKind,
    /// Partitions at once; `None` is unlimited.
    pub partitions_max: Option<u32>,
    /// Tenants can be kept to a part of the compute units.
    pub sm_isolation: bool,
    /// Tenants can be kept to a part of the memory bandwidth.
    pub bandwidth_isolation: bool,
    /// A tenant's speed can be guaranteed: the survey's "Performance QoS".
    pub performance_qos: bool,
    /// When partitions can change, in words.
    pub reconfiguration: &'static str,
    /// How running work can be asked to yield.
    pub preemption: Preemption,
    /// Priority levels of lanes.
    pub priority_levels: u32,
    /// Lanes that can run at the same time. More can be made; they share.
    pub lanes_max: u32,
    /// Compute units (SMs, cores) where known.
    pub compute_units: Option<u32>,
    /// Lanes of a subgroup, where kernels can use subgroups and all have this one size.
    pub subgroup: Option<u32>,
    /// Completions of timed submissions say when each slice ran.
    pub timestamps: bool,
    /// 16-bit floats in kernels.
    pub f16: bool,
    /// Its power, where it is known; for estimates of energy.
    #[serde(skip)]
    pub power: Option<Power>,
    /// A stage of chains can be one dispatch ([`super::Device::together`]).
    pub cokernels: bool,
    /// 64-bit integers in kernels, so that a load may bring two words.
    pub int64: bool,
    /// Sizes.
    pub limits: Limits,
    /// Oddities.
    pub quirks: Quirks,
}

impl DeviceCaps {
    /// A device of `units` compute units that has nothing else, for tests of what decides by capabilities.
    #[cfg(test)]
    pub(crate) fn of_units(units: u32) -> DeviceCaps {
        DeviceCaps {
            backend: "test",
            name: "test".into(),
            driver: String::new(),
            kind: DeviceKind::Null,
            execution: Execution::Nothing,
            host_cpu: None,
            partition: PartitionKind::None,
            partitions_max: None,
            sm_isolation: false,
            bandwidth_isolation: false,
            performance_qos: false,
            reconfiguration: "none",
            preemption: Preemption::SliceBoundary,
            priority_levels: 1,
            lanes_max: 1,
            compute_units: Some(units),
            subgroup: None,
            timestamps: false,
            f16: false,
            power: None,
            cokernels: false,
            int64: false,
            limits: Limits {
                binding_bytes_max: 1 << 30,
                storage_buffers_max: 8,
                invocations_max: 256,
                workgroup_bytes_max: 16 << 10,
                workers_max: 65_535,
            },
            quirks: Quirks::default(),
        }
    }

    /// Workers (workgroups walking tiles) that fill the device: a few per compute unit, so that uneven tiles even out.
    pub fn full_workers(&self) -> u32 {
        let units = self.compute_units.unwrap_or(16);
        (units * 8).clamp(1, self.limits.workers_max)
    }

    /// True where submitted work has results, by kernels or by the operators' CPU functions.
    pub fn computes(&self) -> bool {
        self.execution != Execution::Nothing
    }

    /// True where launches really execute kernels.
    pub fn runs_kernels(&self) -> bool {
        self.execution == Execution::Kernels
    }
}
