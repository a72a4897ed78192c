//! The window as a person uses it, without a screen: controls are found by their accessible names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cotenant::tensor::{Nanos, RequestId, TenantId};
use cotenant::timeline::{
    Args, Category, ClockKind, DeviceInfo, Instant, InstantKind, RunInfo, ScenarioText, Span, Timeline, perfetto,
};
use cotenant_app::app::{App, Options};
use cotenant_app::timeline::paint::NAMES_PT;
use cotenant_app::timeline::view::TimelineView;
use eframe::egui::{Event, Key, Modifiers, MouseWheelUnit, Role, TouchPhase, Vec2, pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

const SCENARIO: &str = "duration_s = 1.0\n[[tenant]]\nname = \"face\"\nmodel = \"zoo:mlp\"\nslo_ms = 10.0\n\
                        [[tenant]]\nname = \"voice\"\nmodel = \"zoo:mlp\"\n";

/// A second of two tenants, as an engine would record it.
fn timeline() -> Timeline {
    let info = RunInfo {
        device: DeviceInfo { backend: "sim".into(), name: "a made-up GPU".into(), driver: String::new() },
        clock: ClockKind::Virtual,
        policy: "round-robin".into(),
        seed: 1,
        scenario: Some(ScenarioText { path: "s.toml".into(), text: SCENARIO.into() }),
    };
    let mut t = Timeline::new(info, 10_000);
    let lane = t.lane_track("a made-up GPU", "queue");
    let tenants = [t.tenant_track(TenantId(0), "face"), t.tenant_track(TenantId(1), "voice")];
    let names = ["gemm", "request", "waiting to begin"].map(|name| t.intern(name));
    for number in 0..100u64 {
        let who = (number % 2) as usize;
        let (arrival, started, end) = (number * 10_000_000, number * 10_000_000 + 2_000_000, (number + 1) * 10_000_000);
        let tenant = Some(TenantId(who as u32));
        let request = Some(RequestId(number));
        let args = Args { request, workers: Some(8), ..Args::default() };
        t.push_instant(Instant {
            at: Nanos(arrival),
            track: tenants[who],
            tenant,
            kind: InstantKind::Arrival,
            request,
        });
        for (name, category, track, start, end) in [
            (names[0], Category::Kernel, lane, started, end),
            (names[1], Category::Request, tenants[who], arrival, end),
            (names[2], Category::Queue, tenants[who], arrival, started),
        ] {
            let (start, end) = (Nanos(start), Nanos(end));
            t.push_span(Span { start, end, track, tenant, name, category, device_time: true, args });
        }
    }
    t
}

fn harness(options: Options) -> Harness<'static, App> {
    let app = App::new(options, Arc::new(|| ()));
    let mut harness = Harness::builder().with_size([1200.0, 700.0]).build_ui_state(|ui, app: &mut App| app.ui(ui), app);
    settle(&mut harness);
    harness
}

/// Frames until no job is under way.
fn settle(harness: &mut Harness<'_, App>) {
    for _ in 0..10_000 {
        harness.run_steps(2);
        if !harness.state().is_busy() {
            return harness.run_steps(3);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the job does not end");
}

/// A window that shows the trace.
fn with_trace() -> Harness<'static, App> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.json");
    perfetto::write_file(&timeline(), &path).unwrap();
    harness(Options { file: Some(path), ..Options::default() })
}

fn span_ns(harness: &Harness<'_, App>) -> f64 {
    harness.state().view().and_then(TimelineView::window).expect("a window of time").span_ns()
}

fn press(harness: &mut Harness<'_, App>, key: Key) {
    harness.key_press(key);
    harness.run_steps(3);
}

#[test]
fn the_first_screen_explains_itself_and_opens_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.json");
    perfetto::write_file(&timeline(), &path).unwrap();
    let mut harness = harness(Options::default());
    harness.get_by_label("Run the demo");
    assert!(harness.query_by_label("Timeline").is_none());
    harness.get_by_role_and_label(Role::TextInput, "Trace file").focus();
    harness.run_steps(2);
    harness.get_by_role_and_label(Role::TextInput, "Trace file").type_text(&path.display().to_string());
    harness.run_steps(2);
    harness.get_by_label("Open").click();
    harness.run_steps(2);
    settle(&mut harness);
    harness.get_by_role_and_label(Role::Canvas, "Timeline");
    harness.get_by_label("small.json");
    harness.get_by_label("simulated, virtual clock");
    harness.get_by_label("a made-up GPU (sim), policy round-robin");
    harness.get_by_label("Close").click();
    harness.run_steps(3);
    harness.get_by_label("Open a trace");
}

#[test]
fn the_table_counts_what_the_trace_holds() {
    let harness = with_trace();
    harness.get_by_label("face");
    harness.get_by_label("voice");
    assert_eq!(harness.get_all_by_label("50").count(), 2, "requests of either tenant");
    // All requests take 10 ms: the promise of face, a tenth of what voice was promised.
    assert_eq!(harness.get_all_by_label("100%").count(), 2);
    assert_eq!(harness.get_all_by_label("40%").count(), 2, "8 of 20 ms on the device");
}

#[test]
fn wheel_and_buttons_zoom_and_fit_comes_back() {
    let mut harness = with_trace();
    harness.get_by_label("Timeline").hover();
    harness.run_steps(2);
    press(&mut harness, Key::W);
    let first = span_ns(&harness);
    assert!(first < 0.8e9, "{first}");
    harness.event(Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: Vec2::new(0.0, 300.0),
        phase: TouchPhase::Move,
        source: eframe::egui::MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    });
    harness.run_steps(60);
    let second = span_ns(&harness);
    assert!(second < first / 2.0, "{second} of {first}");
    harness.get_by_label("Zoom in").click();
    harness.run_steps(3);
    assert!((span_ns(&harness) / second - 0.5).abs() < 1e-3);
    harness.get_by_label("Zoom out").click();
    harness.run_steps(3);
    assert!((span_ns(&harness) / second - 1.0).abs() < 1e-3);
    harness.get_by_label("Fit").click();
    harness.run_steps(3);
    assert!(harness.state().view().unwrap().window().is_none(), "all is in view");
    // Nobody can get lost: out and aside as far as it goes.
    for key in [Key::S, Key::A].repeat(40) {
        press(&mut harness, key);
    }
    let window = harness.state().view().unwrap().window().unwrap();
    assert!(window.span_ns() < 3.2e9 && window.to_ns > 0.0, "{window:?}");
}

#[test]
fn a_bar_is_selected_by_mouse_and_keyboard() {
    let mut harness = with_trace();
    let canvas = harness.get_by_label("Timeline").rect();
    // The device's lane, 40 ms after the middle.
    let middle = canvas.left() + NAMES_PT + (canvas.width() - NAMES_PT) * 0.545;
    let at = pos2(middle, canvas.top() + 24.0 + 14.0);
    harness.hover_at(at);
    harness.run_steps(2);
    harness.drag_at(at);
    harness.run_steps(1);
    harness.drop_at(at);
    harness.run_steps(3);
    let selected = harness.state().selected().expect("a bar");
    let request = harness.state().trace().unwrap().bar(selected).unwrap().span.args.request.unwrap();
    let value = harness.get_by_label("Timeline").value().unwrap_or_default();
    assert!(value.starts_with("gemm: Tenant"), "{value}");
    harness.get_by_label("Workgroups");
    harness.get_by_label("Its queue wait");
    press(&mut harness, Key::ArrowRight);
    let next = harness.state().selected().unwrap();
    assert_eq!((next.track, next.index), (selected.track, selected.index + 1));
    press(&mut harness, Key::ArrowLeft);
    harness.get_by_label("Go to its request").click();
    harness.run_steps(3);
    let trace = harness.state().trace().unwrap();
    assert_eq!(harness.state().selected(), trace.request(request));
    harness.get_by_label("2.00 ms (waiting to begin)");
    harness.get_by_label("8.00 ms in 1 launches");
    press(&mut harness, Key::Escape);
    assert_eq!(harness.state().selected(), None);
    harness.get_by_label("Nothing selected");
}

#[test]
fn one_tenant_can_be_looked_at() {
    let mut harness = with_trace();
    for _ in 0..2 {
        harness.get_by_label("voice").click();
        harness.run_steps(3);
    }
    harness.get_by_label("Light").click();
    harness.run_steps(3);
    harness.get_by_label("Dark");
}

/// Opens `contents` as a trace and looks for `expected` in what the window says.
fn check(contents: &[u8], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.json");
    std::fs::write(&path, contents).unwrap();
    let mut harness = harness(Options { file: Some(path), ..Options::default() });
    let trouble = harness.state().trouble().expect("it is told").clone();
    for part in expected {
        assert!(format!("{trouble:?}").contains(part), "{part}: {trouble:?}");
    }
    harness.get_by_label("This trace cannot be opened");
    harness.get_by_label("Open a trace");
    harness.get_by_label("Dismiss").click();
    harness.run_steps(3);
    assert!(harness.state().trouble().is_none());
}

#[test]
fn what_cannot_be_opened_is_explained_in_the_window() {
    check(b"", &["odd.json", "line 1", "cut off"]);
    check(b"{\"traceEvents\":[{\"ph\":\"X\"}]}", &["unknown", "ui.perfetto.dev"]);
    check(b"\x89PNG\r\n", &["not a trace", "cotenant demo --trace"]);
    let mut whole = Vec::new();
    perfetto::write(&timeline(), &mut whole).unwrap();
    check(&whole[..whole.len() / 2], &["line ", "column ", "damaged"]);
    let strange = String::from_utf8(whole).unwrap().replacen("\"cat\":\"kernel\"", "\"cat\":\"cooking\"", 1);
    check(strange.as_bytes(), &["traceEvents[", "cooking", "changed after it was written"]);
    let mut harness = harness(Options { file: Some(Path::new("/no/such/file").into()), ..Options::default() });
    assert!(format!("{:?}", harness.state().trouble()).contains("/no/such/file"));
    harness.run_steps(1);
}

#[test]
fn a_trace_stays_when_another_cannot_be_opened() {
    let mut harness = with_trace();
    let command = cotenant_app::command::Command::Open("/no/such/file".into());
    harness.state_mut().apply(command);
    settle(&mut harness);
    harness.get_by_label("This trace cannot be opened");
    harness.get_by_label("Timeline");
}

#[test]
fn the_demo_is_live_and_ends_when_it_is_stopped() {
    let options = Options { demo: true, device: "null".into(), ..Options::default() };
    let app = App::new(options, Arc::new(|| ()));
    let mut harness = Harness::builder().with_size([1200.0, 700.0]).build_ui_state(|ui, app: &mut App| app.ui(ui), app);
    let mut answered = 0;
    for _ in 0..20_000 {
        harness.run_steps(1);
        let tenants = harness.state().trace().map_or(&[][..], |trace| trace.tenants());
        answered = tenants.iter().map(|t| t.metrics(Nanos(1)).completed).sum();
        let measured = harness.state().trace().is_some_and(|trace| trace.measured_from() > Nanos(0));
        if measured && answered > 20 {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(answered > 20, "requests are seen while it runs");
    assert!(harness.state().view().unwrap().follow);
    harness.get_by_label("measured, wall clock");
    harness.get_by_label("Follow").click();
    harness.run_steps(2);
    assert!(!harness.state().view().unwrap().follow);
    harness.get_by_label("Stop").click();
    harness.run_steps(2);
    settle(&mut harness);
    assert!(harness.state().trouble().is_none());
    let trace = harness.state().trace().unwrap();
    assert!(trace.tenants().iter().all(|t| t.promise.is_some()));
    assert_eq!(trace.missing(), None);
}
