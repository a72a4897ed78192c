//! How many blocks of a kernel reside on one SM: threads, blocks, registers and shared memory.
//!
//! Registers are given to warps in granules, and warps come in groups of four because each of the four parts of an SM
//! has a quarter of the file. Shared memory is given to blocks in granules, with a part reserved on newer chips.

use serde::{Deserialize, Serialize};

/// What an SM has room for. A device whose units know no such limit (a systolic subarray, a CPU core) has zero for
/// threads, registers or shared memory, which is no limit; without threads a block is one warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmLimits {
    /// Resident threads; 0 is no limit.
    pub threads: u32,
    /// Resident blocks.
    pub blocks: u32,
    /// Threads of a warp.
    pub warp: u32,
    /// 32-bit registers; 0 is no limit.
    pub registers: u32,
    /// Registers are given to a warp in multiples of this.
    pub register_granule: u32,
    /// Warps share the register file in groups of this many.
    pub warp_granule: u32,
    /// Bytes of shared memory; 0 is no limit.
    pub shared_bytes: u32,
    /// Shared memory is given to a block in multiples of this.
    pub shared_granule: u32,
    /// Bytes of shared memory that each block takes besides its own.
    pub shared_reserved: u32,
}

/// What one block of a kernel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockNeed {
    /// So many threads, registers of each thread, and bytes of shared memory.
    Of {
        /// Threads of a block.
        threads: u32,
        /// Registers of a thread.
        registers: u32,
        /// Bytes of shared memory of a block.
        shared_bytes: u32,
    },
    /// One part in `0` of an SM: `Part(1)` is all of it.
    Part(u32),
}

/// What a block takes of one SM, in the units in which it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) warps: u32,
    pub(super) warp_registers: u32,
    pub(super) shared: u32,
    pub(super) slots: u32,
}

/// What is free on an SM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) warps: u32,
    pub(super) registers: u32,
    pub(super) shared: u32,
    pub(super) slots: u32,
}

impl SmLimits {
    /// Blocks of `need` that reside on one SM at once; zero when not even one fits.
    pub fn blocks_per_sm(&self, need: &BlockNeed) -> u32 {
        let need = self.need(need);
        let fit = self.room().fits(&need);
        match self.registers.checked_div(need.warp_registers) {
            Some(warps) => fit.min(warps / self.warp_granule * self.warp_granule / need.warps),
            None => fit,
        }
    }

    /// Resident warps.
    fn warps(&self) -> u32 {
        if self.threads == 0 { self.blocks } else { self.threads / self.warp }
    }

    /// An empty SM.
    pub(super) fn room(&self) -> Room {
        let or_any = |n: u32| if n == 0 { u32::MAX } else { n };
        Room {
            warps: self.warps(),
            registers: or_any(self.registers),
            shared: or_any(self.shared_bytes),
            slots: self.blocks,
        }
    }

    pub(super) fn need(&self, need: &BlockNeed) -> Need {
        match *need {
            BlockNeed::Of { threads, registers, shared_bytes } => Need {
                warps: if self.threads == 0 { 1 } else { threads.div_ceil(self.warp).max(1) },
                warp_registers: match self.registers {
                    0 => 0,
                    _ => (registers * self.warp).next_multiple_of(self.register_granule),
                },
                shared: match shared_bytes + self.shared_reserved {
                    0 => 0,
                    _ if self.shared_bytes == 0 => 0,
                    bytes => bytes.next_multiple_of(self.shared_granule),
                },
                slots: 1,
            },
            BlockNeed::Part(parts) => {
                let parts = parts.max(1);
                Need {
                    warps: (self.warps() / parts).max(1),
                    warp_registers: 0,
                    shared: 0,
                    slots: (self.blocks / parts).max(1),
                }
            }
        }
    }
}

impl Room {
    /// Blocks of `need` that still fit. Which quarter of the register file has room is not followed: beside other kernels
    /// the sum decides, and [`SmLimits::blocks_per_sm`] bounds the blocks of one kernel.
    pub(super) fn fits(&self, need: &Need) -> u32 {
        let by_registers = self.registers.checked_div(need.warp_registers * need.warps);
        let by_shared = self.shared.checked_div(need.shared);
        let fit = (self.slots / need.slots).min(self.warps / need.warps);
        [by_registers, by_shared].into_iter().flatten().fold(fit, u32::min)
    }

    pub(super) fn take(&mut self, need: &Need, blocks: u32) {
        self.warps -= need.warps * blocks;
        self.slots -= need.slots * blocks;
        self.shared -= need.shared * blocks;
        self.registers -= need.warp_registers * need.warps * blocks;
    }

    pub(super) fn give(&mut self, need: &Need, blocks: u32) {
        self.warps += need.warps * blocks;
        self.slots += need.slots * blocks;
        self.shared += need.shared * blocks;
        self.registers += need.warp_registers * need.warps * blocks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hal::sim::Profile;

    fn check(profile: &str, threads: u32, registers: u32, shared_bytes: u32, expected: u32) {
        let profile = Profile::find(profile).unwrap();
        let need = BlockNeed::Of { threads, registers, shared_bytes };
        let got = profile.sm.blocks_per_sm(&need);
        assert_eq!(got, expected, "{}: {threads} threads, {registers} registers, {shared_bytes} bytes", profile.name);
    }

    /// Figures of NVIDIA's occupancy calculator, worked by hand from its rules.
    #[test]
    fn occupancy_is_that_of_the_vendors_calculator() {
        // Threads decide: 2048 / 256.
        check("a100-80gb", 256, 32, 0, 8);
        // Blocks decide: 32 blocks of 32 threads.
        check("a100-80gb", 32, 16, 0, 32);
        // Registers decide: 128 registers are 4096 a warp, 16 warps an SM.
        check("a100-80gb", 256, 128, 0, 2);
        // 255 registers round up to 256: 8 warps an SM.
        check("v100-sxm2", 128, 255, 0, 2);
        // 72 registers are 2304 a warp: 28 warps fit, in groups of four 28; blocks of 8 warps: 3.
        check("v100-sxm2", 256, 72, 0, 3);
        // Groups of four: 36 registers round to 1280 a warp, 51 warps fit, 48 in groups of four.
        check("v100-sxm2", 192, 36, 0, 8);
        check("v100-sxm2", 32, 36, 0, 32);
        // Shared memory decides, with a kilobyte reserved on Ampere: 164 KiB / 49 KiB.
        check("a100-80gb", 128, 32, 48 << 10, 3);
        check("v100-sxm2", 128, 32, 48 << 10, 2);
        // 227 KiB of one block is what Hopper allows.
        check("h100-sxm", 1024, 32, 227 << 10, 1);
        check("h100-sxm", 1024, 32, 228 << 10, 0);
        // Turing has half the threads, Ada three quarters.
        check("t4", 256, 32, 0, 4);
        check("t4", 1024, 64, 0, 1);
        check("rtx-4090", 256, 32, 0, 6);
        check("rtx-3080", 64, 32, 0, 16);
        // A subarray runs one tile, whatever it takes.
        check("planaria", 256, 96, 1 << 14, 1);
        // 24 registers of 64 lanes: ten waves on each of four SIMDs; 32 registers: eight.
        check("mi50", 256, 24, 0, 10);
        check("mi50", 256, 32, 0, 8);
        // Too many threads for any SM.
        check("t4", 2048, 32, 0, 0);
    }

    #[test]
    fn a_part_of_an_sm_is_that_part() {
        let limits = Profile::find("a100-80gb").unwrap().sm;
        for parts in 1..=8 {
            assert_eq!(limits.blocks_per_sm(&BlockNeed::Part(parts)), parts);
        }
    }
}
