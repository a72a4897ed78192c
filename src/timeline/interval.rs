//! Confidence intervals over runs that differ in their seeds only: the mean of a figure and where it lies with 95 %
//! confidence, by Student's t-distribution (seeds are independent; means of a few are near enough to normal).

use serde::Serialize;

/// The mean of a figure over seeds, and the interval that holds it with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Arithmetic mean over the seeds that have the figure.
    pub mean: f64,
    /// Lower end; equal to the mean where only one seed has it.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Seeds that have the figure.
    pub seeds: usize,
}

/// 97.5 % quantiles of Student's t for 1, 2, … degrees of freedom (any table of the distribution); beyond, the normal
/// distribution's 1.96 is at most 4 % too small.
const T975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

impl Interval {
    /// Of these values; `None` without any.
    pub fn of(values: &[f64]) -> Option<Interval> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Some(Interval { mean, low: mean, high: mean, seeds: 1 });
        }
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let t = T975.get(n - 2).copied().unwrap_or(1.96);
        let half = t * (variance / n as f64).sqrt();
        Some(Interval { mean, low: mean - half, high: mean + half, seeds: n })
    }

    /// Half its width.
    pub fn half(&self) -> f64 {
        self.high - self.mean
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn three_values_by_hand() {
        let i = Interval::of(&[1.0, 2.0, 3.0]).unwrap();
        assert!((i.mean - 2.0).abs() < 1e-12 && (i.half() - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(Interval::of(&[]), None);
        assert_eq!(Interval::of(&[5.0]).unwrap().half(), 0.0);
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_mean() {
        let mut random = StdRng::seed_from_u64(11);
        let mut held = 0;
        for _ in 0..2000 {
            // A sum of uniform draws is near enough to normal.
            let values: Vec<f64> = (0..5).map(|_| (0..12).map(|_| random.random::<f64>()).sum()).collect();
            let i = Interval::of(&values).unwrap();
            held += usize::from(i.low <= 6.0 && 6.0 <= i.high);
        }
        assert!((1860..=1940).contains(&held), "{held} of 2000");
    }
}
