//! Runs a scenario and tells what happens while it happens.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cotenant::engine::run::{self, RunError, RunOptions, RunStage, Watch};
use cotenant::engine::scenario::{Length, Scenario, ScenarioError};
use cotenant::engine::{Engine, LoadStage, demo};
use cotenant::tensor::Nanos;
use cotenant::timeline::{ClockKind, RunInfo, ScenarioText};

use super::{Gone, Job, News, Reporter, Wake};
use crate::trace::Trace;
use crate::trouble::Trouble;

/// How long the demo runs if nobody stops it.
pub const DEMO_LENGTH: Nanos = Nanos(120_000_000_000);

/// Events that the engine keeps between two looks, a tenth of a second apart.
const EVENTS_MAX: usize = 1 << 18;

/// Lets a run end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// No further request comes.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once it was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The built-in tenants for `length`.
///
/// # Errors
/// [`ScenarioError`], which the library's tests rule out.
pub fn demo(length: Nanos) -> Result<Scenario, ScenarioError> {
    demo::scenario(Length::Duration(length))
}

/// Starts a run of `scenario` on `device`, as `--device` takes it.
///
/// # Errors
/// [`Trouble`] when there is no thread to be had; all else comes as news.
pub fn run(scenario: Scenario, device: &str, stop: Stop, wake: Wake) -> Result<Job, Trouble> {
    let options =
        RunOptions { device: Some(device.into()), timeline_events_max: Some(EVENTS_MAX), ..RunOptions::default() };
    Job::start("cotenant-app-run", wake, move |reporter| {
        let scenario_text = ScenarioText { path: scenario.origin.display().to_string(), text: scenario.text.clone() };
        let mut watcher = Watcher { reporter, stop, scenario: scenario_text, seen: None, last: String::new() };
        let news = match run::watched(&scenario, &options, &mut watcher) {
            Ok(report) => News::Finished(Box::new(report.metrics)),
            Err(RunError::Stopped) => News::Stopped,
            Err(error) => News::Failed(Trouble::running(&error)),
        };
        // Whoever wanted it may be gone.
        let _ = reporter.tell(news);
    })
}

/// Looks on and tells.
struct Watcher<'a> {
    reporter: &'a Reporter,
    stop: Stop,
    scenario: ScenarioText,
    /// Events that were told; `None` before the first.
    seen: Option<u64>,
    last: String,
}

impl Watch for Watcher<'_> {
    fn stage(&mut self, stage: RunStage) {
        let doing = in_words(stage);
        if doing != self.last {
            self.last.clone_from(&doing);
            if self.reporter.tell(News::Doing(doing)) == Err(Gone) {
                self.stop.stop();
            }
        }
    }

    fn look(&mut self, engine: &Engine) -> ControlFlow<()> {
        if self.tell(engine) == Err(Gone) {
            self.stop.stop();
        }
        if self.stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Watcher<'_> {
    fn tell(&mut self, engine: &Engine) -> Result<(), Gone> {
        let seen = match self.seen {
            Some(seen) => seen,
            None => {
                let info = RunInfo {
                    device: engine.device_info(),
                    clock: ClockKind::Wall,
                    policy: String::new(),
                    seed: 0,
                    scenario: Some(self.scenario.clone()),
                };
                self.reporter.tell(News::Started(Box::new(Trace::new(info))))?;
                0
            }
        };
        // An engine that is gone is told by the run itself.
        if let Ok(Some(part)) = engine.timeline_since(seen) {
            self.seen = Some(part.recorded());
            self.reporter.tell(News::More(Box::new(part)))?;
        }
        Ok(())
    }
}

fn in_words(stage: RunStage) -> String {
    match stage {
        RunStage::Loading { tenant, stage: LoadStage::Reading, .. } => format!("reading the model of {tenant}"),
        RunStage::Loading { tenant, stage: LoadStage::Compiling { done, total, .. }, .. } => {
            format!("{tenant}: compiled {done} of {total} kernels")
        }
        RunStage::WarmingUp { tenant } => format!("{tenant} runs alone, to know its latency without company"),
        RunStage::Running { .. } => "running".into(),
    }
}
