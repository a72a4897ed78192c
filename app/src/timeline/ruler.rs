//! Ticks of the time axis: at 1, 2 or 5 times a power of ten, with the unit that suits their distance.
//!
//! Times count from the start of the measurement; what came before is negative. Far from there a full number would need
//! too many digits, so the strip names its beginning once and ticks count from it.

use super::time_scale::TimeScale;

/// Least distance of two ticks, in points.
const TICK_PT_MIN: f64 = 90.0;

/// The ticks of a strip.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticks {
    /// Where counting begins, where that is not the start of the measurement.
    pub base: Option<String>,
    /// The ticks, from left to right.
    pub ticks: Vec<Tick>,
}

/// One tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where it is, in points.
    pub x: f32,
    /// What is written there.
    pub label: String,
}

/// The ticks of `scale`, counted from `origin_ns`.
pub fn ticks(scale: &TimeScale, origin_ns: f64) -> Ticks {
    let step = step_ns(scale.ns_per_pt() * TICK_PT_MIN);
    let first = ((scale.window.from_ns - origin_ns) / step).ceil();
    // Ten thousand steps from the origin and more, labels would differ in their last digits only.
    let base = if first.abs() > 10_000.0 { (first / 1000.0).floor() * 1000.0 } else { 0.0 };
    let count = ((scale.window.to_ns - origin_ns) / step - first).floor().clamp(0.0, 1000.0) as u32;
    let tick = |i: u32| {
        let number = first + f64::from(i);
        let sign = if base != 0.0 { "+" } else { "" };
        let label = format!("{sign}{}", in_units((number - base) * step, step));
        Tick { x: scale.x_of(origin_ns + number * step), label }
    };
    Ticks { base: (base != 0.0).then(|| in_units(base * step, step * 1000.0)), ticks: (0..=count).map(tick).collect() }
}

/// The least of 1, 2 and 5 times a power of ten that is at least `rough`, and at least 1.
fn step_ns(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(1.0).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(10.0 * power)
}

/// A time in the largest unit in which a step takes at most two decimals.
fn in_units(time_ns: f64, step_ns: f64) -> String {
    let (unit_ns, unit) = match step_ns {
        s if s >= 1e7 => (1e9, "s"),
        s if s >= 1e4 => (1e6, "ms"),
        s if s >= 1e1 => (1e3, "µs"),
        _ => (1.0, "ns"),
    };
    let decimals = (unit_ns / step_ns).log10().ceil().clamp(0.0, 2.0) as usize;
    // Rounded first, so that there is no "-0".
    let value = (time_ns / step_ns).round() * step_ns / unit_ns + 0.0;
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::time_scale::TimeWindow;
    use super::*;

    fn scale(from_ns: f64, to_ns: f64) -> TimeScale {
        TimeScale { window: TimeWindow { from_ns, to_ns }, left_pt: 0.0, width_pt: 900.0 }
    }

    fn check(from_ns: f64, to_ns: f64, base: Option<&str>, labels: &[&str]) {
        let ticks = ticks(&scale(from_ns, to_ns), 0.0);
        let got: Vec<&str> = ticks.ticks.iter().map(|t| t.label.as_str()).collect();
        assert_eq!((ticks.base.as_deref(), &got[..labels.len()]), (base, labels));
    }

    #[test]
    fn units_follow_the_zoom() {
        check(0.0, 9e9, None, &["0 s", "1 s", "2 s"]);
        check(-1e9, 3e9, None, &["-1.0 s", "-0.5 s", "0.0 s", "0.5 s"]);
        check(0.0, 4e6, None, &["0.0 ms", "0.5 ms", "1.0 ms"]);
        check(0.0, 900.0, None, &["0.0 µs", "0.1 µs"]);
        check(0.0, 100.0, None, &["0.00 µs", "0.01 µs", "0.02 µs"]);
        check(5_123_456_000.0, 5_123_465_000.0, Some("5123 ms"), &["+456 µs", "+457 µs"]);
    }

    proptest! {
        #[test]
        fn ticks_are_few_apart_and_differ(from in -1e12..1e14, span in 100.0..1e14, origin in 0.0..1e13) {
            let scale = scale(from, from + span);
            let ticks = ticks(&scale, origin);
            prop_assert!(ticks.ticks.len() <= 11);
            for pair in ticks.ticks.windows(2) {
                prop_assert!(pair[1].x - pair[0].x > 89.0, "{ticks:?}");
                prop_assert_ne!(&pair[0].label, &pair[1].label);
            }
            for tick in &ticks.ticks {
                prop_assert!(tick.label.len() < 14, "{}", tick.label);
            }
        }
    }
}
