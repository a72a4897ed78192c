//! What a kernel costs, and where that is known from.
//!
//! Three forms, one of which every source gives: quantities of the hardware (operations, bytes, blocks), from which the
//! time follows; a fixed time with a footprint, as recorded lists have it; and a law fitted to whole models.

use super::occupancy::BlockNeed;
pub use crate::hal::CostSource as Source;
use crate::hal::GivenCost;

/// Arithmetic units, each with its own peak rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Single precision on the vector units.
    Fp32,
    /// Matrix units with single-precision accumulation, inputs rounded to TF32; FP32's rate where there are none.
    Tf32,
    /// Matrix units with 16-bit inputs; TF32's rate where there are none.
    Fp16,
}

/// How many blocks a kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// So many.
    Count(u32),
    /// So many for every SM that the stream may use.
    EverySm(u32),
}

/// What one block does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Computes and moves bytes; the slower of both decides.
    Roofline(Roofline),
    /// Takes so many nanoseconds of an SM, and moves bytes meanwhile.
    Fixed {
        /// Time of a block when its bytes come in time.
        block_ns: f64,
        /// Bytes from and to DRAM of a block.
        dram_bytes: f64,
    },
    /// Takes what a fitted law says for the SMs and the memory of its partition.
    Law(Law),
}

/// Arithmetic and traffic of one block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// The unit that computes.
    pub unit: Unit,
    /// Floating-point operations of a block.
    pub flops: f64,
    /// The part of the profile's achievable rate that this kernel reaches, in (0, 1].
    pub efficiency: f64,
    /// Bytes of a block that come from or go to DRAM in any case.
    pub dram_bytes: f64,
    /// Bytes of a block that come from L2 as far as the kernel's working set is held there, else from DRAM.
    pub reused_bytes: f64,
    /// The kernel's working set in bytes, all blocks together.
    pub working_set: u64,
}

/// Processes whose sharing a [`Law`] describes.
pub const LAW_PROCESSES_MAX: usize = 5;

/// `T(s, μ, k) = max(floor, overlap + k·η_k·(fixed + m/s + q/μ))` with `s` SMs, a part `μ` of the memory's bandwidth and
/// `k` processes at once (forms fitted to the A100 figures that ParvaGPU published; `docs/VALIDATION.md`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// Shortest time in ns: launches.
    pub floor_ns: f64,
    /// Time in ns that keeps neither SMs nor memory busy, so that processes overlap in it.
    pub overlap_ns: f64,
    /// Time in ns that neither SMs nor memory shorten.
    pub fixed_ns: f64,
    /// SM time in ns: on `s` SMs it takes an `s`-th of it.
    pub sm_ns: f64,
    /// Time in ns of the traffic with the whole device's bandwidth.
    pub memory_ns: f64,
    /// `η_k` for `k` = 1, 2, …: how much of the sum of its processes' times a mix of `k` takes.
    pub sharing: [f64; LAW_PROCESSES_MAX],
}

impl Law {
    /// The time in nanoseconds; `processes` is bounded by [`LAW_PROCESSES_MAX`].
    pub fn ns(&self, sms: f64, memory_fraction: f64, processes: usize) -> f64 {
        let k = processes.clamp(1, LAW_PROCESSES_MAX);
        let busy = self.fixed_ns + self.sm_ns / sms + self.memory_ns / memory_fraction;
        (self.overlap_ns + k as f64 * self.sharing[k - 1] * busy).max(self.floor_ns)
    }
}

/// A kernel's cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelCost {
    /// Where it is from.
    pub source: Source,
    /// Its blocks; each does [`KernelCost::work`].
    pub blocks: Blocks,
    /// What each block takes of its SM.
    pub need: BlockNeed,
    /// What each block does.
    pub work: Work,
    /// Blocks that exist at once when the kernel is persistent: so many workers walk the blocks and hold their places
    /// until all are done or they are asked to retreat.
    pub workers: Option<u32>,
}

impl KernelCost {
    /// A kernel that fills every SM of its partition for `ns`: the server of a queueing model.
    pub fn fixed(ns: f64) -> KernelCost {
        KernelCost::every_sm(ns, 1)
    }

    /// The same cut into `waves` that follow each other, so that others can come in between.
    pub fn every_sm(ns: f64, waves: u32) -> KernelCost {
        KernelCost {
            source: Source::Given,
            blocks: Blocks::EverySm(waves),
            need: BlockNeed::Part(1),
            work: Work::Fixed { block_ns: ns / f64::from(waves.max(1)), dram_bytes: 0.0 },
            workers: None,
        }
    }

    /// A recorded kernel that took `ns` on a device of `device_sms` SMs, of which its blocks would fill `sms`. More than
    /// the device has is several waves.
    pub fn recorded(ns: f64, sms: u32, device_sms: u32) -> KernelCost {
        let sms = sms.max(1);
        let waves = sms.div_ceil(device_sms.max(1));
        KernelCost {
            source: Source::Recorded,
            blocks: Blocks::Count(sms),
            need: BlockNeed::Part(1),
            work: Work::Fixed { block_ns: ns / f64::from(waves), dram_bytes: 0.0 },
            workers: None,
        }
    }

    /// A whole model by its law. As many of them as the law knows share the SMs.
    pub fn law(law: Law) -> KernelCost {
        KernelCost {
            source: Source::Fitted,
            blocks: Blocks::EverySm(1),
            need: BlockNeed::Part(LAW_PROCESSES_MAX as u32),
            work: Work::Law(law),
            workers: None,
        }
    }

    /// An operation whose cost was recorded or fitted, as a launch of `tiles` on a device of so many SMs.
    pub fn of_given(given: GivenCost, tiles: u32, device_sms: u32) -> KernelCost {
        match given {
            GivenCost::Recorded { ns, bytes } => {
                let mut cost = KernelCost::recorded(ns, tiles, device_sms);
                if let Work::Fixed { dram_bytes, .. } = &mut cost.work {
                    *dram_bytes = bytes / f64::from(tiles.max(1));
                }
                cost
            }
            GivenCost::Law { floor_ns, overlap_ns, fixed_ns, unit_ns, memory_ns, sharing } => {
                KernelCost::law(Law { floor_ns, overlap_ns, fixed_ns, sm_ns: unit_ns, memory_ns, sharing })
            }
        }
    }

    /// The same work done by as many as `workers` that walk the blocks.
    #[must_use]
    pub fn persistent(mut self, workers: u32) -> KernelCost {
        self.workers = Some(workers.max(1));
        self
    }

    /// The same kernel with `blocks` of its blocks: a slice. What a block does stays as it is, so that slices add up.
    #[must_use]
    pub fn part(mut self, blocks: u32) -> KernelCost {
        self.blocks = Blocks::Count(blocks);
        self
    }

    /// Floating-point operations and bytes of a block, wherever the bytes come from.
    pub(super) fn block_totals(&self) -> (f64, f64) {
        match self.work {
            Work::Roofline(r) => (r.flops, r.dram_bytes + r.reused_bytes),
            Work::Fixed { dram_bytes, .. } => (0.0, dram_bytes),
            Work::Law(_) => (0.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_kernel_beyond_the_device_runs_in_waves() {
        let cost = KernelCost::recorded(900.0, 170, 80);
        assert_eq!((cost.blocks, cost.work), (Blocks::Count(170), Work::Fixed { block_ns: 300.0, dram_bytes: 0.0 }));
    }

    #[test]
    fn the_law_is_that_of_the_measurements() {
        // ResNet50 of a fit to ParvaGPU's A100 figures at batch 8 on 3g of an A100: 1.42 + 8 (20.9/42 + 0.125·2) + 10.9/42 ms.
        let law = Law {
            floor_ns: 4.66e6,
            overlap_ns: 0.0,
            fixed_ns: 1.42e6,
            sm_ns: 8.0 * 20.9e6 + 10.9e6,
            memory_ns: 8.0 * 0.125e6,
            sharing: [1.0, 0.89, 0.83, 0.78, 0.78],
        };
        assert!((law.ns(42.0, 0.5, 1) - 7.660e6).abs() < 1e3);
        assert!((law.ns(42.0, 0.5, 2) - 2.0 * 0.89 * 7.660e6).abs() < 2e3);
        assert_eq!(law.ns(98.0, 1.0, 1), 4.66e6, "the floor");
        assert_eq!(law.ns(42.0, 0.5, 9), law.ns(42.0, 0.5, 5));
        let overlapping = Law { overlap_ns: law.fixed_ns, fixed_ns: 0.0, sharing: [1.0; 5], ..law };
        assert!((overlapping.ns(42.0, 0.5, 2) - (1.42e6 + 2.0 * 6.240e6)).abs() < 2e3);
    }
}
