//! The L2 cache as a place that kernels share in proportion to their working sets.
//!
//! A kernel's traffic has two parts: what must come from DRAM in any case, and what is reused and comes from L2 as far as
//! the working set is held there. With kernels of working sets `W_i` on a cache of size `L`, kernel `i` holds
//! `L·W_i/ΣW`, so the part that is held is `L/ΣW` for each of them: one number for the whole memory system. Occupancy by
//! access rate (LRU) would be finer, and would need rates to know rates.

/// The part of every working set that an L2 of `l2_bytes` holds, in (0, 1], where all of them together are `working_set` bytes.
pub(super) fn held(l2_bytes: u64, working_set: u64) -> f64 {
    if working_set <= l2_bytes { 1.0 } else { l2_bytes as f64 / working_set as f64 }
}

/// Bytes that come from DRAM when `held` of the working set is in L2.
pub(super) fn dram_bytes(compulsory: f64, reused: f64, held: f64) -> f64 {
    compulsory + reused * (1.0 - held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuse_is_lost_in_proportion_to_what_does_not_fit() {
        assert_eq!(dram_bytes(10.0, 30.0, held(40, 40)), 10.0);
        assert_eq!(dram_bytes(10.0, 30.0, held(40, 80)), 25.0);
        assert_eq!(held(0, 0), 1.0);
    }
}
