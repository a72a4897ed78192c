//! The timeline widget: allocates its place, takes input, paints. It remembers what is looked at and nothing else.

use std::collections::HashSet;

use cotenant::tensor::Nanos;
use eframe::egui::{
    Align2, EventFilter, FontId, Id, Pos2, Rect, Response, Role, Sense, Tooltip, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::lane::{Focus, LANE_GAP_PT, Lane, height_pt, lanes};
use super::navigate::{Wish, clamped_scroll, stepped, wish};
use super::paint::{NAMES_PT, Picture, RULER_PT};
use super::ruler::ticks;
use super::time_scale::{TimeScale, TimeWindow};
use crate::command::Command;
use crate::panels::detail;
use crate::theme::Theme;
use crate::trace::{BarRef, Trace};

/// Bars that are at most this far from the pointer are meant, in points.
const SLACK_PT: f64 = 4.0;

/// What is shown at first while a run goes on.
pub const FOLLOWED: Nanos = Nanos(3_000_000_000);

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct TimelineView {
    window: Option<TimeWindow>,
    /// The window's end stays at the end of what was recorded.
    pub follow: bool,
    scroll_pt: f32,
    unfolded: HashSet<u32>,
}

impl TimelineView {
    /// Looks at the last seconds of a run that goes on.
    pub fn following() -> TimelineView {
        TimelineView { window: Some(TimeWindow::new(Nanos(0), FOLLOWED)), follow: true, ..TimelineView::default() }
    }

    /// The window of time that was shown last.
    pub fn window(&self) -> Option<TimeWindow> {
        self.window
    }

    /// Shows the measured part, with a margin.
    pub fn fit(&mut self) {
        self.window = None;
        self.follow = false;
    }

    /// Shows `factor` times as much time around the middle.
    pub fn zoom(&mut self, factor: f64) {
        if let Some(window) = self.window {
            let scale = TimeScale { window, left_pt: 0.0, width_pt: 1.0 };
            self.window = Some(scale.zoomed(if self.follow { 1.0 } else { 0.5 }, factor));
        }
    }

    /// Moves so that something of a stretch can be seen.
    pub fn reveal(&mut self, start: Nanos, end: Nanos) {
        if let Some(window) = self.window.filter(|window| !window.touches(start, end)) {
            self.window = Some(window.around(start, end));
            self.follow = false;
        }
    }

    /// The widget. Selecting and its like are told as commands.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        trace: &Trace,
        selected: Option<BarRef>,
        focus: Focus,
        commands: &mut Vec<Command>,
    ) -> Response {
        // Size and allocate.
        let size = ui.available_size().max(vec2(NAMES_PT + 100.0, RULER_PT + 60.0));
        let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
        let strip = Rect::from_min_max(rect.min + vec2(NAMES_PT, RULER_PT), rect.max);
        let lanes = lanes(trace, &self.unfolded, focus, strip.height());

        // Interact.
        let scale = self.scale(trace, strip);
        let scale = self.interact(ui, &response, trace, &lanes, scale, strip, selected, commands);
        let tops = self.tops(&lanes, strip);
        let hovered = response.hover_pos().and_then(|pointer| pointed(&lanes, &tops, pointer, strip, &scale));
        if response.clicked() {
            response.request_focus();
            commands.push(Command::Select(hovered));
        }
        if response.double_clicked()
            && let Some(bar) = hovered.and_then(|at| trace.bar(at))
        {
            let around = TimeWindow::new(bar.start(), bar.end());
            self.window =
                Some(TimeWindow { from_ns: around.from_ns - around.span_ns(), to_ns: around.to_ns + around.span_ns() });
            self.follow = false;
        }
        self.fold_buttons(ui, &lanes, &tops, rect);

        // Paint.
        let ticks = ticks(&scale, trace.measured_from().0 as f64);
        let (outlined, pointer) = ([hovered, selected], response.hover_pos());
        let picture =
            Picture { trace, lanes: &lanes, tops: &tops, rect, strip, scale, ticks: &ticks, outlined, pointer };
        picture.paint(ui, &Theme::of(ui.visuals()));
        if let Some(bar) = hovered.filter(|_| !response.dragged()) {
            Tooltip::for_widget(&response).at_pointer().show(|ui| detail::tooltip(ui, trace, bar));
        }
        let value = selected.and_then(|at| detail::in_words(trace, at)).unwrap_or_default();
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Canvas, true, "Timeline");
            info.current_text_value = Some(value.clone());
            info
        });
        response
    }

    /// What to look at before input is heard.
    fn scale(&mut self, trace: &Trace, strip: Rect) -> TimeScale {
        let measured = trace.measured().map(|(start, end)| TimeWindow::new(start, end).with_margin());
        let mut window = self.window.or(measured).unwrap_or(TimeWindow::new(Nanos(0), FOLLOWED));
        if let Some((_, end)) = trace.bounds().filter(|_| self.follow) {
            window = window.ending_at(end);
        }
        TimeScale { window, left_pt: strip.left(), width_pt: strip.width().max(1.0) }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one frame; a struct of them would be used once")]
    fn interact(
        &mut self,
        ui: &Ui,
        response: &Response,
        trace: &Trace,
        lanes: &[Box<dyn Lane + '_>],
        mut scale: TimeScale,
        strip: Rect,
        selected: Option<BarRef>,
        commands: &mut Vec<Command>,
    ) -> TimeScale {
        let focused = ui.memory(eframe::egui::Memory::focused);
        if focused == Some(response.id) {
            let filter =
                EventFilter { horizontal_arrows: true, vertical_arrows: true, escape: true, ..EventFilter::default() };
            ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
        }
        let keys = focused.is_none_or(|id| id == response.id);
        let wish: Wish = wish(ui, response, &scale, keys);
        let mut fitted = false;
        if wish.fit {
            self.fit();
            scale = self.scale(trace, strip);
            fitted = true;
        } else if let Some(window) = wish.window {
            // Zooming keeps following, panning does not.
            let panned = (window.span_ns() / scale.window.span_ns() - 1.0).abs() < 1e-9;
            self.follow &= !panned;
            scale.window = window;
        }
        let (start, end) = trace.bounds().unwrap_or((Nanos(0), FOLLOWED));
        // A run that has just begun is as long as it will be in a moment.
        let end_in_view = if self.follow { end.max(FOLLOWED) } else { end };
        let whole = TimeWindow::new(start, end_in_view).with_margin();
        if let Some((_, end)) = trace.bounds().filter(|_| self.follow) {
            scale.window = scale.window.within(&whole).ending_at(end);
        } else {
            scale.window = scale.window.within(&whole);
        }
        // While nobody zooms or pans, all of a growing trace stays in view.
        self.window =
            if fitted || (self.window.is_none() && wish.window.is_none()) { None } else { Some(scale.window) };
        self.scroll_pt = clamped_scroll(self.scroll_pt - wish.lanes_down_pt, height_pt(lanes), strip.height());
        if wish.let_go {
            commands.push(Command::Select(None));
        }
        if (wish.step, wish.climb) != (0, 0)
            && let Some(next) = stepped(trace, lanes, selected, &wish, &scale)
        {
            commands.push(Command::Select(Some(next)));
        }
        scale
    }

    /// The upper edges of the lanes.
    fn tops(&self, lanes: &[Box<dyn Lane + '_>], strip: Rect) -> Vec<f32> {
        let mut next = strip.top() - self.scroll_pt;
        let mut tops = Vec::new();
        for lane in lanes {
            tops.push(next);
            next += lane.height_pt() + LANE_GAP_PT;
        }
        tops
    }

    /// Lanes with more rows than are shown can be unfolded, and folded again.
    fn fold_buttons(&mut self, ui: &mut Ui, lanes: &[Box<dyn Lane + '_>], tops: &[f32], rect: Rect) {
        for (lane, top) in lanes.iter().zip(tops) {
            let (track, hidden) = (lane.track(), lane.rows_hidden());
            let unfolded = self.unfolded.contains(&track);
            let place = Rect::from_min_size(pos2(rect.left() + NAMES_PT - 26.0, *top + 2.0), Vec2::splat(20.0));
            if (hidden == 0 && !unfolded) || place.top() < rect.top() + RULER_PT || place.bottom() > rect.bottom() {
                continue;
            }
            let (sign, what) =
                if unfolded { ("–", "fold".into()) } else { ("+", format!("show {hidden} more rows")) };
            let id: Id = ui.scope_id().with(("fold", track));
            let response = ui.interact(place, id, Sense::click());
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("{}: {what}", lane.title())));
            let visuals = ui.style().interact(&response);
            ui.painter().rect_filled(place.shrink(2.0), 3.0, visuals.bg_fill);
            let font = FontId::proportional(14.0);
            ui.painter().text(place.center(), Align2::CENTER_CENTER, sign, font, visuals.text_color());
            if response.on_hover_text(what).clicked() {
                if unfolded {
                    self.unfolded.remove(&track)
                } else {
                    self.unfolded.insert(track)
                };
            }
        }
    }
}

/// The bar under the pointer.
fn pointed(
    lanes: &[Box<dyn Lane + '_>],
    tops: &[f32],
    pointer: Pos2,
    strip: Rect,
    scale: &TimeScale,
) -> Option<BarRef> {
    if !strip.contains(pointer) {
        return None;
    }
    let slack = Nanos((scale.ns_per_pt() * SLACK_PT) as u64);
    let (lane, top) =
        lanes.iter().zip(tops).find(|(lane, top)| (**top..**top + lane.height_pt()).contains(&pointer.y))?;
    lane.hit(pointer.y - top, scale.time(pointer.x), slack)
}
