//! What a tenant's operators take on this device, learned from finished submissions. It sizes submissions and tells
//! policies how long a request still needs.

use crate::hal::{DeviceCaps, DeviceKind, GivenCost, Operation, Recording};
use crate::tensor::Nanos;

/// How much a new measurement changes an estimate.
const WEIGHT: f64 = 0.3;

/// Estimated device time per operator of one recording.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    operators_ns: Vec<f64>,
    total_ns: f64,
    measured: bool,
}

impl Costs {
    /// A first guess: what was given, else time per launch plus arithmetic at a modest rate.
    pub(super) fn guess(recording: &Recording, caps: &DeviceCaps) -> Costs {
        let (launch_ns, flop_ns) = match caps.kind {
            DeviceKind::DiscreteGpu | DeviceKind::IntegratedGpu => (5_000.0, 0.001),
            _ => (40_000.0, 0.2),
        };
        let units = f64::from(caps.compute_units.unwrap_or(1).max(1));
        let guess = |o: &Operation| match o.given {
            Some(GivenCost::Recorded { ns, .. }) => ns,
            Some(GivenCost::Law { floor_ns, overlap_ns, fixed_ns, unit_ns, memory_ns, .. }) => {
                floor_ns.max(overlap_ns + fixed_ns + unit_ns / units + memory_ns)
            }
            None => launch_ns * (o.launches.len().max(1)) as f64 + flop_ns * o.flops as f64,
        };
        let operators_ns: Vec<f64> = recording.operations.iter().map(guess).collect();
        let total_ns = operators_ns.iter().sum();
        Costs { operators_ns, total_ns, measured: false }
    }

    /// Of one operator, in nanoseconds.
    pub(super) fn operator_ns(&self, operator: u32) -> f64 {
        self.operators_ns[operator as usize]
    }

    /// Of a whole request, in nanoseconds.
    pub(super) fn total_ns(&self) -> f64 {
        self.total_ns
    }

    /// Of a whole request but for what was submitted of it; `None` before anything was measured.
    pub(super) fn left(&self, submitted_ns: f64) -> Option<Nanos> {
        self.measured.then(|| Nanos((self.total_ns - submitted_ns).max(0.0) as u64))
    }

    /// An operator's submission took `ratio` times what was estimated for all of it.
    pub(super) fn learn(&mut self, operator: u32, ratio: f64) {
        let weight = if self.measured { WEIGHT } else { 1.0 };
        let ns = &mut self.operators_ns[operator as usize];
        let change = *ns * weight * (ratio.clamp(0.05, 20.0) - 1.0);
        *ns += change;
        self.total_ns += change;
    }

    /// The operators from `first` on take these times in ns; zero is not known.
    pub(super) fn set(&mut self, first: u32, times: &[f64]) {
        for (ns, time) in self.operators_ns[first as usize..].iter_mut().zip(times).filter(|(_, time)| **time > 0.0) {
            self.total_ns += time - *ns;
            *ns = *time;
        }
    }

    /// Everything was measured at least once.
    pub(super) fn mark_measured(&mut self) {
        self.measured = true;
    }
}
