//! The record of a run: tracks and a ring of events.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Event, Instant, NameId, Names, Span};
use crate::tensor::{Nanos, TenantId};

/// The last events of a run, at most `capacity` of them.
///
/// When full, each push drops the oldest event and counts it; a reader of the record can tell that the beginning is
/// missing. After creation, [`Timeline::push_span`] and [`Timeline::push_instant`] allocate nothing.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// What was run on what.
    pub info: RunInfo,
    /// When the measurement began, where there was one: before it models were loaded and ran alone.
    pub measured_from: Option<Nanos>,
    names: Names,
    tracks: Vec<Track>,
    events: VecDeque<Event>,
    capacity: usize,
    dropped: u64,
}

/// What was run, on what, under which policy: the head of every trace and report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The device that ran it.
    pub device: DeviceInfo,
    /// Whether times are measured or simulated.
    pub clock: ClockKind,
    /// The policy's name.
    pub policy: String,
    /// The seed of all that was drawn at random.
    pub seed: u64,
    /// The scenario that was run, where there was one; `replay` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<ScenarioText>,
}

/// A device as reports name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `wgpu`, `cuda`, `sim`, `reference` or `null`.
    pub backend: String,
    /// The adapter's or profile's name.
    pub name: String,
    /// Driver and version, empty where there is none.
    pub driver: String,
}

/// The clock that a run's times are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockKind {
    /// Real time: the numbers are measured.
    Wall,
    /// Simulated time: the numbers are modelled.
    Virtual,
}

/// A scenario file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioText {
    /// Where it was; relative paths in it begin at its folder.
    pub path: String,
    /// Its TOML text.
    pub text: String,
}

/// A track of one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u32);

/// A row on which events are drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What it stands for.
    pub kind: TrackKind,
    /// Tracks of one kind and group are drawn together: the device's name for lanes.
    pub group: String,
    /// The row's name: a lane, a thread, a tenant.
    pub name: String,
    /// The tenant, for a tenant's track.
    pub tenant: Option<TenantId>,
}

/// What a track stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    /// A lane of a device.
    Lane,
    /// Work on the CPU: a thread of the engine, or CPU nodes.
    Host,
    /// A tenant's requests.
    Tenant,
}

impl TrackKind {
    /// The name in traces.
    pub fn name(self) -> &'static str {
        match self {
            TrackKind::Lane => "lane",
            TrackKind::Host => "host",
            TrackKind::Tenant => "tenant",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<TrackKind> {
        [TrackKind::Lane, TrackKind::Host, TrackKind::Tenant].into_iter().find(|k| k.name() == name)
    }
}

impl Timeline {
    /// Without events; room for `capacity` of them (at least one) is taken now.
    pub fn new(info: RunInfo, capacity: usize) -> Timeline {
        let capacity = capacity.max(1);
        Timeline {
            info,
            measured_from: None,
            names: Names::new(),
            tracks: Vec::new(),
            events: VecDeque::with_capacity(capacity),
            capacity,
            dropped: 0,
        }
    }

    /// Adds a track.
    pub fn track(&mut self, track: Track) -> TrackId {
        self.tracks.push(track);
        TrackId(self.tracks.len() as u32 - 1)
    }

    /// Adds the track of a lane of the device called `device`.
    pub fn lane_track(&mut self, device: &str, name: &str) -> TrackId {
        self.track(Track { kind: TrackKind::Lane, group: device.into(), name: name.into(), tenant: None })
    }

    /// Adds a track for work on the CPU.
    pub fn host_track(&mut self, name: &str) -> TrackId {
        self.track(Track { kind: TrackKind::Host, group: "host".into(), name: name.into(), tenant: None })
    }

    /// Adds the track of a tenant.
    pub fn tenant_track(&mut self, tenant: TenantId, name: &str) -> TrackId {
        self.track(Track { kind: TrackKind::Tenant, group: "tenants".into(), name: name.into(), tenant: Some(tenant) })
    }

    /// The number of a name; allocates only the first time it is seen.
    pub fn intern(&mut self, name: &str) -> NameId {
        self.names.intern(name)
    }

    /// Records a span. Panics if it ends before it starts or its track is not of this timeline.
    pub fn push_span(&mut self, span: Span) {
        assert!(span.start <= span.end, "a span ends at or after its start");
        self.push(Event::Span(span));
    }

    /// Records an instant. Panics if its track is not of this timeline.
    pub fn push_instant(&mut self, instant: Instant) {
        self.push(Event::Instant(instant));
    }

    fn push(&mut self, event: Event) {
        assert!((event.track().0 as usize) < self.tracks.len(), "the track exists");
        if self.events.len() == self.capacity {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(event);
    }

    /// Adds to the number of dropped events: those that were missing from a trace that was read.
    pub(super) fn add_dropped(&mut self, dropped: u64) {
        self.dropped += dropped;
    }

    /// The kept events, in the order in which they were recorded.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Event> + DoubleEndedIterator {
        self.events.iter()
    }

    /// Events that are kept now.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// True when no event is kept.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Events that were recorded so far, dropped ones included.
    pub fn recorded(&self) -> u64 {
        self.dropped + self.events.len() as u64
    }

    /// A copy with what was recorded after the first `seen` events; the others count as dropped in it. Its ids of names
    /// and tracks are this timeline's, so that copies made one after the other can be joined.
    pub fn since(&self, seen: u64) -> Timeline {
        let skip = seen.saturating_sub(self.dropped).min(self.events.len() as u64);
        let events: VecDeque<Event> = self.events.range(skip as usize..).copied().collect();
        Timeline {
            info: self.info.clone(),
            measured_from: self.measured_from,
            names: self.names.clone(),
            tracks: self.tracks.clone(),
            capacity: events.len().max(1),
            events,
            dropped: self.dropped + skip,
        }
    }

    /// Events that are kept at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Events that were dropped because the record was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The tracks; `TrackId(i)` is the `i`-th.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The text of an interned name.
    pub fn name(&self, id: NameId) -> &str {
        self.names.text(id)
    }

    /// The first start and the last end among kept events.
    pub fn bounds(&self) -> Option<(Nanos, Nanos)> {
        let first = self.events.iter().map(Event::start).min()?;
        let last = self.events.iter().map(Event::end).max()?;
        Some((first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::super::InstantKind;
    use super::*;

    fn info() -> RunInfo {
        RunInfo {
            device: DeviceInfo::default(),
            clock: ClockKind::Virtual,
            policy: "none".into(),
            seed: 1,
            scenario: None,
        }
    }

    #[test]
    fn a_full_record_drops_the_oldest_and_counts_them() {
        let mut timeline = Timeline::new(info(), 3);
        let track = timeline.tenant_track(TenantId(0), "face");
        for at in 0..5 {
            timeline.push_instant(Instant {
                at: Nanos(at),
                track,
                tenant: Some(TenantId(0)),
                kind: InstantKind::Arrival,
                request: None,
            });
        }
        assert_eq!((timeline.len(), timeline.dropped()), (3, 2));
        assert_eq!(timeline.bounds(), Some((Nanos(2), Nanos(4))));
        assert!(timeline.events.capacity() >= 3);
    }

    #[test]
    fn copies_made_one_after_the_other_miss_nothing_and_repeat_nothing() {
        let mut timeline = Timeline::new(info(), 4);
        let track = timeline.tenant_track(TenantId(0), "face");
        let push = |timeline: &mut Timeline, at| {
            let (tenant, kind) = (Some(TenantId(0)), InstantKind::Arrival);
            timeline.push_instant(Instant { at: Nanos(at), track, tenant, kind, request: None });
        };
        let mut seen = 0;
        let mut joined = Vec::new();
        let mut lost = 0;
        // The seventh and eighth batch are larger than the ring.
        for (batch, n) in [1, 0, 3, 4, 2, 4, 6, 9].into_iter().enumerate() {
            (0..n).for_each(|i| push(&mut timeline, 100 * batch as u64 + i));
            let tail = timeline.since(seen);
            lost += tail.dropped() - seen;
            seen = tail.recorded();
            joined.extend(tail.events().map(|e| e.start().0));
            assert_eq!(tail.tracks().len(), 1);
        }
        assert_eq!((seen, lost), (timeline.recorded(), 2 + 5));
        assert_eq!(joined.len() as u64, timeline.recorded() - lost);
        assert!(joined.is_sorted_by(|a, b| a < b));
        assert!(timeline.since(u64::MAX).is_empty());
    }

    #[test]
    fn recording_never_grows_the_ring() {
        let mut timeline = Timeline::new(info(), 100);
        let track = timeline.host_track("engine");
        let before = timeline.events.capacity();
        for at in 0..1000 {
            timeline.push_instant(Instant {
                at: Nanos(at),
                track,
                tenant: None,
                kind: InstantKind::Preemption,
                request: None,
            });
        }
        assert_eq!(timeline.events.capacity(), before);
    }
}
