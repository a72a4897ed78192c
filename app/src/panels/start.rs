//! The first screen: what this program shows and the two ways to see something.

use std::path::PathBuf;

use eframe::egui::{Align, Key, Layout, RichText, Spinner, TextEdit, Ui, vec2};

use crate::command::Command;
use crate::theme::Theme;

/// Width of the column in the middle, in points.
const COLUMN_PT: f32 = 520.0;

/// What the screen remembers.
#[derive(Clone, Debug, Default)]
pub struct StartScreen {
    path: String,
}

impl StartScreen {
    /// Shows it; `doing` while a job is under way.
    pub fn ui(&mut self, ui: &mut Ui, doing: Option<&str>, commands: &mut Vec<Command>) {
        let theme = Theme::of(ui.visuals());
        let margin = ((ui.available_width() - COLUMN_PT) / 2.0).max(0.0);
        ui.add_space(ui.available_height() * 0.14);
        ui.horizontal_top(|ui| {
            ui.add_space(margin);
            ui.allocate_ui_with_layout(vec2(COLUMN_PT, 0.0), Layout::top_down(Align::Min), |ui| {
                ui.label(RichText::new("Cotenant").size(30.0).strong());
                ui.label(
                    "Several models share one GPU. Here you see who ran when, who waited for whom, and who was late.",
                );
                ui.add_space(18.0);
                if let Some(doing) = doing {
                    busy(ui, doing, commands);
                    return;
                }
                run_demo(ui, &theme, commands);
                ui.add_space(16.0);
                self.open(ui, &theme, commands);
            });
        });
    }

    fn open(&mut self, ui: &mut Ui, theme: &Theme, commands: &mut Vec<Command>) {
        ui.label(RichText::new("Open a trace").size(16.0).strong());
        let faint = |text: &str| RichText::new(text).color(theme.faint);
        ui.label(faint("Drop a file onto this window, or name it:"));
        ui.horizontal(|ui| {
            let label = ui.label("Trace file");
            let field = TextEdit::singleline(&mut self.path).hint_text("cotenant-demo.trace.json").desired_width(300.0);
            let field = ui.add(field).labelled_by(label.id);
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            let path = self.path.trim();
            let button = ui.add_enabled(!path.is_empty(), eframe::egui::Button::new("Open"));
            if (entered && !path.is_empty()) || button.clicked() {
                commands.push(Command::Open(PathBuf::from(path)));
            }
        });
        ui.label(faint("Write one with:   cotenant demo --trace FILE   or   cotenant run SCENARIO --trace FILE"));
    }
}

fn run_demo(ui: &mut Ui, theme: &Theme, commands: &mut Vec<Command>) {
    ui.label(RichText::new("See it live").size(16.0).strong());
    let what =
        "Four built-in models on the best device of this machine. Nothing has to be fetched; a software GPU will do.";
    ui.label(RichText::new(what).color(theme.faint));
    if ui.button(RichText::new("Run the demo").size(15.0)).clicked() {
        commands.push(Command::RunDemo);
    }
}

fn busy(ui: &mut Ui, doing: &str, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        ui.add(Spinner::new());
        ui.label(doing);
    });
    ui.add_space(8.0);
    if ui.button("Cancel").clicked() {
        commands.push(Command::Close);
    }
}
