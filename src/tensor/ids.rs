//! Identifiers and units, as types of their own so that no two of them can be confused.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// One tenant of an engine: a loaded model with its promise and its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub u32);

/// One request of a tenant, numbered by the engine in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A time or a duration in nanoseconds, on the clock of the run (wall or virtual).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// From milliseconds; negative values become zero.
    pub fn from_ms(ms: f64) -> Nanos {
        Nanos((ms * 1e6).max(0.0).round() as u64)
    }

    /// From seconds; negative values become zero.
    pub fn from_secs(s: f64) -> Nanos {
        Nanos((s * 1e9).max(0.0).round() as u64)
    }

    /// In milliseconds.
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// In seconds.
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The difference, or zero where `earlier` is later.
    pub fn since(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Nanos {
    type Output = Nanos;
    fn add(self, other: Nanos) -> Nanos {
        Nanos(self.0 + other.0)
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Nanos) {
        self.0 += other.0;
    }
}

impl Sub for Nanos {
    type Output = Nanos;
    fn sub(self, other: Nanos) -> Nanos {
        Nanos(self.0 - other.0)
    }
}

/// A part of a device, in (0, 1].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// The whole device.
    pub const FULL: Share = Share(1.0);

    /// A share from a percentage; `None` outside (0, 100].
    pub fn from_percent(percent: f64) -> Option<Share> {
        (percent > 0.0 && percent <= 100.0).then_some(Share(percent / 100.0))
    }

    /// As a fraction in (0, 1].
    pub fn fraction(self) -> f64 {
        self.0
    }

    /// Of `workers`, how many this share may use: rounded, at least one.
    pub fn of_workers(self, workers: u32) -> u32 {
        ((workers as f64 * self.0).round() as u32).max(1)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_never_rounds_to_no_worker() {
        let share = Share::from_percent(1.0).unwrap();
        assert_eq!(share.of_workers(8), 1);
        assert_eq!(Share::FULL.of_workers(8), 8);
        assert!(Share::from_percent(0.0).is_none() && Share::from_percent(101.0).is_none());
    }

    #[test]
    fn durations_do_not_wrap_below_zero() {
        assert_eq!(Nanos(3).since(Nanos(5)), Nanos(0));
        assert_eq!(Nanos::from_ms(-1.0), Nanos(0));
    }
}
