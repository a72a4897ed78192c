//! A track as it is drawn: as many rows as its overlaps need, and marks for what happened at one moment.

use cotenant::tensor::{Nanos, RequestId};
use cotenant::timeline::{Instant, InstantKind, Span, Track, TrackKind};

use super::row::{Bar, Row};

/// Most rows of a track. What overlaps more than this is counted and not drawn.
pub const ROWS_MAX: usize = 64;

/// A lane of a device, a thread of the host or a tenant's requests.
#[derive(Clone, Debug)]
pub struct TrackBars {
    /// What it stands for.
    pub track: Track,
    /// The tenant's place in the table, for a tenant's track.
    pub slot: Option<usize>,
    /// Its rows, at least one once anything was drawn.
    pub rows: Vec<Row>,
    /// Requests that arrived.
    pub arrivals: Marks,
    /// What should not have happened: missed deadlines, rejections, failures; and preemptions.
    pub alarms: Marks,
    /// Time in which something happened.
    pub busy: Busy,
    /// Bars for which no row was left.
    pub undrawn: u64,
}

/// Time covered by spans that come nearly in order of their starts; overlaps count once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    time: Nanos,
    until: Nanos,
}

impl Busy {
    /// Counts what is after `from`.
    pub fn after(from: Nanos) -> Busy {
        Busy { time: Nanos(0), until: from }
    }

    /// Counts a span; of one that began before others ended, what is after them.
    pub fn add(&mut self, span: &Span) {
        self.time += span.end.since(span.start.max(self.until));
        self.until = self.until.max(span.end);
    }

    /// The time so far.
    pub fn time(&self) -> Nanos {
        self.time
    }
}

/// Moments in order.
#[derive(Clone, Debug, Default)]
pub struct Marks(Vec<Mark>);

/// Something at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Nanos,
    /// What.
    pub kind: InstantKind,
    /// To which request.
    pub request: Option<RequestId>,
}

impl TrackBars {
    /// Without anything on it.
    pub fn new(track: Track, slot: Option<usize>) -> TrackBars {
        TrackBars {
            track,
            slot,
            rows: Vec::new(),
            arrivals: Marks::default(),
            alarms: Marks::default(),
            busy: Busy::default(),
            undrawn: 0,
        }
    }

    /// Puts a bar into the first row that takes it; the answer is its row and index, `None` where no row is left.
    ///
    /// Bars come in order of their starts or, from a running engine, of their ends; either way a row grows at its end.
    pub fn place(&mut self, bar: Bar) -> Option<(u32, u32)> {
        let found = self.rows.iter().position(|row| row.takes(&bar));
        let row = match found {
            Some(row) => row,
            None if self.rows.len() < ROWS_MAX => {
                self.rows.push(Row::default());
                self.rows.len() - 1
            }
            None => {
                self.undrawn += 1;
                return None;
            }
        };
        Some((row as u32, self.rows[row].push(bar)))
    }

    /// Adds a mark.
    pub fn mark(&mut self, instant: &Instant) {
        let marks = if instant.kind == InstantKind::Arrival { &mut self.arrivals } else { &mut self.alarms };
        marks.insert(Mark { at: instant.at, kind: instant.kind, request: instant.request });
    }

    /// True when it is worth a place on the screen: threads of the host that did nothing are not.
    pub fn is_shown(&self) -> bool {
        self.track.kind != TrackKind::Host || !self.rows.is_empty()
    }
}

impl Marks {
    /// Marks come nearly in order: a missed deadline is known when the request ends.
    fn insert(&mut self, mark: Mark) {
        let place = self.0.iter().rposition(|m| m.at <= mark.at).map_or(0, |before| before + 1);
        self.0.insert(place, mark);
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Mark] {
        &self.0
    }

    /// Calls `visit` with the first mark of `[from, to)`, then with the first that is at least `step` later, and so on:
    /// as many as can be told apart on a screen, however many there are.
    pub fn sample(&self, from: Nanos, to: Nanos, step: Nanos, mut visit: impl FnMut(&Mark)) {
        let mut next = self.0.partition_point(|mark| mark.at < from);
        while let Some(mark) = self.0.get(next).filter(|mark| mark.at < to) {
            visit(mark);
            let free_from = Nanos(mark.at.0.saturating_add(step.0.max(1)));
            next += self.0[next..].partition_point(|mark| mark.at < free_from);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(times: &[u64]) -> Marks {
        let mut marks = Marks::default();
        times.iter().for_each(|at| marks.insert(Mark { at: Nanos(*at), kind: InstantKind::Arrival, request: None }));
        marks
    }

    proptest! {
        #[test]
        fn marks_are_in_order_however_they_come(times in prop::collection::vec(0u64..50, 0..40)) {
            let got: Vec<u64> = marks(&times).all().iter().map(|m| m.at.0).collect();
            let mut expected = times;
            expected.sort_unstable();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn a_sample_leaves_no_visible_gap(
            times in prop::collection::vec(0u64..500, 0..60), from in 0u64..400, length in 0u64..300, step in 1u64..40
        ) {
            let marks = marks(&times);
            let mut drawn = Vec::new();
            marks.sample(Nanos(from), Nanos(from + length), Nanos(step), |m| drawn.push(m.at.0));
            prop_assert!(drawn.is_sorted_by(|a, b| a + step <= *b));
            for at in times.iter().filter(|at| (from..from + length).contains(at)) {
                prop_assert!(drawn.iter().any(|d| d <= at && at - d < step), "{at} of {drawn:?}");
            }
        }
    }
}
