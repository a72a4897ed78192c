//! Paints the timeline: names, ground and grid, lanes, outlines, ruler.

use eframe::egui::text::{LayoutJob, TextWrapping};
use eframe::egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Ui, pos2, vec2};

use super::brush::Brush;
use super::lane::Lane;
use super::ruler::Ticks;
use super::time_scale::TimeScale;
use crate::theme::Theme;
use crate::trace::{BarRef, Trace};

/// Width of the lanes' names.
pub const NAMES_PT: f32 = 190.0;

/// Height of the ruler.
pub const RULER_PT: f32 = 24.0;

/// What one frame paints.
pub struct Picture<'a> {
    /// What the lanes are of.
    pub trace: &'a Trace,
    /// The lanes from top to bottom.
    pub lanes: &'a [Box<dyn Lane + 'a>],
    /// Their upper edges.
    pub tops: &'a [f32],
    /// Names, ruler and lanes.
    pub rect: Rect,
    /// The lanes alone.
    pub strip: Rect,
    /// The time on the strip.
    pub scale: TimeScale,
    /// Its ticks.
    pub ticks: &'a Ticks,
    /// The bars that are pointed at and selected.
    pub outlined: [Option<BarRef>; 2],
    /// Where the pointer is, if it is on the timeline.
    pub pointer: Option<Pos2>,
}

impl Picture<'_> {
    /// Paints it.
    pub fn paint(&self, ui: &Ui, theme: &Theme) {
        self.paint_names(ui, theme);
        self.paint_strip(ui, theme);
        self.paint_ruler(ui, theme);
    }

    fn paint_names(&self, ui: &Ui, theme: &Theme) {
        let Picture { lanes, tops, rect, .. } = self;
        let column = Rect::from_min_max(rect.min + vec2(0.0, RULER_PT), pos2(rect.left() + NAMES_PT, rect.bottom()));
        let painter = ui.painter_at(column);
        for (lane, top) in lanes.iter().zip(*tops) {
            if *top + lane.height_pt() < column.top() || *top > column.bottom() {
                continue;
            }
            let at = pos2(column.left() + 8.0, *top);
            line(&painter, at, lane.title(), 13.0, theme.text);
            line(&painter, at + vec2(0.0, 16.0), &lane.note(), 10.0, theme.faint);
        }
    }

    /// Paints what is under the lanes, then the lanes, then the outlines of what is pointed at and what is selected.
    fn paint_strip(&self, ui: &Ui, theme: &Theme) {
        let Picture { trace, lanes, tops, strip, scale, ticks, outlined, .. } = self;
        let mut brush = Brush::new(ui, *strip, theme);
        let measured_x = scale.x(trace.measured_from()).clamp(strip.left(), strip.right());
        for (lane, top) in lanes.iter().zip(*tops) {
            let ground = Rect::from_x_y_ranges(strip.x_range(), *top..=*top + lane.height_pt());
            let (warm_up, idle) = ground.split_left_right_at_x(measured_x);
            for (ground, color) in [(warm_up, theme.warm_up), (idle, theme.idle)] {
                if strip.intersects(ground) && ground.width() > 0.0 {
                    brush.bar(ground, color);
                }
            }
        }
        ticks.ticks.iter().for_each(|tick| brush.line(tick.x, theme.grid));
        for (lane, top) in lanes.iter().zip(*tops) {
            if *top + lane.height_pt() >= strip.top() && *top <= strip.bottom() {
                lane.paint(*top, scale, &mut brush);
            }
            for (at, color) in outlined.iter().zip([theme.faint, theme.selected]) {
                if let Some(rect) = at.and_then(|at| lane.place(at, *top, scale)) {
                    let wide = pos2(rect.right().max(rect.left() + 4.0), rect.bottom());
                    brush.outline(Rect::from_min_max(rect.min, wide).intersect(strip.expand(2.0)), 2.0, color);
                }
            }
        }
        brush.paint();
    }

    fn paint_ruler(&self, ui: &Ui, theme: &Theme) {
        let Picture { rect, ticks, pointer, .. } = self;
        let names_right = rect.left() + NAMES_PT;
        let painter = ui.painter_at(Rect::from_min_max(pos2(names_right, rect.top()), rect.max));
        let font = FontId::proportional(10.5);
        let y = rect.top() + RULER_PT / 2.0;
        for tick in &ticks.ticks {
            let below = rect.top() + RULER_PT - 6.0..=rect.top() + RULER_PT;
            painter.vline(painter.round_to_pixel_center(tick.x), below, (1.0, theme.faint));
            painter.text(pos2(tick.x + 4.0, y), Align2::LEFT_CENTER, &tick.label, font.clone(), theme.faint);
        }
        if let Some(pointer) = pointer.filter(|p| p.x > names_right) {
            painter.vline(painter.round_to_pixel_center(pointer.x), rect.y_range(), (1.0, theme.faint));
        }
        let corner = Rect::from_min_size(rect.min, vec2(NAMES_PT, RULER_PT));
        let text = ticks.base.as_ref().map_or_else(|| "Time since the start".to_string(), |base| format!("{base} and"));
        ui.painter_at(corner).text(pos2(rect.left() + 8.0, y), Align2::LEFT_CENTER, text, font, theme.faint);
    }
}

/// One line of a lane's name, cut with dots where it is too long.
fn line(painter: &Painter, at: Pos2, text: &str, size: f32, color: Color32) {
    let mut job = LayoutJob::simple_singleline(text.into(), FontId::proportional(size), color);
    job.wrap = TextWrapping::truncate_at_width(NAMES_PT - 38.0);
    painter.galley(at, painter.layout_job(job), color);
}
