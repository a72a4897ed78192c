//! Finds the [`Law`] of a model from measured points, some of which may be wrong.
//!
//! Errors count relative to the measurement. For a given floor the law is linear in its coefficients, so they are found by
//! [nonnegative least squares](super::nnls) on the points that are above the floor, with Huber's weights found by
//! iteration: a point that is off by more than [`OUTLIER`] counts by its distance, not by its square. Which points are
//! above the floor depends on the coefficients, so both are found in turn. The floor itself is searched around the
//! shortest measurement, where a model is bound by launches if it ever is, and tried at zero.

use super::law::{Law, PROCESSES_MAX, Setting, Sharing};
use super::nnls::nnls;

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where it was taken.
    pub at: Setting,
    /// The latency in milliseconds.
    pub ms: f64,
}

/// What the law may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Time per item that nothing shortens, and processes that overlap in what keeps the device idle: all terms of [`Law`].
    Overlapping,
    /// The published form: no time per item besides SMs and memory, `k·η_k` for `k` processes, `η` from points of several
    /// processes, the rest from those of one.
    Scaled,
}

/// Why there is no law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Fewer points than coefficients.
    #[error("{points} points, a law needs {needed} at least")]
    TooFew {
        /// Points that can be used.
        points: usize,
        /// Points that are needed.
        needed: usize,
    },
    /// A number is zero, negative or not finite.
    #[error("point {index}: batch, SMs, memory, processes and milliseconds must be positive")]
    Number {
        /// The point's place in the list, from zero.
        index: usize,
    },
}

/// A point that is off by this part of the measurement or more is an outlier.
pub const OUTLIER: f64 = 0.05;

/// Points within this part above the floor may be bound by it and do not tell about sharing.
const CLEAR_OF_FLOOR: f64 = 1.15;

/// Floors that are tried, as parts of the shortest measurement: 0 and this range in equal steps.
const FLOORS: (f64, f64, u32) = (0.8, 1.3, 25);

/// Rounds of weights and of which points are above the floor.
const ROUNDS: usize = 25;

/// Coefficients of a law besides its floor.
const COEFFICIENTS: usize = 5;

/// The law nearest to `points`.
///
/// # Errors
/// [`FitError`].
pub fn fit(points: &[Point], form: Form) -> Result<Law, FitError> {
    if let Some(index) = points.iter().position(|p| !is_positive(p)) {
        return Err(FitError::Number { index });
    }
    let used: Vec<Point> = match form {
        Form::Overlapping => points.to_vec(),
        Form::Scaled => points.iter().filter(|p| p.at.processes == 1).copied().collect(),
    };
    let needed = COEFFICIENTS + 1;
    if used.len() < needed {
        return Err(FitError::TooFew { points: used.len(), needed });
    }
    let mut law = with_floor(&used, form);
    if form == Form::Scaled {
        law.sharing = Sharing::Scaled(factors(&law, points));
    }
    Ok(law)
}

fn is_positive(p: &Point) -> bool {
    let all = [f64::from(p.at.batch), p.at.sms, p.at.memory, f64::from(p.at.processes), p.ms];
    all.iter().all(|v| v.is_finite() && *v > 0.0)
}

/// Tries the floors and takes the law that loses least.
fn with_floor(points: &[Point], form: Form) -> Law {
    let shortest = points.iter().map(|p| p.ms).fold(f64::INFINITY, f64::min);
    let (from, to, steps) = FLOORS;
    let step = |i: u32| from + (to - from) * f64::from(i) / f64::from(steps);
    let floors = std::iter::once(0.0).chain((0..=steps).map(|i| shortest * step(i)));
    let laws = floors.map(|floor_ms| {
        let law = at_floor(points, form, floor_ms);
        (loss(&law, points), law)
    });
    let best = laws.min_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, law)| law).expect("a floor is tried")
}

/// Huber's loss of the relative errors.
fn loss(law: &Law, points: &[Point]) -> f64 {
    let one = |error: f64| match error < OUTLIER {
        true => error * error,
        false => 2.0 * OUTLIER * error - OUTLIER * OUTLIER,
    };
    points.iter().map(|p| one(error(law, p))).sum()
}

/// How far a law is off, as a part of the measurement.
pub fn error(law: &Law, point: &Point) -> f64 {
    (law.ms(&point.at) / point.ms - 1.0).abs()
}

/// The law for a given floor.
fn at_floor(points: &[Point], form: Form, floor_ms: f64) -> Law {
    let mut law = Law {
        floor_ms,
        fixed_ms: 0.0,
        item_ms: 0.0,
        item_sm_ms: 0.0,
        item_memory_ms: 0.0,
        sm_ms: 0.0,
        sharing: Sharing::Overlap,
    };
    let mut weights = vec![1.0; points.len()];
    let mut above: Vec<bool> = points.iter().map(|p| p.ms > floor_ms * CLEAR_OF_FLOOR).collect();
    for round in 0..ROUNDS {
        let rows = points.iter().zip(&weights).zip(&above).filter(|(_, above)| **above);
        let (rows, ones): (Vec<_>, Vec<_>) = rows.map(|((p, w), _)| (row(p, form).map(|v| v * w / p.ms), *w)).unzip();
        [law.fixed_ms, law.item_ms, law.item_sm_ms, law.item_memory_ms, law.sm_ms] = nnls(&rows, &ones);
        let bare = Law { floor_ms: 0.0, ..law };
        let now: Vec<bool> = points.iter().map(|p| bare.ms(&p.at) > floor_ms).collect();
        let same = now == above;
        above = now;
        for (weight, p) in weights.iter_mut().zip(points) {
            *weight = (OUTLIER / error(&law, p).max(OUTLIER)).sqrt();
        }
        // Weights settle after a few rounds more than the sides of the floor.
        if same && round >= ROUNDS / 3 {
            break;
        }
    }
    law
}

/// What each coefficient is multiplied with.
fn row(point: &Point, form: Form) -> [f64; COEFFICIENTS] {
    let Setting { batch, sms, memory, processes } = point.at;
    let (b, k) = (f64::from(batch), f64::from(processes));
    let item = if form == Form::Overlapping { b } else { 0.0 };
    [1.0, item, k * b / sms, k * b / memory, k / sms]
}

/// The factor of each number of processes: the median over its points that are clear of the floor. Where there is none, that
/// of one process fewer.
fn factors(law: &Law, points: &[Point]) -> [f64; PROCESSES_MAX] {
    let mut eta = [1.0; PROCESSES_MAX];
    for k in 2..=PROCESSES_MAX {
        let of_k = |p: &&Point| p.at.processes as usize == k && p.ms > law.floor_ms * CLEAR_OF_FLOOR;
        let busy = |p: &Point| law.idle_ms(p.at.batch) + law.busy_ms(&p.at);
        let mut ratios: Vec<f64> = points.iter().filter(of_k).map(|p| p.ms / (k as f64 * busy(p))).collect();
        ratios.sort_by(f64::total_cmp);
        eta[k - 1] = ratios.get(ratios.len() / 2).copied().unwrap_or(eta[k - 2]);
    }
    eta
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// The MIG instances of an A100.
    const INSTANCES: [(f64, f64); 5] = [(14.0, 0.125), (28.0, 0.25), (42.0, 0.5), (56.0, 0.5), (98.0, 1.0)];

    /// Every instance, batches 1 to 128, up to five processes, each off by up to `noise`; one in `wrong` is off by far.
    fn measured(law: &Law, noise: f64, wrong: Option<u32>, seed: u64) -> Vec<Point> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut points = Vec::new();
        for (sms, memory) in INSTANCES {
            for batch in (0..8).map(|i| 1 << i) {
                for processes in 1..=5 {
                    let at = Setting { batch, sms, memory, processes };
                    let off = match wrong {
                        Some(n) if random.random_ratio(1, n) => random.random_range(1.5..3.0),
                        _ => 1.0 + noise * random.random_range(-1.0..=1.0),
                    };
                    points.push(Point { at, ms: law.ms(&at) * off });
                }
            }
        }
        points
    }

    fn laws() -> impl Strategy<Value = Law> {
        let small = prop_oneof![Just(0.0), 0.02..0.2f64];
        (1.0..10.0f64, 0.1..1.0f64, small, 10.0..60.0f64, 0.04..0.25f64, 0.0..60.0f64).prop_map(
            |(floor_ms, fixed, item_ms, item_sm_ms, item_memory_ms, sm_ms)| Law {
                floor_ms,
                fixed_ms: fixed * floor_ms,
                item_ms,
                item_sm_ms,
                item_memory_ms,
                sm_ms,
                sharing: Sharing::Overlap,
            },
        )
    }

    /// The largest error over settings that no point had: other batches, and an instance of 70 SMs.
    fn worst(found: &Law, truth: &Law) -> f64 {
        let mut worst = 0.0f64;
        for (sms, memory) in INSTANCES.into_iter().chain([(70.0, 0.75)]) {
            for batch in [3, 6, 12, 24, 48, 96] {
                for processes in 1..=3 {
                    let at = Setting { batch, sms, memory, processes };
                    worst = worst.max(error(found, &Point { at, ms: truth.ms(&at) }));
                }
            }
        }
        worst
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn a_law_comes_back_from_its_points(truth in laws(), seed: u64) {
            let found = fit(&measured(&truth, 0.0, None, seed), Form::Overlapping).unwrap();
            prop_assert!(worst(&found, &truth) < 0.02, "{found:?}\n{truth:?}");
            for (a, b) in [(found.item_sm_ms, truth.item_sm_ms), (found.item_memory_ms, truth.item_memory_ms)] {
                prop_assert!((a / b - 1.0).abs() < 0.05, "{found:?}\n{truth:?}");
            }
        }

        #[test]
        fn noise_and_wrong_points_do_little(truth in laws(), seed: u64) {
            let found = fit(&measured(&truth, 0.03, Some(12), seed), Form::Overlapping).unwrap();
            prop_assert!(worst(&found, &truth) < 0.08, "{}\n{found:?}\n{truth:?}", worst(&found, &truth));
        }
    }

    #[test]
    fn factors_come_back() {
        let eta = [1.0, 0.9, 0.85, 0.8, 0.75];
        let truth = Law {
            floor_ms: 4.0,
            fixed_ms: 1.0,
            item_ms: 0.0,
            item_sm_ms: 20.0,
            item_memory_ms: 0.1,
            sm_ms: 10.0,
            sharing: Sharing::Scaled(eta),
        };
        let Sharing::Scaled(found) = fit(&measured(&truth, 0.0, None, 1), Form::Scaled).unwrap().sharing else {
            panic!("the form has factors");
        };
        for (a, b) in found.iter().zip(eta) {
            assert!((a - b).abs() < 0.01, "{found:?}");
        }
    }

    #[test]
    fn bad_points_are_refused() {
        let at = Setting { batch: 1, sms: 14.0, memory: 0.125, processes: 1 };
        let good = Point { at, ms: 1.0 };
        assert_eq!(fit(&[good; 3], Form::Overlapping), Err(FitError::TooFew { points: 3, needed: 6 }));
        let two = Point { at: Setting { processes: 2, ..at }, ms: 1.0 };
        assert_eq!(fit(&[two; 9], Form::Scaled), Err(FitError::TooFew { points: 0, needed: 6 }));
        for bad in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            let points = [good, Point { at, ms: bad }];
            assert_eq!(fit(&points, Form::Overlapping), Err(FitError::Number { index: 1 }));
        }
        // Points that tell nothing apart still give a law that explains them.
        let law = fit(&[good; 8], Form::Overlapping).unwrap();
        assert!(error(&law, &good) < 0.01, "{law:?}");
    }
}
