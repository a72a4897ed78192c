//! A schedule as a value: for each lane stages in order, in each stage chains that may run at the same time, in each chain
//! pieces of launches that run one after another. It knows launches by number, so it can be stored, compared and searched over
//! without a device; [`Schedule::stages`] makes it work for one.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::hal::{self, RecordingId, Slice};

use super::Problem;

/// Tiles of one launch and the workers that walk them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Piece {
    /// Whose: the model of the problem.
    pub tenant: u32,
    /// The launch of the model.
    pub launch: u32,
    /// The first tile.
    pub first: u32,
    /// The tile after the last one.
    pub end: u32,
    /// Workers.
    pub workers: u32,
}

impl Piece {
    /// All tiles of a launch by so many workers.
    pub fn whole(problem: &Problem, tenant: u32, launch: u32, workers: u32) -> Piece {
        Piece { tenant, launch, first: 0, end: problem.launch(tenant, launch).tiles, workers }
    }

    /// Its tiles.
    pub fn tiles(&self) -> Range<u32> {
        self.first..self.end
    }

    /// How many tiles it has.
    pub fn n_tiles(&self) -> u32 {
        self.end - self.first
    }
}

/// Pieces that run one after another, of one tenant or several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Chain {
    /// In order.
    pub pieces: Vec<Piece>,
}

impl Chain {
    /// A chain of one piece.
    pub fn of(piece: Piece) -> Chain {
        Chain { pieces: vec![piece] }
    }
}

/// Chains that may run at the same time. Between the stages of a lane there is an ordering point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stage {
    /// In no order that matters; they are given to the device in this one.
    pub chains: Vec<Chain>,
}

impl Stage {
    /// A stage of one piece.
    pub fn of(piece: Piece) -> Stage {
        Stage { chains: vec![Chain::of(piece)] }
    }

    /// All its pieces, chain after chain.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.chains.iter().flat_map(|c| &c.pieces)
    }
}

/// Who runs what when, for one round of all tenants of a [`Problem`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule {
    /// The stages of each lane, in order. Lanes run at the same time and never wait for each other, so all pieces of a tenant
    /// are in one of them.
    pub lanes: Vec<Vec<Stage>>,
}

impl Schedule {
    /// A schedule of one lane.
    pub fn of(stages: Vec<Stage>) -> Schedule {
        Schedule { lanes: vec![stages] }
    }

    /// Stages of all lanes.
    pub fn n_stages(&self) -> usize {
        self.lanes.iter().map(Vec::len).sum()
    }

    /// Pieces of all stages.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.lanes.iter().flatten().flat_map(Stage::pieces)
    }

    /// The lane of each tenant; `None` for one that has no piece.
    pub fn lane_of_tenants(&self, tenants: usize) -> Vec<Option<usize>> {
        let mut lanes = vec![None; tenants];
        for (lane, stages) in self.lanes.iter().enumerate() {
            for piece in stages.iter().flat_map(Stage::pieces) {
                lanes[piece.tenant as usize] = Some(lane);
            }
        }
        lanes
    }

    /// The stages of each lane for a device on which the tenants' recordings are installed as `recordings`. The schedule is one
    /// that [`Schedule::check`] found right.
    pub fn stages(&self, problem: &Problem, recordings: &[RecordingId]) -> Vec<Vec<hal::Stage>> {
        let of_lane = |stages: &Vec<Stage>| stages.iter().map(|s| s.slices(problem, recordings)).collect();
        self.lanes.iter().map(of_lane).collect()
    }
}

impl Stage {
    /// The stage for a device on which the tenants' recordings are installed as `recordings`.
    pub fn slices(&self, problem: &Problem, recordings: &[RecordingId]) -> hal::Stage {
        let slice = |piece: &Piece, follows: bool| {
            let launch = problem.launch(piece.tenant, piece.launch);
            Slice {
                recording: recordings[piece.tenant as usize],
                operation: launch.operation,
                launch: launch.launch,
                tiles: piece.tiles(),
                workers: piece.workers,
                follows,
            }
        };
        let of_chain = |c: &Chain| c.pieces.iter().enumerate().map(|(at, p)| slice(p, at > 0)).collect::<Vec<_>>();
        hal::Stage { slices: self.chains.iter().flat_map(of_chain).collect() }
    }
}
