//! Lanes: each knows its rows and how to paint itself. The timeline knows nothing of what they show.
//!
//! A new kind of lane (partitions, a plot of utilisation) is a new implementation of [`Lane`] and one line in [`lanes`].

use std::collections::HashSet;

use cotenant::tensor::{Nanos, RequestId};
use cotenant::timeline::TrackKind;
use eframe::egui::{Rect, pos2};

use super::brush::Brush;
use super::request_lane::RequestLane;
use super::time_scale::TimeScale;
use super::work_lane::WorkLane;
use crate::trace::track::TrackBars;
use crate::trace::{BarRef, Trace};

/// A strip of the timeline.
pub trait Lane {
    /// The track, for what the view remembers about it.
    fn track(&self) -> u32;

    /// What it is called.
    fn title(&self) -> &str;

    /// What else there is to say in a few words.
    fn note(&self) -> String;

    /// Its bars.
    fn bars(&self) -> &TrackBars;

    /// How its rows lie.
    fn rows(&self) -> Rows;

    /// Paints itself with its upper edge at `top`.
    fn paint(&self, top: f32, scale: &TimeScale, brush: &mut Brush);

    /// Its height in points.
    fn height_pt(&self) -> f32 {
        self.rows().height_pt()
    }

    /// Rows that are folded away.
    fn rows_hidden(&self) -> usize {
        self.rows().hidden()
    }

    /// The bar at a height below its upper edge and a time, else the nearest that is at most `slack` away.
    fn hit(&self, below_top: f32, at: Nanos, slack: Nanos) -> Option<BarRef> {
        self.rows().hit(self.track(), self.bars(), below_top, at, slack)
    }

    /// Where a bar of this lane is, with the lane's upper edge at `top`; `None` for bars of others and of folded rows.
    fn place(&self, bar: BarRef, top: f32, scale: &TimeScale) -> Option<Rect> {
        self.rows().place(self.track(), self.bars(), bar, top, scale)
    }
}

/// What the lanes are painted for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Focus {
    /// The tenant that is looked at; the others are dimmed.
    pub slot: Option<usize>,
    /// The request that is looked at; its work is underlined wherever it is.
    pub request: Option<RequestId>,
}

impl Focus {
    /// True when work of the tenant in `slot` is to be dimmed.
    pub fn dims(&self, slot: Option<usize>) -> bool {
        self.slot.is_some() && slot != self.slot
    }
}

/// Bars are at most so many times as high as they have to be, however much room there is.
const STRETCH_MAX: f32 = 1.8;

/// Free space below each lane, in points.
pub const LANE_GAP_PT: f32 = 7.0;

/// The height of all lanes, in points.
pub fn height_pt(lanes: &[Box<dyn Lane + '_>]) -> f32 {
    lanes.iter().map(|lane| lane.height_pt() + LANE_GAP_PT).sum()
}

/// The lanes of a trace from top to bottom: devices, threads of the host that did something, tenants. They take the
/// `room_pt` that there is, within reason.
pub fn lanes<'a>(trace: &'a Trace, unfolded: &HashSet<u32>, focus: Focus, room_pt: f32) -> Vec<Box<dyn Lane + 'a>> {
    let plain = stretched(trace, unfolded, focus, 1.0);
    let stretch = (room_pt / height_pt(&plain).max(1.0)).min(STRETCH_MAX);
    if stretch > 1.0 { stretched(trace, unfolded, focus, stretch) } else { plain }
}

fn stretched<'a>(trace: &'a Trace, unfolded: &HashSet<u32>, focus: Focus, stretch: f32) -> Vec<Box<dyn Lane + 'a>> {
    let mut tracks: Vec<(u32, &TrackBars)> = (0..).zip(trace.tracks()).filter(|(_, t)| t.is_shown()).collect();
    tracks.sort_by_key(|(number, bars)| (bars.track.kind, *number));
    let lane = |(number, bars): (u32, &'a TrackBars)| -> Box<dyn Lane + 'a> {
        let unfolded = unfolded.contains(&number);
        match bars.track.kind {
            TrackKind::Lane | TrackKind::Host => Box::new(WorkLane { trace, number, bars, focus, unfolded, stretch }),
            TrackKind::Tenant => Box::new(RequestLane { trace, number, bars, focus, unfolded, stretch }),
        }
    };
    tracks.into_iter().map(lane).collect()
}

/// How the rows of a lane lie below each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows {
    /// Rows that there are.
    pub n: usize,
    /// Rows that are shown while the lane is folded.
    pub folded_max: usize,
    /// True when all are shown.
    pub unfolded: bool,
    /// Free space above the first row, in points.
    pub above_pt: f32,
    /// Height of a bar, in points.
    pub bar_pt: f32,
}

/// Free space between rows, in points.
const GAP_PT: f32 = 2.0;

/// Room for a lane's name and note, in points.
const LANE_PT_MIN: f32 = 29.0;

impl Rows {
    /// Rows that are shown, at least one.
    pub fn shown(&self) -> usize {
        if self.unfolded { self.n.max(1) } else { self.n.clamp(1, self.folded_max) }
    }

    /// Rows that are not.
    pub fn hidden(&self) -> usize {
        self.n.saturating_sub(self.shown())
    }

    /// Of all of them, in points.
    pub fn height_pt(&self) -> f32 {
        (self.above_pt + self.shown() as f32 * (self.bar_pt + GAP_PT)).max(LANE_PT_MIN)
    }

    /// The upper edge of a row.
    pub fn top(&self, top: f32, row: usize) -> f32 {
        top + self.above_pt + row as f32 * (self.bar_pt + GAP_PT)
    }

    /// The row at a height below the lane's upper edge.
    pub fn at(&self, below_top: f32) -> usize {
        (((below_top - self.above_pt) / (self.bar_pt + GAP_PT)).max(0.0) as usize).min(self.shown() - 1)
    }

    /// The bar of `bars` that was pointed at.
    pub fn hit(&self, number: u32, bars: &TrackBars, below_top: f32, at: Nanos, slack: Nanos) -> Option<BarRef> {
        let row = self.at(below_top);
        let index = bars.rows.get(row)?.nearest(at, slack)?;
        Some(BarRef { track: number, row: row as u32, index: index as u32 })
    }

    /// Where a bar of `bars` is.
    pub fn place(&self, number: u32, bars: &TrackBars, at: BarRef, top: f32, scale: &TimeScale) -> Option<Rect> {
        let row = at.row as usize;
        if at.track != number || row >= self.shown() {
            return None;
        }
        let bar = bars.rows.get(row)?.bars().get(at.index as usize)?;
        let top = self.top(top, row);
        Some(Rect::from_min_max(pos2(scale.x(bar.start()), top), pos2(scale.x(bar.end()), top + self.bar_pt)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_that_is_shown_is_hit_where_it_is(n in 0usize..70, unfolded: bool, above_pt in 0f32..20.0) {
            let rows = Rows { n, folded_max: 4, unfolded, above_pt, bar_pt: 12.0 };
            prop_assert_eq!(rows.shown() + rows.hidden(), n.max(1));
            for row in 0..rows.shown() {
                let middle = rows.top(0.0, row) + 6.0;
                prop_assert_eq!(rows.at(middle), row);
                prop_assert!(middle < rows.height_pt());
            }
            prop_assert_eq!((rows.at(-5.0), rows.at(1e4)), (0, rows.shown() - 1));
        }
    }
}
