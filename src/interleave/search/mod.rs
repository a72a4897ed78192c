//! Searches for schedules. One file each, one line each in [`SEARCHES`], from which the command line's help is made.
//!
//! Every search is seeded, keeps to a [`Budget`], and returns the best schedule that it saw by its cost model when it is stopped.
//! None returns one that is worse than the baselines, which all of them look at first.

mod annealing;
mod coordinate;
mod greedy;
mod hunt;
mod ios;
mod moves;
mod pack;
mod pointers;
mod polish;
mod random;

pub use annealing::Annealing;
pub use coordinate::CoordinateDescent;
pub use greedy::Greedy;
pub use ios::Ios;
pub use random::RandomPointers;

use std::sync::atomic::{AtomicBool, Ordering};

use super::cost::{CostError, CostModel};
use super::{Problem, Schedule};
use crate::hal::SharedClock;
use crate::tensor::Nanos;

/// When to stop.
#[derive(Clone)]
pub struct Budget<'a> {
    /// Schedules or stages that may be costed. The baselines count, and are looked at in any case.
    pub evaluations_max: u64,
    /// Time that it may take on `clock`; `None` is as long as it wants.
    pub time_max: Option<Nanos>,
    /// Where time is from.
    pub clock: SharedClock,
    /// Stops it when set.
    pub stop: Option<&'a AtomicBool>,
}

impl Budget<'_> {
    /// So many evaluations, however long they take.
    pub fn evaluations(evaluations_max: u64, clock: SharedClock) -> Budget<'static> {
        Budget { evaluations_max, time_max: None, clock, stop: None }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The best schedule seen.
    pub schedule: Schedule,
    /// What it takes by the search's cost model, in ns.
    pub ns: f64,
    /// Schedules and stages that were costed.
    pub evaluations: u64,
    /// Time that it took, in seconds on the budget's clock.
    pub seconds: f64,
}

/// Looks for a schedule.
pub trait Search {
    /// The best schedule of `problem` by `cost` within `budget`.
    ///
    /// # Errors
    /// [`CostError`] where the cost model fails.
    fn search(&mut self, problem: &Problem, cost: &mut dyn CostModel, budget: &Budget) -> Result<Found, CostError>;
}

/// A search that can be chosen by name.
#[derive(Debug)]
pub struct SearchEntry {
    /// What `--search` calls it.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    build: fn(u64) -> Box<dyn Search>,
}

/// All searches, one line each.
pub const SEARCHES: &[SearchEntry] = &[
    SearchEntry {
        name: "greedy",
        summary: "packs chains in linear time; the default, also of stages composed online",
        build: |_| Box::new(Greedy::default()),
    },
    SearchEntry {
        name: "ios",
        summary: "dynamic programme over endings of the union graph, block by block (IOS)",
        build: |_| Box::new(Ios::default()),
    },
    SearchEntry {
        name: "coordinate",
        summary: "coordinate descent over each tenant's sync pointers (Runtime-Aware)",
        build: |seed| Box::new(CoordinateDescent::new(seed)),
    },
    SearchEntry {
        name: "random",
        summary: "random sync pointers (Runtime-Aware's baseline)",
        build: |seed| Box::new(RandomPointers::new(seed)),
    },
    SearchEntry {
        name: "annealing",
        summary: "simulated annealing over full schedules, from the greedy one",
        build: |seed| Box::new(Annealing::new(seed)),
    },
];

/// There is no such search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("search: found {name:?}, allowed is {allowed}")]
pub struct UnknownSearch {
    /// The name.
    pub name: String,
    /// The names there are.
    pub allowed: String,
}

/// The search called `name`, seeded.
///
/// # Errors
/// [`UnknownSearch`] names those that there are.
pub fn open(name: &str, seed: u64) -> Result<Box<dyn Search>, UnknownSearch> {
    match SEARCHES.iter().find(|s| s.name == name) {
        Some(entry) => Ok((entry.build)(seed)),
        None => {
            let names: Vec<&str> = SEARCHES.iter().map(|s| s.name).collect();
            Err(UnknownSearch { name: name.into(), allowed: names.join(", ") })
        }
    }
}

#[cfg(test)]
pub(super) use tests::still;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hal::Clock;
    use crate::interleave::cost::Estimated;
    use crate::interleave::synthetic;
    use crate::timeline::ClockKind;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Nanos {
            Nanos(0)
        }

        fn kind(&self) -> ClockKind {
            ClockKind::Virtual
        }
    }

    /// A clock that never moves.
    pub(in crate::interleave) fn still() -> SharedClock {
        Arc::new(Still)
    }

    /// What `search` finds by the counted cost.
    pub(super) fn search(search: &mut dyn Search, problem: &Problem, evaluations_max: u64) -> Found {
        search.search(problem, &mut Estimated::new(), &Budget::evaluations(evaluations_max, still())).unwrap()
    }

    /// Searches a random problem with a random small budget, twice.
    pub(super) fn never_worse_than_the_baselines(
        searching: &mut dyn Search,
        tenants: usize,
        launches: usize,
        seed: u64,
        streams: bool,
    ) {
        let mut problem = synthetic::mixed(tenants, launches, seed);
        if streams {
            problem.machine = synthetic::streams();
        }
        let found = search(searching, &problem, seed % 150);
        assert_eq!(found.schedule.check(&problem), Ok(()), "{}", found.schedule);
        assert_eq!(found, search(searching, &problem, seed % 150), "the same seed finds the same");
        let mut cost = Estimated::new();
        assert_eq!(cost.schedule(&problem, &found.schedule).unwrap().ns, found.ns);
        for baseline in [Schedule::sequential(&problem), Schedule::side_by_side(&problem)] {
            assert!(found.ns <= cost.schedule(&problem, &baseline).unwrap().ns);
        }
    }

    #[test]
    fn an_unknown_search_is_answered_with_those_that_there_are() {
        let message = open("fastest", 1).err().unwrap().to_string();
        assert!(message.starts_with("search: found \"fastest\", allowed is greedy, ios, "), "{message}");
        assert!(SEARCHES.iter().all(|s| open(s.name, 1).is_ok()));
    }

    #[test]
    fn a_search_that_is_told_to_stop_has_an_answer() {
        let problem = synthetic::mixed(3, 20, 5);
        let stop = AtomicBool::new(true);
        for entry in SEARCHES {
            let budget = Budget { stop: Some(&stop), ..Budget::evaluations(u64::MAX, still()) };
            let mut search = (entry.build)(1);
            let found = search.search(&problem, &mut Estimated::new(), &budget).unwrap();
            assert_eq!(found.schedule.check(&problem), Ok(()), "{}", entry.name);
            assert_eq!(found.seconds, 0.0);
        }
    }
}
