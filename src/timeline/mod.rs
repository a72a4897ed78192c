//! What happened in a run, as plain data: a bounded record of spans and instants on tracks, its exporter and reader in
//! Chrome/Perfetto JSON, and the metrics of a run.
//!
//! Nothing here takes the time, touches a device or decides anything: whoever observes something pushes it with the
//! times it observed. Times are [`crate::tensor::Nanos`] on one clock, wall or virtual, that [`RunInfo::clock`] names.

mod busy;
mod event;
pub mod interval;
mod latency;
pub mod metrics;
mod names;
pub mod perfetto;
pub mod progress;
mod record;
pub mod svg;

pub use busy::busy_time;
pub use event::{Args, Category, Event, Instant, InstantKind, Span};
pub use latency::{Latencies, LatencyMs};
pub use names::{NAMES_MAX, NameId, Names};
pub use record::{ClockKind, DeviceInfo, RunInfo, ScenarioText, Timeline, Track, TrackId, TrackKind};
