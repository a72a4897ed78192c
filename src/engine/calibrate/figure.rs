//! A measured number: the median of repetitions, how many there were, and how far they lie apart.

use std::fmt;

/// See the module's comment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// The median, in whatever unit was measured.
    pub median: f64,
    /// From the first to the third quartile, over the median; 0 where that is 0.
    pub spread: f64,
    /// Repetitions.
    pub samples: usize,
}

impl Figure {
    /// The figure of these repetitions; zero of none.
    pub(super) fn of(mut values: Vec<f64>) -> Figure {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| values.get((part * values.len() as f64) as usize).copied().unwrap_or(0.0);
        let (median, width) = (at(0.5), at(0.75) - at(0.25));
        let spread = if median == 0.0 { 0.0 } else { width / median.abs() };
        Figure { median, spread, samples: values.len() }
    }

    /// The same in another unit, or with something taken away first: spread is kept as a width.
    pub(super) fn map(self, to: impl Fn(f64) -> f64) -> Figure {
        let half = self.spread * self.median.abs() / 2.0;
        let (low, median, high) = (to(self.median - half), to(self.median), to(self.median + half));
        let spread = if median == 0.0 { 0.0 } else { (high - low).abs() / median.abs() };
        Figure { median, spread, samples: self.samples }
    }
}

impl fmt::Display for Figure {
    /// What stands beside the number in a profile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "median of {}, quartiles {:.0}% apart", self.samples, self.spread * 100.0)
    }
}

/// The line of least squares through points: its value at zero and its slope. Of a single point the slope is zero.
pub(super) fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let below: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    let slope = if below > 0.0 { above / below } else { 0.0 };
    (y - slope * x, slope)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_and_the_quartiles_are_those_of_the_sorted_values() {
        let figure = Figure::of(vec![9.0, 1.0, 5.0, 100.0, 4.0]);
        assert_eq!((figure.median, figure.spread, figure.samples), (5.0, (9.0 - 4.0) / 5.0, 5));
        assert_eq!(Figure::of(Vec::new()), Figure::default());
        assert_eq!(Figure::of(vec![0.0; 3]).spread, 0.0);
        let halved = figure.map(|v| v / 2.0);
        assert!((halved.spread - figure.spread).abs() < 1e-12 && halved.median == 2.5);
    }

    proptest! {
        #[test]
        fn a_line_is_found_again(at_zero in -1e3f64..1e3, slope in -1e2f64..1e2, n in 2usize..9) {
            let points: Vec<_> = (0..n).map(|k| (k as f64 * 7.0, at_zero + slope * k as f64 * 7.0)).collect();
            let (found_zero, found_slope) = line(&points);
            prop_assert!((found_zero - at_zero).abs() < 1e-6 && (found_slope - slope).abs() < 1e-6);
        }
    }

    #[test]
    fn a_point_has_no_slope() {
        assert_eq!(line(&[(3.0, 4.0)]), (4.0, 0.0));
    }
}
