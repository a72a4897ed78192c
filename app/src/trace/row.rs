//! A row: spans that do not overlap, in order, with their summary. So every look-up is a binary search.
//!
//! A bar keeps its whole [`Span`] (about 150 bytes), because a trace is opened to look at details; whoever needs more
//! than ten million of them changes the store behind the methods of [`Row`] and nothing else.

use std::ops::Range;

use cotenant::tensor::Nanos;
use cotenant::timeline::{NameId, Span};

use super::summary::{Class, Summary};

/// Something drawn as a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// What happened.
    pub span: Span,
    /// Of a request: its wait. The bar is pale until then.
    pub wait: Option<Wait>,
    /// A request that was answered after its deadline.
    pub late: bool,
    /// Its class from beginning to end, or from the end of its wait.
    pub class: Class,
}

/// A request's wait, from its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When it was first served.
    pub until: Nanos,
    /// What it waited for.
    pub cause: NameId,
}

/// The class of waiting, in rows of requests.
pub const WAITING: Class = Class(0);

impl Bar {
    /// When it begins.
    pub fn start(&self) -> Nanos {
        self.span.start
    }

    /// When it ends.
    pub fn end(&self) -> Nanos {
        self.span.end
    }

    /// How long it is.
    pub fn length(&self) -> Nanos {
        self.span.end.since(self.span.start)
    }

    /// When its wait ends; its start where it did not wait.
    pub fn served_from(&self) -> Nanos {
        self.wait.map_or(self.span.start, |wait| wait.until.clamp(self.span.start, self.span.end))
    }
}

/// Bars one after the other.
#[derive(Clone, Debug, Default)]
pub struct Row {
    bars: Vec<Bar>,
    summary: Summary,
}

impl Row {
    /// True when `bar` may come next: it begins when the last one has ended.
    pub fn takes(&self, bar: &Bar) -> bool {
        self.bars.last().is_none_or(|last| last.end() <= bar.start())
    }

    /// Adds a bar that it [takes](Row::takes); the answer is its index.
    pub fn push(&mut self, bar: Bar) -> u32 {
        debug_assert!(self.takes(&bar), "bars of a row do not overlap");
        let served_from = bar.served_from().0;
        self.summary.push(bar.start().0, served_from, WAITING);
        self.summary.push(served_from, bar.end().0, bar.class);
        self.bars.push(bar);
        self.bars.len() as u32 - 1
    }

    /// The bars.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// How it looks from afar.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The indices of the bars that touch `[from, to)`.
    pub fn range(&self, from: Nanos, to: Nanos) -> Range<usize> {
        let first = self.bars.partition_point(|bar| bar.end() <= from);
        let last = self.bars.partition_point(|bar| bar.start() < to);
        first.min(last)..last
    }

    /// The bar at `at`, else the one that is nearest and at most `slack` away.
    pub fn nearest(&self, at: Nanos, slack: Nanos) -> Option<usize> {
        let next = self.bars.partition_point(|bar| bar.end() <= at);
        let distance = |bar: &Bar| Nanos(bar.start().since(at).0.max(at.since(bar.end()).0));
        let near = |index: &usize| self.bars.get(*index).is_some_and(|bar| distance(bar) <= slack);
        let candidates = [Some(next), next.checked_sub(1)].into_iter().flatten().filter(near);
        candidates.min_by_key(|index| distance(&self.bars[*index]))
    }
}

#[cfg(test)]
mod tests {
    use cotenant::timeline::{Args, Category, Names, TrackId};
    use proptest::prelude::*;

    use super::*;

    fn bar(start: u64, end: u64) -> Bar {
        let span = Span {
            start: Nanos(start),
            end: Nanos(end),
            track: TrackId(0),
            tenant: None,
            name: Names::OTHER,
            category: Category::Kernel,
            device_time: true,
            args: Args::default(),
        };
        Bar { span, wait: None, late: false, class: Class(1) }
    }

    /// Gaps and lengths, either may be zero.
    fn row() -> impl Strategy<Value = Row> {
        prop::collection::vec((0u64..20, 0u64..20), 0..30).prop_map(|steps| {
            let mut row = Row::default();
            let mut now = 0;
            for (gap, length) in steps {
                row.push(bar(now + gap, now + gap + length));
                now += gap + length;
            }
            row
        })
    }

    proptest! {
        #[test]
        fn a_range_is_what_touches_it(row in row(), from in 0u64..600, length in 0u64..200) {
            let range = row.range(Nanos(from), Nanos(from + length));
            for (i, b) in row.bars().iter().enumerate() {
                let touches = b.start().0 < from + length && b.end().0 > from;
                prop_assert!(!touches || range.contains(&i), "{i} of {range:?}");
                let empty = b.start() == b.end();
                prop_assert!(touches || empty || !range.contains(&i), "{i} of {range:?}");
            }
        }

        #[test]
        fn the_nearest_is_at_most_the_slack_away(row in row(), at in 0u64..700, slack in 0u64..30) {
            let away = |b: &Bar| b.start().0.saturating_sub(at).max(at.saturating_sub(b.end().0));
            let least = row.bars().iter().map(away).min().filter(|a| *a <= slack);
            prop_assert_eq!(row.nearest(Nanos(at), Nanos(slack)).map(|i| away(&row.bars()[i])), least);
        }
    }

    #[test]
    fn waiting_is_a_class_of_its_own() {
        let mut row = Row::default();
        let wait = Some(Wait { until: Nanos(1 << 17), cause: Names::OTHER });
        row.push(Bar { wait, class: Class(2), ..bar(0, 1 << 18) });
        let mut classes = Vec::new();
        row.summary().runs(17, 0..4, |run| classes.push((run.at, run.class, run.busy)));
        assert_eq!(classes, [(0, WAITING, 255), (1, Class(2), 255)]);
    }
}
