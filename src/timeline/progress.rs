//! Formulas of multi-program performance over normalised progress.
//!
//! For program *i* with solo time `Tᵢˢᵖ` and time under sharing `Tᵢᵐᵖ` over the same work, `NPᵢ = Tᵢˢᵖ / Tᵢᵐᵖ`; 1 means
//! undisturbed, 0 starved. Definitions after Eyerman and Eeckhout, "System-level performance metrics for multiprogram
//! workloads", IEEE Micro 28(3), 2008, as PREMA (HPCA'20) and Planaria (MICRO'20) use them.

/// `NP = solo / shared`; zero where nothing was completed under sharing (`shared` is `None`).
pub fn normalised_progress(solo: f64, shared: Option<f64>) -> f64 {
    shared.map_or(0.0, |t| if t > 0.0 { solo / t } else { 1.0 })
}

/// ANTT: average normalised turnaround time, `(1/n) Σ Tᵢᵐᵖ/Tᵢˢᵖ = (1/n) Σ 1/NPᵢ`; lower is better, 1 is undisturbed.
///
/// `None` without programs, and where one is starved (it would be infinite).
pub fn antt(progress: &[f64]) -> Option<f64> {
    if progress.is_empty() || progress.contains(&0.0) {
        return None;
    }
    Some(progress.iter().map(|np| 1.0 / np).sum::<f64>() / progress.len() as f64)
}

/// STP: system throughput, `Σ NPᵢ`; higher is better, `n` would be sharing at no cost. `None` without programs.
pub fn stp(progress: &[f64]) -> Option<f64> {
    (!progress.is_empty()).then(|| progress.iter().sum())
}

/// Fairness, `min over i,j of NPᵢ/NPⱼ = min NP / max NP`, in [0, 1]; 1 when all are slowed alike.
///
/// `None` without programs, and where all are starved. For priorities, hand in [`weighted`] progress.
pub fn fairness(progress: &[f64]) -> Option<f64> {
    let least = progress.iter().copied().fold(f64::INFINITY, f64::min);
    let most = progress.iter().copied().fold(0.0, f64::max);
    (most > 0.0).then(|| least / most)
}

/// Progress over entitlement, `NPᵢ / (prioᵢ / Σ prio)`, which PREMA and Planaria put in place of `NPᵢ` in fairness.
///
/// Priorities must be positive and as many as programs.
pub fn weighted(progress: &[f64], priorities: &[f64]) -> Vec<f64> {
    assert_eq!(progress.len(), priorities.len(), "one priority per program");
    let sum: f64 = priorities.iter().sum();
    progress.iter().zip(priorities).map(|(np, p)| np / (p / sum)).collect()
}

/// Jain's index, `(Σx)² / (n Σx²)`, in [1/n, 1]; 1 when all are equal, 1/n when one has everything.
///
/// Jain, Chiu and Hawe, DEC TR-301, 1984. `x` is progress, or service over weight. `None` without programs, and where
/// all are zero.
pub fn jain(x: &[f64]) -> Option<f64> {
    let sum: f64 = x.iter().sum();
    let squares: f64 = x.iter().map(|v| v * v).sum();
    (squares > 0.0).then(|| sum * sum / (x.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_programs_by_hand() {
        // Slowed 2x and 4x: NP 0.5 and 0.25.
        let np = [normalised_progress(10.0, Some(20.0)), normalised_progress(5.0, Some(20.0))];
        assert_eq!(np, [0.5, 0.25]);
        assert_eq!(antt(&np), Some(3.0));
        assert_eq!(stp(&np), Some(0.75));
        assert_eq!(fairness(&np), Some(0.5));
        assert_eq!(jain(&np), Some(0.5625 / (2.0 * 0.3125)));
        // The slower one had half the priority, so it got exactly what it was entitled to.
        assert_eq!(fairness(&weighted(&np, &[2.0, 1.0])), Some(1.0));
    }

    #[test]
    fn starvation_shows() {
        let np = [1.0, normalised_progress(5.0, None)];
        assert_eq!((antt(&np), stp(&np), fairness(&np), jain(&np)), (None, Some(1.0), Some(0.0), Some(0.5)));
        assert_eq!((antt(&[]), stp(&[]), fairness(&[]), jain(&[])), (None, None, None, None));
    }

    proptest! {
        #[test]
        fn bounds_hold(np in prop::collection::vec(0.001f64..1.0, 1..20)) {
            let n = np.len() as f64;
            prop_assert!(antt(&np).unwrap() >= 1.0);
            prop_assert!(stp(&np).unwrap() <= n);
            let fairness = fairness(&np).unwrap();
            prop_assert!(fairness > 0.0 && fairness <= 1.0);
            let jain = jain(&np).unwrap();
            prop_assert!(jain >= 1.0 / n - 1e-9 && jain <= 1.0 + 1e-9);
            // Harmonic mean of NP never exceeds the arithmetic mean.
            prop_assert!(1.0 / antt(&np).unwrap() <= stp(&np).unwrap() / n + 1e-9);
        }

        #[test]
        fn equal_slowdown_is_fair(np in 0.01f64..1.0, n in 1usize..20) {
            let all = vec![np; n];
            prop_assert_eq!(fairness(&all), Some(1.0));
            prop_assert!((jain(&all).unwrap() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn order_does_not_matter(mut np in prop::collection::vec(0.001f64..1.0, 1..20)) {
            let before = (antt(&np).unwrap(), fairness(&np));
            np.reverse();
            prop_assert!((antt(&np).unwrap() - before.0).abs() < 1e-6 * before.0);
            prop_assert_eq!(fairness(&np), before.1);
        }
    }
}
