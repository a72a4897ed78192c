//! Spatial regulation (GACER): some tiles of a launch stay, the others fill a gap elsewhere, in another chain of the stage or in
//! the next one.

use super::{Place, Rewrite, checked};
use crate::interleave::{Chain, Piece, Problem, Schedule};

/// Where the tiles go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// Another chain of the same stage, at its end.
    SameStage,
    /// The next stage, at a chain's beginning.
    NextStage,
}

/// Cuts a piece between tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The piece.
    pub at: Place,
    /// Tiles that stay, the first ones.
    pub keep: u32,
    /// Where the others go.
    pub to: Onto,
    /// The chain there; `None` is a new one.
    pub chain: Option<usize>,
}

impl Rewrite for Split {
    fn apply(&self, problem: &Problem, schedule: &Schedule) -> Option<Schedule> {
        let stages = schedule.lanes.get(self.at.lane)?;
        let chain = stages.get(self.at.stage)?.chains.get(self.at.chain)?;
        let piece = *chain.pieces.get(self.at.piece)?;
        if self.keep == 0 || self.keep >= piece.n_tiles() {
            return None;
        }
        let target = match self.to {
            Onto::SameStage => self.at.stage,
            Onto::NextStage => self.at.stage + 1,
        };
        stages.get(target)?;
        let mut changed = schedule.clone();
        let stages = &mut changed.lanes[self.at.lane];
        let border = piece.first + self.keep;
        stages[self.at.stage].chains[self.at.chain].pieces[self.at.piece].end = border;
        let rest = Piece { first: border, ..piece };
        let there = &mut stages[target].chains;
        match self.chain {
            None => there.push(Chain::of(rest)),
            Some(onto) => {
                let pieces = &mut there.get_mut(onto)?.pieces;
                let place = if self.to == Onto::SameStage { pieces.len() } else { 0 };
                pieces.insert(place, rest);
            }
        }
        checked(problem, changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn tiles_fill_the_gap_of_the_next_stage() {
        let problem = synthetic::chains(&[1, 1]);
        let schedule: Schedule = "lane 0\n  0.0[0..8]x8\n  1.0[0..8]x8\n".parse().unwrap();
        let at = Place { lane: 0, stage: 0, chain: 0, piece: 0 };
        let split = |to, chain| Split { at, keep: 5, to, chain }.apply(&problem, &schedule).map(|s| s.to_string());
        let next = split(Onto::NextStage, None);
        assert_eq!(next.unwrap(), "lane 0\n  0.0[0..5]x8\n  1.0[0..8]x8 | 0.0[5..8]x8\n");
        let front = split(Onto::NextStage, Some(0));
        assert_eq!(front.unwrap(), "lane 0\n  0.0[0..5]x8\n  0.0[5..8]x1 1.0[0..8]x1\n");
        assert_eq!(split(Onto::SameStage, None).unwrap(), "lane 0\n  0.0[0..5]x8 | 0.0[5..8]x8\n  1.0[0..8]x8\n");
    }

    #[test]
    fn what_needs_all_tiles_forbids_it() {
        let problem = synthetic::chains(&[2]);
        let schedule = Schedule::sequential(&problem);
        let at = Place { lane: 0, stage: 0, chain: 0, piece: 0 };
        assert_eq!(Split { at, keep: 5, to: Onto::NextStage, chain: None }.apply(&problem, &schedule), None);
        assert_eq!(Split { at, keep: 8, to: Onto::SameStage, chain: None }.apply(&problem, &schedule), None);
    }
}
