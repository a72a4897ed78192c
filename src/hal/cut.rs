//! Cutting a launch into slices that a device can run: how many workers walk its tiles, and in how many tile ranges.
//!
//! Some drivers leave an invocation's loops silently after a number of iterations
//! ([`super::Quirks::loop_iterations_max`]). So a worker gets at most as many tiles as stay below it: first more
//! workers are taken than would be best, then the range is cut. A tile's result does not depend on either.

use std::ops::Range;

use super::{DeviceCaps, DeviceKind, HalError, Launch};
use crate::tensor::Share;

/// Workers per launch on software devices, where few workers with several tiles each beat many workers.
const SOFTWARE_WORKERS: u32 = 8;

/// A driver may count passes that a kernel's own count does not know (it compiles loops as it likes), so a worker's tiles
/// stay this many times below the bound.
const MARGIN: u32 = 3;

/// A tile range of a launch and the workers that walk it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The output tiles.
    pub tiles: Range<u32>,
    /// Workgroups.
    pub workers: u32,
}

/// The slices of `launch` on a device with `caps`, for a tenant that has this share of it.
///
/// # Errors
/// [`HalError::Kernel`] when a single tile is longer than the device's loops may be.
pub fn cut(launch: &Launch, caps: &DeviceCaps, share: Share) -> Result<Vec<Cut>, HalError> {
    let workers_max = caps.limits.workers_max.max(1);
    let (preferred, workers_max) = match (share == Share::FULL, caps.kind) {
        (true, DeviceKind::SoftwareGpu) => (SOFTWARE_WORKERS, workers_max),
        (true, _) => (caps.full_workers(), workers_max),
        // A CPU core runs one workgroup at a time, so a share of the cores is as many workers. A share is never exceeded.
        (false, DeviceKind::SoftwareGpu) => {
            let part = share.of_workers(caps.compute_units.unwrap_or(1));
            (part, part.min(workers_max))
        }
        (false, _) => {
            let part = share.of_workers(caps.full_workers());
            (part, part.min(workers_max))
        }
    };
    let worker_tiles_max = match caps.quirks.loop_iterations_max {
        // One more iteration than the tile's own: the loop over tiles.
        Some(bound) => match bound.saturating_sub(1) / launch.tile_iterations.saturating_add(1) {
            0 => 0,
            most => (most / MARGIN).max(1),
        },
        None => u32::MAX,
    };
    if worker_tiles_max == 0 {
        return Err(HalError::Kernel {
            kernel: launch.kernel.label(),
            reason: format!(
                "a tile takes {} loop iterations, this device stops loops after {}",
                launch.tile_iterations,
                caps.quirks.loop_iterations_max.unwrap_or(u32::MAX)
            ),
        });
    }
    let slice_tiles_max = workers_max.saturating_mul(worker_tiles_max);
    let mut cuts = Vec::new();
    let mut first = 0;
    while first < launch.tiles {
        let tiles = slice_tiles_max.min(launch.tiles - first);
        let demanded = tiles.div_ceil(worker_tiles_max);
        let workers = preferred.max(demanded).min(tiles).min(workers_max);
        cuts.push(Cut { tiles: first..first + tiles, workers });
        first += tiles;
    }
    Ok(cuts)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::hal::{BufferId, KernelSpec};

    fn launch(tiles: u32, tile_iterations: u32) -> Launch {
        let kernel = KernelSpec { name: "k", source: "", functions: &[], consts: vec![], lanes: 8, chain: None };
        Launch { kernel: Arc::new(kernel), params: vec![], tiles, workers: 1, tile_iterations, weights: BufferId(0) }
    }

    fn caps(kind: DeviceKind, bound: Option<u32>, workers_max: u32) -> DeviceCaps {
        let mut caps = DeviceCaps::of_units(10);
        caps.kind = kind;
        caps.quirks.loop_iterations_max = bound;
        caps.limits.workers_max = workers_max;
        caps
    }

    fn check(launch: &Launch, caps: &DeviceCaps, expected: &[(u32, u32)]) {
        check_share(launch, caps, Share::FULL, expected);
    }

    fn check_share(launch: &Launch, caps: &DeviceCaps, share: Share, expected: &[(u32, u32)]) {
        let cuts: Vec<(u32, u32)> =
            cut(launch, caps, share).unwrap().iter().map(|c| (c.tiles.end - c.tiles.start, c.workers)).collect();
        assert_eq!(cuts, expected);
    }

    #[test]
    fn a_software_device_gets_few_workers_and_hardware_many() {
        check(&launch(1000, 10), &caps(DeviceKind::SoftwareGpu, None, 65_535), &[(1000, 8)]);
        check(&launch(1000, 10), &caps(DeviceKind::DiscreteGpu, None, 65_535), &[(1000, 80)]);
        check(&launch(3, 10), &caps(DeviceKind::DiscreteGpu, None, 65_535), &[(3, 3)]);
    }

    #[test]
    fn long_tiles_get_more_workers_and_then_more_slices() {
        // 65,534 / 1000 = 65 tiles a worker, and a third of them for what the driver counts besides.
        check(&launch(1000, 999), &caps(DeviceKind::SoftwareGpu, Some(65_535), 65_535), &[(1000, 48)]);
        let cuts = [(210, 10), (210, 10), (210, 10), (210, 10), (160, 8)];
        check(&launch(1000, 999), &caps(DeviceKind::SoftwareGpu, Some(65_535), 10), &cuts);
    }

    #[test]
    fn a_share_is_never_exceeded() {
        let half = Share::from_percent(50.0).unwrap();
        check_share(&launch(1000, 10), &caps(DeviceKind::DiscreteGpu, None, 65_535), half, &[(1000, 40)]);
        check_share(&launch(1000, 10), &caps(DeviceKind::SoftwareGpu, None, 65_535), half, &[(1000, 5)]);
        check_share(
            &launch(650, 999),
            &caps(DeviceKind::SoftwareGpu, Some(65_535), 65_535),
            half,
            &[(105, 5), (105, 5), (105, 5), (105, 5), (105, 5), (105, 5), (20, 5)],
        );
    }

    #[test]
    fn a_tile_beyond_the_bound_is_refused() {
        let error = cut(&launch(1, 65_535), &caps(DeviceKind::SoftwareGpu, Some(65_535), 8), Share::FULL).unwrap_err();
        assert!(error.to_string().contains("65535 loop iterations"), "{error}");
    }

    proptest! {
        #[test]
        fn every_tile_is_in_one_slice_and_no_worker_reaches_the_bound(
            tiles in 1u32..3_000_000, iterations in 0u32..60_000, workers_max in 1000u32..70_000, software: bool
        ) {
            let kind = if software { DeviceKind::SoftwareGpu } else { DeviceKind::DiscreteGpu };
            let mut next = 0;
            for c in cut(&launch(tiles, iterations), &caps(kind, Some(65_535), workers_max), Share::FULL).unwrap() {
                prop_assert_eq!(c.tiles.start, next);
                next = c.tiles.end;
                prop_assert!(c.workers >= 1 && c.workers <= workers_max);
                let worker_tiles = (c.tiles.end - c.tiles.start).div_ceil(c.workers);
                prop_assert!(u64::from(worker_tiles) * (u64::from(iterations) + 1) < 65_535);
            }
            prop_assert_eq!(next, tiles);
        }
    }
}
