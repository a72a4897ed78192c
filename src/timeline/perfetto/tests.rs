//! Tests of the writer and the reader together.

use std::path::Path;

use proptest::prelude::*;

use super::super::{Args, Category, ClockKind, DeviceInfo, InstantKind, ScenarioText};
use super::*;
use crate::tensor::{RequestId, TenantId};

fn info() -> RunInfo {
    RunInfo {
        device: DeviceInfo { backend: "sim".into(), name: "a \"quoted\" GPU".into(), driver: String::new() },
        clock: ClockKind::Virtual,
        policy: "orion".into(),
        seed: 7,
        scenario: Some(ScenarioText { path: "s.toml".into(), text: "seed = 7\n".into() }),
    }
}

/// A lane, a host track and two tenants, with the given spans `(track, start, length)`.
fn sample(spans: &[(usize, u64, u64)]) -> Timeline {
    let mut t = Timeline::new(info(), spans.len() + 8);
    t.measured_from = Some(Nanos(spans.len() as u64));
    let tracks = [
        t.lane_track("a \"quoted\" GPU", "lane 0"),
        t.host_track("engine"),
        t.tenant_track(TenantId(0), "face"),
        t.tenant_track(TenantId(1), "händ\n"),
    ];
    let (name, shape) = (t.intern("gemm"), t.intern("1x3"));
    for (i, &(track, start, length)) in spans.iter().enumerate() {
        t.push_span(Span {
            start: Nanos(start),
            end: Nanos(start + length),
            track: tracks[track],
            tenant: (track != 1).then_some(TenantId(0)),
            name,
            category: Category::ALL[i % Category::ALL.len()],
            device_time: i % 2 == 0,
            args: Args { request: Some(RequestId(i as u64)), shape: Some(shape), tiles: Some(4), ..Args::default() },
        });
    }
    for (i, kind) in InstantKind::ALL.into_iter().enumerate() {
        t.push_instant(Instant {
            at: Nanos(i as u64 * 1001),
            track: tracks[2],
            tenant: (i > 0).then_some(TenantId(0)),
            kind,
            request: (i != 1).then_some(RequestId(9)),
        });
    }
    t
}

fn text(timeline: &Timeline) -> String {
    let mut out = Vec::new();
    write(timeline, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Events with names as text, in an order that does not depend on how they were recorded.
fn contents(t: &Timeline) -> Vec<String> {
    let mut lines: Vec<String> = t
        .events()
        .map(|e| match *e {
            Event::Span(mut s) => {
                let names = (t.name(s.name).to_string(), s.args.shape.map(|n| t.name(n).to_string()));
                s.name = super::super::Names::OTHER;
                s.args.shape = None;
                format!("{s:?} {names:?}")
            }
            Event::Instant(i) => format!("{i:?}"),
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_small_trace_reads_as_intended() {
    let mut t = Timeline::new(info(), 4);
    t.info.scenario = None;
    let lane = t.lane_track("gpu", "lane 0");
    let face = t.tenant_track(TenantId(0), "face");
    let name = t.intern("gemm");
    t.push_span(Span {
        start: Nanos(1_234_567),
        end: Nanos(1_235_000),
        track: lane,
        tenant: Some(TenantId(0)),
        name,
        category: Category::Kernel,
        device_time: true,
        args: Args::default(),
    });
    t.push_instant(Instant {
        at: Nanos(5),
        track: face,
        tenant: Some(TenantId(0)),
        kind: InstantKind::Arrival,
        request: Some(RequestId(1)),
    });
    let expected = [
        r#"{"otherData":{"format":"cotenant-trace","version":1,"device":{"backend":"sim","name":"a \"quoted\" GPU","#,
        r#""driver":""},"clock":"virtual","policy":"orion","seed":7,"dropped_events":0},"#,
        r#""displayTimeUnit":"ns","traceEvents":["#,
        "\n",
        r#"{"ph":"M","pid":1,"name":"process_name","args":{"name":"gpu"}},"#,
        "\n",
        r#"{"ph":"M","pid":2,"name":"process_name","args":{"name":"tenants"}},"#,
        "\n",
        r#"{"ph":"M","pid":1,"tid":1,"name":"thread_name","args":{"name":"lane 0","track":0,"kind":"lane"}},"#,
        "\n",
        r#"{"ph":"M","pid":2,"tid":2,"name":"thread_name","args":{"name":"face","track":1,"kind":"tenant","tenant_id":0}},"#,
        "\n",
        r#"{"ph":"i","s":"t","pid":2,"tid":2,"ts":0.005,"cat":"instant","name":"arrival","args":{"tenant_id":0,"request":1}},"#,
        "\n",
        r#"{"ph":"X","pid":1,"tid":1,"ts":1234.567,"dur":0.433,"cat":"kernel","name":"gemm","#,
        r#""args":{"device_time":true,"tenant_id":0}}"#,
        "\n]}\n",
    ];
    assert_eq!(text(&t), expected.concat());
}

#[test]
fn overlapping_spans_get_rows_of_their_own() {
    let t = sample(&[(2, 0, 100), (2, 0, 40), (2, 50, 100), (2, 150, 10)]);
    let out = text(&t);
    assert!(out.contains(r#""name":"face (2)""#), "{out}");
    assert!(!out.contains(r#""name":"face (3)""#), "{out}");
}

#[test]
fn a_file_is_whole_or_absent_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace.json");
    let t = sample(&[(0, 3, 5), (3, 1_000_000_007, 1)]);
    write_file(&t, &path).unwrap();
    let back = read_file(&path).unwrap();
    assert_eq!(back.info, t.info);
    assert_eq!(back.tracks(), t.tracks());
    assert_eq!(contents(&back), contents(&t));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(write_file(&t, &dir.path().join("none/trace.json")).is_err());
}

#[test]
fn what_is_not_our_trace_is_refused_with_the_reason() {
    let check = |bytes: &str, expected: &str| {
        let message = parse(bytes.as_bytes(), Path::new("t.json")).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check("", "t.json: not a trace");
    check("{\"traceEvents\":[", "line 1 column 16");
    check("{\"traceEvents\":[]}", "format \"unknown\"");
    check(r#"{"otherData":{"format":"cotenant-trace","version":99},"traceEvents":[]}"#, "version 99");
    let good = text(&sample(&[(0, 3, 5)]));
    check(&good.replace("\"cat\":\"kernel\"", "\"cat\":\"cooking\""), "cat is \"cooking\", allowed are kernel, copy");
    check(&good.replace("\"ts\":0.003", "\"ts\":-1"), "ts is -1");
    check(&good.replace("\"tid\":1,\"ts\":0.003", "\"tid\":77,\"ts\":0.003"), "tid 77 was not announced");
    check(&good.replace("\"kind\":\"host\"", "\"kind\":\"guest\""), "allowed are lane, host, tenant");
}

#[test]
fn the_number_of_dropped_events_survives() {
    let mut t = Timeline::new(info(), 2);
    let track = t.host_track("engine");
    for at in 0..5 {
        t.push_instant(Instant { at: Nanos(at), track, tenant: None, kind: InstantKind::Preemption, request: None });
    }
    assert_eq!(parse(text(&t).as_bytes(), Path::new("t")).unwrap().dropped(), 3);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        spans in prop::collection::vec((0usize..4, 0u64..1 << 51, 0u64..1 << 30), 0..60)
    ) {
        let t = sample(&spans);
        let back = parse(text(&t).as_bytes(), Path::new("t")).unwrap();
        prop_assert_eq!(contents(&back), contents(&t));
        prop_assert_eq!(back.tracks(), t.tracks());
        prop_assert_eq!(text(&back), text(&t));
    }

    #[test]
    fn spans_of_a_thread_nest(spans in prop::collection::vec((0usize..4, 0u64..200, 0u64..50), 0..60)) {
        let document: serde_json::Value = serde_json::from_str(&text(&sample(&spans))).unwrap();
        let mut open: HashMap<u64, Vec<u64>> = HashMap::new();
        for e in document["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X") {
            let ns = |key: &str| (e[key].as_f64().unwrap() * 1000.0).round() as u64;
            let (start, end) = (ns("ts"), ns("ts") + ns("dur"));
            let open = open.entry(e["tid"].as_u64().unwrap()).or_default();
            while open.last().is_some_and(|&other| other <= start) {
                open.pop();
            }
            prop_assert!(open.last().is_none_or(|&other| end <= other));
            open.push(end);
        }
    }

    #[test]
    fn damaged_traces_never_panic(cut in 0usize..4000, put in any::<u8>()) {
        let mut bytes = text(&sample(&[(0, 3, 5), (2, 1, 100), (2, 5, 200)])).into_bytes();
        let at = cut % bytes.len();
        bytes[at] = put;
        let _ = parse(&bytes, Path::new("t"));
        let _ = parse(&bytes[..at], Path::new("t"));
    }
}
