//! Which tenants have operators ready: a set of positions that is asked "who is next after this one?" at every decision,
//! in constant time for up to a few thousand tenants and without allocating.

/// A set of small integers with a summary level: one bit per member, one bit per word of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadySet {
    words: Vec<u64>,
    summary: Vec<u64>,
    len: usize,
}

impl ReadySet {
    /// Room for positions below `positions`.
    pub fn with_capacity(positions: usize) -> ReadySet {
        let words = positions.div_ceil(64);
        ReadySet { words: vec![0; words], summary: vec![0; words.div_ceil(64)], len: 0 }
    }

    /// Members.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `at` is a member.
    pub fn contains(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Makes `at` a member, or not. Grows where there is no room for it.
    pub fn set(&mut self, at: usize, member: bool) {
        if self.contains(at) == member {
            return;
        }
        let word = at / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
            self.summary.resize(self.words.len().div_ceil(64), 0);
        }
        self.words[word] ^= 1 << (at % 64);
        let bit = 1 << (word % 64);
        if member {
            self.len += 1;
            self.summary[word / 64] |= bit;
        } else {
            self.len -= 1;
            if self.words[word] == 0 {
                self.summary[word / 64] &= !bit;
            }
        }
    }

    /// Forgets all members, keeps the room.
    pub fn clear(&mut self) {
        self.words.fill(0);
        self.summary.fill(0);
        self.len = 0;
    }

    /// The smallest member that is at least `from`.
    pub fn next(&self, from: usize) -> Option<usize> {
        let word = from / 64;
        let rest = self.words.get(word)? & (u64::MAX << (from % 64));
        if rest != 0 {
            return Some(word * 64 + rest.trailing_zeros() as usize);
        }
        let word = next_bit(&self.summary, word + 1)?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    /// All members once, in order, beginning at `from` and going on at zero.
    pub fn cycle_from(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        let mut at = from;
        let mut wrapped = false;
        std::iter::from_fn(move || {
            loop {
                match self.next(at).filter(|&found| !wrapped || found < from) {
                    Some(found) => {
                        at = found + 1;
                        return Some(found);
                    }
                    None if wrapped => return None,
                    None => (at, wrapped) = (0, true),
                }
            }
        })
    }
}

/// The first set bit at or after `from`.
fn next_bit(words: &[u64], from: usize) -> Option<usize> {
    let first = words.get(from / 64)? & (u64::MAX << (from % 64));
    if first != 0 {
        return Some(from / 64 * 64 + first.trailing_zeros() as usize);
    }
    let rest = words.iter().enumerate().skip(from / 64 + 1);
    rest.filter(|(_, word)| **word != 0).map(|(at, word)| at * 64 + word.trailing_zeros() as usize).next()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_integers(
            changes in prop::collection::vec((0usize..10_000, any::<bool>()), 0..200), from in 0usize..10_010
        ) {
            let mut set = ReadySet::with_capacity(64);
            let mut oracle = BTreeSet::new();
            for (at, member) in changes {
                set.set(at, member);
                if member { oracle.insert(at); } else { oracle.remove(&at); }
                prop_assert_eq!(set.len(), oracle.len());
            }
            prop_assert_eq!(set.next(from), oracle.range(from..).next().copied());
            let cycle: Vec<usize> = oracle.range(from..).chain(oracle.range(..from)).copied().collect();
            prop_assert_eq!(set.cycle_from(from).collect::<Vec<_>>(), cycle);
            set.clear();
            prop_assert!(set.is_empty() && set.next(0).is_none());
        }
    }
}
