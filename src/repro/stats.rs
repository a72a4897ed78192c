//! Order statistics of small samples: quantiles and Spearman's rank correlation.

/// The `q`-quantile by linear interpolation between the two nearest values; NaN of none.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    sorted[low] + part * (sorted[(low + 1).min(last)] - sorted[low])
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The part of the values for which `holds`; NaN of none.
pub fn share(values: &[f64], holds: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|v| holds(**v)).count() as f64 / values.len() as f64
}

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing the mean of theirs. `None` where all values of
/// a side are equal, so that there is no order to compare.
///
/// # Panics
/// Where the sides differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "pairs");
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(p, q)| (p - mean) * (q - mean)).sum::<f64>();
    let (aa, bb) = (product(&a, &a), product(&b, &b));
    (aa > 0.0 && bb > 0.0).then(|| product(&a, &b) / (aa * bb).sqrt())
}

/// Ranks from 1.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let first = order.iter().position(|i| i == &equal[0]).unwrap_or_default();
        let rank = first as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn worked_by_hand() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.9), 1.9);
        assert!(median(&[]).is_nan());
        assert_eq!(share(&[1.0, 2.0, 3.0, 4.0], |v| v >= 2.0), 0.75);
        assert_eq!(ranks(&[10.0, 30.0, 10.0, 20.0]), [1.5, 4.0, 1.5, 3.0]);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[5.0, 6.0, 70.0]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(spearman(&[1.0, 2.0], &[4.0, 4.0]), None);
        assert_eq!(spearman(&[], &[]), None);
        // Ranks 1 2 3 4 and 1 2.5 2.5 4: sum of products 4.5, of squares 5 and 4.5.
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 2.0, 3.0]).unwrap();
        assert!((rho - (4.5f64 / 5.0).sqrt()).abs() < 1e-12, "{rho}");
    }

    proptest! {
        #[test]
        fn only_order_counts(values in prop::collection::vec((-1e3..1e3f64, -1e3..1e3f64), 2..30)) {
            let (a, b): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
            let stretched: Vec<f64> = b.iter().map(|v| v.powi(3) * 7.0 + 1.0).collect();
            let (one, other) = (spearman(&a, &b), spearman(&a, &stretched));
            prop_assert_eq!(one.is_some(), other.is_some());
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert!((one - other).abs() < 1e-9 && one.abs() <= 1.0 + 1e-12);
            }
        }
    }
}
