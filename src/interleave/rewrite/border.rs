//! Temporal regulation (GACER): a stage's border moves along one chain, so that pieces at it run a stage later or earlier.

use super::{Rewrite, checked};
use crate::interleave::{Chain, Piece, Problem, Schedule, Stage};

/// Which way pieces go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The last pieces of a chain of the stage go to the next stage.
    Later,
    /// The first pieces of a chain of the next stage go to this one.
    Earlier,
}

/// Moves the border behind a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// The lane.
    pub lane: usize,
    /// The stage before the border.
    pub stage: usize,
    /// The chain that gives pieces: of this stage, or of the next one when they go earlier.
    pub chain: usize,
    /// Pieces that go over the border.
    pub pieces: usize,
    /// Which way.
    pub way: Way,
    /// The chain that takes them; `None` is the one that has pieces of the same tenant, or a new one.
    pub onto: Option<usize>,
}

impl Rewrite for Border {
    fn apply(&self, problem: &Problem, schedule: &Schedule) -> Option<Schedule> {
        let stages = schedule.lanes.get(self.lane)?;
        let next = stages.get(self.stage + 1)?;
        let from = if self.way == Way::Later { &stages[self.stage] } else { next };
        let available = from.chains.get(self.chain)?.pieces.len();
        if self.pieces == 0 || self.pieces > available {
            return None;
        }
        let mut changed = schedule.clone();
        let (before, after) = changed.lanes[self.lane].split_at_mut(self.stage + 1);
        let (before, after) = (&mut before[self.stage], &mut after[0]);
        match self.way {
            Way::Later => {
                let moved = before.chains[self.chain].pieces.split_off(available - self.pieces);
                let chain = taker(after, &moved, self.onto)?;
                chain.pieces.splice(0..0, moved);
            }
            Way::Earlier => {
                let moved: Vec<Piece> = after.chains[self.chain].pieces.drain(..self.pieces).collect();
                let chain = taker(before, &moved, self.onto)?;
                chain.pieces.extend(moved);
            }
        }
        checked(problem, changed)
    }
}

fn taker<'a>(stage: &'a mut Stage, moved: &[Piece], onto: Option<usize>) -> Option<&'a mut Chain> {
    if let Some(at) = onto {
        return stage.chains.get_mut(at);
    }
    let is_of = |tenant: u32| moved.iter().any(|m| m.tenant == tenant);
    let at = stage.chains.iter().position(|c| c.pieces.iter().any(|p| is_of(p.tenant)));
    let at = at.unwrap_or_else(|| {
        stage.chains.push(Chain::default());
        stage.chains.len() - 1
    });
    stage.chains.get_mut(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn a_border_moves_both_ways() {
        let problem = synthetic::chains(&[3, 2]);
        let schedule: Schedule =
            "lane 0\n  0.0[0..8]x1 0.1[0..8]x1 | 1.0[0..8]x1\n  0.2[0..8]x1 | 1.1[0..8]x1\n".parse().unwrap();
        let border = |chain, pieces, way| {
            let border = Border { lane: 0, stage: 0, chain, pieces, way, onto: None };
            border.apply(&problem, &schedule).map(|s| s.to_string())
        };
        assert_eq!(
            border(0, 1, Way::Later).unwrap(),
            "lane 0\n  0.0[0..8]x1 | 1.0[0..8]x1\n  0.1[0..8]x1 0.2[0..8]x1 | 1.1[0..8]x1\n"
        );
        assert_eq!(
            border(1, 1, Way::Earlier).unwrap(),
            "lane 0\n  0.0[0..8]x1 0.1[0..8]x1 | 1.0[0..8]x1 1.1[0..8]x1\n  0.2[0..8]x1\n"
        );
        assert_eq!(border(0, 3, Way::Later), None);
    }
}
