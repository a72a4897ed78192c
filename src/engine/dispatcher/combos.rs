//! Combinations of tenants' chains that are one stage: which of them the device runs at once, and whether that pays.
//!
//! A combination is asked for when it is needed first, compiled in the background, timed when it runs first, and kept if it takes
//! less than its chains one after another. There are at most [`COMBINATIONS_MAX`]; those of a tenant go when it leaves.

use std::collections::{HashMap, VecDeque};

use crate::tensor::TenantId;

/// Chains of a stage at most, whatever the device's units: each is one more kernel set to compile.
pub(super) const CHAINS_MAX: usize = 4;

/// Combinations that are known at most.
const COMBINATIONS_MAX: usize = 64;

/// Timings of a combination before it is judged. The least counts.
const SAMPLES: u8 = 3;

/// Segments of different tenants, each by its first operator, in order of tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Key([Option<(TenantId, u32)>; CHAINS_MAX]);

impl Key {
    /// At most [`CHAINS_MAX`] segments, in any order.
    pub(super) fn new(segments: impl Iterator<Item = (TenantId, u32)>) -> Key {
        let mut key = [None; CHAINS_MAX];
        for (place, segment) in key.iter_mut().zip(segments) {
            *place = Some(segment);
        }
        // Those that are there first.
        key.sort_unstable_by_key(|segment| (segment.is_none(), *segment));
        Key(key)
    }

    /// The segments.
    pub(super) fn segments(&self) -> impl Iterator<Item = (TenantId, u32)> + '_ {
        self.0.iter().copied().flatten()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It is to be compiled, or that is under way.
    Asked,
    /// It runs at once and is timed: the least part that it took of its chains' time, and how often it was measured.
    Trial(f64, u8),
    /// It runs at once.
    Good,
    /// It does not run at once, or gains nothing.
    Never,
}

/// See the module's comment.
#[derive(Debug, Default)]
pub(super) struct Combos {
    chains_max: usize,
    known: HashMap<Key, State>,
    /// Combinations that were needed and not looked at yet: the device may run them at once.
    pub(super) fresh: VecDeque<Key>,
    /// Combinations that are to be compiled.
    pub(super) wanted: VecDeque<Key>,
}

impl Combos {
    /// For a device that runs so many chains at the same time.
    pub(super) fn new(units: u32) -> Combos {
        let chains_max = CHAINS_MAX.min(units.max(1) as usize);
        Combos { chains_max, known: HashMap::with_capacity(COMBINATIONS_MAX), ..Combos::default() }
    }

    /// Chains of a stage at most.
    pub(super) fn chains_max(&self) -> usize {
        self.chains_max
    }

    /// Whether the device runs this combination at once: `Some` with whether it is to be timed. One that is not known is asked
    /// for, if there is room.
    pub(super) fn runs(&mut self, key: &Key) -> Option<bool> {
        match self.known.get(key) {
            Some(State::Good) => Some(false),
            Some(State::Trial(..)) => Some(true),
            Some(State::Asked | State::Never) => None,
            None => {
                if self.known.len() < COMBINATIONS_MAX {
                    self.known.insert(*key, State::Asked);
                    self.fresh.push_back(*key);
                }
                None
            }
        }
    }

    /// The device runs more at once than before: all that wait are looked at anew.
    pub(super) fn look_again(&mut self) {
        self.fresh.append(&mut self.wanted);
    }

    /// A combination that was asked for was compiled, or cannot be.
    pub(super) fn asked(&mut self, key: &Key, ready: bool) {
        if let Some(state) = self.known.get_mut(key) {
            *state = if ready { State::Trial(f64::INFINITY, 0) } else { State::Never };
        }
    }

    /// A combination took `ns`; its chains take `apart_ns` one after another.
    pub(super) fn learn(&mut self, key: &Key, ns: f64, apart_ns: f64) {
        let Some(state) = self.known.get_mut(key) else { return };
        let State::Trial(least, n) = *state else { return };
        let least = least.min(ns / apart_ns);
        *state = match (n + 1 < SAMPLES, least < 1.0) {
            (true, _) => State::Trial(least, n + 1),
            (false, true) => State::Good,
            (false, false) => State::Never,
        };
    }

    /// A tenant left.
    pub(super) fn forget(&mut self, tenant: TenantId) {
        let has = |key: &Key| key.segments().any(|(t, _)| t == tenant);
        self.known.retain(|key, _| !has(key));
        self.fresh.retain(|key| !has(key));
        self.wanted.retain(|key| !has(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(segments: &[(u32, u32)]) -> Key {
        Key::new(segments.iter().map(|(t, s)| (TenantId(*t), *s)))
    }

    fn combos() -> Combos {
        Combos::new(2)
    }

    #[test]
    fn a_combination_is_asked_for_once_and_kept_if_it_pays() {
        for (ns, expected) in [(80.0, Some(false)), (120.0, None)] {
            let mut combos = combos();
            let pair = key(&[(1, 0), (2, 7)]);
            assert_eq!((combos.runs(&pair), combos.runs(&pair)), (None, None));
            assert_eq!(combos.fresh.drain(..).collect::<Vec<_>>(), [key(&[(2, 7), (1, 0)])], "in any order");
            combos.asked(&pair, true);
            for _ in 0..SAMPLES {
                assert_eq!(combos.runs(&pair), Some(true), "it is timed");
                combos.learn(&pair, ns, 100.0);
            }
            assert_eq!(combos.runs(&pair), expected, "{ns}");
        }
    }

    #[test]
    fn what_cannot_be_compiled_is_not_asked_for_again() {
        let mut combos = combos();
        let pair = key(&[(1, 0), (2, 7)]);
        combos.runs(&pair);
        combos.fresh.clear();
        combos.asked(&pair, false);
        assert_eq!((combos.runs(&pair), combos.fresh.len()), (None, 0));
    }

    #[test]
    fn their_number_is_bounded_and_a_tenant_that_leaves_makes_room() {
        let mut combos = combos();
        (0..200).for_each(|s| assert_eq!(combos.runs(&key(&[(1 + s % 2, s), (3, 0)])), None));
        assert_eq!((combos.known.len(), combos.fresh.len()), (COMBINATIONS_MAX, COMBINATIONS_MAX));
        combos.wanted.extend(combos.fresh.drain(..COMBINATIONS_MAX / 2));
        combos.forget(TenantId(1));
        let waiting = combos.fresh.len() + combos.wanted.len();
        assert_eq!((combos.known.len(), waiting), (COMBINATIONS_MAX / 2, COMBINATIONS_MAX / 2));
        combos.forget(TenantId(3));
        assert!(combos.known.is_empty());
    }
}
