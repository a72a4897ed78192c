//! The fluid form of a kernel's or a model's time, `T(s) = m/s + b` (LithOS): `m` is work that any number of SMs shares, `b`
//! what none shortens. Two samples give it; right-sizing asks it for the fewest SMs that cost little.

use serde::Serialize;

/// See the module's comment; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fluid {
    /// SM time that divides among SMs.
    pub m_ms: f64,
    /// Time that does not.
    pub b_ms: f64,
}

impl Fluid {
    /// The form nearest to samples `(SMs, milliseconds)`, errors counted relative to each sample; neither part is negative.
    /// `None` without samples that have positive numbers.
    pub fn fit(samples: &[(f64, f64)]) -> Option<Fluid> {
        if samples.is_empty() || samples.iter().any(|(s, t)| !(*s > 0.0 && *t > 0.0)) {
            return None;
        }
        let rows: Vec<[f64; 2]> = samples.iter().map(|(s, t)| [1.0 / (s * t), 1.0 / t]).collect();
        let [m_ms, b_ms] = super::nnls::nnls(&rows, &vec![1.0; rows.len()]);
        Some(Fluid { m_ms, b_ms })
    }

    /// The time on `sms` SMs.
    pub fn ms(&self, sms: f64) -> f64 {
        self.m_ms / sms + self.b_ms
    }

    /// The fewest SMs on which it takes at most `slip` times what it takes on `sms_max`; at least one.
    pub fn right_size(&self, sms_max: u32, slip: f64) -> u32 {
        let all = f64::from(sms_max.max(1));
        let spare = slip.max(1.0) * self.ms(all) - self.b_ms;
        // Rounding must not cost an SM where the division is exact.
        let fewest = match self.m_ms > 0.0 {
            true if spare > 0.0 => (self.m_ms / spare - 1e-9).ceil(),
            true => all,
            false => 1.0,
        };
        fewest.clamp(1.0, all) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_samples_are_enough() {
        // The LithOS reproduction's kernel on an A100: l = 23.88/t + 0.0285 ms on 54 TPCs.
        let truth = Fluid { m_ms: 23.88, b_ms: 0.0285 };
        let found = Fluid::fit(&[(1.0, truth.ms(1.0)), (54.0, truth.ms(54.0))]).unwrap();
        assert!((found.m_ms - 23.88).abs() < 1e-6 && (found.b_ms - 0.0285).abs() < 1e-6, "{found:?}");
        assert_eq!(found.right_size(54, 1.0), 54);
        assert_eq!(found.right_size(54, 1.1), 49);
    }

    #[test]
    fn edges() {
        assert_eq!(Fluid::fit(&[]), None);
        assert_eq!(Fluid::fit(&[(0.0, 1.0)]), None);
        assert_eq!(Fluid { m_ms: 0.0, b_ms: 1.0 }.right_size(80, 1.0), 1);
        assert_eq!(Fluid { m_ms: 5.0, b_ms: 0.0 }.right_size(0, 1.1), 1);
        // Faster with fewer SMs: no part becomes negative.
        let odd = Fluid::fit(&[(10.0, 1.0), (20.0, 2.0)]).unwrap();
        assert!(odd.m_ms == 0.0 && odd.b_ms > 0.0, "{odd:?}");
    }

    proptest! {
        #[test]
        fn right_size_is_the_fewest_within_the_slip(m in 0.0..100.0f64, b in 0.0..10.0f64, n in 1..200u32, slip in 1.0..3.0f64) {
            let form = Fluid { m_ms: m, b_ms: b };
            let s = form.right_size(n, slip);
            let limit = slip * form.ms(f64::from(n)) * (1.0 + 1e-9) + 1e-12;
            prop_assert!((1..=n).contains(&s));
            prop_assert!(form.ms(f64::from(s)) <= limit);
            prop_assert!(s == 1 || form.ms(f64::from(s - 1)) >= limit * (1.0 - 1e-6) - 1e-9);
        }
    }
}
