//! The general co-kernel: one that has the kernels of all tenants' segments, so that any combination of their chains is one
//! dispatch from the moment at which it is needed first. Each kernel that a combination does without costs it time, so
//! combinations get co-kernels of their own later, in the background, where that pays.
//!
//! Only where memory is pooled: there a co-kernel does not depend on whose memory it works on. When tenants come, a larger one is
//! compiled after their segments; as many segments are in it as there is room for, those first that add least.

use std::sync::Arc;

use super::Dispatcher;
use crate::engine::segment::KERNELS_MAX;
use crate::hal::{KernelSpec, Slice, Stage, Together};

/// Its kernels at most. Twenty-four take lavapipe about three times as long to compile as eight.
const GENERAL_KERNELS_MAX: usize = 3 * KERNELS_MAX;

/// A launch of each kernel of a segment, or of several.
#[derive(Default)]
struct Needs {
    kernels: Vec<Arc<KernelSpec>>,
    slices: Vec<Slice>,
}

impl Needs {
    fn add(&mut self, kernel: &Arc<KernelSpec>, slice: &Slice) {
        if !self.kernels.contains(kernel) {
            self.kernels.push(kernel.clone());
            self.slices.push(Slice { follows: !self.slices.is_empty(), ..slice.clone() });
        }
    }

    fn growth(&self, other: &Needs) -> usize {
        other.kernels.iter().filter(|k| !self.kernels.contains(k)).count()
    }

    fn with(&self, other: &Needs) -> Needs {
        let mut both = Needs { kernels: self.kernels.clone(), slices: self.slices.clone() };
        other.kernels.iter().zip(&other.slices).for_each(|(kernel, slice)| both.add(kernel, slice));
        both
    }
}

impl Dispatcher {
    /// A stage that takes all kernels of the general co-kernel; `None` where there is nothing to combine.
    pub(super) fn general_stage(&self) -> Option<Stage> {
        let mut segments = self.needs_of_segments();
        let mut all = Needs::default();
        while let Some(at) = (0..segments.len()).min_by_key(|&at| all.growth(&segments[at])) {
            let both = all.with(&segments.swap_remove(at));
            if both.kernels.len() > GENERAL_KERNELS_MAX {
                break;
            }
            if both.kernels.len() == all.kernels.len() || self.is_pooled(&both) {
                all = both;
            }
        }
        (all.slices.len() > 1).then_some(Stage { slices: all.slices })
    }

    /// What each segment of each tenant needs.
    fn needs_of_segments(&self) -> Vec<Needs> {
        let mut found = Vec::new();
        for tenant in self.board.iter() {
            let segments = &tenant.plan.segments;
            for operators in segments.starts().filter_map(|start| segments.operators(start)) {
                let mut needs = Needs::default();
                for operation in operators {
                    let launches = &tenant.shared.recording.operations[operation as usize].launches;
                    for (launch, at) in launches.iter().zip(0..).filter(|(l, _)| l.tiles > 0) {
                        let (recording, tiles) = (tenant.recording, 0..launch.tiles);
                        let slice = Slice { recording, operation, launch: at, tiles, workers: 1, follows: false };
                        needs.add(&launch.kernel, &slice);
                    }
                }
                found.push(needs);
            }
        }
        found
    }

    /// Whether the device can run these kernels at once, for whichever tenants.
    fn is_pooled(&self, needs: &Needs) -> bool {
        // One kernel is no co-kernel yet.
        needs.slices.len() < 2
            || match self.device.together(&Stage { slices: needs.slices.clone() }) {
                Together::Ready => true,
                Together::Compile(wanted) | Together::Larger(wanted) => wanted.pooled,
                Together::Apart => false,
            }
    }
}
