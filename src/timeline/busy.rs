//! How long a device was busy, from the spans on its lanes.

use super::{Category, Event, Timeline, TrackKind};
use crate::tensor::Nanos;

/// Time within `[from, to)` in which at least one lane ran a kernel, a copy or a stage; overlaps count once.
///
/// This is "GPU utilisation" as `nvidia-smi` reports it. It says nothing about how much of the device was used: where a
/// device reports that, use [`super::metrics::Occupied`] instead. Dropped events are missing from it.
pub fn busy_time(timeline: &Timeline, from: Nanos, to: Nanos) -> Nanos {
    let mut spans: Vec<(u64, u64)> = timeline
        .events()
        .filter_map(|event| match event {
            Event::Span(s) if timeline.tracks()[s.track.0 as usize].kind == TrackKind::Lane => Some(s),
            _ => None,
        })
        .filter(|s| matches!(s.category, Category::Kernel | Category::Copy | Category::Stage))
        .map(|s| (s.start.max(from).0, s.end.min(to).0))
        .filter(|(start, end)| start < end)
        .collect();
    spans.sort_unstable();
    let (mut busy, mut done_until) = (0, 0);
    for (start, end) in spans {
        busy += end.saturating_sub(start.max(done_until));
        done_until = done_until.max(end);
    }
    Nanos(busy)
}

#[cfg(test)]
mod tests {
    use super::super::{Args, ClockKind, DeviceInfo, RunInfo, Span};
    use super::*;

    #[test]
    fn overlapping_spans_count_once_and_only_inside_the_window() {
        let info = RunInfo {
            device: DeviceInfo::default(),
            clock: ClockKind::Virtual,
            policy: "none".into(),
            seed: 0,
            scenario: None,
        };
        let mut timeline = Timeline::new(info, 10);
        let lanes = [timeline.lane_track("gpu", "0"), timeline.lane_track("gpu", "1")];
        let host = timeline.host_track("engine");
        let name = timeline.intern("gemm");
        for (track, start, end, category) in [
            (lanes[0], 0, 10, Category::Kernel),
            (lanes[1], 5, 15, Category::Copy),
            (lanes[1], 6, 7, Category::Kernel),
            (lanes[0], 20, 40, Category::Stage),
            (lanes[0], 15, 20, Category::Queue),
            (host, 0, 100, Category::Kernel),
        ] {
            timeline.push_span(Span {
                start: Nanos(start),
                end: Nanos(end),
                track,
                tenant: None,
                name,
                category,
                device_time: true,
                args: Args::default(),
            });
        }
        assert_eq!(busy_time(&timeline, Nanos(0), Nanos(100)), Nanos(35));
        assert_eq!(busy_time(&timeline, Nanos(8), Nanos(30)), Nanos(17));
        assert_eq!(busy_time(&timeline, Nanos(50), Nanos(10)), Nanos(0));
    }
}
