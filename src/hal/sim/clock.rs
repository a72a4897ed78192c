//! Virtual time: a clock that stands still until somebody moves it, shared by the simulated device and the engine.
//!
//! Outside the simulated GPU time is in whole nanoseconds. Inside it is in picoseconds, so that a chain of thousands of
//! short kernels does not gain a nanosecond by rounding at each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hal::Clock;
use crate::tensor::Nanos;
use crate::timeline::ClockKind;

/// A time or a duration inside the simulated GPU, in picoseconds; 64 bits hold 213 days.
pub(super) type Ps = u64;

/// Picoseconds in a nanosecond.
pub(super) const PS_PER_NS: u64 = 1_000;

/// `ns` in picoseconds; saturates after 213 days.
pub(super) fn ps(ns: Nanos) -> Ps {
    ns.0.saturating_mul(PS_PER_NS)
}

/// The first nanosecond at which something that ends at `at` has ended.
pub(super) fn nanos_after(at: Ps) -> Nanos {
    Nanos(at.div_ceil(PS_PER_NS))
}

/// The nanosecond in which `at` lies.
pub(super) fn nanos_before(at: Ps) -> Nanos {
    Nanos(at / PS_PER_NS)
}

/// A clock that is moved by hand. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    /// A clock that reads zero.
    pub fn new() -> VirtualClock {
        VirtualClock::default()
    }

    /// Moves it forward to `to`; a clock never goes back, so an earlier time changes nothing.
    pub fn advance_to(&self, to: Nanos) {
        self.0.fetch_max(to.0, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::Relaxed))
    }

    fn kind(&self) -> ClockKind {
        ClockKind::Virtual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_show_one_time_and_it_never_goes_back() {
        let clock = VirtualClock::new();
        let other = clock.clone();
        clock.advance_to(Nanos(7));
        other.advance_to(Nanos(3));
        assert_eq!((clock.now(), other.now(), clock.kind()), (Nanos(7), Nanos(7), ClockKind::Virtual));
    }

    #[test]
    fn what_ends_within_a_nanosecond_has_ended_at_the_next() {
        assert_eq!((nanos_after(1), nanos_after(1_000), nanos_before(1_999)), (Nanos(1), Nanos(1), Nanos(1)));
    }
}
