//! A lane of work: what ran on a device's queue or on a thread of the host, coloured by tenant.

use cotenant::timeline::TrackKind;
use eframe::egui::{Rect, pos2};

use super::brush::Brush;
use super::lane::{Focus, Lane, Rows};
use super::pieces::pieces;
use super::time_scale::TimeScale;
use crate::format;
use crate::trace::Trace;
use crate::trace::row::Row;
use crate::trace::summary::Class;
use crate::trace::track::TrackBars;

/// See the [module](self).
pub struct WorkLane<'a> {
    /// Where names and tenants are.
    pub trace: &'a Trace,
    /// The track's number.
    pub number: u32,
    /// What is shown.
    pub bars: &'a TrackBars,
    /// What it is painted for.
    pub focus: Focus,
    /// All rows are shown.
    pub unfolded: bool,
    /// Its bars are so many times as high as they have to be.
    pub stretch: f32,
}

impl WorkLane<'_> {
    /// Underlines the work of the request that is looked at, from afar as well: its own time bounds the search.
    fn underline_request(&self, row: &Row, bottom: f32, scale: &TimeScale, brush: &mut Brush) {
        let Some(request) = self.focus.request else { return };
        let Some(whole) = self.trace.request(request).and_then(|at| self.trace.bar(at)) else { return };
        for bar in &row.bars()[row.range(whole.start(), whole.end())] {
            if bar.span.args.request == Some(request) {
                let line = pos2(scale.x(bar.start()), bottom - 4.0);
                brush.bar(Rect::from_min_max(line, pos2(scale.x(bar.end()), bottom)), brush.theme.selected);
            }
        }
    }

    /// True when the class, which is a tenant here, is not looked at.
    fn dims(&self, class: Class) -> bool {
        self.focus.dims((class.0 as usize).checked_sub(1))
    }
}

impl Lane for WorkLane<'_> {
    fn track(&self) -> u32 {
        self.number
    }

    fn title(&self) -> &str {
        match self.bars.track.kind {
            TrackKind::Lane => &self.bars.track.group,
            _ => &self.bars.track.name,
        }
    }

    fn note(&self) -> String {
        match self.bars.track.kind {
            TrackKind::Lane => {
                let busy = self.trace.utilization(self.bars);
                let busy = busy.map_or(String::new(), |_| format!(", busy {}", format::percent(busy)));
                format!("{}{busy}", self.bars.track.name)
            }
            _ => self.bars.track.group.clone(),
        }
    }

    fn bars(&self) -> &TrackBars {
        self.bars
    }

    fn rows(&self) -> Rows {
        Rows {
            n: self.bars.rows.len(),
            folded_max: 3,
            unfolded: self.unfolded,
            above_pt: 3.0,
            bar_pt: (24.0 * self.stretch).round(),
        }
    }

    fn paint(&self, top: f32, scale: &TimeScale, brush: &mut Brush) {
        let rows = self.rows();
        let mut out = Vec::new();
        for (number, row) in self.bars.rows.iter().enumerate().take(rows.shown()) {
            let y = rows.top(top, number);
            pieces(row, scale, brush.pixels_per_point(), &mut out);
            for piece in &out {
                let rect = Rect::from_min_max(pos2(piece.x0, y), pos2(piece.x1, y + rows.bar_pt));
                let mut color = brush.theme.of_lane_class(piece.class);
                if self.dims(piece.class) {
                    color = brush.theme.dimmed(color);
                }
                brush.bar(rect, brush.theme.shade(color, piece.busy));
                let Some(bar) = piece.bar.and_then(|index| row.bars().get(index)) else { continue };
                brush.end(rect, color);
                brush.name(rect, || self.trace.name(bar.span.name).to_string(), color);
            }
            self.underline_request(row, y + rows.bar_pt, scale, brush);
        }
    }
}
