//! Time as an argument: whoever needs the time takes a `&dyn Clock`.

use std::time::Instant;

use crate::tensor::Nanos;

/// A source of time for one run; it starts near zero.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Nanos;

    /// `"wall"` or `"virtual"`, as outputs label it.
    fn label(&self) -> &'static str;
}

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

    fn label(&self) -> &'static str {
        "wall"
    }
}
