//! A schedule as text: a line per stage, chains separated by bars, pieces as `TENANT.LAUNCH[FIRST..END]xWORKERS`.
//!
//! ```text
//! lane 0
//!   0.0[0..8]x1 0.1[0..4]x1 | 1.0[0..16]x1
//!   0.2[0..64]x8
//! ```

use std::fmt;
use std::str::FromStr;

use super::{Chain, Piece, Schedule, Stage};

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}[{}..{}]x{}", self.tenant, self.launch, self.first, self.end, self.workers)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, chain) in self.chains.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " | " })?;
            for (at, piece) in chain.pieces.iter().enumerate() {
                write!(f, "{}{piece}", if at == 0 { "" } else { " " })?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, stages) in self.lanes.iter().enumerate() {
            writeln!(f, "lane {at}")?;
            for stage in stages {
                writeln!(f, "  {stage}")?;
            }
        }
        Ok(())
    }
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: found {found:?}, expected {expected}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub expected: &'static str,
}

const PIECE: &str = "a piece as TENANT.LAUNCH[FIRST..END]xWORKERS";

impl FromStr for Piece {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Piece, ParseError> {
        let parsed = || {
            let (tenant, rest) = text.split_once('.')?;
            let (launch, rest) = rest.split_once('[')?;
            let (first, rest) = rest.split_once("..")?;
            let (end, workers) = rest.split_once("]x")?;
            let number = |text: &str| text.parse::<u32>().ok();
            Some(Piece {
                tenant: number(tenant)?,
                launch: number(launch)?,
                first: number(first)?,
                end: number(end)?,
                workers: number(workers)?,
            })
        };
        parsed().ok_or_else(|| ParseError { line: 1, found: text.into(), expected: PIECE })
    }
}

impl FromStr for Schedule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Schedule, ParseError> {
        let mut lanes: Vec<Vec<Stage>> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() {
                continue;
            }
            if let Some(number) = content.strip_prefix("lane ") {
                if number.trim().parse() != Ok(lanes.len()) {
                    let expected = "lanes in order, from lane 0";
                    return Err(ParseError { line, found: content.into(), expected });
                }
                lanes.push(Vec::new());
                continue;
            }
            let lane = lanes.last_mut().ok_or_else(|| ParseError {
                line,
                found: content.into(),
                expected: "lane 0 before the first stage",
            })?;
            let piece = |text: &str| text.parse::<Piece>().map_err(|e| ParseError { line, ..e });
            let chain = |text: &str| {
                let pieces = text.split_whitespace().map(piece).collect::<Result<_, _>>()?;
                Ok(Chain { pieces })
            };
            lane.push(Stage { chains: content.split('|').map(chain).collect::<Result<_, ParseError>>()? });
        }
        Ok(Schedule { lanes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedules() -> impl Strategy<Value = Schedule> {
        let piece = (0u32..20, 0u32..400, 0u32..9, 1u32..70_000, 1u32..300)
            .prop_map(|(tenant, launch, first, n, workers)| Piece { tenant, launch, first, end: first + n, workers });
        let chain = prop::collection::vec(piece, 1..4).prop_map(|pieces| Chain { pieces });
        let stage = prop::collection::vec(chain, 1..4).prop_map(|chains| Stage { chains });
        prop::collection::vec(prop::collection::vec(stage, 0..4), 0..3).prop_map(|lanes| Schedule { lanes })
    }

    proptest! {
        #[test]
        fn text_and_json_bring_a_schedule_back(schedule in schedules()) {
            prop_assert_eq!(&schedule.to_string().parse::<Schedule>().unwrap(), &schedule);
            let json = serde_json::to_string(&schedule).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Schedule>(&json).unwrap(), &schedule);
        }
    }

    #[test]
    fn an_error_names_the_line() {
        let error = "lane 0\n  0.0[0..8]x1\n  0.1[0..8]x1 nonsense\n".parse::<Schedule>().unwrap_err();
        assert_eq!((error.line, error.found.as_str()), (3, "nonsense"));
        assert!("0.0[0..8]x1".parse::<Schedule>().unwrap_err().to_string().contains("lane 0 before"));
        assert!("lane 1\n".parse::<Schedule>().is_err());
    }
}
