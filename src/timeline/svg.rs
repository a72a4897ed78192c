//! A stretch of a timeline as a picture, for documents: lanes and CPU threads above, one row per tenant below. Whoever
//! wants to look closer opens the trace.

use std::fmt::Write;
use std::ops::Range;

use super::{Category, ClockKind, Span, Timeline, TrackId, TrackKind};
use crate::tensor::{Nanos, TenantId};

/// Width of the picture and of the names at its left at least, in pixels.
const WIDTH: f64 = 960.0;
const NAMES: f64 = 150.0;

/// Width of a letter of a name, about.
const LETTER: f64 = 6.6;

/// What is left free at the right, for half a label.
const MARGIN: f64 = 30.0;

/// Height of a row and of the bar in it.
const ROW: f64 = 30.0;
const BAR: f64 = 20.0;

/// Height of the heading, which holds the time axis.
const HEAD: f64 = 46.0;

/// Colours of tenants, in order; they begin again after the last. Distinguishable with the common colour blindnesses.
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

/// Draws what happened in `window`.
pub fn render(timeline: &Timeline, window: Range<Nanos>) -> String {
    let visible: Vec<&Span> = timeline
        .events()
        .filter_map(|event| match event {
            super::Event::Span(span) if span.start < window.end && span.end > window.start => Some(span),
            _ => None,
        })
        .collect();
    let rows = rows(timeline, &visible);
    let longest = rows.iter().map(|id| name(timeline, *id).chars().count()).max().unwrap_or(0);
    let scale = Scale {
        from: window.start,
        ns: window.end.since(window.start).0.max(1) as f64,
        names: NAMES.max(16.0 + longest as f64 * LETTER),
    };
    let height = HEAD + rows.len() as f64 * ROW + 10.0;
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"16\" fill=\"#333333\">{}</text>\n",
        escaped(&heading(timeline))
    );
    axis(&mut svg, &scale, height);
    for (at, track) in rows.iter().enumerate() {
        row(&mut svg, timeline, *track, HEAD + at as f64 * ROW, &scale, &visible);
    }
    svg.push_str("</svg>\n");
    svg
}

/// From times to pixels.
struct Scale {
    from: Nanos,
    ns: f64,
    /// Where time begins, in pixels.
    names: f64,
}

impl Scale {
    fn x(&self, time: Nanos) -> f64 {
        let part = time.since(self.from).0 as f64 / self.ns;
        self.names + part.min(1.0) * (WIDTH - self.names - MARGIN)
    }
}

/// The tracks to draw: devices, CPU threads that did something, tenants.
fn rows(timeline: &Timeline, visible: &[&Span]) -> Vec<TrackId> {
    let ids = (0..).map(TrackId).zip(timeline.tracks());
    let used = |id: TrackId| visible.iter().any(|span| span.track == id);
    let mut rows: Vec<_> = ids.filter(|(id, track)| track.kind != TrackKind::Host || used(*id)).collect();
    rows.sort_by_key(|(id, track)| (track.kind, *id));
    rows.into_iter().map(|(id, _)| id).collect()
}

fn heading(timeline: &Timeline) -> String {
    let info = &timeline.info;
    let how = match info.clock {
        ClockKind::Wall => "measured",
        ClockKind::Virtual => "simulated",
    };
    format!("{} ({}), policy {}, {how}", info.device.name, info.device.backend, info.policy)
}

fn axis(svg: &mut String, scale: &Scale, height: f64) {
    // About eight ticks at 1, 2 or 5 times a power of ten milliseconds.
    let rough = scale.ns / 1e6 / 8.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough);
    let mut ms = 0.0;
    while ms * 1e6 <= scale.ns {
        let x = scale.x(scale.from + Nanos::from_ms(ms));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{HEAD}\" y2=\"{height}\" stroke=\"#dddddd\"/>\
             <text x=\"{x:.1}\" y=\"38\" fill=\"#777777\" text-anchor=\"middle\">{} ms</text>",
            (ms * 1000.0).round() / 1000.0
        );
        ms += step;
    }
}

/// What stands before a row.
fn name(timeline: &Timeline, id: TrackId) -> String {
    let track = &timeline.tracks()[id.0 as usize];
    match track.kind {
        TrackKind::Lane => format!("device {}", track.name),
        _ => track.name.clone(),
    }
}

fn row(svg: &mut String, timeline: &Timeline, id: TrackId, y: f64, scale: &Scale, visible: &[&Span]) {
    let track = &timeline.tracks()[id.0 as usize];
    let name = name(timeline, id);
    let colour = track.tenant.map_or("#333333", colour);
    let _ = writeln!(svg, "<text x=\"8\" y=\"{}\" fill=\"{colour}\">{}</text>", y + 18.0, escaped(&name));
    for piece in pieces(id, scale, visible) {
        let fill = piece.tenant.map_or("#999999", self::colour);
        let opacity = if piece.pale { 0.25 } else { 0.9 };
        let _ = writeln!(
            svg,
            "<rect x=\"{:.2}\" y=\"{}\" width=\"{:.2}\" height=\"{BAR}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>",
            piece.from,
            y + 4.0,
            (piece.to - piece.from).max(0.3)
        );
    }
}

/// A bar of one colour.
struct Piece {
    from: f64,
    to: f64,
    tenant: Option<TenantId>,
    /// A request as a whole, or waiting; work is drawn in full colour.
    pale: bool,
}

/// The spans of a track; neighbours of one tenant that no eye could tell apart are one piece.
fn pieces(id: TrackId, scale: &Scale, visible: &[&Span]) -> Vec<Piece> {
    let mut spans: Vec<&&Span> = visible.iter().filter(|span| span.track == id).collect();
    spans.sort_by_key(|span| (span.start, span.end));
    let mut pieces: Vec<Piece> = Vec::new();
    for span in spans {
        let pale = matches!(span.category, Category::Request | Category::Queue);
        let (from, to) = (scale.x(span.start), scale.x(span.end));
        match pieces.last_mut() {
            Some(last) if !pale && !last.pale && last.tenant == span.tenant && from - last.to < 0.4 => {
                last.to = last.to.max(to);
            }
            _ => pieces.push(Piece { from, to, tenant: span.tenant, pale }),
        }
    }
    pieces
}

fn colour(tenant: TenantId) -> &'static str {
    COLOURS[tenant.0 as usize % COLOURS.len()]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Args, DeviceInfo, RunInfo};

    #[test]
    fn work_in_the_window_is_drawn_and_nothing_else() {
        let device = DeviceInfo { name: "a <b> & c".into(), ..DeviceInfo::default() };
        let info = RunInfo { device, clock: ClockKind::Wall, policy: "edf".into(), seed: 0, scenario: None };
        let mut timeline = Timeline::new(info, 10);
        let lane = timeline.lane_track("gpu", "queue");
        let name = timeline.intern("conv");
        let idle = timeline.host_track("compiler");
        let tenant = timeline.tenant_track(TenantId(1), "face");
        let mut push = |track, start, end, category| {
            let (start, end) = (Nanos::from_ms(start), Nanos::from_ms(end));
            let tenant = Some(TenantId(1));
            timeline.push_span(Span {
                start,
                end,
                track,
                tenant,
                name,
                category,
                device_time: true,
                args: Args::default(),
            });
        };
        push(lane, 0.0, 1.0, Category::Kernel);
        push(lane, 10.0, 11.0, Category::Kernel);
        push(lane, 11.001, 12.0, Category::Kernel);
        push(lane, 15.0, 16.0, Category::Kernel);
        push(idle, 0.0, 5.0, Category::Compile);
        push(tenant, 9.0, 17.0, Category::Request);
        let svg = render(&timeline, Nanos::from_ms(8.0)..Nanos::from_ms(18.0));
        // The background, two pieces of the lane (neighbours are one), the request.
        assert_eq!(svg.matches("<rect").count(), 4, "{svg}");
        assert!(svg.contains("a &lt;b&gt; &amp; c") && svg.contains(">face<") && !svg.contains("compiler"), "{svg}");
        assert!(svg.contains(">2 ms<") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
