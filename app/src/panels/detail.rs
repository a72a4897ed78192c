//! What there is to say about one bar: beside the pointer in few words, in the panel in full.

use cotenant::tensor::Nanos;
use cotenant::timeline::Category;
use eframe::egui::{Grid, RichText, ScrollArea, Ui, vec2};

use crate::command::Command;
use crate::format::{count, duration};
use crate::theme::Theme;
use crate::trace::row::Bar;
use crate::trace::{BarRef, Trace};

/// Words about a bar: name and value.
type Facts = Vec<(&'static str, String)>;

/// Shows the panel.
pub fn show(ui: &mut Ui, trace: &Trace, selected: Option<BarRef>, commands: &mut Vec<Command>) {
    let theme = Theme::of(ui.visuals());
    let Some((at, bar)) = selected.and_then(|at| Some((at, trace.bar(at)?))) else {
        ui.label(RichText::new("Nothing selected").strong());
        ui.label(
            RichText::new(
                "Click a bar for its details: what it was, for whom, how long it took and what it waited for.",
            )
            .color(theme.faint),
        );
        ui.add_space(4.0);
        let keys = "Wheel or W S: zoom.  Drag or A D: move.  F: fit.  Arrows: from bar to bar.  Double click: closer.";
        ui.label(RichText::new(keys).color(theme.faint));
        return;
    };
    ui.horizontal(|ui| {
        ui.label(RichText::new(title(trace, bar)).strong());
        if ui.small_button("Deselect").clicked() {
            commands.push(Command::Select(None));
        }
        let request = bar.span.args.request.and_then(|request| trace.request(request)).filter(|other| *other != at);
        if let Some(request) = request
            && ui.small_button("Go to its request").clicked()
        {
            commands.push(Command::Select(Some(request)));
        }
    });
    ScrollArea::vertical().id_salt("detail").auto_shrink([false, false]).show(ui, |ui| {
        Grid::new("detail").spacing(vec2(14.0, 3.0)).show(ui, |ui| {
            for (name, value) in facts(trace, bar).into_iter().chain(more_facts(trace, bar)) {
                ui.label(RichText::new(name).color(theme.faint));
                ui.label(value);
                ui.end_row();
            }
        });
    });
}

/// The few words beside the pointer.
pub fn tooltip(ui: &mut Ui, trace: &Trace, at: BarRef) {
    let Some(bar) = trace.bar(at) else { return };
    let theme = Theme::of(ui.visuals());
    ui.label(RichText::new(title(trace, bar)).strong());
    Grid::new("tooltip").spacing(vec2(12.0, 2.0)).show(ui, |ui| {
        for (name, value) in facts(trace, bar) {
            ui.label(RichText::new(name).color(theme.faint));
            ui.label(value);
            ui.end_row();
        }
    });
}

/// A bar in one line, for screen readers.
pub fn in_words(trace: &Trace, at: BarRef) -> Option<String> {
    let bar = trace.bar(at)?;
    let facts: Vec<String> = facts(trace, bar).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    Some(format!("{}: {}", title(trace, bar), facts.join(", ")))
}

fn title(trace: &Trace, bar: &Bar) -> String {
    let name = trace.name(bar.span.name);
    match (bar.span.category, bar.span.args.request) {
        (Category::Request, Some(request)) => format!("Request {}", request.0),
        (Category::Kernel, _) => name.to_string(),
        (category, _) => format!("{name} ({})", category.name()),
    }
}

/// What everybody wants to know.
fn facts(trace: &Trace, bar: &Bar) -> Facts {
    let mut facts = Facts::new();
    if let Some(slot) = trace.slot(bar.span.tenant) {
        facts.push(("Tenant", trace.tenants()[slot].name.clone()));
    }
    facts.push(("Start", since_start(trace, bar.start())));
    if bar.span.category != Category::Request {
        facts.push(("Duration", duration(bar.length())));
        return facts;
    }
    let late = if bar.late { ", too late" } else { "" };
    facts.push(("Latency", format!("{}{late}", duration(bar.length()))));
    if let Some(wait) = &bar.wait {
        let waited = wait.until.since(bar.start());
        facts.push(("Queue wait", format!("{} ({})", duration(waited), trace.name(wait.cause))));
        facts.push(("Service", duration(bar.end().since(bar.served_from()))));
    }
    facts
}

/// What whoever looks closer wants to know.
fn more_facts(trace: &Trace, bar: &Bar) -> Facts {
    let args = &bar.span.args;
    let mut facts = Facts::new();
    if let Some(promise) = trace.slot(bar.span.tenant).and_then(|slot| trace.tenants()[slot].promise.as_ref()) {
        facts.push(("Promised", duration(promise.slo)));
        facts.push(("Model", promise.model.clone()));
    }
    if let (Category::Request, Some(request)) = (bar.span.category, args.request) {
        let (time, launches) = trace.device_time(request, bar.start(), bar.end());
        facts.push(("On the device", format!("{} in {} launches", duration(time), count(launches))));
        return facts;
    }
    if let Some(request) = args.request {
        facts.push(("Request", request.0.to_string()));
        let whole = trace.request(request).and_then(|at| trace.bar(at));
        if let Some((request, wait)) = whole.and_then(|request| Some((request, request.wait?))) {
            facts.push(("Its queue wait", duration(wait.until.since(request.start()))));
            facts.push(("Its latency", duration(request.length())));
        }
    }
    facts.extend(args.shape.map(|shape| ("Output shape", trace.name(shape).to_string())));
    if let (Some(first), Some(tiles)) = (args.first_tile, args.tiles) {
        facts.push(("Tiles", format!("{} from {}", count(tiles.into()), count(first.into()))));
    }
    facts.extend(args.workers.map(|workers| ("Workgroups", count(workers.into()))));
    facts.extend(args.batch.map(|batch| ("Batch", count(batch.into()))));
    facts.extend(args.bytes.map(|bytes| ("Bytes", count(bytes))));
    let clock = if bar.span.device_time { "the device's timestamps" } else { "the host, around the call" };
    facts.push(("Timed by", clock.into()));
    facts
}

/// A moment, counted from the start of the measurement.
fn since_start(trace: &Trace, at: Nanos) -> String {
    let from = trace.measured_from();
    if at >= from { duration(at.since(from)) } else { format!("{} before the measurement", duration(from.since(at))) }
}
