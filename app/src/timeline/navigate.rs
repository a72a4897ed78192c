//! Mouse and keyboard on the timeline: how a window of time follows from input.
//!
//! Wheel or `W`/`S` zoom, dragging or `A`/`D` pan, `F` fits everything, arrows step from bar to bar, `Escape` lets go.

use cotenant::tensor::Nanos;
use eframe::egui::{Key, Response, Ui};

use super::lane::Lane;
use super::time_scale::{TimeScale, TimeWindow};
use crate::trace::{BarRef, Trace};

/// One press of a zoom key shows this part of the time.
const KEY_ZOOM: f64 = 0.7;

/// One press of a pan key moves by this part of the strip.
const KEY_PAN: f32 = 0.15;

/// Points of scrolling that zoom by a factor of e.
const WHEEL_PT: f64 = 200.0;

/// What input asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wish {
    /// Another window of time.
    pub window: Option<TimeWindow>,
    /// Lanes moved down by this.
    pub lanes_down_pt: f32,
    /// Everything at once.
    pub fit: bool,
    /// Nothing selected any more.
    pub let_go: bool,
    /// Steps from bar to bar: negative to the left.
    pub step: i32,
    /// Steps from lane to lane: negative upwards.
    pub climb: i32,
}

/// Reads the input; `keys` when the keyboard is the timeline's.
pub fn wish(ui: &Ui, response: &Response, scale: &TimeScale, keys: bool) -> Wish {
    let mut wish = Wish::default();
    let mut scale = *scale;
    let before = scale.window;
    if response.dragged() {
        scale.window = scale.panned(response.drag_delta().x);
        wish.lanes_down_pt = response.drag_delta().y;
    }
    if let Some(pointer) = response.hover_pos() {
        let (scroll, pinch, shift) =
            ui.input(|i| (i.smooth_scroll_delta(), f64::from(i.zoom_delta()), i.modifiers.shift));
        // A wheel with shift comes as a horizontal one.
        if shift {
            wish.lanes_down_pt += scroll.x + scroll.y;
        } else {
            scale.window = scale.panned(scroll.x);
            scale.window = scale.zoomed(pointer.x, (-f64::from(scroll.y) / WHEEL_PT).exp() / pinch);
        }
    }
    if keys {
        key_wishes(ui, response, &mut scale, &mut wish);
    }
    wish.window = (scale.window != before).then_some(scale.window);
    wish
}

fn key_wishes(ui: &Ui, response: &Response, scale: &mut TimeScale, wish: &mut Wish) {
    let presses = |key: Key| ui.input(|i| i.num_presses(key)) as i32;
    let anchor = response.hover_pos().map_or(scale.left_pt + scale.width_pt / 2.0, |pointer| pointer.x);
    let closer = presses(Key::W) + presses(Key::Plus) - presses(Key::S) - presses(Key::Minus);
    scale.window = scale.zoomed(anchor, KEY_ZOOM.powi(closer));
    let right = presses(Key::D) - presses(Key::A);
    scale.window = scale.panned(-(right as f32) * KEY_PAN * scale.width_pt);
    wish.fit = presses(Key::F) > 0;
    wish.let_go = presses(Key::Escape) > 0;
    wish.step = presses(Key::ArrowRight) - presses(Key::ArrowLeft);
    wish.climb = presses(Key::ArrowDown) - presses(Key::ArrowUp);
}

/// The bar that steps lead to from `selected`, or the first one that is visible.
pub fn stepped(
    trace: &Trace,
    lanes: &[Box<dyn Lane + '_>],
    selected: Option<BarRef>,
    wish: &Wish,
    scale: &TimeScale,
) -> Option<BarRef> {
    let (Some(selected), Some(bar)) = (selected, selected.and_then(|at| trace.bar(at))) else {
        let from = scale.time(scale.left_pt);
        let any = Nanos(u64::MAX);
        return lanes.iter().find_map(|lane| lane.hit(0.0, from, any));
    };
    if wish.climb != 0 {
        let at = lanes.iter().position(|lane| lane.track() == selected.track)? as i32;
        let lane = usize::try_from(at + wish.climb).ok().and_then(|lane| lanes.get(lane))?;
        return lane.hit(0.0, bar.start(), Nanos(u64::MAX));
    }
    let index = u32::try_from(i64::from(selected.index) + i64::from(wish.step)).ok()?;
    let next = BarRef { index, ..selected };
    trace.bar(next).map(|_| next)
}

/// The scroll offset that is nearest to `scroll_pt` and shows nothing beyond the end of `content_pt` in `view_pt`.
pub fn clamped_scroll(scroll_pt: f32, content_pt: f32, view_pt: f32) -> f32 {
    scroll_pt.clamp(0.0, (content_pt - view_pt).max(0.0))
}
