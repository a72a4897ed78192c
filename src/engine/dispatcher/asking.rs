//! Co-kernels for tenants that run already: asked for one at a time, so that a model that is loaded meanwhile waits for one of
//! them at most, and compiled by the thread that compiles models. Nothing that runs waits for any of it.

use std::collections::VecDeque;
use std::sync::mpsc::TrySendError;

use super::Dispatcher;
use super::combos::Key;
use crate::engine::Memory;
use crate::engine::compiling::{Job, TogetherJob};
use crate::engine::segment::{KERNELS_MAX, chain_slices};
use crate::hal::{CoKernel, HalError, Stage, Together};
use crate::tensor::{Nanos, TenantId};

/// What a co-kernel is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Ticket {
    /// The segment of a tenant that begins at this operator.
    Segment(TenantId, u32),
    /// Segments of several tenants.
    Combination(Key),
    /// The stages of a stored schedule, in a generation of it, from this one on.
    Schedule(usize, u32, usize),
    /// Segments of all tenants, in any combination.
    General,
}

/// Co-kernels that are not compiled.
#[derive(Debug, Default)]
pub(super) struct Asking {
    queue: VecDeque<Ticket>,
    /// Tenants came, and the co-kernel for combinations of their segments is to be compiled.
    general: bool,
    under_way: bool,
}

/// Whether the thread that compiles took a co-kernel.
enum Sent {
    Yes,
    /// It has all the models that it takes for now.
    Later,
    /// There is none, or the tenant has had all that it may have.
    Never,
}

impl Asking {
    /// Asks for all that a stored schedule needs.
    pub(super) fn schedule(&mut self, schedule: usize, generation: u32) {
        self.queue.push_back(Ticket::Schedule(schedule, generation, 0));
    }
}

impl Dispatcher {
    /// Co-kernels that are still to be compiled, and stored schedules that still ask for some.
    pub(in crate::engine) fn compiling(&self) -> usize {
        let flags = usize::from(self.asking.general) + usize::from(self.asking.under_way);
        self.asking.queue.len() + self.combos.fresh.len() + self.combos.wanted.len() + flags
    }

    /// Asks for the co-kernels of a tenant's segments.
    pub(super) fn ask_for(&mut self, tenant: TenantId) {
        if let Some(loaded) = self.board.get(tenant) {
            self.asking.queue.extend(loaded.plan.segments.starts().map(|start| Ticket::Segment(tenant, start)));
            self.asking.general = self.config.memory == Memory::Pooled && self.combos.chains_max() > 1;
        }
        self.ask();
    }

    /// Has the next co-kernel compiled, if none is; what runs without one begins to at once.
    pub(super) fn ask(&mut self) {
        self.look_at_fresh();
        while !self.asking.under_way {
            let Some(ticket) = self.next_ticket() else { return };
            let Some((ticket, together)) = self.look(ticket) else { continue };
            // A schedule is used when all of its stages have co-kernels of their own.
            let runs = matches!(together, Together::Larger(_)) && !matches!(ticket, Ticket::Schedule(..));
            if runs {
                self.answered_ask(ticket, true);
            }
            match together {
                Together::Ready => self.answered_ask(ticket, true),
                Together::Apart => self.answered_ask(ticket, false),
                Together::Larger(wanted) if runs && is_too_large(&ticket, &wanted) => {}
                Together::Compile(wanted) if is_too_large(&ticket, &wanted) => self.answered_ask(ticket, false),
                Together::Compile(wanted) | Together::Larger(wanted) => match self.compile(ticket, wanted) {
                    Sent::Yes => self.asking.under_way = true,
                    // The next submission asks again.
                    Sent::Later => return self.asking.queue.push_front(ticket),
                    Sent::Never if runs => {}
                    Sent::Never => self.give_up(ticket),
                },
            }
        }
    }

    /// Hands a co-kernel to the thread that compiles.
    fn compile(&mut self, ticket: Ticket, wanted: CoKernel) -> Sent {
        let Some(compiler) = self.device.compiler().filter(|_| self.may_compile(&ticket)) else { return Sent::Never };
        match self.compiler.try_send(Job::Together(TogetherJob { ticket, wanted, compiler })) {
            Ok(()) => {
                if let Ticket::Segment(id, _) = ticket
                    && let Some(tenant) = self.board.touch(id)
                {
                    tenant.plan.segments.compiling();
                }
                Sent::Yes
            }
            Err(TrySendError::Full(_)) => Sent::Later,
            // The thread is gone: without the co-kernel all goes on as it is.
            Err(TrySendError::Disconnected(_)) => Sent::Never,
        }
    }

    fn next_ticket(&mut self) -> Option<Ticket> {
        let first = self.asking.queue.pop_front();
        let general = || std::mem::take(&mut self.asking.general).then_some(Ticket::General);
        first.or_else(general).or_else(|| self.combos.wanted.pop_front().map(Ticket::Combination))
    }

    /// Combinations that the device runs by what is compiled already begin to; for those that it could run better, or not yet, a
    /// co-kernel is wanted.
    fn look_at_fresh(&mut self) {
        while let Some(key) = self.combos.fresh.pop_front() {
            let Some((_, together)) = self.look(Ticket::Combination(key)) else { continue };
            if matches!(together, Together::Ready | Together::Larger(_)) {
                self.combos.asked(&key, true);
            }
            if together != Together::Ready {
                self.combos.wanted.push_back(key);
            }
        }
    }

    /// A co-kernel was compiled from `start` to `end`, or cannot be.
    pub(in crate::engine) fn compiled_together(
        &mut self,
        ticket: Ticket,
        kernels: usize,
        result: &Result<(), HalError>,
        (start, end): (Nanos, Nanos),
    ) {
        self.asking.under_way = false;
        if let Err(error) = result {
            tracing::debug!("{error}");
        }
        let tenant = match ticket {
            Ticket::Segment(tenant, _) => Some(tenant),
            Ticket::Combination(key) => key.segments().next().map(|(tenant, _)| tenant),
            Ticket::Schedule(schedule, ..) => self.tenant_of_schedule(schedule),
            Ticket::General => self.board.iter().map(|t| t.shared.id).next(),
        };
        if let (Some(recorder), Some(tenant)) = (&mut self.recorder, tenant) {
            recorder.compiled(tenant, &format!("co-kernel of {kernels}"), start, end);
        }
        // What failed to get a co-kernel of its own stays on a larger one, where there is one.
        let runs = |stage: Stage| matches!(self.device.together(&stage), Together::Ready | Together::Larger(_));
        if result.is_ok() || !self.stage_of(&ticket).is_some_and(runs) {
            self.answered_ask(ticket, result.is_ok());
        }
        self.ask();
    }

    /// The device runs it at once from now on, or never.
    fn answered_ask(&mut self, ticket: Ticket, ready: bool) {
        match ticket {
            Ticket::Combination(key) => self.combos.asked(&key, ready),
            Ticket::Schedule(schedule, generation, stage) if self.wants(schedule, generation) => {
                if !ready {
                    self.runs_apart(schedule);
                }
                self.asking.queue.push_front(Ticket::Schedule(schedule, generation, stage + 1));
            }
            Ticket::Schedule(..) => {}
            Ticket::General => self.combos.look_again(),
            Ticket::Segment(id, start) => {
                let Some(tenant) = self.board.touch(id) else { return };
                if ready {
                    tenant.plan.segments.compiled(start);
                } else {
                    let parts = tenant.plan.segments.divide(start);
                    self.asking.queue.extend(parts.into_iter().map(|start| Ticket::Segment(id, start)));
                }
            }
        }
    }

    fn may_compile(&self, ticket: &Ticket) -> bool {
        match ticket {
            Ticket::Combination(_) | Ticket::Schedule(..) | Ticket::General => true,
            Ticket::Segment(id, _) => self.board.get(*id).is_some_and(|t| t.plan.segments.may_compile()),
        }
    }

    fn give_up(&mut self, ticket: Ticket) {
        match ticket {
            Ticket::Combination(key) => self.combos.asked(&key, false),
            Ticket::Schedule(..) => self.answered_ask(ticket, false),
            Ticket::General => {}
            Ticket::Segment(id, start) => {
                if let Some(tenant) = self.board.touch(id) {
                    tenant.plan.segments.give_up(start);
                }
            }
        }
    }

    /// How the device would run what a ticket is for; `None` where a tenant of it has left. Of a schedule that is the first stage which
    /// does not run at once yet; one without such a stage is used from now on.
    fn look(&mut self, ticket: Ticket) -> Option<(Ticket, Together)> {
        let Ticket::Schedule(schedule, generation, from) = ticket else {
            return Some((ticket, self.device.together(&self.stage_of(&ticket)?)));
        };
        if !self.wants(schedule, generation) {
            return None;
        }
        match self.stage_to_compile(schedule, from) {
            Some((stage, together)) => Some((Ticket::Schedule(schedule, generation, stage), together)),
            None => {
                self.schedule_complete(schedule);
                None
            }
        }
    }

    /// The stage that a co-kernel is for; `None` where a tenant of it has left.
    fn stage_of(&self, ticket: &Ticket) -> Option<Stage> {
        let mut stage = Stage::default();
        let mut chain = |id: TenantId, start: u32| {
            let tenant = self.board.get(id)?;
            let operators = tenant.plan.segments.operators(start)?;
            chain_slices(&tenant.shared.recording, tenant.recording, operators, &mut stage.slices);
            Some(())
        };
        match ticket {
            Ticket::Segment(id, start) => chain(*id, *start)?,
            Ticket::Combination(key) => key.segments().try_for_each(|(id, start)| chain(id, start))?,
            Ticket::General => return self.general_stage(),
            Ticket::Schedule(..) => return None,
        }
        Some(stage)
    }
}

/// Whether a co-kernel has more kernels than it gains by. The stages of schedules are as large as their search made them, and the
/// general one bounds itself.
fn is_too_large(ticket: &Ticket, wanted: &CoKernel) -> bool {
    matches!(ticket, Ticket::Segment(..) | Ticket::Combination(_)) && wanted.kernels.len() > KERNELS_MAX
}
