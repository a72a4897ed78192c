//! The engine's thread: takes commands, lets load generators make their requests by the clock, and keeps the device fed.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::command::Command;
use super::dispatcher::Dispatcher;
use super::run::drive::Driving;
use super::{EngineStats, TenantStats};
use crate::hal::Wait;
use crate::tensor::Nanos;

/// Longest wait for the device while it takes more submissions: an arrival is noticed after this time at the latest.
const POLL_MAX: Duration = Duration::from_micros(500);

/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What the thread has.
pub(super) struct EngineThread {
    pub(super) dispatcher: Dispatcher,
    pub(super) commands: Receiver<Command>,
    pub(super) driving: Option<Driving>,
    /// Load generators so far, over all runs.
    pub(super) sources: usize,
}

impl EngineThread {
    /// Runs until it is told to end or nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        while self.take_commands().is_continue() {
            self.dispatcher.collect(Wait::No);
            self.drive();
            self.dispatcher.issue();
            let wait = self.until_next_timer();
            if self.dispatcher.in_flight() > 0 {
                let most = if self.dispatcher.is_full() { WAIT_MAX } else { POLL_MAX };
                self.dispatcher.collect(Wait::AtMost(wait.min(most)));
            } else if !wait.is_zero() {
                let flow = match self.commands.recv_timeout(wait) {
                    Ok(command) => self.handle(command),
                    Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
                    Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
                };
                if flow.is_break() {
                    return;
                }
            }
        }
    }

    /// Carries out all commands that are there.
    fn take_commands(&mut self) -> ControlFlow<()> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.handle(command)?,
                Err(TryRecvError::Empty) => return ControlFlow::Continue(()),
                Err(TryRecvError::Disconnected) => return ControlFlow::Break(()),
            }
        }
    }

    fn handle(&mut self, command: Command) -> ControlFlow<()> {
        match command {
            Command::Load(load) => self.dispatcher.load(*load),
            Command::Unload(tenant) => self.dispatcher.unload(tenant),
            Command::Infer(tenant, request) => self.dispatcher.admit(tenant, request),
            Command::HostDone(done) => self.dispatcher.host_done(done),
            Command::Drive(drive, reply) => {
                let first = self.sources;
                self.sources += drive.sources.len();
                let now = self.dispatcher.now();
                if let Some(recorder) = &mut self.dispatcher.recorder {
                    recorder.measurement_begins(now);
                }
                self.driving = Some(Driving::start(*drive, first, reply, now, self.dispatcher.busy));
            }
            Command::EndDrive => {
                if let Some(driving) = &mut self.driving {
                    driving.end_arrivals(self.dispatcher.now());
                }
            }
            // Whoever asked may have gone.
            Command::Stats(reply) => drop(reply.try_send(self.stats())),
            Command::Timeline { seen, reply } => {
                drop(reply.try_send(self.dispatcher.recorder.as_ref().map(|r| r.timeline().since(seen))));
            }
            Command::Shutdown => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Lets the load generators see what ended and make what is due.
    fn drive(&mut self) {
        let now = self.dispatcher.now();
        let Some(driving) = &mut self.driving else {
            self.dispatcher.ended.clear();
            return;
        };
        for ended in self.dispatcher.ended.drain(..) {
            driving.ended(ended, now);
        }
        while let Some((tenant, request)) = driving.next_request(now) {
            match request {
                Ok(request) => self.dispatcher.admit(tenant, request),
                Err(at) => {
                    if let Some(recorder) = &mut self.dispatcher.recorder {
                        recorder.mark(crate::timeline::InstantKind::Rejection, tenant, None, at);
                    }
                }
            }
        }
        if driving.is_over(now) || self.dispatcher.lost.is_some() {
            let busy = self.dispatcher.busy;
            if let Some(driving) = self.driving.take() {
                driving.report(now, busy);
            }
        }
    }

    fn until_next_timer(&self) -> Duration {
        if !self.dispatcher.ended.is_empty() {
            return Duration::ZERO;
        }
        let now = self.dispatcher.now();
        let timer = self.driving.as_ref().and_then(Driving::next_timer);
        timer.map_or(WAIT_MAX, |at: Nanos| Duration::from_nanos(at.since(now).0).min(WAIT_MAX))
    }

    fn stats(&self) -> EngineStats {
        let tenants = self.dispatcher.tenants().map(|t| {
            let (open, rejected) = t.load();
            TenantStats { id: t.id, name: t.name.clone(), memory: t.memory, open, rejected }
        });
        EngineStats {
            counters: self.dispatcher.device.counters(),
            busy: self.dispatcher.busy,
            tenants: tenants.collect(),
        }
    }
}
