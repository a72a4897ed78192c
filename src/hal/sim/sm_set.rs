//! Sets of SMs as bits.

/// SMs that a simulated GPU can have at most.
pub const SMS_MAX: u32 = 256;

const WORDS: usize = (SMS_MAX / 64) as usize;

/// A set of the SMs of one GPU or MIG instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SmSet([u64; WORDS]);

impl SmSet {
    /// No SM.
    pub const EMPTY: SmSet = SmSet([0; WORDS]);

    /// SMs `from..to`; numbers from [`SMS_MAX`] on are left out.
    pub fn range(from: u32, to: u32) -> SmSet {
        let below = |n: u32| {
            let mut words = [0u64; WORDS];
            for (at, word) in (0..).zip(&mut words) {
                let bits = n.saturating_sub(at * 64).min(64);
                *word = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
            }
            SmSet(words)
        };
        below(to).minus(below(from))
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.0.iter().map(|w| w.count_ones()).sum()
    }

    /// True without any.
    pub fn is_empty(self) -> bool {
        self.0 == [0; WORDS]
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: SmSet) -> SmSet {
        self.zip(other, |a, b| a & b)
    }

    /// Those in either.
    #[must_use]
    pub fn or(self, other: SmSet) -> SmSet {
        self.zip(other, |a, b| a | b)
    }

    /// Those not in `other`.
    #[must_use]
    pub fn minus(self, other: SmSet) -> SmSet {
        self.zip(other, |a, b| a & !b)
    }

    /// The `n` lowest, or all where there are fewer.
    #[must_use]
    pub fn lowest(self, n: u32) -> SmSet {
        let (mut left, mut taken) = (n, SmSet::EMPTY);
        for (word, into) in self.0.iter().zip(&mut taken.0) {
            let ones = word.count_ones();
            if ones <= left {
                *into = *word;
                left -= ones;
                continue;
            }
            let mut rest = *word;
            for _ in 0..left {
                rest &= rest - 1;
            }
            *into = *word & !rest;
            break;
        }
        taken
    }

    /// Their numbers, in order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..SMS_MAX).filter(move |&sm| self.0[(sm / 64) as usize] >> (sm % 64) & 1 == 1)
    }

    fn zip(self, other: SmSet, f: impl Fn(u64, u64) -> u64) -> SmSet {
        SmSet(std::array::from_fn(|at| f(self.0[at], other.0[at])))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(a in 0u32..300, b in 0u32..300, c in 0u32..300, d in 0u32..300, n in 0u32..300) {
            let model = |from: u32, to: u32| (from..to.min(SMS_MAX)).collect::<BTreeSet<u32>>();
            let (x, y) = (SmSet::range(a, b), SmSet::range(c, d));
            let (mx, my) = (model(a, b), model(c, d));
            let all = |s: SmSet| s.iter().collect::<BTreeSet<u32>>();
            prop_assert_eq!(all(x), mx.clone());
            prop_assert_eq!(x.count() as usize, mx.len());
            prop_assert_eq!(all(x.or(y)), &mx | &my);
            prop_assert_eq!(all(x.and(y)), &mx & &my);
            prop_assert_eq!(all(x.minus(y)), &mx - &my);
            prop_assert_eq!(x.is_empty(), mx.is_empty());
            let either = x.or(y);
            prop_assert_eq!(all(either.lowest(n)), all(either).into_iter().take(n as usize).collect::<BTreeSet<u32>>());
        }
    }
}
