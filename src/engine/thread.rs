//! The engine's thread: takes commands, lets load generators make their requests by the clock, and keeps the device fed.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, TryRecvError};
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
    /// The device's clock is virtual.
    pub(super) is_virtual: bool,
    /// Load generators so far, over all runs.
    pub(super) sources: usize,
}

impl EngineThread {
    /// Runs until it is told to end or nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        while self.take_commands().is_continue() {
            self.dispatcher.collect(Wait::No);
            self.dispatcher.take_computed();
            self.drive();
            self.dispatcher.issue();
            let flow = if self.is_virtual { self.pass_virtual_time() } else { self.pass_time() };
            if flow.is_break() {
                return;
            }
        }
    }

    /// Waits for the device, a command or a timer.
    fn pass_time(&mut self) -> ControlFlow<()> {
        let now = self.dispatcher.now();
        let timer = self.next_timer().map_or(WAIT_MAX, |at| Duration::from_nanos(at.since(now).0).min(WAIT_MAX));
        if self.dispatcher.in_flight() > 0 {
            let most = if self.dispatcher.is_full() { WAIT_MAX } else { POLL_MAX };
            self.dispatcher.collect(Wait::AtMost(timer.min(most)));
            return ControlFlow::Continue(());
        }
        if timer.is_zero() {
            return ControlFlow::Continue(());
        }
        match self.commands.recv_timeout(timer) {
            Ok(command) => self.handle(command),
            Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
            Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        }
    }

    /// Lets the virtual clock go on to what happens next; where nothing will, waits for a command while it stands still.
    /// The real time that commands take changes nothing: they come between runs, and a run depends on its seed alone.
    fn pass_virtual_time(&mut self) -> ControlFlow<()> {
        let now = self.dispatcher.now();
        let timer = self.next_timer().map(|at| Duration::from_nanos(at.since(now).0));
        if timer.is_some() || self.dispatcher.in_flight() > 0 {
            self.dispatcher.collect(Wait::AtMost(timer.unwrap_or(Duration::MAX)));
            return ControlFlow::Continue(());
        }
        match self.commands.recv() {
            Ok(command) => self.handle(command),
            Err(RecvError) => ControlFlow::Break(()),
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
            Command::Compiled(loading, result) => self.dispatcher.kernels_compiled(*loading, result),
            Command::CompiledTogether { ticket, kernels, result, ran } => {
                self.dispatcher.compiled_together(ticket, kernels, &result, ran);
            }
            Command::Unload(tenant) => self.dispatcher.unload(tenant),
            Command::Pause(tenant, paused) => self.dispatcher.pause(tenant, paused),
            Command::Priority(tenant, priority) => self.dispatcher.set_priority(tenant, priority),
            Command::Infer(tenant, request) => self.dispatcher.admit(tenant, request),
            Command::HostDone(done) => self.dispatcher.host_done(done),
            Command::Drive(drive, reply) => {
                let first = self.sources;
                self.sources += drive.sources.len();
                let now = self.dispatcher.now();
                if let Some(recorder) = &mut self.dispatcher.recorder {
                    recorder.measurement_begins(now);
                }
                self.driving = Some(Driving::start(*drive, first, reply, now));
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
        if driving.begins(now, self.dispatcher.occupied()) {
            self.dispatcher.preemptions.clear();
        }
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
            let (occupied, preemptions) = (self.dispatcher.occupied(), self.dispatcher.preemptions.latencies().ms());
            if let Some(driving) = self.driving.take() {
                driving.report(now, occupied, preemptions);
            }
        }
    }

    /// When something happens next without anybody's doing.
    fn next_timer(&mut self) -> Option<Nanos> {
        if !self.dispatcher.ended.is_empty() {
            return Some(self.dispatcher.now());
        }
        let arrival = self.driving.as_mut().and_then(Driving::next_timer);
        arrival.into_iter().chain(self.dispatcher.wake()).chain(self.dispatcher.cpu.next_end()).min()
    }

    fn stats(&self) -> EngineStats {
        let tenants = self.dispatcher.board.iter().map(|tenant| {
            let t = &tenant.shared;
            let (open, rejected) = t.load();
            let cost_sources = self.dispatcher.device.cost_sources(tenant.recording);
            TenantStats { id: t.id, name: t.name.clone(), memory: t.memory, open, rejected, cost_sources }
        });
        EngineStats {
            counters: self.dispatcher.device.counters(),
            busy: self.dispatcher.busy,
            faults: self.dispatcher.faults,
            rounds: self.dispatcher.rounds(),
            compiling: self.dispatcher.compiling(),
            trials: self.dispatcher.board.iter().map(|t| t.plan.segments.trials()).sum(),
            tenants: tenants.collect(),
        }
    }
}
