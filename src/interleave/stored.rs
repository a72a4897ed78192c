//! A schedule that is kept: with a digest of each model that it was made for, so that it is refused for anything else and found
//! again for the same ones.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::text::ParseError;
use super::{Problem, Schedule, ScheduleError};

impl Problem {
    /// Tells models apart: the launches of one, their kernels, tiles and dependencies, as 16 hexadecimal digits. Neither names nor
    /// costs count, and of the machine only what a chain is on it: another one refuses by [`Schedule::check`] what it cannot run.
    pub fn digest(&self, model: usize) -> String {
        let mut hash = Sha256::new();
        for launch in &self.models[model].launches {
            hash.update(self.kernels[launch.kernel as usize].as_bytes());
            let numbers =
                [launch.operation, launch.launch, launch.tiles, launch.tile_iterations, launch.deps.len() as u32];
            numbers.iter().chain(&launch.deps).for_each(|n| hash.update(n.to_le_bytes()));
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
    /// The models, in order.
    pub models: Vec<StoredModel>,
    /// The schedule.
    pub schedule: Schedule,
}

/// A model that a schedule was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredModel {
    /// [`Problem::digest`].
    pub digest: String,
    /// Its name, for people.
    pub name: String,
}

/// Why a stored schedule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is for other models.
    #[error(
        "the schedule was made for {made_for}, these are {given}, and number {at} is another one: search again, or give the models in the order, at the sizes and for the device that it was made for"
    )]
    OtherModels {
        /// Names of its models.
        made_for: String,
        /// Names of the given models.
        given: String,
        /// The first model that differs, from 0.
        at: usize,
    },
    /// It has several lanes, and whoever should run it has one.
    #[error("the stored schedule for {made_for} has {lanes} lanes, allowed is 1: make one with `interleave --lanes 1`")]
    Lanes {
        /// Names of its models.
        made_for: String,
        /// Its lanes.
        lanes: usize,
    },
    /// It is for these models, and wrong or for another machine.
    #[error("the stored schedule is not valid here: {0}")]
    Invalid(#[from] ScheduleError),
}

impl StoredSchedule {
    /// Keeps `schedule` of `problem`.
    pub fn new(problem: &Problem, schedule: Schedule) -> StoredSchedule {
        let model = |at: usize| StoredModel { digest: problem.digest(at), name: problem.models[at].name.clone() };
        StoredSchedule { models: (0..problem.models.len()).map(model).collect(), schedule }
    }

    /// The names of its models, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.models.iter().map(|m| m.name.as_str()).collect();
        names.join(", ")
    }

    /// The schedule, for the problem that it was made for.
    ///
    /// # Errors
    /// [`StoredError`] for any other, and for a schedule that does not pass [`Schedule::check`].
    pub fn open(&self, problem: &Problem) -> Result<&Schedule, StoredError> {
        let given = (0..problem.models.len()).map(|at| problem.digest(at));
        let equal = given.zip(&self.models).take_while(|(given, model)| *given == model.digest).count();
        if equal < self.models.len().max(problem.models.len()) {
            let names: Vec<&str> = problem.models.iter().map(|m| m.name.as_str()).collect();
            return Err(StoredError::OtherModels { made_for: self.names(), given: names.join(", "), at: equal });
        }
        self.schedule.check(problem)?;
        Ok(&self.schedule)
    }
}

impl fmt::Display for StoredSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, StoredModel { digest, name }) in self.models.iter().enumerate() {
            writeln!(f, "model {at} {digest} {name}")?;
        }
        self.schedule.fmt(f)
    }
}

impl FromStr for StoredSchedule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<StoredSchedule, ParseError> {
        let error = |line: usize, found: &str, expected| ParseError { line, found: found.into(), expected };
        let mut models = Vec::new();
        for line in text.lines().take_while(|l| l.starts_with("model ")) {
            let mut words = line["model ".len()..].splitn(3, ' ');
            let (Some(number), Some(digest), Some(name)) = (words.next(), words.next(), words.next()) else {
                return Err(error(models.len() + 1, line, "model NUMBER DIGEST NAME"));
            };
            if number.parse() != Ok(models.len()) {
                return Err(error(models.len() + 1, line, "model NUMBER DIGEST NAME, in order from 0"));
            }
            models.push(StoredModel { digest: digest.to_owned(), name: name.to_owned() });
        }
        let rest: Vec<&str> = text.lines().skip(models.len()).collect();
        let schedule =
            rest.join("\n").parse().map_err(|e: ParseError| ParseError { line: e.line + models.len(), ..e })?;
        Ok(StoredSchedule { models, schedule })
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
        let mut fewer = problem.clone();
        fewer.models.pop();
        assert!(matches!(stored.open(&fewer), Err(StoredError::OtherModels { at: 2, .. })));
    }

    #[test]
    fn costs_do_not_change_what_a_model_is() {
        let problem = synthetic::mixed(2, 9, 5);
        let mut faster = problem.clone();
        faster.models[0].launches[0].worker_ns *= 0.5;
        assert_eq!(problem.digest(0), faster.digest(0));
        faster.models[0].launches[1].tiles += 1;
        assert_ne!(problem.digest(0), faster.digest(0));
        assert_eq!(problem.digest(1), faster.digest(1));
    }

    #[test]
    fn a_wrong_schedule_for_the_right_models_is_refused() {
        let problem = synthetic::mixed(2, 9, 5);
        let mut stored = StoredSchedule::new(&problem, Schedule::sequential(&problem));
        stored.schedule.lanes[0].pop();
        assert!(matches!(stored.open(&problem), Err(StoredError::Invalid(ScheduleError::Tiles { .. }))));
    }
}
