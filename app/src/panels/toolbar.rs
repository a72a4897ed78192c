//! The line at the top: what is shown, on what device, by which clock, and what can be done with it.

use cotenant::timeline::{ClockKind, RunInfo};
use eframe::egui::{Align, Layout, RichText, Theme, Ui};

use crate::command::Command;
use crate::format;
use crate::theme;
use crate::trace::Trace;

/// What the line tells.
pub struct Shown<'a> {
    /// Where the trace comes from.
    pub source: &'a str,
    /// The trace.
    pub trace: &'a Trace,
    /// What a job does now.
    pub doing: Option<&'a str>,
    /// A run goes on.
    pub running: bool,
    /// The end of the run stays in view.
    pub follow: bool,
}

/// Shows the line.
pub fn show(ui: &mut Ui, shown: &Shown, commands: &mut Vec<Command>) {
    let theme = theme::Theme::of(ui.visuals());
    ui.horizontal(|ui| {
        ui.label(RichText::new(shown.source).strong());
        ui.separator();
        ui.label(on_what(shown.trace.info()));
        ui.label(RichText::new(clock_in_words(shown.trace.info().clock)).color(theme.faint));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| buttons(ui, shown, commands));
    });
    ui.horizontal(|ui| {
        let length = shown.trace.elapsed();
        let mut text = format!(
            "{} of measurement, {} spans",
            format::duration(length),
            format::count(shown.trace.n_bars() as u64)
        );
        if let Some(doing) = shown.doing {
            text = format!("{doing}  ·  {text}");
        }
        ui.label(RichText::new(text).color(theme.faint));
        if let Some(missing) = shown.trace.missing() {
            ui.label(RichText::new(format!("not shown: {missing}")).color(theme.alarm));
        }
    });
}

/// From right to left.
fn buttons(ui: &mut Ui, shown: &Shown, commands: &mut Vec<Command>) {
    let (name, other) = if ui.visuals().dark_mode { ("Light", Theme::Light) } else { ("Dark", Theme::Dark) };
    if ui.button(name).on_hover_text("Change the colours").clicked() {
        ui.ctx().set_theme(other);
    }
    if ui.button("Close").on_hover_text("Back to the start screen").clicked() {
        commands.push(Command::Close);
    }
    ui.separator();
    if shown.running {
        if ui.button("Stop").on_hover_text("No further request comes").clicked() {
            commands.push(Command::Stop);
        }
        let mut follow = shown.follow;
        if ui.checkbox(&mut follow, "Follow").on_hover_text("Keep the present in view").changed() {
            commands.push(Command::Follow(follow));
        }
    } else if ui.button("Run the demo").clicked() {
        commands.push(Command::RunDemo);
    }
    ui.separator();
    if ui.button("Fit").on_hover_text("All of the measurement (F)").clicked() {
        commands.push(Command::Fit);
    }
    if ui.button("Zoom out").on_hover_text("S, or the wheel").clicked() {
        commands.push(Command::Zoom(2.0));
    }
    if ui.button("Zoom in").on_hover_text("W, or the wheel").clicked() {
        commands.push(Command::Zoom(0.5));
    }
}

/// The device and the policy.
pub fn on_what(info: &RunInfo) -> String {
    let device = &info.device;
    let policy = if info.policy.is_empty() { String::new() } else { format!(", policy {}", info.policy) };
    format!("{} ({}){policy}", device.name, device.backend)
}

/// Whether numbers are measured or simulated.
pub fn clock_in_words(clock: ClockKind) -> &'static str {
    match clock {
        ClockKind::Wall => "measured, wall clock",
        ClockKind::Virtual => "simulated, virtual clock",
    }
}
