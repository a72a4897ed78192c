//! What went wrong and what helps, above everything else until it is dismissed.

use eframe::egui::{Frame, Margin, RichText, Ui};

use crate::command::Command;
use crate::theme::Theme;
use crate::trouble::Trouble;

/// Shows `trouble`.
pub fn show(ui: &mut Ui, trouble: &Trouble, commands: &mut Vec<Command>) {
    let theme = Theme::of(ui.visuals());
    let frame = Frame::new().inner_margin(Margin::same(10)).corner_radius(4.0).stroke((1.5, theme.alarm));
    frame.show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new(&trouble.title).strong().color(theme.alarm));
            if ui.button("Dismiss").clicked() {
                commands.push(Command::Dismiss);
            }
        });
        ui.label(&trouble.what);
        ui.label(RichText::new(&trouble.remedy).color(theme.faint));
    });
}
