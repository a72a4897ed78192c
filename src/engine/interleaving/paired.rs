//! Times that were taken in turns, so that what disturbs the machine disturbs all of them.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::tensor::Nanos;

/// Times of several things, a row for each round.
#[derive(Clone, Debug, Default)]
pub struct Paired {
    rounds: Vec<Vec<f64>>,
}

/// Who comes when in each round: a new order each time, so that of more than two nobody always comes after the same other, and
/// nobody after itself, which would find caches as it left them.
pub struct Turns {
    order: Vec<usize>,
    rng: StdRng,
}

impl Turns {
    /// Turns of `n` things; the orders are the same in every call.
    pub fn new(n: usize) -> Turns {
        Turns { order: (0..n).collect(), rng: StdRng::seed_from_u64(n as u64) }
    }

    /// The order of the next round.
    pub fn next_round(&mut self) -> &[usize] {
        let last = self.order.last().copied();
        self.order.shuffle(&mut self.rng);
        if self.order.len() > 1 && self.order.first().copied() == last {
            self.order.rotate_left(1);
        }
        &self.order
    }
}

/// A ratio of times taken in the same rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median over the rounds.
    pub median: f64,
    /// The interval that holds the median with a probability of 95 %, by order statistics (a binomial's quantiles); of few
    /// rounds the whole range.
    pub interval: [f64; 2],
}

impl Paired {
    /// Takes a round in: a time of each thing, always in the same order.
    pub fn add(&mut self, times: &[Nanos]) {
        self.rounds.push(times.iter().map(|t| t.0 as f64).collect());
    }

    /// Rounds so far.
    pub fn len(&self) -> usize {
        self.rounds.len()
    }

    /// True before the first round.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// The median time of the thing at `at`, in ns; 0 before the first round.
    pub fn median_ns(&self, at: usize) -> f64 {
        median(self.rounds.iter().map(|r| r[at]).collect())
    }

    /// The thing of the least median time.
    pub fn fastest(&self, among: impl Iterator<Item = usize>) -> Option<usize> {
        among.min_by(|a, b| self.median_ns(*a).total_cmp(&self.median_ns(*b)))
    }

    /// The time of one over that of another, round by round.
    pub fn ratio(&self, of: usize, over: usize) -> Ratio {
        let mut ratios: Vec<f64> = self.rounds.iter().map(|r| r[of] / r[over].max(1.0)).collect();
        ratios.sort_by(f64::total_cmp);
        let n = ratios.len();
        // Normal approximation of the binomial with p = 1/2; below six rounds no two order statistics hold 95 %.
        let reach = 0.98 * (n as f64).sqrt();
        let low = ((n as f64 / 2.0 - reach).floor().max(0.0)) as usize;
        let high = ((n as f64 / 2.0 + reach).ceil() as usize).clamp(1, n.max(1)) - 1;
        let at = |i: usize| ratios.get(i).copied().unwrap_or(1.0);
        Ratio { interval: [at(low), at(high)], median: median(ratios.clone()) }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (n, middle) if n % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        (_, middle) => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn a_disturbance_of_whole_rounds_leaves_the_ratio() {
        let mut paired = Paired::default();
        for (round, factor) in [1, 7, 2, 1, 30, 1, 1].into_iter().enumerate() {
            paired.add(&[Nanos(100 * factor), Nanos(50 * factor + round as u64 % 2)]);
        }
        let ratio = paired.ratio(1, 0);
        assert!((ratio.median - 0.5).abs() < 0.01, "{ratio:?}");
        assert!(ratio.interval[0] <= ratio.median && ratio.median <= ratio.interval[1]);
        assert_eq!(paired.fastest(0..2), Some(1));
    }

    #[test]
    fn the_interval_holds_the_median_as_often_as_it_says() {
        let mut random = StdRng::seed_from_u64(7);
        let mut held = 0;
        for _ in 0..400 {
            let mut paired = Paired::default();
            for _ in 0..21 {
                paired.add(&[Nanos(random.random_range(500_000..1_500_000)), Nanos(1_000_000)]);
            }
            let [low, high] = paired.ratio(0, 1).interval;
            held += usize::from(low <= 1.0 && 1.0 <= high);
        }
        assert!((360..=400).contains(&held), "{held} of 400");
    }

    #[test]
    fn everybody_has_a_turn_in_each_round_and_nobody_follows_itself() {
        for n in 1..7 {
            let mut turns = Turns::new(n);
            let mut all: Vec<usize> = Vec::new();
            for _ in 0..200 {
                let round = turns.next_round().to_vec();
                let mut sorted = round.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..n).collect::<Vec<_>>());
                all.extend(round);
            }
            assert!(n == 1 || all.windows(2).all(|w| w[0] != w[1]));
            // Each follows each other about as often.
            for (a, b) in (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).filter(|(a, b)| a != b) {
                let follows = all.windows(2).filter(|w| *w == [a, b]).count();
                assert!(n > 1 && follows * n > 80, "{n}: {b} after {a} {follows} times");
            }
        }
    }
}
