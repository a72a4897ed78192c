//! Time as an argument: whoever needs the time takes a `&dyn Clock`.

use std::sync::Arc;
use std::time::Instant;

use crate::tensor::Nanos;
use crate::timeline::ClockKind;

/// A source of time for one run; it starts near zero.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Nanos;

    /// What its time is. A virtual clock stands still until [`super::Device::poll`] moves it on.
    fn kind(&self) -> ClockKind;
}

/// A clock that device, engine and tenants share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's monotonic clock, zero when created.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    origin: Instant,
}

impl WallClock {
    /// A clock that begins now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn start() -> WallClock {
        WallClock { origin: Instant::now() }
    }
}

impl Clock for WallClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Nanos {
        Nanos(Instant::now().duration_since(self.origin).as_nanos() as u64)
    }

    fn kind(&self) -> ClockKind {
        ClockKind::Wall
    }
}
