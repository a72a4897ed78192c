//! A trace as the window shows it: tracks with rows of bars, tenants with their figures, and where each request is.
//!
//! It is plain data without locks, drawing or devices. A file fills it at once, a running engine ten times a second, both
//! through [`Trace::push`]; it never forgets, so it is bounded: beyond [`BARS_MAX`] bars and [`TRACKS_MAX`] tracks what
//! comes is counted and not kept.

pub mod figures;
pub mod row;
pub mod summary;
pub mod track;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cotenant::engine::scenario::Scenario;
use cotenant::tensor::{Nanos, RequestId, TenantId};
use cotenant::timeline::{Category, Event, InstantKind, NameId, RunInfo, Span, Timeline, Track, TrackKind};

use figures::TenantFigures;
use row::{Bar, Wait};
use summary::{CLASSES, Class};
use track::{Busy, TrackBars};

/// Bars that are kept: about 1.6 GB.
pub const BARS_MAX: usize = 10_000_000;

/// Tracks that are kept.
pub const TRACKS_MAX: usize = 1000;

/// Where a bar is; stays true while the trace grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BarRef {
    /// The track's number.
    pub track: u32,
    /// The row of the track.
    pub row: u32,
    /// The bar of the row.
    pub index: u32,
}

/// What happened in a run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The engine's record without events: what was run, names, tracks.
    head: Timeline,
    tracks: Vec<TrackBars>,
    tenants: Vec<TenantFigures>,
    slots: HashMap<TenantId, usize>,
    scenario: Option<Scenario>,
    requests: HashMap<RequestId, BarRef>,
    bounds: Option<(Nanos, Nanos)>,
    n_bars: usize,
    left_out: u64,
    lost: u64,
    seen: u64,
}

impl Trace {
    /// Without events; `info` tells what is run.
    pub fn new(info: RunInfo) -> Trace {
        let scenario = info.scenario.as_ref();
        let scenario = scenario.and_then(|s| Scenario::parse(&s.text, Path::new(&s.path)).ok());
        Trace {
            head: Timeline::new(info, 1),
            tracks: Vec::new(),
            tenants: Vec::new(),
            slots: HashMap::new(),
            scenario,
            requests: HashMap::new(),
            bounds: None,
            n_bars: 0,
            left_out: 0,
            lost: 0,
            seen: 0,
        }
    }

    /// All of a record.
    pub fn of(timeline: &Timeline) -> Trace {
        let mut trace = Trace::new(timeline.info.clone());
        trace.push(timeline);
        trace
    }

    /// Adds the next part of a record: all of it, or what [`Timeline::since`] gives.
    pub fn push(&mut self, part: &Timeline) {
        let info = RunInfo { scenario: self.info().scenario.clone(), ..part.info.clone() };
        let began = part.measured_from != self.head.measured_from;
        self.head = part.since(u64::MAX);
        self.head.info = info;
        self.lost += part.dropped().saturating_sub(self.seen);
        self.seen = part.recorded();
        part.tracks()
            .iter()
            .skip(self.tracks.len())
            .take(TRACKS_MAX - self.tracks.len())
            .for_each(|t| self.add_track(t));
        if began {
            let from = self.measured_from();
            self.tracks.iter_mut().for_each(|track| track.busy = Busy::after(from));
            self.tenants.iter_mut().for_each(TenantFigures::reset);
        }
        let fates = Fates::of(part);
        for event in part.events() {
            let (start, end) = (event.start(), event.end());
            let (first, last) = self.bounds.unwrap_or((start, end));
            self.bounds = Some((first.min(start), last.max(end)));
            match event {
                Event::Span(span) => self.add_span(span, &fates),
                Event::Instant(instant) => {
                    let measured_from = self.measured_from();
                    if let Some(tenant) = self.slot(instant.tenant).and_then(|slot| self.tenants.get_mut(slot)) {
                        tenant.happened(instant, measured_from);
                    }
                    if let Some(track) = self.tracks.get_mut(instant.track.0 as usize) {
                        track.mark(instant);
                    }
                }
            }
        }
    }

    fn add_track(&mut self, track: &Track) {
        let mut slot = None;
        if let (TrackKind::Tenant, Some(id)) = (track.kind, track.tenant) {
            let next = self.tenants.len();
            slot = Some(*self.slots.entry(id).or_insert(next));
            if slot == Some(next) {
                self.tenants.push(TenantFigures::new(id, &track.name, self.scenario.as_ref()));
            }
        }
        self.tracks.push(TrackBars::new(track.clone(), slot));
    }

    fn add_span(&mut self, span: &Span, fates: &Fates) {
        if fates.is_told_with_its_request(span) {
            return;
        }
        let measured_from = self.measured_from();
        let slot = self.slot(span.tenant);
        let Some(kind) = self.tracks.get(span.track.0 as usize).map(|t| t.track.kind) else {
            self.left_out += 1;
            return;
        };
        if let Some(tenant) = slot.and_then(|slot| self.tenants.get_mut(slot)) {
            match kind {
                TrackKind::Lane => tenant.worked(span, measured_from),
                TrackKind::Tenant if span.category == Category::Request => tenant.answered(span, measured_from),
                _ => {}
            }
        }
        self.tracks[span.track.0 as usize].busy.add(span);
        if self.n_bars >= BARS_MAX {
            self.left_out += 1;
            return;
        }
        let request = span.args.request.filter(|_| span.category == Category::Request);
        let bar = Bar {
            span: *span,
            wait: request.and_then(|request| fates.waits.get(&request).copied()),
            late: request.is_some_and(|request| fates.late.contains(&request)),
            class: class_of(kind, slot, request.is_some_and(|request| fates.late.contains(&request))),
        };
        if let Some((row, index)) = self.tracks[span.track.0 as usize].place(bar) {
            self.n_bars += 1;
            if let Some(request) = request {
                self.requests.insert(request, BarRef { track: span.track.0, row, index });
            }
        }
    }

    /// What was run on what.
    pub fn info(&self) -> &RunInfo {
        &self.head.info
    }

    /// When the measured part began; zero where the record does not say.
    pub fn measured_from(&self) -> Nanos {
        self.head.measured_from.unwrap_or(Nanos(0))
    }

    /// The first start and the last end.
    pub fn bounds(&self) -> Option<(Nanos, Nanos)> {
        self.bounds
    }

    /// The measured part, or all of it where nothing was measured yet.
    pub fn measured(&self) -> Option<(Nanos, Nanos)> {
        self.bounds.map(|(start, end)| (start.max(self.measured_from().min(end)), end))
    }

    /// Length of the measured part so far.
    pub fn elapsed(&self) -> Nanos {
        self.measured().map_or(Nanos(0), |(start, end)| end.since(start))
    }

    /// The tracks; `BarRef::track` is an index.
    pub fn tracks(&self) -> &[TrackBars] {
        &self.tracks
    }

    /// The tenants in order of their tracks.
    pub fn tenants(&self) -> &[TenantFigures] {
        &self.tenants
    }

    /// A tenant's place among the [tenants](Trace::tenants).
    pub fn slot(&self, tenant: Option<TenantId>) -> Option<usize> {
        self.slots.get(&tenant?).copied()
    }

    /// A bar; `None` for a reference into another trace.
    pub fn bar(&self, at: BarRef) -> Option<&Bar> {
        self.tracks.get(at.track as usize)?.rows.get(at.row as usize)?.bars().get(at.index as usize)
    }

    /// The bar of a request.
    pub fn request(&self, request: RequestId) -> Option<BarRef> {
        self.requests.get(&request).copied()
    }

    /// Time of a request's work on the lanes of devices within `[from, to]`, and the number of launches.
    pub fn device_time(&self, request: RequestId, from: Nanos, to: Nanos) -> (Nanos, u64) {
        let lanes = self.tracks.iter().filter(|track| track.track.kind == TrackKind::Lane);
        let bars = lanes.flat_map(|track| &track.rows).flat_map(|row| &row.bars()[row.range(from, to)]);
        let mine = bars.filter(|bar| bar.span.args.request == Some(request));
        mine.fold((Nanos(0), 0), |(time, n), bar| (time + bar.length(), n + 1))
    }

    /// The text of a name.
    pub fn name(&self, id: NameId) -> &str {
        self.head.name(id)
    }

    /// The share of the measured part in which something happened on a track; `None` before anything was measured.
    pub fn utilization(&self, track: &TrackBars) -> Option<f64> {
        let elapsed = self.elapsed().0;
        (elapsed > 0).then(|| (track.busy.time().0 as f64 / elapsed as f64).min(1.0))
    }

    /// What is not shown, in words: lost by the engine's ring, beyond a limit, or overlapping too often.
    pub fn missing(&self) -> Option<String> {
        let undrawn: u64 = self.tracks.iter().map(|t| t.undrawn).sum();
        let parts = [
            (self.lost, "older events were dropped while recording"),
            (self.left_out, "events are beyond what the window keeps"),
            (undrawn, "overlap too often to be drawn"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// How many events the engine has recorded up to what was pushed last.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Bars that are kept.
    pub fn n_bars(&self) -> usize {
        self.n_bars
    }
}

/// What becomes of the requests of one part of a record. The engine tells a request's life, its wait and its missed
/// deadline in one go, so they are in one part.
struct Fates {
    waits: HashMap<RequestId, Wait>,
    answered: HashSet<RequestId>,
    late: HashSet<RequestId>,
}

impl Fates {
    fn of(part: &Timeline) -> Fates {
        let mut fates = Fates { waits: HashMap::new(), answered: HashSet::new(), late: HashSet::new() };
        for event in part.events() {
            match event {
                Event::Span(Span { category: Category::Request, args, .. }) => fates.answered.extend(args.request),
                Event::Span(span) if span.category == Category::Queue => {
                    if let Some(request) = span.args.request {
                        let wait = Wait { until: span.end, cause: span.name };
                        let known = fates.waits.entry(request).or_insert(wait);
                        if known.until < wait.until {
                            *known = wait;
                        }
                    }
                }
                Event::Instant(instant) if instant.kind == InstantKind::DeadlineMiss => {
                    fates.late.extend(instant.request);
                }
                _ => {}
            }
        }
        fates
    }

    /// Waits are part of their request's bar.
    fn is_told_with_its_request(&self, span: &Span) -> bool {
        span.category == Category::Queue && span.args.request.is_some_and(|request| self.answered.contains(&request))
    }
}

/// The class of served requests that were in time, in rows of requests.
pub const SERVED: Class = Class(1);

/// The class of requests that missed their deadline.
pub const LATE: Class = Class(2);

/// On lanes a bar's class is its tenant's place, counted from one and beginning again after the last class.
fn class_of(kind: TrackKind, slot: Option<usize>, late: bool) -> Class {
    match (kind, slot) {
        (TrackKind::Tenant, _) => {
            if late {
                LATE
            } else {
                SERVED
            }
        }
        (_, Some(slot)) => Class((slot % (CLASSES - 1)) as u8 + 1),
        (_, None) => Class(0),
    }
}

#[cfg(test)]
mod tests;
