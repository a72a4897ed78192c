//! RLS: recursive least squares with forgetting, and how sure its predictions are.
//!
//! `K = Pφ/(μ + φᵀPφ); θ += K (y − θᵀφ); P = (P − K φᵀP)/μ`. The variance of a prediction is that of the residuals times
//! `1 + φᵀPφ`: large where nothing like `φ` was seen.

/// Weight of a new residual in the running variance.
const VARIANCE_WEIGHT: f64 = 0.05;

/// Linear regression that learns one sample at a time.
#[derive(Clone, Debug)]
pub(super) struct Rls {
    theta: Vec<f64>,
    /// Row by row.
    p: Vec<f64>,
    forgetting: f64,
    variance: f64,
}

impl Rls {
    /// Begins with the coefficients `prior`, of which each may be off by `spread`, and residuals of `deviation`.
    pub(super) fn new(prior: &[f64], spread: f64, deviation: f64, forgetting: f64) -> Rls {
        let n = prior.len();
        let variance = deviation * deviation;
        let mut p = vec![0.0; n * n];
        // P is in units of the residuals' variance.
        (0..n).for_each(|i| p[i * n + i] = spread * spread / variance);
        Rls { theta: prior.to_vec(), p, forgetting, variance }
    }

    /// The prediction for `x` and its standard deviation.
    pub(super) fn predict(&self, x: &[f64]) -> (f64, f64) {
        let mean = dot(&self.theta, x);
        let leverage = dot(&self.times(x), x);
        (mean, (self.variance * (1.0 + leverage.max(0.0))).sqrt())
    }

    /// Learns that `x` gave `y`.
    pub(super) fn learn(&mut self, x: &[f64], y: f64) {
        let n = x.len();
        let px = self.times(x);
        let leverage = dot(&px, x);
        let residual = y - dot(&self.theta, x);
        // The part of the squared residual that is noise and not the coefficients' error.
        let noise = residual * residual / (1.0 + leverage.max(0.0));
        self.variance += VARIANCE_WEIGHT * (noise - self.variance);
        let scale = 1.0 / (self.forgetting + leverage);
        for i in 0..n {
            self.theta[i] += px[i] * scale * residual;
            for j in 0..n {
                self.p[i * n + j] = (self.p[i * n + j] - px[i] * scale * px[j]) / self.forgetting;
            }
        }
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        self.p.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn it_finds_the_coefficients_and_becomes_sure() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut rls = Rls::new(&[1.0, 0.0, 0.0], 3.0, 0.1, 0.999);
        let (_, unsure) = rls.predict(&[1.0, 0.5, 0.5]);
        for _ in 0..400 {
            let x = [1.0, rng.random_range(0.0..1.0), rng.random_range(0.0..1.0)];
            rls.learn(&x, 0.5 * x[0] + 2.0 * x[1] - x[2] + rng.random_range(-0.01..0.01));
        }
        let (mean, sure) = rls.predict(&[1.0, 0.5, 0.5]);
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!(sure < unsure / 50.0, "{sure} {unsure}");
        assert!(rls.predict(&[1.0, 9.0, -9.0]).1 > 2.0 * sure, "far away it is less sure");
    }
}
