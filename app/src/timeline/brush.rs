//! What lanes paint with: coloured rectangles in one mesh, edges on whole pixels, and labels on top.
//!
//! Whole pixels make edges crisp, and the picture the same from every rasteriser. One mesh for all lanes costs a third of
//! a shape per bar.

use eframe::egui::emath::GuiRounding;
use eframe::egui::epaint::Vertex;
use eframe::egui::text::{LayoutJob, TextWrapping};
use eframe::egui::{Color32, FontId, Mesh, Painter, Pos2, Rect, Shape, Ui, pos2, vec2};

use crate::theme::Theme;

/// Labels of one frame; more could not be read.
const LABELS_MAX: usize = 400;

/// Narrower bars get no label, in points.
const LABEL_PT_MIN: f32 = 28.0;

/// Collects what is painted within a rectangle.
pub struct Brush<'a> {
    /// The colours.
    pub theme: &'a Theme,
    painter: Painter,
    mesh: Mesh,
    labels: Vec<Label>,
    pixels_per_point: f32,
}

struct Label {
    bar: Rect,
    text: String,
    color: Color32,
    /// Nothing rather than a part.
    whole: bool,
}

impl<'a> Brush<'a> {
    /// For what is inside `clip`.
    pub fn new(ui: &Ui, clip: Rect, theme: &'a Theme) -> Brush<'a> {
        let painter = ui.painter_at(clip);
        Brush { theme, painter, mesh: Mesh::default(), labels: Vec::new(), pixels_per_point: ui.pixels_per_point() }
    }

    /// Pixels in a point.
    pub fn pixels_per_point(&self) -> f32 {
        self.pixels_per_point
    }

    /// The rectangle that is painted in.
    pub fn clip(&self) -> Rect {
        self.painter.clip_rect()
    }

    /// A filled rectangle, at least one pixel wide.
    pub fn bar(&mut self, rect: Rect, color: Color32) {
        let mut rect = rect.round_to_pixels(self.pixels_per_point);
        rect.max.x = rect.max.x.max(rect.min.x + 1.0 / self.pixels_per_point);
        let seen = rect.intersect(self.clip());
        if seen.is_positive() {
            self.mesh.add_colored_rect(seen, color);
        }
    }

    /// The end of a bar of this colour, so that neighbours of one colour do not run into each other; nothing where the bar
    /// is too narrow.
    pub fn end(&mut self, bar: Rect, color: Color32) {
        if bar.width() > 4.0 {
            let end = Rect::from_min_max(pos2(bar.right() - 1.0 / self.pixels_per_point, bar.top()), bar.max);
            self.bar(end, self.theme.dimmed(color));
        }
    }

    /// A vertical line, one pixel wide.
    pub fn line(&mut self, x: f32, color: Color32) {
        let clip = self.clip();
        if clip.x_range().contains(x) {
            self.bar(Rect::from_x_y_ranges(x..=x, clip.y_range()), color);
        }
    }

    /// The outline of a rectangle, `width` points wide, inside it.
    pub fn outline(&mut self, rect: Rect, width: f32, color: Color32) {
        let inner =
            Rect::from_min_max(pos2(rect.min.x + width, rect.min.y + width), pos2(rect.max.x - width, rect.max.y));
        self.bar(Rect::from_min_max(rect.min, pos2(rect.max.x, inner.min.y)), color);
        self.bar(Rect::from_min_max(pos2(rect.min.x, rect.max.y - width), rect.max), color);
        self.bar(Rect::from_min_max(rect.min, pos2(inner.min.x, rect.max.y)), color);
        self.bar(Rect::from_min_max(pos2(inner.max.x, rect.min.y), rect.max), color);
    }

    /// A triangle that stands on its point at `tip`, `size` points high.
    pub fn flag(&mut self, tip: Pos2, size: f32, color: Color32) {
        let tip = tip.round_to_pixels(self.pixels_per_point);
        if !self.clip().expand(size).contains(tip) {
            return;
        }
        let first = self.mesh.vertices.len() as u32;
        for pos in [tip, tip + (size * 0.6, -size).into(), tip + (-size * 0.6, -size).into()] {
            self.mesh.vertices.push(Vertex { pos, uv: eframe::egui::epaint::WHITE_UV, color });
        }
        self.mesh.add_triangle(first, first + 1, first + 2);
    }

    /// A name on a bar, cut with dots where it is too long; nothing where the bar is too narrow to read it.
    pub fn name(&mut self, bar: Rect, text: impl FnOnce() -> String, on: Color32) {
        self.label(bar, text, on, false);
    }

    /// A figure on a bar: all of it or, where the bar is too narrow, nothing.
    pub fn figure(&mut self, bar: Rect, text: impl FnOnce() -> String, on: Color32) {
        self.label(bar, text, on, true);
    }

    fn label(&mut self, bar: Rect, text: impl FnOnce() -> String, on: Color32, whole: bool) {
        if bar.width() >= LABEL_PT_MIN && self.labels.len() < LABELS_MAX {
            self.labels.push(Label { bar, text: text(), color: self.theme.text_on(on), whole });
        }
    }

    /// Hands everything to the painter.
    pub fn paint(self) {
        self.painter.add(Shape::mesh(self.mesh));
        for label in self.labels {
            // Of a bar that goes on beyond the edge, what is seen.
            let place = label.bar.intersect(self.painter.clip_rect()).shrink2(vec2(3.0, 0.0));
            let font = FontId::proportional((place.height() - 5.0).clamp(8.0, 12.0));
            let mut job = LayoutJob::simple_singleline(label.text, font, label.color);
            job.wrap = TextWrapping::truncate_at_width(place.width());
            let galley = self.painter.layout_job(job);
            if galley.elided && (label.whole || place.width() < LABEL_PT_MIN) {
                continue;
            }
            let at = place.center() - galley.size() / 2.0;
            self.painter.galley(at.round_to_pixels(self.pixels_per_point), galley, label.color);
        }
    }
}
