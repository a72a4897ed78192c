//! All colours of the window, for dark and light.
//!
//! Tenants take the palette of Okabe and Ito, which people with the common colour blindnesses can tell apart; the same
//! one as pictures of `cotenant run --svg`. What should not have happened is red and nothing else is.

use eframe::egui::{Color32, Visuals};

use crate::trace::summary::Class;

/// Tenant colours in order; they begin again after the last.
const TENANTS_DARK: [Color32; 7] = [
    Color32::from_rgb(0x4f, 0x9f, 0xe0),
    Color32::from_rgb(0xe6, 0x9f, 0x00),
    Color32::from_rgb(0x1f, 0xb0, 0x83),
    Color32::from_rgb(0xd7, 0x8f, 0xb8),
    Color32::from_rgb(0x7f, 0xd0, 0xf7),
    Color32::from_rgb(0xf0, 0xe4, 0x42),
    Color32::from_rgb(0xb4, 0x9c, 0xf2),
];

/// The same, darker, for a light background.
const TENANTS_LIGHT: [Color32; 7] = [
    Color32::from_rgb(0x00, 0x72, 0xb2),
    Color32::from_rgb(0xd9, 0x8a, 0x00),
    Color32::from_rgb(0x00, 0x8f, 0x68),
    Color32::from_rgb(0xc2, 0x65, 0x98),
    Color32::from_rgb(0x3f, 0xa3, 0xd8),
    Color32::from_rgb(0xb5, 0xa6, 0x00),
    Color32::from_rgb(0x7a, 0x5f, 0xc8),
];

/// The colours of one of the two looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    tenants: [Color32; 7],
    /// Behind lanes.
    pub background: Color32,
    /// A lane where nothing happens.
    pub idle: Color32,
    /// Lines of the time grid.
    pub grid: Color32,
    /// The part before the measurement.
    pub warm_up: Color32,
    /// Work of no tenant.
    pub nobody: Color32,
    /// Missed deadlines, rejections, failures.
    pub alarm: Color32,
    /// Arrivals.
    pub arrival: Color32,
    /// The outline of what is selected.
    pub selected: Color32,
    /// Names and numbers.
    pub text: Color32,
    /// What matters less.
    pub faint: Color32,
}

impl Theme {
    /// The theme that goes with egui's own colours.
    pub fn of(visuals: &Visuals) -> Theme {
        if visuals.dark_mode { Theme::dark() } else { Theme::light() }
    }

    /// Light on dark.
    pub fn dark() -> Theme {
        Theme {
            tenants: TENANTS_DARK,
            background: Color32::from_gray(0x1b),
            idle: Color32::from_gray(0x26),
            grid: Color32::from_gray(0x3a),
            warm_up: Color32::from_gray(0x20),
            nobody: Color32::from_gray(0x8c),
            alarm: Color32::from_rgb(0xff, 0x4b, 0x4b),
            arrival: Color32::from_gray(0xb0),
            selected: Color32::WHITE,
            text: Color32::from_gray(0xe0),
            faint: Color32::from_gray(0x9a),
        }
    }

    /// Dark on light.
    pub fn light() -> Theme {
        Theme {
            tenants: TENANTS_LIGHT,
            background: Color32::from_gray(0xf8),
            idle: Color32::from_gray(0xea),
            grid: Color32::from_gray(0xd2),
            warm_up: Color32::from_gray(0xf0),
            nobody: Color32::from_gray(0x80),
            alarm: Color32::from_rgb(0xd0, 0x12, 0x1c),
            arrival: Color32::from_gray(0x50),
            selected: Color32::BLACK,
            text: Color32::from_gray(0x20),
            faint: Color32::from_gray(0x62),
        }
    }

    /// The colour of the tenant at this place of the table.
    pub fn tenant(&self, slot: usize) -> Color32 {
        self.tenants[slot % self.tenants.len()]
    }

    /// The colour of a class on a device's or the host's lane, where classes are tenants.
    pub fn of_lane_class(&self, class: Class) -> Color32 {
        (class.0 as usize).checked_sub(1).map_or(self.nobody, |slot| self.tenant(slot))
    }

    /// A request that waits: its tenant's colour, pale.
    pub fn waiting(&self, slot: usize) -> Color32 {
        self.idle.lerp_to_gamma(self.tenant(slot), 0.35)
    }

    /// `color` at a busy share of 1 to 255: paler where less is busy, and never invisible.
    pub fn shade(&self, color: Color32, busy: u8) -> Color32 {
        self.idle.lerp_to_gamma(color, 0.25 + 0.75 * f32::from(busy) / 255.0)
    }

    /// `color` of something that is not looked at now.
    pub fn dimmed(&self, color: Color32) -> Color32 {
        self.idle.lerp_to_gamma(color, 0.18)
    }

    /// Letters on a bar of this colour.
    pub fn text_on(&self, color: Color32) -> Color32 {
        let [r, g, b, _] = color.to_array().map(f32::from);
        // Brightness as ITU-R BT.601 weighs it.
        if 0.299 * r + 0.587 * g + 0.114 * b > 115.0 { Color32::BLACK } else { Color32::WHITE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_can_be_told_apart() {
        for theme in [Theme::dark(), Theme::light()] {
            let all: Vec<Color32> = (0..7).map(|slot| theme.tenant(slot)).chain([theme.alarm, theme.idle]).collect();
            for (i, a) in all.iter().enumerate() {
                for b in &all[i + 1..] {
                    let apart: i32 = (0..3).map(|c| (i32::from(a[c]) - i32::from(b[c])).abs()).sum();
                    assert!(apart > 60, "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn classes_of_lanes_are_tenants_and_the_first_is_nobody() {
        let theme = Theme::dark();
        assert_eq!(theme.of_lane_class(Class(0)), theme.nobody);
        assert_eq!(theme.of_lane_class(Class(3)), theme.tenant(2));
        assert_ne!(theme.shade(theme.tenant(0), 1), theme.idle);
    }
}
