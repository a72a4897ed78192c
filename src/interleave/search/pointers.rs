//! Sync pointers: positions that cut every tenant's launches into as many segments as there are stages; segment `j` of all
//! tenants is stage `j` (Runtime-Aware, ICCAD'21).

use rand::Rng;
use rand::rngs::StdRng;

use super::pack::{Segment, side_by_side};
use crate::interleave::{Problem, Schedule};

/// For each tenant the ends of its segments but the last one, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pointers {
    pub(super) of_tenant: Vec<Vec<u32>>,
}

impl Pointers {
    /// Segments of equal length.
    pub(super) fn even(problem: &Problem, segments: usize) -> Pointers {
        let of = |n: usize| (1..segments).map(|j| (n * j / segments) as u32).collect();
        Pointers { of_tenant: problem.models.iter().map(|m| of(m.launches.len())).collect() }
    }

    /// Segments that end anywhere.
    pub(super) fn random(problem: &Problem, segments: usize, rng: &mut StdRng) -> Pointers {
        let mut of = |n: usize| {
            let mut ends: Vec<u32> = (1..segments).map(|_| rng.random_range(0..=n as u32)).collect();
            ends.sort_unstable();
            ends
        };
        Pointers { of_tenant: problem.models.iter().map(|m| of(m.launches.len())).collect() }
    }

    /// Stages of the segments side by side; more than segments where the machine cannot run one at once.
    pub(super) fn schedule(&self, problem: &Problem) -> Schedule {
        let segments = self.of_tenant.first().map_or(0, |ends| ends.len() + 1);
        let mut stages = Vec::with_capacity(segments);
        for j in 0..segments {
            let segment = |(tenant, ends): (u32, &Vec<u32>)| {
                let n = problem.models[tenant as usize].launches.len() as u32;
                let from = if j == 0 { 0 } else { ends[j - 1] };
                let to = ends.get(j).copied().unwrap_or(n);
                Segment::of(problem, tenant, from..to)
            };
            let all = (0..).zip(&self.of_tenant).map(segment).collect();
            side_by_side(problem, all, problem.machine.slots as usize, &mut stages);
        }
        Schedule::of(stages)
    }
}

/// Numbers of segments that are worth trying: 1, 2, 4, … up to a launch each.
pub(super) fn segment_counts(problem: &Problem) -> Vec<usize> {
    let longest = problem.models.iter().map(|m| m.launches.len()).max().unwrap_or(0);
    (0..).map(|k| 1 << k).take_while(|&n| n == 1 || n <= longest).take(7).collect()
}
