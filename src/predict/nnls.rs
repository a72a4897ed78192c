//! NNLS: least squares with coefficients that are not negative, by the active-set method of Lawson and Hanson on the normal
//! equations. Columns are scaled to length one first, so that units do not matter; a column that the chosen ones explain
//! already stays out.

/// Pivots below this, for columns of length one, mean that a column depends on the others.
const PIVOT_MIN: f64 = 1e-9;

/// Gradients below this part of the right-hand side's length count as zero.
const GRADIENT_MIN: f64 = 1e-10;

/// The `x ≥ 0` that brings `rows · x` nearest to `y`; zero for columns that help nothing.
///
/// # Panics
/// Where `rows` and `y` differ in length.
pub fn nnls<const N: usize>(rows: &[[f64; N]], y: &[f64]) -> [f64; N] {
    assert_eq!(rows.len(), y.len(), "a value for each row");
    let lengths: [f64; N] = std::array::from_fn(|c| rows.iter().map(|r| r[c] * r[c]).sum::<f64>().sqrt());
    let scale = lengths.map(|l| if l > 0.0 { 1.0 / l } else { 0.0 });
    let mut gram = [[0.0; N]; N];
    let mut right = [0.0; N];
    for (row, value) in rows.iter().zip(y) {
        for i in 0..N {
            right[i] += row[i] * scale[i] * value;
            for j in 0..N {
                gram[i][j] += row[i] * scale[i] * row[j] * scale[j];
            }
        }
    }
    let least = GRADIENT_MIN * y.iter().map(|v| v * v).sum::<f64>().sqrt();
    let x = active_set(&gram, &right, least);
    std::array::from_fn(|c| x[c] * scale[c])
}

/// Lawson and Hanson: columns enter while one of them would help, and leave where they would become negative.
fn active_set<const N: usize>(gram: &[[f64; N]; N], right: &[f64; N], least: f64) -> [f64; N] {
    let mut x = [0.0; N];
    let mut chosen = [false; N];
    let mut dependent = [false; N];
    // Each round takes a column in; with few columns the method ends long before this.
    for _ in 0..8 * N {
        let gradient = |c: usize| right[c] - (0..N).map(|j| gram[c][j] * x[j]).sum::<f64>();
        let open = (0..N).filter(|&c| !chosen[c] && !dependent[c] && gradient(c) > least);
        let Some(next) = open.max_by(|&a, &b| gradient(a).total_cmp(&gradient(b))) else { break };
        chosen[next] = true;
        loop {
            let Some(target) = solve(gram, right, &chosen) else {
                chosen[next] = false;
                dependent[next] = true;
                break;
            };
            let negative: Vec<usize> = (0..N).filter(|&c| chosen[c] && target[c] <= 0.0).collect();
            if negative.is_empty() {
                x = target;
                break;
            }
            // As far towards the solution as all stay positive; whoever comes to zero leaves.
            let part = |c: &usize| x[*c] / (x[*c] - target[*c]);
            let step = negative.iter().map(part).fold(1.0, f64::min);
            for c in (0..N).filter(|&c| chosen[c]) {
                x[c] += step * (target[c] - x[c]);
            }
            for c in negative {
                if x[c] <= 1e-14 {
                    x[c] = 0.0;
                    chosen[c] = false;
                }
            }
        }
    }
    x
}

/// Solves the normal equations of the chosen columns by Cholesky's method; `None` where they depend on each other.
fn solve<const N: usize>(gram: &[[f64; N]; N], right: &[f64; N], chosen: &[bool; N]) -> Option<[f64; N]> {
    let columns: Vec<usize> = (0..N).filter(|&c| chosen[c]).collect();
    let n = columns.len();
    let mut l = [[0.0; N]; N];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = gram[columns[i]][columns[j]] - known;
            l[i][j] = match i == j {
                true if rest < PIVOT_MIN => return None,
                true => rest.sqrt(),
                false => rest / l[j][j],
            };
        }
    }
    let mut z = [0.0; N];
    for i in 0..n {
        z[i] = (right[columns[i]] - (0..i).map(|k| l[i][k] * z[k]).sum::<f64>()) / l[i][i];
    }
    let mut x = [0.0; N];
    for i in (0..n).rev() {
        let later: f64 = (i + 1..n).map(|k| l[k][i] * x[columns[k]]).sum();
        x[columns[i]] = (z[i] - later) / l[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn residual<const N: usize>(rows: &[[f64; N]], y: &[f64], x: &[f64; N]) -> f64 {
        let value = |r: &[f64; N]| r.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
        rows.iter().zip(y).map(|(r, y)| (value(r) - y).powi(2)).sum()
    }

    #[test]
    fn a_coefficient_that_would_be_negative_is_zero() {
        // Without bounds: (2, −1).
        let rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
        let x = nnls(&rows, &[2.0, -1.0, 1.0]);
        assert!((x[0] - 1.5).abs() < 1e-12 && x[1] == 0.0, "{x:?}");
    }

    #[test]
    fn equal_and_empty_columns_are_no_trouble() {
        let rows = [[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [3.0, 3.0, 0.0]];
        let x = nnls(&rows, &[2.0, 4.0, 6.0]);
        assert!((x[0] + x[1] - 2.0).abs() < 1e-9 && x[2] == 0.0, "{x:?}");
        assert_eq!(nnls::<2>(&[], &[]), [0.0, 0.0]);
        assert_eq!(nnls(&[[1.0]], &[-3.0]), [0.0]);
    }

    proptest! {
        #[test]
        fn coefficients_come_back(
            truth in prop::array::uniform4(prop_oneof![Just(0.0), 0.01..100.0f64]),
            rows in prop::collection::vec(prop::array::uniform4(0.1..10.0f64), 12..40),
        ) {
            let y: Vec<f64> = rows.iter().map(|r| r.iter().zip(&truth).map(|(a, b)| a * b).sum()).collect();
            let x = nnls(&rows, &y);
            let size = 1.0 + truth.iter().fold(0.0f64, |a, b| a.max(*b));
            for (found, true_one) in x.iter().zip(&truth) {
                prop_assert!((found - true_one).abs() < 1e-5 * size, "{x:?} {truth:?}");
            }
        }

        #[test]
        fn no_small_step_is_better(
            rows in prop::collection::vec(prop::array::uniform3(-1.0..1.0f64), 4..20),
            noise in prop::collection::vec(-1.0..1.0f64, 20),
        ) {
            let y = &noise[..rows.len()];
            let x = nnls(&rows, y);
            let best = residual(&rows, y, &x);
            for c in 0..3 {
                for step in [1e-4, -1e-4] {
                    let mut other = x;
                    other[c] = (other[c] + step).max(0.0);
                    prop_assert!(residual(&rows, y, &other) >= best - 1e-9);
                }
            }
            prop_assert!(x.iter().all(|v| *v >= 0.0));
        }
    }
}
