//! The program behind the window: what is shown, and what commands do to it.

use std::path::PathBuf;
use std::time::Duration;

use cotenant::tensor::Nanos;
use cotenant::timeline::metrics::Totals;
use eframe::egui::{Align2, CentralPanel, Color32, FontId, LayerId, Order, Panel, Ui};

use crate::command::Command;
use crate::format;
use crate::panels::start::StartScreen;
use crate::panels::tenants::TenantTable;
use crate::panels::{detail, toolbar, trouble};
use crate::timeline::lane::Focus;
use crate::timeline::view::TimelineView;
use crate::trace::{BarRef, Trace};
use crate::trouble::Trouble;
use crate::work::live::{self, DEMO_LENGTH, Stop};
use crate::work::{Job, News, Wake, open};

/// News that one frame takes at most, so that a flood of them cannot hold it up.
const NEWS_PER_FRAME_MAX: usize = 4;

/// How the program starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// A trace to open at once.
    pub file: Option<PathBuf>,
    /// Run the demo at once.
    pub demo: bool,
    /// The device of live runs, as `--device` takes it.
    pub device: String,
    /// How long the demo runs.
    pub demo_length: Nanos,
}

impl Default for Options {
    fn default() -> Options {
        Options { file: None, demo: false, device: "auto".into(), demo_length: DEMO_LENGTH }
    }
}

/// Everything that is not the window itself.
pub struct App {
    options: Options,
    wake: Wake,
    job: Option<Job>,
    stop: Stop,
    /// What the job does, in words.
    doing: Option<String>,
    trouble: Option<Trouble>,
    start: StartScreen,
    shown: Option<Shown>,
}

/// A trace on the screen.
struct Shown {
    source: String,
    trace: Trace,
    view: TimelineView,
    table: TenantTable,
    selected: Option<BarRef>,
    highlighted: Option<usize>,
    running: bool,
}

impl App {
    /// Starts; `wake` asks for a frame and may be called from any thread.
    pub fn new(options: Options, wake: Wake) -> App {
        let mut app = App {
            options,
            wake,
            job: None,
            stop: Stop::default(),
            doing: None,
            trouble: None,
            start: StartScreen::default(),
            shown: None,
        };
        if let Some(path) = app.options.file.clone() {
            app.apply(Command::Open(path));
        } else if app.options.demo {
            app.apply(Command::RunDemo);
        }
        app
    }

    /// One frame.
    pub fn ui(&mut self, ui: &mut Ui) {
        self.take_news();
        let mut commands = dropped_files(ui);
        if let Some(found) = &self.trouble {
            Panel::top("trouble").show(ui, |ui| trouble::show(ui, found, &mut commands));
        }
        match &mut self.shown {
            Some(shown) => shown.ui(ui, self.doing.as_deref(), &mut commands),
            None => {
                let doing = self.doing.as_deref();
                CentralPanel::default().show(ui, |ui| self.start.ui(ui, doing, &mut commands));
            }
        }
        if ui.input(|i| !i.raw.hovered_files.is_empty()) {
            paint_drop_hint(ui);
        }
        commands.into_iter().for_each(|command| self.apply(command));
    }

    /// The trace that is shown.
    pub fn trace(&self) -> Option<&Trace> {
        self.shown.as_ref().map(|shown| &shown.trace)
    }

    /// The bar that is selected.
    pub fn selected(&self) -> Option<BarRef> {
        self.shown.as_ref().and_then(|shown| shown.selected)
    }

    /// What the timeline remembers.
    pub fn view(&self) -> Option<&TimelineView> {
        self.shown.as_ref().map(|shown| &shown.view)
    }

    /// What went wrong last.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// True while a job is under way.
    pub fn is_busy(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.is_over())
    }

    /// Ends what goes on, because the window is closed. A device that is in the middle of something gets a moment.
    pub fn end(&mut self) {
        self.stop.stop();
        if let Some(job) = self.job.take() {
            job.end(Duration::from_secs(3));
        }
    }

    fn take_news(&mut self) {
        for _ in 0..NEWS_PER_FRAME_MAX {
            let Some(news) = self.job.as_mut().and_then(Job::poll) else { return };
            match news {
                News::Doing(what) => self.doing = Some(what),
                News::Opened(name, trace) => {
                    self.doing = None;
                    self.shown = Some(Shown::new(name, *trace, false));
                }
                News::Started(trace) => self.shown = Some(Shown::new("Demo".into(), *trace, true)),
                News::More(part) => {
                    if let Some(shown) = &mut self.shown {
                        shown.trace.push(&part);
                    }
                }
                News::Finished(metrics) => {
                    self.run_is_over();
                    self.doing = Some(outcome(&metrics.totals));
                }
                News::Stopped => self.run_is_over(),
                News::Failed(found) => {
                    self.run_is_over();
                    self.trouble = Some(found);
                }
            }
        }
        // There may be more.
        (self.wake)();
    }

    fn run_is_over(&mut self) {
        self.doing = None;
        if let Some(shown) = &mut self.shown {
            shown.running = false;
            shown.view.follow = false;
        }
    }

    /// Carries out a command.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Open(path) => self.begin(|app| open::open(path, app.wake.clone())),
            Command::RunDemo => self.begin(|app| {
                let scenario = live::demo(app.options.demo_length).map_err(|e| Trouble::internal(&e.to_string()))?;
                app.shown = None;
                live::run(scenario, &app.options.device, app.stop.clone(), app.wake.clone())
            }),
            Command::Stop => self.stop.stop(),
            Command::Close => {
                self.end_job();
                self.shown = None;
            }
            Command::Dismiss => self.trouble = None,
            Command::Select(_) | Command::Highlight(_) | Command::Fit | Command::Zoom(_) | Command::Follow(_) => {
                if let Some(shown) = &mut self.shown {
                    shown.apply(&command);
                }
            }
        }
    }

    /// Starts a job in place of the one before.
    fn begin(&mut self, start: impl FnOnce(&mut App) -> Result<Job, Trouble>) {
        self.end_job();
        self.trouble = None;
        match start(self) {
            Ok(job) => {
                self.job = Some(job);
                self.doing = Some("starting".into());
            }
            Err(found) => self.trouble = Some(found),
        }
    }

    fn end_job(&mut self) {
        self.stop.stop();
        self.stop = Stop::default();
        self.job = None;
        self.run_is_over();
    }
}

impl Shown {
    fn new(source: String, trace: Trace, running: bool) -> Shown {
        let view = if running { TimelineView::following() } else { TimelineView::default() };
        Shown { source, trace, view, table: TenantTable::default(), selected: None, highlighted: None, running }
    }

    fn ui(&mut self, ui: &mut Ui, doing: Option<&str>, commands: &mut Vec<Command>) {
        Panel::top("toolbar").show(ui, |ui| {
            let Shown { source, trace, running, .. } = self;
            let shown = toolbar::Shown { source, trace, doing, running: *running, follow: self.view.follow };
            toolbar::show(ui, &shown, commands);
        });
        Panel::bottom("tables").resizable(true).default_size(210.0).min_size(120.0).show(ui, |ui| {
            Panel::right("detail").resizable(true).default_size(430.0).min_size(240.0).show(ui, |ui| {
                detail::show(ui, &self.trace, self.selected, commands);
            });
            CentralPanel::default().show(ui, |ui| self.table.ui(ui, &self.trace, self.highlighted, commands));
        });
        let request = self.selected.and_then(|at| self.trace.bar(at)).and_then(|bar| bar.span.args.request);
        let focus = Focus { slot: self.highlighted, request };
        CentralPanel::no_frame().show(ui, |ui| self.view.ui(ui, &self.trace, self.selected, focus, commands));
    }

    fn apply(&mut self, command: &Command) {
        match *command {
            Command::Select(at) => {
                self.selected = at;
                if let Some(bar) = at.and_then(|at| self.trace.bar(at)) {
                    self.view.reveal(bar.start(), bar.end());
                }
            }
            Command::Highlight(slot) => self.highlighted = slot,
            Command::Fit => self.view.fit(),
            Command::Zoom(factor) => self.view.zoom(factor),
            Command::Follow(follow) => self.view.follow = follow,
            _ => {}
        }
    }
}

/// How a run ended, in words.
fn outcome(totals: &Totals) -> String {
    let figure = |name: &str, value: Option<f64>| value.map_or(String::new(), |value| format!(", {name} {value:.2}"));
    let (antt, stp) = (figure("ANTT", totals.antt), figure("STP", totals.stp));
    format!("finished: {} requests answered{antt}{stp}", format::count(totals.completed))
}

/// Files that were dropped on the window; the last one is opened.
fn dropped_files(ui: &Ui) -> Vec<Command> {
    ui.input(|i| i.raw.dropped_files.last().map(|file| Command::Open(file.path().into())).into_iter().collect())
}

fn paint_drop_hint(ui: &Ui) {
    let painter = ui.ctx().layer_painter(LayerId::new(Order::Foreground, ui.scope_id().with("drop")));
    let rect = ui.ctx().content_rect();
    painter.rect_filled(rect, 0.0, Color32::from_black_alpha(170));
    painter.text(rect.center(), Align2::CENTER_CENTER, "Drop to open", FontId::proportional(28.0), Color32::WHITE);
}
