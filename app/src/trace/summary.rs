//! What a row looks like from afar: how busy it is, and with what, in buckets of every power-of-two width.
//!
//! A bucket knows the time that each [`Class`] takes in it, so its busiest class and its busy share are exact. Each level
//! is a list of runs of equal buckets; idle time costs nothing, so the size follows the number of events and not the
//! length of the trace (about ten bytes per event in steady load). Levels are filled independently while events arrive,
//! at a few nanoseconds per event and level, so a trace can be looked at while it is recorded.
//!
//! Buckets begin at multiples of their width. So panning moves the picture and never recolours it.

use std::ops::Range;

/// Classes that a bucket tells apart.
pub const CLASSES: usize = 16;

/// The narrowest bucket is 2^16 ns, 66 µs, about five short kernels. Closer views look at the events themselves.
pub const SHIFT_MIN: u32 = 16;

/// The widest bucket is 2^42 ns, 73 minutes; with it the longest trace is a thousand buckets.
pub const SHIFT_MAX: u32 = 42;

/// What is told apart by colour: a tenant on a device's row, waiting and being served on a tenant's. Below [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class(pub u8);

/// Buckets that look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first bucket, counted in widths of the level from time zero.
    pub at: u64,
    /// How many.
    pub len: u32,
    /// The class that takes most of the time in each; of equals the first.
    pub class: Class,
    /// The busy share of each, 1 to 255 for all of it. Never 0: idle buckets are in no run.
    pub busy: u8,
}

/// All levels of one row.
#[derive(Clone, Debug)]
pub struct Summary {
    levels: Vec<Level>,
}

/// One bucket width.
#[derive(Clone, Debug)]
struct Level {
    shift: u32,
    runs: Vec<Run>,
    /// The bucket that may still grow.
    open_at: u64,
    open_ns: [u64; CLASSES],
}

impl Default for Summary {
    fn default() -> Summary {
        let level = |shift| Level { shift, runs: Vec::new(), open_at: 0, open_ns: [0; CLASSES] };
        Summary { levels: (SHIFT_MIN..=SHIFT_MAX).map(level).collect() }
    }
}

impl Summary {
    /// Adds `[from, to)`, which begins no earlier than the last one ended.
    pub fn push(&mut self, from: u64, to: u64, class: Class) {
        for level in &mut self.levels {
            level.push(from, to, class);
        }
    }

    /// Calls `visit` with the runs of buckets 2^`shift` ns wide that touch the buckets `range`, in order. Widths beyond
    /// the limits are taken as the nearest that there is; the answer is the shift that was taken.
    pub fn runs(&self, shift: u32, range: Range<u64>, mut visit: impl FnMut(Run)) -> u32 {
        let taken = shift.clamp(SHIFT_MIN, SHIFT_MAX);
        let range = if taken == shift { range } else { rescaled(range, shift, taken) };
        let level = &self.levels[(taken - SHIFT_MIN) as usize];
        let first = level.runs.partition_point(|r| r.at + u64::from(r.len) <= range.start);
        level.runs[first..].iter().take_while(|r| r.at < range.end).for_each(|r| visit(*r));
        if let Some(open) = level.open().filter(|open| range.contains(&open.at)) {
            visit(open);
        }
        taken
    }

    /// Memory of the runs.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| level.runs.capacity() * size_of::<Run>()).sum()
    }
}

/// A range of buckets at another width.
fn rescaled(range: Range<u64>, shift: u32, taken: u32) -> Range<u64> {
    let ns = |bucket: u64| u128::from(bucket) << shift;
    let end = (ns(range.end) >> taken) + 1;
    (ns(range.start) >> taken) as u64..u64::try_from(end).unwrap_or(u64::MAX)
}

impl Level {
    fn push(&mut self, mut from: u64, to: u64, class: Class) {
        let width = 1u64 << self.shift;
        while from < to {
            let at = from >> self.shift;
            if at != self.open_at {
                self.close();
                self.open_at = at;
            }
            let whole = ((to - from) >> self.shift).min(u64::from(u32::MAX));
            if from.is_multiple_of(width) && whole > 0 {
                // Full buckets at once, however many: a long event costs no more than a short one.
                self.add(Run { at, len: whole as u32, class, busy: 255 });
                from += whole << self.shift;
                self.open_at = from >> self.shift;
            } else {
                let end = ((at + 1) << self.shift).min(to);
                self.open_ns[usize::from(class.0) % CLASSES] += end - from;
                from = end;
            }
        }
    }

    fn close(&mut self) {
        if let Some(run) = self.open() {
            self.add(run);
            self.open_ns = [0; CLASSES];
        }
    }

    /// The open bucket as it is now.
    fn open(&self) -> Option<Run> {
        let total: u64 = self.open_ns.iter().sum();
        let (class, _) = self.open_ns.iter().enumerate().rev().max_by_key(|(_, ns)| **ns)?;
        let busy = ((u128::from(total) * 255) >> self.shift).clamp(1, 255) as u8;
        (total > 0).then_some(Run { at: self.open_at, len: 1, class: Class(class as u8), busy })
    }

    fn add(&mut self, run: Run) {
        if let Some(last) = self.runs.last_mut()
            && (last.class, last.busy, last.at + u64::from(last.len)) == (run.class, run.busy, run.at)
            && let Some(len) = last.len.checked_add(run.len)
        {
            last.len = len;
        } else {
            self.runs.push(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (busy, class) of each bucket, counted from the events.
    fn counted(events: &[(u64, u64, Class)], shift: u32, buckets: usize) -> Vec<(u8, u8)> {
        let mut sums = vec![[0u64; CLASSES]; buckets];
        for &(from, to, class) in events {
            for (at, sum) in sums.iter_mut().enumerate() {
                let bucket = (at as u64) << shift..(at as u64 + 1) << shift;
                sum[usize::from(class.0)] += to.min(bucket.end).saturating_sub(from.max(bucket.start));
            }
        }
        let shown = |sum: &[u64; CLASSES]| {
            let total: u64 = sum.iter().sum();
            let first_of_largest = sum.iter().position(|ns| ns == sum.iter().max().unwrap()).unwrap();
            let busy = ((u128::from(total) * 255) >> shift).clamp(1, 255) as u8;
            if total == 0 { (0, 0) } else { (busy, first_of_largest as u8) }
        };
        sums.iter().map(shown).collect()
    }

    fn shown(summary: &Summary, shift: u32, buckets: usize) -> Vec<(u8, u8)> {
        let mut row = vec![(0, 0); buckets];
        let mut next = 0;
        let taken = summary.runs(shift, 0..buckets as u64, |run| {
            assert!(run.at >= next && run.busy > 0, "runs are in order and do not overlap");
            next = run.at + u64::from(run.len);
            row[run.at as usize..next as usize].fill((run.busy, run.class.0));
        });
        assert_eq!(taken, shift);
        row
    }

    /// Gaps and lengths of all magnitudes, some aligned to buckets.
    fn events() -> impl Strategy<Value = Vec<(u64, u64, Class)>> {
        let ns = (0u32..24, any::<u64>(), any::<bool>())
            .prop_map(|(bits, value, aligned)| if aligned { 1 << bits } else { value % (1 << bits) });
        let class = (0u8..CLASSES as u8).prop_map(Class);
        prop::collection::vec((ns.clone(), ns, class), 1..40).prop_map(|steps| {
            let mut now = 0;
            let mut place = |(gap, length, class)| {
                let from = now + gap;
                now = from + length;
                (from, now, class)
            };
            steps.into_iter().map(&mut place).collect()
        })
    }

    proptest! {
        #[test]
        fn every_bucket_is_exact_at_every_moment(events in events(), cut in 0usize..40) {
            let mut summary = Summary::default();
            let cut = cut % events.len();
            let end = events.last().unwrap().1;
            let mut check = |part: &[(u64, u64, Class)], so_far: &[(u64, u64, Class)]| {
                part.iter().for_each(|&(from, to, class)| summary.push(from, to, class));
                for shift in SHIFT_MIN..32 {
                    let buckets = (end >> shift) as usize + 2;
                    prop_assert_eq!(shown(&summary, shift, buckets), counted(so_far, shift, buckets), "2^{}", shift);
                }
                Ok(())
            };
            // Looked at while it grows, then at the end.
            check(&events[..cut], &events[..cut])?;
            check(&events[cut..], &events)?;
        }

        #[test]
        fn a_part_is_the_part_of_the_whole(events in events(), shift in SHIFT_MIN..26, from in 0u64..400, n in 1u64..50) {
            let mut summary = Summary::default();
            events.iter().for_each(|&(from, to, class)| summary.push(from, to, class));
            let touches = |run: &Run| run.at < from + n && run.at + u64::from(run.len) > from;
            let (mut all, mut part) = (Vec::new(), Vec::new());
            summary.runs(shift, 0..u64::MAX, |run| all.push(run));
            summary.runs(shift, from..from + n, |run| part.push(run));
            prop_assert_eq!(part, all.into_iter().filter(touches).collect::<Vec<_>>());
        }
    }

    #[test]
    fn idle_time_and_long_events_cost_nothing() {
        let mut summary = Summary::default();
        for i in 0..100u64 {
            summary.push(i * 30_000_000_000, i * 30_000_000_000 + 1_000, Class(1));
        }
        summary.push(3_000_000_000_000, 1 << 52, Class(2));
        let runs: usize = summary.levels.iter().map(|level| level.runs.len()).sum();
        assert!(runs <= 102 * summary.levels.len(), "{runs}");
        assert!(summary.bytes() < 1 << 17);
    }

    #[test]
    fn widths_without_a_level_get_the_nearest() {
        let mut summary = Summary::default();
        summary.push(0, 1 << 43, Class(3));
        let mut runs = Vec::new();
        assert_eq!(summary.runs(50, 0..1, |run| runs.push(run)), SHIFT_MAX);
        assert_eq!(runs, [Run { at: 0, len: 2, class: Class(3), busy: 255 }]);
        assert_eq!(summary.runs(3, 0..1 << 20, |_| ()), SHIFT_MIN);
    }
}
