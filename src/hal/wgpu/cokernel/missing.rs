//! Which co-kernels to compile for sets of kernels that have none: fewer than there are sets, because compiling is dear and a
//! larger co-kernel serves a smaller set at the price of passing over its other bodies.

use super::Use;

/// Kernels up to which sets are joined. Each further body costs every stage that does without it 0.6 µs in a pass on
/// lavapipe; twice as many co-kernels take twice as long to compile.
pub(super) const JOINED_MAX: usize = 8;

/// Sets of kernels.
#[derive(Debug, Default)]
pub(in crate::hal::wgpu) struct Missing {
    sets: Vec<(Vec<Use>, bool)>,
}

impl Missing {
    /// Takes a set in.
    pub(in crate::hal::wgpu) fn add(&mut self, uses: &[Use], pooled: bool) {
        self.sets.push((uses.to_vec(), pooled));
    }

    /// Sets that together serve all that were taken in: the largest first, each further one joins the set that grows least
    /// by it, if that stays small and `fits`. Isolated ones are joined where they have as many slots.
    pub(in crate::hal::wgpu) fn joined(mut self, fits: impl Fn(&[Use], bool) -> bool) -> Vec<(Vec<Use>, bool)> {
        self.sets.sort_by_key(|(uses, _)| std::cmp::Reverse(uses.len()));
        let mut joined: Vec<(Vec<Use>, bool)> = Vec::new();
        for (uses, pooled) in self.sets {
            let others = |set: &[Use]| uses.iter().filter(|u| !set.contains(u)).count();
            let mut places: Vec<(usize, usize)> = (0..joined.len())
                .filter(|&at| joined[at].1 == pooled && slots(&joined[at].0) == slots(&uses))
                .map(|at| (others(&joined[at].0), at))
                .filter(|&(growth, at)| growth == 0 || joined[at].0.len() + growth <= JOINED_MAX)
                .collect();
            places.sort_unstable();
            let grown = places.into_iter().find_map(|(_, at)| {
                let mut set = joined[at].0.clone();
                set.extend(uses.iter().filter(|u| !joined[at].0.contains(u)));
                fits(&set, pooled).then_some((at, set))
            });
            match grown {
                Some((at, set)) => joined[at].0 = set,
                None => joined.push((uses, pooled)),
            }
        }
        joined
    }
}

fn slots(uses: &[Use]) -> u32 {
    uses.iter().map(|(_, slot)| slot + 1).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::KernelNumber;
    use super::*;

    proptest! {
        #[test]
        fn every_set_is_served_and_none_grows_beyond_the_largest(
            sets in proptest::collection::vec(proptest::collection::hash_set(0u32..30, 1..14), 1..20)
        ) {
            let mut missing = Missing::default();
            let largest = sets.iter().map(std::collections::HashSet::len).max().unwrap_or(0);
            let sets: Vec<Vec<Use>> =
                sets.into_iter().map(|s| s.into_iter().map(|k| (KernelNumber(k), 0)).collect()).collect();
            sets.iter().for_each(|set| missing.add(set, true));
            let joined = missing.joined(|uses, _| uses.len() <= 40);
            prop_assert!(joined.len() <= sets.len());
            for set in &sets {
                prop_assert!(joined.iter().any(|(all, _)| set.iter().all(|u| all.contains(u))));
            }
            prop_assert!(joined.iter().all(|(all, _)| all.len() <= largest.max(JOINED_MAX)));
        }
    }
}
