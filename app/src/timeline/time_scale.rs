//! The mapping between time and the screen. It knows no drawing: times are nanoseconds, positions are points.
//!
//! A [`TimeWindow`] is what is looked at, and all that a view has to remember; a [`TimeScale`] lays it on a strip of the
//! screen. Times are `f64` here (exact up to 2^52 ns, 52 days) and become `f32` only as positions.

use cotenant::tensor::Nanos;

/// The shortest window that can be zoomed to.
pub const SPAN_NS_MIN: f64 = 100.0;

/// A stretch of time. May begin before zero, as panning likes it; `from_ns < to_ns`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeWindow {
    /// Its beginning.
    pub from_ns: f64,
    /// Its end.
    pub to_ns: f64,
}

/// A window on a strip of the screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeScale {
    /// What is looked at.
    pub window: TimeWindow,
    /// Where the window's beginning is, in points.
    pub left_pt: f32,
    /// How wide the strip is, in points; at least one.
    pub width_pt: f32,
}

impl TimeWindow {
    /// From `start` to `end`, at least [`SPAN_NS_MIN`] long.
    pub fn new(start: Nanos, end: Nanos) -> TimeWindow {
        let from_ns = start.0 as f64;
        TimeWindow { from_ns, to_ns: (end.0 as f64).max(from_ns + SPAN_NS_MIN) }
    }

    /// Its length.
    pub fn span_ns(&self) -> f64 {
        self.to_ns - self.from_ns
    }

    /// The window of this length that ends at `end`.
    pub fn ending_at(&self, end: Nanos) -> TimeWindow {
        let to_ns = end.0 as f64;
        TimeWindow { from_ns: to_ns - self.span_ns(), to_ns }
    }

    /// The window of this length around the middle of `[start, end]`, grown where that is longer.
    pub fn around(&self, start: Nanos, end: Nanos) -> TimeWindow {
        let middle = (start.0 as f64 + end.0 as f64) / 2.0;
        let half = self.span_ns().max((end.0 as f64 - start.0 as f64) * 1.2) / 2.0;
        TimeWindow { from_ns: middle - half, to_ns: middle + half }
    }

    /// True when something of `[start, end]` lies in it.
    pub fn touches(&self, start: Nanos, end: Nanos) -> bool {
        self.from_ns <= end.0 as f64 && start.0 as f64 <= self.to_ns
    }

    /// With a little room on both sides, so that what begins and ends in it can be seen to.
    pub fn with_margin(&self) -> TimeWindow {
        let margin = self.span_ns() * 0.01;
        TimeWindow { from_ns: self.from_ns - margin, to_ns: self.to_ns + margin }
    }

    /// Moved and cut so that it is at least [`SPAN_NS_MIN`] and at most three times as long as `whole`, and that its
    /// middle lies in `whole`: nobody gets lost beyond the ends.
    pub fn within(&self, whole: &TimeWindow) -> TimeWindow {
        let span = self.span_ns().clamp(SPAN_NS_MIN, (whole.span_ns() * 3.0).max(SPAN_NS_MIN));
        let middle = ((self.from_ns + self.to_ns) / 2.0).clamp(whole.from_ns, whole.to_ns);
        TimeWindow { from_ns: middle - span / 2.0, to_ns: middle + span / 2.0 }
    }
}

impl TimeScale {
    /// Nanoseconds under one point.
    pub fn ns_per_pt(&self) -> f64 {
        self.window.span_ns() / f64::from(self.width_pt.max(1.0))
    }

    /// Where a time is.
    pub fn x(&self, time: Nanos) -> f32 {
        self.x_of(time.0 as f64)
    }

    /// Where a time in nanoseconds is.
    pub fn x_of(&self, time_ns: f64) -> f32 {
        self.left_pt + ((time_ns - self.window.from_ns) / self.ns_per_pt()) as f32
    }

    /// The time at a position, in nanoseconds.
    pub fn time_ns(&self, x: f32) -> f64 {
        self.window.from_ns + f64::from(x - self.left_pt) * self.ns_per_pt()
    }

    /// The time at a position; zero before the beginning.
    pub fn time(&self, x: f32) -> Nanos {
        Nanos(self.time_ns(x).max(0.0) as u64)
    }

    /// Where the strip ends.
    pub fn right_pt(&self) -> f32 {
        self.left_pt + self.width_pt
    }

    /// The narrowest power of two of nanoseconds that is at least one pixel wide, as an exponent.
    pub fn bucket_shift(&self, pixels_per_point: f32) -> u32 {
        (self.ns_per_pt() / f64::from(pixels_per_point)).max(1.0).log2().ceil() as u32
    }

    /// The window that is `factor` times as long and has the same time at `x`.
    pub fn zoomed(&self, x: f32, factor: f64) -> TimeWindow {
        let anchor = self.time_ns(x);
        let moved = |time_ns: f64| anchor + (time_ns - anchor) * factor;
        TimeWindow { from_ns: moved(self.window.from_ns), to_ns: moved(self.window.to_ns) }
    }

    /// The window after its contents moved right by `by_pt`.
    pub fn panned(&self, by_pt: f32) -> TimeWindow {
        let by_ns = f64::from(by_pt) * self.ns_per_pt();
        TimeWindow { from_ns: self.window.from_ns - by_ns, to_ns: self.window.to_ns - by_ns }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scale() -> impl Strategy<Value = TimeScale> {
        (0.0..1e15, 100.0..1e14, -500f32..500.0, 1f32..4000.0).prop_map(|(from_ns, span, left_pt, width_pt)| {
            TimeScale { window: TimeWindow { from_ns, to_ns: from_ns + span }, left_pt, width_pt }
        })
    }

    proptest! {
        #[test]
        fn zooming_keeps_the_time_under_the_pointer(s in scale(), at in 0f32..1.0, factor in 0.01..100.0) {
            let x = s.left_pt + at * s.width_pt;
            let zoomed = TimeScale { window: s.zoomed(x, factor), ..s };
            let moved_pt = (zoomed.time_ns(x) - s.time_ns(x)) / zoomed.ns_per_pt();
            prop_assert!(moved_pt.abs() < 0.01 || zoomed.ns_per_pt() < 1.0, "moved by {moved_pt} points");
            prop_assert!((zoomed.window.span_ns() / s.window.span_ns() / factor - 1.0).abs() < 0.01);
        }

        #[test]
        fn panning_moves_everything_alike(s in scale(), at in 0u64..1 << 50, by in -900f32..900.0) {
            let panned = TimeScale { window: s.panned(by), ..s };
            let (before, after) = (s.x(Nanos(at)), panned.x(Nanos(at)));
            // Far from the strip a position has few digits left.
            prop_assert!((after - before - by).abs() < 0.1 + before.abs() * 1e-5);
        }

        #[test]
        fn positions_and_times_are_inverse(s in scale(), at in 0f32..1.0) {
            let x = s.left_pt + at * s.width_pt;
            prop_assert!((s.x_of(s.time_ns(x)) - x).abs() < 0.05 + s.width_pt * 1e-4);
            let shift = s.bucket_shift(1.0);
            prop_assert!((1u64 << shift) as f64 >= s.ns_per_pt());
            prop_assert!(shift == 0 || ((1u64 << (shift - 1)) as f64) < s.ns_per_pt());
        }

        #[test]
        fn nobody_gets_lost(from in -1e15..1e15, span in 1e-3..1e15, end in 1u64..1 << 50) {
            let whole = TimeWindow::new(Nanos(0), Nanos(end));
            let kept = TimeWindow { from_ns: from, to_ns: from + span }.within(&whole);
            let middle = (kept.from_ns + kept.to_ns) / 2.0;
            prop_assert!(kept.span_ns() > SPAN_NS_MIN * 0.99 && kept.span_ns() < whole.span_ns() * 3.01);
            prop_assert!(middle >= whole.from_ns - 1.0 && middle <= whole.to_ns + 1.0);
        }
    }

    #[test]
    fn an_empty_stretch_can_be_looked_at() {
        let window = TimeWindow::new(Nanos(7), Nanos(7));
        assert_eq!(window.span_ns(), SPAN_NS_MIN);
        assert!(window.touches(Nanos(0), Nanos(8)) && !window.touches(Nanos(0), Nanos(6)));
    }
}
