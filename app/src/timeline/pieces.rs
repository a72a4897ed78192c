//! What one row shows at one scale: at most about two pieces per pixel, however many bars there are.

use cotenant::tensor::Nanos;

use super::time_scale::TimeScale;
use crate::trace::row::{Row, WAITING};
use crate::trace::summary::{Class, Run, SHIFT_MIN};

/// A stretch of one colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Where it begins, in points; not before the strip.
    pub x0: f32,
    /// Where it ends; not after the strip.
    pub x1: f32,
    /// What it shows.
    pub class: Class,
    /// The busy share, 1 to 255. Single bars are all busy.
    pub busy: u8,
    /// The bar, where single bars are shown.
    pub bar: Option<usize>,
}

/// Bars are few when there are this many pixels for each.
const FEW: f32 = 4.0;

/// Replaces `out` by the pieces of `row`, from left to right.
///
/// Bars are shown where there are few, and where a bucket of the row's summary would be wider than two pixels; else
/// buckets are. A bar is at least one pixel wide; one that would end inside its left neighbour's pixel is left out.
pub fn pieces(row: &Row, scale: &TimeScale, pixels_per_point: f32, out: &mut Vec<Piece>) {
    out.clear();
    let (from, to) = (scale.time(scale.left_pt), Nanos(scale.time(scale.right_pt()).0 + 1));
    let shift = scale.bucket_shift(pixels_per_point);
    let pixels = scale.width_pt * pixels_per_point;
    if shift < SHIFT_MIN || row.range(from, to).len() as f32 * FEW < pixels {
        return bars(row, from, to, scale, 1.0 / pixels_per_point, out);
    }
    let mut runs: Vec<Run> = Vec::new();
    let taken = row.summary().runs(shift, from.0 >> shift..(to.0 >> shift) + 1, |run| runs.push(run));
    for run in runs {
        let x0 = scale.x(Nanos(run.at << taken)).max(scale.left_pt);
        let x1 = scale.x(Nanos((run.at + u64::from(run.len)) << taken)).min(scale.right_pt());
        // Shades that the eye cannot tell apart join.
        let busy = run.busy | 0x1f;
        match out.last_mut() {
            Some(last) if (last.class, last.busy) == (run.class, busy) && x0 - last.x1 < 0.01 => last.x1 = x1,
            _ if x1 > x0 => out.push(Piece { x0, x1, class: run.class, busy, bar: None }),
            _ => {}
        }
    }
}

fn bars(row: &Row, from: Nanos, to: Nanos, scale: &TimeScale, pixel_pt: f32, out: &mut Vec<Piece>) {
    let mut free_from = scale.left_pt;
    for index in row.range(from, to) {
        let bar = &row.bars()[index];
        let end = scale.x(bar.end());
        if end <= free_from {
            continue;
        }
        let x0 = scale.x(bar.start()).max(free_from);
        let x1 = end.max(x0 + pixel_pt).min(scale.right_pt());
        let middle = scale.x(bar.served_from()).clamp(x0, x1);
        if middle > x0 && bar.wait.is_some() {
            out.push(Piece { x0, x1: middle, class: WAITING, busy: 255, bar: Some(index) });
        }
        if x1 > middle {
            out.push(Piece { x0: middle, x1, class: bar.class, busy: 255, bar: Some(index) });
        }
        free_from = x1;
    }
}

#[cfg(test)]
mod tests {
    use cotenant::timeline::{Args, Category, Names, Span, TrackId};
    use proptest::prelude::*;

    use super::super::time_scale::TimeWindow;
    use super::*;
    use crate::trace::row::{Bar, Wait};

    fn row() -> impl Strategy<Value = Row> {
        let step = (0u64..1 << 20, 0u64..1 << 20, prop::option::of(0u64..1 << 20));
        prop::collection::vec(step, 1..60).prop_map(|steps| {
            let (mut row, mut now) = (Row::default(), 0);
            for (gap, length, wait) in steps {
                let span = Span {
                    start: Nanos(now + gap),
                    end: Nanos(now + gap + length),
                    track: TrackId(0),
                    tenant: None,
                    name: Names::OTHER,
                    category: Category::Request,
                    device_time: false,
                    args: Args::default(),
                };
                let wait = wait.map(|wait| Wait { until: span.start + Nanos(wait), cause: Names::OTHER });
                row.push(Bar { span, wait, late: false, class: Class(1) });
                now = span.end.0;
            }
            row
        })
    }

    fn scale(from_ns: f64, span: f64) -> TimeScale {
        TimeScale { window: TimeWindow { from_ns, to_ns: from_ns + span }, left_pt: 40.0, width_pt: 300.0 }
    }

    proptest! {
        #[test]
        fn pieces_are_in_order_on_the_strip_and_few(
            row in row(), from in -1e7..6e7, span in 1e3..1e9, ppp in prop::sample::select(vec![1f32, 1.5, 2.0])
        ) {
            let scale = scale(from, span);
            let mut out = Vec::new();
            pieces(&row, &scale, ppp, &mut out);
            prop_assert!(out.len() as f32 <= 2.0 * 300.0 * ppp + 4.0);
            let mut last = scale.left_pt;
            for p in &out {
                prop_assert!(p.x0 >= last - 0.01 && p.x1 > p.x0 && p.x1 <= scale.right_pt() + 0.01, "{p:?} after {last}");
                last = p.x1;
            }
        }

        #[test]
        fn what_is_busy_is_coloured(row in row(), from in -1e7..6e7, span in 1e3..1e9, at in 0f32..1.0) {
            let scale = scale(from, span);
            let mut out = Vec::new();
            pieces(&row, &scale, 1.0, &mut out);
            let x = scale.left_pt + at * scale.width_pt;
            let time_ns = scale.time_ns(x);
            let inside = |b: &Bar| (b.start().0 as f64) < time_ns && time_ns < b.end().0 as f64;
            if row.bars().iter().any(inside) {
                // A pixel of tolerance, because short bars share one.
                prop_assert!(out.iter().any(|p| p.x0 - 1.01 <= x && x <= p.x1 + 1.01), "{x} in {out:?}");
            }
        }
    }

    #[test]
    fn a_request_is_pale_while_it_waits() {
        let mut row = Row::default();
        let span = Span {
            start: Nanos(1_000),
            end: Nanos(5_000),
            track: TrackId(0),
            tenant: None,
            name: Names::OTHER,
            category: Category::Request,
            device_time: false,
            args: Args::default(),
        };
        let wait = Some(Wait { until: Nanos(2_000), cause: Names::OTHER });
        row.push(Bar { span, wait, late: false, class: Class(1) });
        let scale = TimeScale { window: TimeWindow { from_ns: 0.0, to_ns: 10_000.0 }, left_pt: 0.0, width_pt: 100.0 };
        let mut out = Vec::new();
        pieces(&row, &scale, 1.0, &mut out);
        let got: Vec<_> = out.iter().map(|p| (p.x0, p.x1, p.class, p.bar)).collect();
        assert_eq!(got, [(10.0, 20.0, WAITING, Some(0)), (20.0, 50.0, Class(1), Some(0))]);
    }
}
