//! Records on their way into the window: whole, in parts, and with everything that a trace can hold.

use cotenant::timeline::{Args, ClockKind, DeviceInfo, Instant, ScenarioText, TrackId};
use proptest::prelude::*;

use super::*;

const SCENARIO: &str = "duration_s = 1.0\n[[tenant]]\nname = \"face\"\nmodel = \"zoo:mlp\"\nslo_ms = 0.05\n";

fn info() -> RunInfo {
    RunInfo {
        device: DeviceInfo::default(),
        clock: ClockKind::Virtual,
        policy: "none".into(),
        seed: 1,
        scenario: Some(ScenarioText { path: "s.toml".into(), text: SCENARIO.into() }),
    }
}

/// Two tenants on one lane.
struct Recorder {
    timeline: Timeline,
    lane: TrackId,
    tenants: [TrackId; 2],
    requests: u64,
}

impl Recorder {
    fn new(capacity: usize) -> Recorder {
        let mut timeline = Timeline::new(info(), capacity);
        let lane = timeline.lane_track("gpu", "queue");
        timeline.host_track("compiler");
        let tenants = [timeline.tenant_track(TenantId(7), "face"), timeline.tenant_track(TenantId(9), "voice")];
        Recorder { timeline, lane, tenants, requests: 0 }
    }

    fn span(&mut self, track: TrackId, tenant: usize, category: Category, start: u64, end: u64, request: Option<u64>) {
        let name = self.timeline.intern(category.name());
        let args = Args { request: request.map(RequestId), ..Args::default() };
        let tenant = Some(TenantId([7, 9][tenant]));
        let (start, end) = (Nanos(start), Nanos(end));
        self.timeline.push_span(Span { start, end, track, tenant, name, category, device_time: true, args });
    }

    fn instant(&mut self, tenant: usize, kind: InstantKind, at: u64, request: Option<u64>) {
        let (track, request) = (self.tenants[tenant], request.map(RequestId));
        let tenant = Some(TenantId([7, 9][tenant]));
        self.timeline.push_instant(Instant { at: Nanos(at), track, tenant, kind, request });
    }

    /// A request as the engine tells it: arrival, a kernel, then life, wait and perhaps a missed deadline.
    fn request(&mut self, tenant: usize, arrival: u64, wait: u64, service: u64) {
        let request = Some(self.requests);
        self.requests += 1;
        let (started, end) = (arrival + wait, arrival + wait + service);
        self.instant(tenant, InstantKind::Arrival, arrival, request);
        self.span(self.lane, tenant, Category::Kernel, started, end, request);
        self.span(self.tenants[tenant], tenant, Category::Request, arrival, end, request);
        self.span(self.tenants[tenant], tenant, Category::Queue, arrival, started, request);
        if end - arrival > 50_000 {
            self.instant(tenant, InstantKind::DeadlineMiss, arrival + 50_000, request);
        }
    }
}

#[test]
fn a_request_is_one_bar_with_its_wait_and_its_fate() {
    let mut recorder = Recorder::new(100);
    recorder.request(0, 1_000, 200, 300);
    recorder.request(0, 1_100, 40_000, 20_000);
    let trace = Trace::of(&recorder.timeline);
    let bars: Vec<&Bar> = (0..2).map(|r| trace.bar(trace.request(RequestId(r)).unwrap()).unwrap()).collect();
    assert_eq!((bars[0].served_from(), bars[0].late, bars[0].class), (Nanos(1_200), false, SERVED));
    assert_eq!((bars[1].served_from(), bars[1].late, bars[1].class), (Nanos(41_100), true, LATE));
    assert_eq!(trace.name(bars[1].wait.unwrap().cause), "queue");
    assert_eq!(trace.n_bars(), 4, "waits are part of their requests");
    let face = &trace.tracks()[2];
    assert_eq!((face.rows.len(), face.arrivals.all().len(), face.alarms.all().len()), (2, 2, 1));
    assert_eq!(trace.device_time(RequestId(1), Nanos(0), Nanos(1 << 20)), (Nanos(20_000), 1));
}

#[test]
fn figures_begin_with_the_measurement() {
    let mut recorder = Recorder::new(100);
    recorder.request(0, 0, 0, 500_000);
    let mut trace = Trace::of(&recorder.timeline);
    assert_eq!(trace.tenants()[0].metrics(trace.elapsed()).completed, 1);
    // As a running engine tells it: the measurement begins between two looks.
    let seen = trace.seen();
    recorder.timeline.measured_from = Some(Nanos(1_000_000));
    recorder.request(0, 1_000_000, 10_000, 30_000);
    recorder.request(0, 1_500_000, 0, 100_000);
    recorder.request(1, 1_600_000, 0, 400_000);
    recorder.instant(0, InstantKind::Rejection, 1_700_000, None);
    trace.push(&recorder.timeline.since(seen));
    let elapsed = trace.elapsed();
    assert_eq!(elapsed, Nanos(1_000_000));
    let [face, voice] = trace.tenants() else { panic!("two tenants") };
    let metrics = face.metrics(elapsed);
    assert_eq!((metrics.requests, metrics.completed, metrics.rejected, metrics.good), (3, 2, 1, 1));
    assert_eq!(face.attainment(&metrics), Some(1.0 / 3.0));
    assert_eq!((metrics.model.as_str(), metrics.slo_ms), ("zoo:mlp", 0.05));
    assert_eq!(voice.attainment(&voice.metrics(elapsed)), None, "nothing was promised");
    assert_eq!((face.device_time, voice.device_time), (Nanos(130_000), Nanos(400_000)));
    // The kernels of face (until 1.6 ms) and voice (from 1.6 ms) cover 0.53 of 1 ms.
    assert_eq!(trace.utilization(&trace.tracks()[0]), Some(0.53));
}

#[test]
fn what_does_not_fit_is_counted_and_told() {
    let mut recorder = Recorder::new(1000);
    // All overlap: more than there are rows.
    (0..70).for_each(|i| recorder.span(recorder.lane, 0, Category::Kernel, i, 1_000, None));
    let trace = Trace::of(&recorder.timeline);
    assert_eq!(trace.missing().as_deref(), Some("6 overlap too often to be drawn"));
    let mut recorder = Recorder::new(4);
    (0..7).for_each(|i| recorder.instant(0, InstantKind::Arrival, i, None));
    assert_eq!(Trace::of(&recorder.timeline).missing().as_deref(), Some("3 older events were dropped while recording"));
}

#[test]
fn a_million_tracks_are_not_a_million_lanes() {
    let mut timeline = Timeline::new(info(), 4);
    let last = (0..TRACKS_MAX + 10).map(|i| timeline.host_track(&format!("thread {i}"))).last().unwrap();
    let name = timeline.intern("work");
    let (start, end, category) = (Nanos(1), Nanos(2), Category::CpuNode);
    let args = Args::default();
    timeline.push_span(Span { start, end, track: last, tenant: None, name, category, device_time: false, args });
    let trace = Trace::of(&timeline);
    assert_eq!((trace.tracks().len(), trace.n_bars()), (TRACKS_MAX, 0));
    assert_eq!(trace.missing().as_deref(), Some("1 events are beyond what the window keeps"));
}

proptest! {
    #[test]
    fn parts_make_the_whole(
        requests in prop::collection::vec((0usize..2, 0u64..90_000, 0u64..90_000, 0u64..90_000), 1..40),
        looks in prop::collection::vec(any::<bool>(), 40),
        measured in prop::option::of(0u64..400_000)
    ) {
        let mut recorder = Recorder::new(1000);
        let mut joined = Trace::new(info());
        let mut now = 0;
        for ((tenant, gap, wait, service), look) in requests.into_iter().zip(looks) {
            now += gap;
            if measured.is_some_and(|from| from <= now) {
                recorder.timeline.measured_from = measured.map(Nanos);
            }
            recorder.request(tenant, now, wait, service);
            if look {
                joined.push(&recorder.timeline.since(joined.seen()));
            }
        }
        joined.push(&recorder.timeline.since(joined.seen()));
        let whole = Trace::of(&recorder.timeline);
        prop_assert_eq!(joined.bounds(), whole.bounds());
        prop_assert_eq!((joined.n_bars(), joined.missing()), (whole.n_bars(), whole.missing()));
        for (a, b) in joined.tracks().iter().zip(whole.tracks()) {
            let bars = |t: &TrackBars| t.rows.iter().map(|row| row.bars().to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(bars(a), bars(b));
            prop_assert_eq!(a.alarms.all(), b.alarms.all());
        }
        for (a, b) in joined.tenants().iter().zip(whole.tenants()) {
            prop_assert_eq!(a.metrics(joined.elapsed()), b.metrics(whole.elapsed()));
        }
        // Every request can be found, and every bar's reference leads to it.
        for request in 0..recorder.requests {
            let at = whole.request(RequestId(request)).unwrap();
            prop_assert_eq!(whole.bar(at).unwrap().span.args.request, Some(RequestId(request)));
        }
    }
}
