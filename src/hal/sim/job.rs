//! A kernel on its way through the block scheduler, and its cost in the units in which the scheduler counts.

use super::clock::{PS_PER_NS, Ps};
use super::cost::{Blocks, KernelCost, Law, Work};
use super::occupancy::Need;
use super::profile::Profile;

/// The order in which kernels get room: more urgent streams first, then whoever was ready first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The stream's priority, turned round so that less is more urgent.
    urgency: i64,
    /// Number of the kernel in order of becoming ready.
    pub(super) seq: u64,
}

impl Key {
    pub(super) fn new(priority: i32, seq: u64) -> Key {
        Key { urgency: -i64::from(priority), seq }
    }
}

/// What makes a block take time besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Arithmetic: picoseconds of one SM's full rate.
    Compute(f64),
    /// A fixed time in picoseconds.
    Fixed(f64),
    /// A law, for so many SMs.
    Law(Law, f64),
}

/// A kernel as the scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) need: Need,
    /// Blocks on one SM at most.
    pub(super) per_sm_max: u32,
    /// Blocks in all.
    pub(super) blocks: u32,
    /// Blocks at the same time at most.
    pub(super) resident_max: u32,
    /// Blocks keep their places for the next ones.
    pub(super) persistent: bool,
    pub(super) pace: Pace,
    /// Bytes of a block from DRAM in any case.
    pub(super) dram_bytes: f64,
    /// Bytes of a block from L2 or DRAM.
    pub(super) reused_bytes: f64,
    /// Bytes that the kernel would hold in L2.
    pub(super) working_set: u64,
    /// Floating-point operations of a block.
    pub(super) flops: f64,
}

impl Shape {
    /// The shape of `cost` where it may use `sms` SMs. `per_sm_max` is zero when no SM of this device holds a block.
    pub(super) fn of(cost: &KernelCost, profile: &Profile, sms: u32) -> Shape {
        let blocks = match cost.blocks {
            Blocks::Count(n) => n,
            Blocks::EverySm(waves) => waves.saturating_mul(sms),
        };
        let need = profile.sm.need(&cost.need);
        let (flops, _) = cost.block_totals();
        let mut shape = Shape {
            need,
            per_sm_max: profile.sm.blocks(&need),
            blocks,
            resident_max: u32::MAX,
            persistent: cost.workers.is_some(),
            pace: Pace::Fixed(0.0),
            dram_bytes: 0.0,
            reused_bytes: 0.0,
            working_set: 0,
            flops,
        };
        if let Some(workers) = cost.workers {
            // More than can reside would wait for the first to end and find nothing left to do.
            shape.resident_max = workers.min(shape.per_sm_max.saturating_mul(sms).max(1));
        }
        match cost.work {
            Work::Roofline(r) => {
                shape.pace = Pace::Compute(r.flops / (profile.sm_flops_per_ps(r.unit) * r.efficiency));
                shape.dram_bytes = r.dram_bytes;
                shape.reused_bytes = r.reused_bytes;
                shape.working_set = r.working_set;
            }
            Work::Fixed { block_ns, dram_bytes } => {
                shape.pace = Pace::Fixed(block_ns * PS_PER_NS as f64);
                shape.dram_bytes = dram_bytes;
            }
            Work::Law(law) => shape.pace = Pace::Law(law, f64::from(sms)),
        }
        shape
    }
}

/// Whose kernel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A command of a stream.
    Command(u32),
    /// A node of a graph that runs.
    Node {
        /// The run.
        run: u32,
        /// The node in it.
        node: u32,
    },
}

/// A kernel that is ready or runs.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) owner: Owner,
    pub(super) shape: Shape,
    pub(super) key: Key,
    /// Where its blocks may go.
    pub(super) pool: u32,
    pub(super) view: u32,
    /// Blocks without a place yet.
    pub(super) left: u32,
    /// Blocks that have one.
    pub(super) resident: u32,
    /// Blocks that ended.
    pub(super) done: u32,
    /// Blocks that were withdrawn before they had a place.
    pub(super) withdrawn: u32,
    /// Its trains that were given waves which may be taken back.
    pub(super) bulk: u32,
    /// When its first block got a place.
    pub(super) started: Option<Ps>,
}

impl Job {
    /// Blocks that could get a place if there is room; at most so many where others of its trains would have to give waves
    /// back for it.
    pub(super) fn wanting(&self) -> u32 {
        let more = self.shape.resident_max.saturating_sub(self.resident);
        if self.shape.persistent && self.bulk > 0 { more } else { self.left.min(more) }
    }
}
