//! Max–min fair sharing: whoever asks for less than an equal share gets what it asks for, the rest share what is left.
//!
//! It divides a memory system's bandwidth among the SMs that load it, and an SM's issue slots and port among the kernels
//! that reside on it ("water filling").

/// Somebody who wants a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ask {
    /// Shares are in proportion to it.
    pub(super) weight: f64,
    /// More than this is never taken.
    pub(super) cap: f64,
    /// What it gets.
    pub(super) grant: f64,
}

impl Ask {
    pub(super) fn new(weight: f64, cap: f64) -> Ask {
        Ask { weight, cap, grant: f64::NAN }
    }
}

/// Fills in the grants: `min(cap, weight × level)` with the highest level at which the sum is within `capacity`.
/// Rounds over all asks, of which there are as many as distinct levels at which somebody is satisfied.
pub(super) fn fill(capacity: f64, asks: &mut [Ask]) {
    let (mut left, mut weight) = (capacity, 0.0);
    for ask in asks.iter_mut() {
        ask.grant = f64::NAN;
        weight += ask.weight;
    }
    loop {
        let level = if weight > 0.0 { (left / weight).max(0.0) } else { 0.0 };
        let mut satisfied = false;
        weight = 0.0;
        for ask in asks.iter_mut().filter(|a| a.grant.is_nan()) {
            if ask.cap <= ask.weight * level {
                ask.grant = ask.cap;
                left -= ask.cap;
                satisfied = true;
            } else {
                weight += ask.weight;
            }
        }
        if !satisfied {
            asks.iter_mut().filter(|a| a.grant.is_nan()).for_each(|a| a.grant = a.weight * level);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(capacity: f64, asks: &[(f64, f64)], expected: &[f64]) {
        let mut asks: Vec<Ask> = asks.iter().map(|&(w, c)| Ask::new(w, c)).collect();
        fill(capacity, &mut asks);
        let got: Vec<f64> = asks.iter().map(|a| a.grant).collect();
        assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-9), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn small_asks_are_met_and_the_rest_is_shared_by_weight() {
        check(10.0, &[(1.0, 2.0), (1.0, 20.0), (1.0, 20.0)], &[2.0, 4.0, 4.0]);
        check(10.0, &[(1.0, 3.0), (1.0, 4.0)], &[3.0, 4.0]);
        check(12.0, &[(1.0, 99.0), (2.0, 99.0)], &[4.0, 8.0]);
        check(0.0, &[(1.0, 1.0)], &[0.0]);
        check(5.0, &[], &[]);
    }

    proptest! {
        #[test]
        fn no_more_than_there_is_and_nothing_left_while_somebody_wants_more(
            capacity in 0.0f64..100.0, raw in proptest::collection::vec((0.1f64..5.0, 0.0f64..50.0), 0..20)
        ) {
            let mut asks: Vec<Ask> = raw.iter().map(|&(w, c)| Ask::new(w, c)).collect();
            fill(capacity, &mut asks);
            let sum: f64 = asks.iter().map(|a| a.grant).sum();
            let wanted: f64 = asks.iter().map(|a| a.cap).sum();
            prop_assert!(asks.iter().all(|a| a.grant >= 0.0 && a.grant <= a.cap));
            prop_assert!((sum - capacity.min(wanted)).abs() < 1e-6, "{sum} of {capacity}, wanted {wanted}");
            let level = asks.iter().filter(|a| a.grant < a.cap).map(|a| a.grant / a.weight).fold(f64::MIN, f64::max);
            let unmet = asks.iter().filter(|a| a.grant < a.cap).all(|a| (a.grant / a.weight - level).abs() < 1e-6);
            prop_assert!(unmet, "unmet asks stand at one level: {asks:?}");
        }
    }
}
