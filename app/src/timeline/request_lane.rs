//! A tenant's lane: its requests from arrival to answer, pale while they wait, red where they were late, with marks for
//! arrivals above and for what went wrong below.

use cotenant::tensor::Nanos;
use eframe::egui::{Color32, Rect, pos2};

use super::brush::Brush;
use super::lane::{Focus, Lane, Rows};
use super::pieces::pieces;
use super::time_scale::TimeScale;
use crate::format;
use crate::theme::Theme;
use crate::trace::row::WAITING;
use crate::trace::summary::Class;
use crate::trace::track::TrackBars;
use crate::trace::{LATE, Trace};

/// See the [module](self).
pub struct RequestLane<'a> {
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

/// Height of an arrival's mark, in points.
const ARRIVAL_PT: f32 = 5.0;

/// Height of an alarm's mark, in points.
const ALARM_PT: f32 = 8.0;

impl RequestLane<'_> {
    fn color(&self, class: Class, theme: &Theme) -> Color32 {
        let slot = self.bars.slot.unwrap_or(0);
        let color = match class {
            WAITING => theme.waiting(slot),
            LATE => theme.alarm,
            _ => theme.tenant(slot),
        };
        if self.focus.dims(self.bars.slot) { theme.dimmed(color) } else { color }
    }

    fn paint_marks(&self, top: f32, scale: &TimeScale, brush: &mut Brush) {
        let (from, to) = (scale.time(scale.left_pt), scale.time(scale.right_pt()));
        let apart = |pt: f32| Nanos((scale.ns_per_pt() * f64::from(pt)) as u64);
        let bottom = top + self.rows().above_pt;
        let arrival = brush.theme.arrival;
        self.bars.arrivals.sample(from, to, apart(2.0), |mark| {
            let x = scale.x(mark.at);
            brush.bar(Rect::from_min_max(pos2(x, bottom - ARRIVAL_PT), pos2(x + 1.0, bottom - 1.0)), arrival);
        });
        let alarm = brush.theme.alarm;
        self.bars.alarms.sample(from, to, apart(5.0), |mark| {
            brush.flag(pos2(scale.x(mark.at), bottom - 1.0), ALARM_PT, alarm);
        });
    }
}

impl Lane for RequestLane<'_> {
    fn track(&self) -> u32 {
        self.number
    }

    fn title(&self) -> &str {
        &self.bars.track.name
    }

    fn note(&self) -> String {
        let figures = self.bars.slot.and_then(|slot| self.trace.tenants().get(slot));
        let promise = figures.and_then(|figures| figures.promise.as_ref());
        promise.map_or("requests".into(), |promise| format!("promised {}", format::duration(promise.slo)))
    }

    fn bars(&self) -> &TrackBars {
        self.bars
    }

    fn rows(&self) -> Rows {
        let above_pt = ALARM_PT + 2.0;
        Rows {
            n: self.bars.rows.len(),
            folded_max: 4,
            unfolded: self.unfolded,
            above_pt,
            bar_pt: (13.0 * self.stretch).round(),
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
                let color = self.color(piece.class, brush.theme);
                brush.bar(rect, brush.theme.shade(color, piece.busy));
                let Some(bar) = piece.bar.and_then(|index| row.bars().get(index)) else { continue };
                if piece.class != WAITING {
                    brush.end(rect, color);
                    brush.figure(rect, || format::duration(bar.length()), color);
                }
                if self.focus.request.is_some() && bar.span.args.request == self.focus.request {
                    let line = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 2.0), rect.max);
                    brush.bar(line, brush.theme.selected);
                }
            }
        }
        self.paint_marks(top, scale, brush);
    }
}
