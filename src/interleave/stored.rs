//! A schedule that is kept: with a fingerprint of what it was made for, so that it is refused for anything else.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::text::ParseError;
use super::{Problem, Schedule, ScheduleError};

impl Problem {
    /// Tells sets of models apart: their launches, kernels, tiles and dependencies, in order. Neither names nor costs count, nor
    /// the machine: another one refuses by [`Schedule::check`] what it cannot run.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for model in &self.models {
            hash.update((model.launches.len() as u64).to_le_bytes());
            for launch in &model.launches {
                hash.update(self.kernels[launch.kernel as usize].as_bytes());
                let numbers =
                    [launch.operation, launch.launch, launch.tiles, launch.tile_iterations, launch.deps.len() as u32];
                numbers.iter().chain(&launch.deps).for_each(|n| hash.update(n.to_le_bytes()));
            }
        }
        hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// A schedule and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSchedule {
    /// [`Problem::fingerprint`] of the problem that it solves.
    pub problem: String,
    /// The models' names, in order, for people.
    pub models: Vec<String>,
    /// The schedule.
    pub schedule: Schedule,
}

/// Why a stored schedule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is for other models.
    #[error(
        "the schedule was made for {made_for} ({expected}), these are {given} ({found}): search again, or give the models in the order, at the sizes and for the device that it was made for"
    )]
    OtherProblem {
        /// Names of its models.
        made_for: String,
        /// Its fingerprint.
        expected: String,
        /// Names of the given models.
        given: String,
        /// Their fingerprint.
        found: String,
    },
    /// It is for these models, and wrong or for another machine.
    #[error("the stored schedule is not valid here: {0}")]
    Invalid(#[from] ScheduleError),
}

impl StoredSchedule {
    /// Keeps `schedule` of `problem`.
    pub fn new(problem: &Problem, schedule: Schedule) -> StoredSchedule {
        let models = problem.models.iter().map(|m| m.name.clone()).collect();
        StoredSchedule { problem: problem.fingerprint(), models, schedule }
    }

    /// The schedule, for the problem that it was made for.
    ///
    /// # Errors
    /// [`StoredError`] for any other, and for a schedule that does not pass [`Schedule::check`].
    pub fn open(&self, problem: &Problem) -> Result<&Schedule, StoredError> {
        let found = problem.fingerprint();
        if found != self.problem {
            let names: Vec<&str> = problem.models.iter().map(|m| m.name.as_str()).collect();
            return Err(StoredError::OtherProblem {
                made_for: self.models.join(", "),
                expected: self.problem.clone(),
                given: names.join(", "),
                found,
            });
        }
        self.schedule.check(problem)?;
        Ok(&self.schedule)
    }
}

impl fmt::Display for StoredSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schedule for {}", self.problem)?;
        for (at, model) in self.models.iter().enumerate() {
            writeln!(f, "model {at} {model}")?;
        }
        self.schedule.fmt(f)
    }
}

impl FromStr for StoredSchedule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<StoredSchedule, ParseError> {
        let error = |line: usize, found: &str, expected| ParseError { line, found: found.into(), expected };
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        let expected = "schedule for FINGERPRINT";
        let problem = head.strip_prefix("schedule for ").ok_or_else(|| error(1, head, expected))?;
        let mut models = Vec::new();
        for line in text.lines().skip(1).take_while(|l| l.starts_with("model ")) {
            let at = models.len() + 2;
            let (number, name) = line["model ".len()..].split_once(' ').unwrap_or_default();
            if number.parse() != Ok(models.len()) {
                return Err(error(at, line, "model NUMBER NAME, in order from 0"));
            }
            models.push(name.to_owned());
        }
        let head_lines = 1 + models.len();
        let rest: Vec<&str> = text.lines().skip(head_lines).collect();
        let schedule =
            rest.join("\n").parse().map_err(|e: ParseError| ParseError { line: e.line + head_lines, ..e })?;
        Ok(StoredSchedule { problem: problem.trim().to_owned(), models, schedule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn a_stored_schedule_comes_back_and_is_refused_for_other_models() {
        let problem = synthetic::mixed(3, 12, 1);
        let stored = StoredSchedule::new(&problem, Schedule::sequential(&problem));
        assert_eq!(stored.to_string().parse::<StoredSchedule>().unwrap(), stored);
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<StoredSchedule>(&json).unwrap(), stored);
        assert_eq!(stored.open(&problem).unwrap(), &stored.schedule);
        let other = synthetic::mixed(3, 12, 2);
        let message = stored.open(&other).unwrap_err().to_string();
        assert!(message.contains("made for synthetic 0, synthetic 1, synthetic 2"), "{message}");
    }

    #[test]
    fn costs_do_not_change_what_a_problem_is() {
        let problem = synthetic::mixed(2, 9, 5);
        let mut faster = problem.clone();
        faster.models[0].launches[0].worker_ns *= 0.5;
        assert_eq!(problem.fingerprint(), faster.fingerprint());
        faster.models[0].launches[1].tiles += 1;
        assert_ne!(problem.fingerprint(), faster.fingerprint());
    }

    #[test]
    fn a_wrong_schedule_for_the_right_models_is_refused() {
        let problem = synthetic::mixed(2, 9, 5);
        let mut stored = StoredSchedule::new(&problem, Schedule::sequential(&problem));
        stored.schedule.lanes[0].pop();
        assert!(matches!(stored.open(&problem), Err(StoredError::Invalid(ScheduleError::Tiles { .. }))));
    }
}
