//! Turns what the engine does into events of a [`Timeline`]. Only where the engine was started with one.

use std::collections::BTreeMap;

use super::tenant::TenantShared;
use crate::hal::{DeviceCaps, LaneId, Slice, SliceSpan};
use crate::service::Class;
use crate::tensor::{Nanos, RequestId, TenantId, show_shape};
use crate::timeline::{Args, Category, DeviceInfo, Instant, InstantKind, NameId, RunInfo, Span, Timeline, TrackId};

/// A timeline with its tracks and the names that the engine uses again and again.
pub(super) struct Recorder {
    timeline: Timeline,
    device: String,
    lanes: BTreeMap<LaneId, TrackId>,
    /// One per thread that computed any.
    cpu_nodes: Vec<TrackId>,
    compiler: TrackId,
    tenants: BTreeMap<TenantId, TenantTrack>,
}

struct TenantTrack {
    track: TrackId,
    slo: Nanos,
    class: Class,
    request: NameId,
    waiting: NameId,
    operators: Vec<(NameId, Option<NameId>)>,
}

/// Which slice of which request a slice of a submission was.
#[derive(Clone, Debug)]
pub(super) struct Launched {
    pub(super) tenant: TenantId,
    pub(super) request: RequestId,
    /// Its stage in the submission.
    pub(super) stage: u32,
    /// Its place in the stage.
    pub(super) at: u32,
    pub(super) slice: Slice,
}

impl Recorder {
    pub(super) fn new(info: RunInfo, capacity: usize) -> Recorder {
        let device = info.device.name.clone();
        let mut timeline = Timeline::new(info, capacity);
        let cpu_nodes = vec![timeline.host_track("CPU nodes")];
        let compiler = timeline.host_track("compiler");
        Recorder { timeline, device, lanes: BTreeMap::new(), cpu_nodes, compiler, tenants: BTreeMap::new() }
    }

    /// Adds a lane's track, if it has none.
    pub(super) fn add_lane(&mut self, lane: LaneId, name: &str) {
        let Recorder { timeline, device, lanes, .. } = self;
        lanes.entry(lane).or_insert_with(|| timeline.lane_track(device, name));
    }

    pub(super) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What came before `at` was loading and warm-up.
    pub(super) fn measurement_begins(&mut self, at: Nanos) {
        self.timeline.measured_from = Some(at);
    }

    /// Adds a tenant's track and interns all names that its requests will need.
    pub(super) fn add_tenant(&mut self, tenant: &TenantShared, class: Class, slo: Nanos) {
        let timeline = &mut self.timeline;
        let operators = tenant
            .recording
            .operations
            .iter()
            .map(|o| {
                let shape = o.outputs.first().map(|t| timeline.intern(&show_shape(&t.view.shape)));
                (timeline.intern(&o.kind), shape)
            })
            .collect();
        let track = TenantTrack {
            track: timeline.tenant_track(tenant.id, &tenant.name),
            slo,
            class,
            request: timeline.intern("request"),
            waiting: timeline.intern("waiting to begin"),
            operators,
        };
        self.tenants.insert(tenant.id, track);
    }

    /// A pipeline was compiled, or all that a load did before.
    pub(super) fn compiled(&mut self, tenant: TenantId, what: &str, start: Nanos, end: Nanos) {
        let name = self.timeline.intern(what);
        self.timeline.push_span(Span {
            start,
            end: end.max(start),
            track: self.compiler,
            tenant: Some(tenant),
            name,
            category: Category::Compile,
            device_time: false,
            args: Args::default(),
        });
    }

    /// The slices of a submission that ran from `start` to `end` by the host's clock; `spans` are the device's times. The slices
    /// of a stage that was one dispatch have the same span.
    pub(super) fn launches(
        &mut self,
        lane: LaneId,
        launched: &[Launched],
        spans: &[SliceSpan],
        start: Nanos,
        end: Nanos,
    ) {
        let Some(&track) = self.lanes.get(&lane) else { return };
        let n = launched.last().map_or(0, |l| u64::from(l.stage) + 1);
        let part = end.since(start).0 / n.max(1);
        for launch in launched {
            // Stages that the device did not time get an equal part of the submission each.
            let place = (launch.stage, launch.at);
            let timed = spans.binary_search_by_key(&place, |s| (s.stage, s.slice)).ok().map(|found| &spans[found]);
            let (from, to) = match timed {
                Some(span) => (span.start, span.end.max(span.start)),
                None if spans.is_empty() => {
                    let from = start + Nanos(part * u64::from(launch.stage));
                    (from, from + Nanos(part))
                }
                None => continue,
            };
            let Some(&(name, shape)) =
                self.tenants.get(&launch.tenant).and_then(|t| t.operators.get(launch.slice.operation as usize))
            else {
                continue;
            };
            self.timeline.push_span(Span {
                start: from,
                end: to,
                track,
                tenant: Some(launch.tenant),
                name,
                category: Category::Kernel,
                device_time: timed.is_some(),
                args: Args {
                    request: Some(launch.request),
                    shape,
                    first_tile: Some(launch.slice.tiles.start),
                    tiles: Some(launch.slice.tiles.end - launch.slice.tiles.start),
                    workers: Some(launch.slice.workers),
                    stage: Some(launch.stage),
                    ..Args::default()
                },
            });
        }
    }

    /// An operator ran on a thread of the CPU.
    pub(super) fn cpu_node(
        &mut self,
        thread: usize,
        (tenant, request): (TenantId, RequestId),
        operator: u32,
        start: Nanos,
        end: Nanos,
    ) {
        while self.cpu_nodes.len() <= thread {
            let name = format!("CPU nodes {}", self.cpu_nodes.len() + 1);
            self.cpu_nodes.push(self.timeline.host_track(&name));
        }
        let Some(&(name, shape)) = self.tenants.get(&tenant).and_then(|t| t.operators.get(operator as usize)) else {
            return;
        };
        self.timeline.push_span(Span {
            start,
            end: end.max(start),
            track: self.cpu_nodes[thread],
            tenant: Some(tenant),
            name,
            category: Category::CpuNode,
            device_time: false,
            args: Args { request: Some(request), shape, ..Args::default() },
        });
    }

    /// Something happened to a request, or to none that has a number.
    pub(super) fn mark(&mut self, kind: InstantKind, tenant: TenantId, request: Option<RequestId>, at: Nanos) {
        if let Some(t) = self.tenants.get(&tenant) {
            self.timeline.push_instant(Instant { at, track: t.track, tenant: Some(tenant), kind, request });
        }
    }

    /// A request was answered: its life, its wait, and whether it broke its promise.
    pub(super) fn answered(
        &mut self,
        tenant: TenantId,
        request: RequestId,
        arrival: Nanos,
        started: Nanos,
        end: Nanos,
    ) {
        let Some(t) = self.tenants.get(&tenant) else { return };
        let end = end.max(arrival);
        let started = started.clamp(arrival, end);
        for (name, category, to) in [(t.request, Category::Request, end), (t.waiting, Category::Queue, started)] {
            self.timeline.push_span(Span {
                start: arrival,
                end: to,
                track: t.track,
                tenant: Some(tenant),
                name,
                category,
                device_time: false,
                args: Args { request: Some(request), ..Args::default() },
            });
        }
        let deadline = arrival + t.slo;
        if t.class == Class::Latency && end > deadline {
            self.mark(InstantKind::DeadlineMiss, tenant, Some(request), deadline);
        }
    }
}

/// A device as reports name it.
pub(super) fn device_info(caps: &DeviceCaps) -> DeviceInfo {
    DeviceInfo { backend: caps.backend.into(), name: caps.name.clone(), driver: caps.driver.clone() }
}
