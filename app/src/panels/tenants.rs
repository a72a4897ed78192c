//! The tenants with their colours and figures, and what else the colours mean.

use cotenant::timeline::metrics::TenantMetrics;
use eframe::egui::{Align, Grid, Layout, Rect, Response, RichText, ScrollArea, Sense, Ui, vec2};

use crate::command::Command;
use crate::format;
use crate::theme::Theme;
use crate::trace::Trace;

/// Heads of the columns with what they mean.
const COLUMNS: [(&str, &str); 10] = [
    ("Tenant", "Click to look at one tenant, again to look at all"),
    ("Model", "The model as the scenario names it"),
    ("Requests", "Requests that arrived in the measured part"),
    ("Req/s", "Requests answered per second"),
    ("p50 ms", "Half of the requests took at most this, from arrival to answer"),
    ("p99 ms", "All but a hundredth of the requests took at most this"),
    ("SLO ms", "The latency that was promised"),
    ("In SLO", "Share of the requests that ended within the promise; rejected and failed ones break it"),
    ("Lost", "Requests that were rejected or failed"),
    ("Device", "Share of the measured time in which this tenant's work was on the device"),
];

/// Columns at the left that hold words.
const TEXT_COLUMNS: usize = 2;

/// Width of a column of numbers, in points.
const NUMBER_PT: f32 = 56.0;

/// Height of a row, in points.
const ROW_PT: f32 = 18.0;

/// A promise that is kept less often than this is shown in the warning colour.
const SLO_KEPT: f64 = 0.99;

/// The table; it remembers the figures, because percentiles are too dear for every frame.
#[derive(Debug, Default)]
pub struct TenantTable {
    figures: Vec<TenantMetrics>,
    /// Events of the trace when they were taken.
    seen: Option<u64>,
}

impl TenantTable {
    /// Shows the table. One table serves one trace.
    pub fn ui(&mut self, ui: &mut Ui, trace: &Trace, highlighted: Option<usize>, commands: &mut Vec<Command>) {
        if self.seen != Some(trace.seen()) {
            self.seen = Some(trace.seen());
            self.figures = trace.tenants().iter().map(|tenant| tenant.metrics(trace.elapsed())).collect();
        }
        show(ui, trace, &self.figures, highlighted, commands);
    }
}

fn show(
    ui: &mut Ui,
    trace: &Trace,
    figures: &[TenantMetrics],
    highlighted: Option<usize>,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::of(ui.visuals());
    ScrollArea::both().id_salt("tenants").auto_shrink([false, false]).show(ui, |ui| {
        Grid::new("tenants").striped(true).spacing(vec2(18.0, 5.0)).show(ui, |ui| {
            for (at, (name, meaning)) in COLUMNS.into_iter().enumerate() {
                let text = RichText::new(name).color(theme.faint);
                let head = if at < TEXT_COLUMNS { ui.label(text) } else { number(ui, text) };
                head.on_hover_text(meaning);
            }
            ui.end_row();
            for (slot, figures) in figures.iter().enumerate() {
                row(ui, trace, (slot, figures), highlighted == Some(slot), &theme, commands);
                ui.end_row();
            }
        });
        ui.add_space(6.0);
        legend(ui, &theme);
    });
}

fn row(
    ui: &mut Ui,
    trace: &Trace,
    (slot, metrics): (usize, &TenantMetrics),
    highlighted: bool,
    theme: &Theme,
    commands: &mut Vec<Command>,
) {
    let tenant = &trace.tenants()[slot];
    let elapsed = trace.elapsed();
    ui.horizontal(|ui| {
        swatch(ui, |rect| vec![(rect, theme.tenant(slot))]);
        if ui.selectable_label(highlighted, &tenant.name).clicked() {
            commands.push(Command::Highlight((!highlighted).then_some(slot)));
        }
    });
    let promise = tenant.promise.as_ref();
    ui.label(promise.map_or("–", |promise| &promise.model));
    let attainment = tenant.attainment(metrics);
    let lost = metrics.rejected + metrics.failed;
    let device = (elapsed.0 > 0).then(|| tenant.device_time.0 as f64 / elapsed.0 as f64);
    let broken = attainment.is_some_and(|share| share < SLO_KEPT);
    for (text, alarming) in [
        (format::count(metrics.requests), false),
        (format!("{:.1}", metrics.throughput_rps), false),
        (format::ms(metrics.latency_ms.p50), false),
        (format::ms(metrics.latency_ms.p99), false),
        (promise.map_or("–".into(), |promise| format!("{:.0}", promise.slo.as_ms())), false),
        (format::percent(attainment), broken),
        (format::count(lost), lost > 0),
        (format::percent(device), false),
    ] {
        let text = RichText::new(text).color(if alarming { theme.alarm } else { theme.text });
        number(ui, text);
    }
}

/// Numbers end where their column's head ends.
fn number(ui: &mut Ui, text: RichText) -> Response {
    ui.allocate_ui_with_layout(vec2(NUMBER_PT, ROW_PT), Layout::right_to_left(Align::Center), |ui| ui.label(text)).inner
}

/// A small picture of colours.
fn swatch(ui: &mut Ui, parts: impl FnOnce(Rect) -> Vec<(Rect, eframe::egui::Color32)>) {
    let (rect, _) = ui.allocate_exact_size(vec2(14.0, 12.0), Sense::hover());
    for (part, color) in parts(rect) {
        ui.painter().rect_filled(part, 1.0, color);
    }
}

/// What the colours of requests mean.
fn legend(ui: &mut Ui, theme: &Theme) {
    ui.horizontal_wrapped(|ui| {
        let meanings = [
            (theme.waiting(0), "request waits"),
            (theme.tenant(0), "request is served"),
            (theme.alarm, "answered too late"),
            (theme.arrival, "arrival"),
            (theme.warm_up, "before the measurement"),
        ];
        for (color, meaning) in meanings {
            swatch(ui, |rect| vec![(rect, color)]);
            ui.label(RichText::new(meaning).color(theme.faint).small());
            ui.add_space(6.0);
        }
        ui.label(RichText::new("red flag: deadline missed, request rejected or failed").color(theme.faint).small());
    });
}
