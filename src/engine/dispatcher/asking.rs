//! Co-kernels for tenants that run already: asked for one at a time, so that a model that is loaded meanwhile waits for one of
//! them at most, and compiled by the thread that compiles models. Nothing that runs waits for any of it.

use std::collections::VecDeque;
use std::sync::mpsc::TrySendError;

use super::Dispatcher;
use super::combos::Key;
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
}

/// Co-kernels that are not compiled.
#[derive(Debug, Default)]
pub(super) struct Asking {
    queue: VecDeque<Ticket>,
    under_way: bool,
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
        self.asking.queue.len() + self.combos.wanted.len() + usize::from(self.asking.under_way)
    }

    /// Asks for the co-kernels of a tenant's segments.
    pub(super) fn ask_for(&mut self, tenant: TenantId) {
        if let Some(loaded) = self.board.get(tenant) {
            self.asking.queue.extend(loaded.plan.segments.starts().map(|start| Ticket::Segment(tenant, start)));
        }
        self.ask();
    }

    /// Has the next co-kernel compiled, if none is.
    pub(super) fn ask(&mut self) {
        while !self.asking.under_way {
            let next = self.asking.queue.pop_front();
            let Some(ticket) = next.or_else(|| self.combos.wanted.pop_front().map(Ticket::Combination)) else { return };
            let Some((ticket, together)) = self.look(ticket) else { continue };
            match together {
                Together::Ready => self.answered_ask(ticket, true),
                Together::Apart => self.answered_ask(ticket, false),
                Together::Compile(wanted) if is_too_large(&ticket, &wanted) => self.answered_ask(ticket, false),
                Together::Compile(wanted) => {
                    let Some(compiler) = self.device.compiler().filter(|_| self.may_compile(&ticket)) else {
                        self.give_up(ticket);
                        continue;
                    };
                    let job = Job::Together(TogetherJob { ticket, wanted, compiler });
                    match self.compiler.try_send(job) {
                        Ok(()) => self.asking.under_way = true,
                        // It takes no more for now; the next submission asks again.
                        Err(TrySendError::Full(_)) if matches!(ticket, Ticket::Schedule(..)) => {
                            return self.asking.queue.push_front(ticket);
                        }
                        // The thread is gone, or has all the models that it takes: without the co-kernel all goes on as it is.
                        Err(_) => self.give_up(ticket),
                    }
                }
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
        };
        if let (Some(recorder), Some(tenant)) = (&mut self.recorder, tenant) {
            recorder.compiled(tenant, &format!("co-kernel of {kernels}"), start, end);
        }
        self.answered_ask(ticket, result.is_ok());
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

    fn may_compile(&mut self, ticket: &Ticket) -> bool {
        match ticket {
            Ticket::Combination(_) | Ticket::Schedule(..) => true,
            Ticket::Segment(id, _) => self.board.touch(*id).is_some_and(|t| t.plan.segments.may_compile()),
        }
    }

    fn give_up(&mut self, ticket: Ticket) {
        match ticket {
            Ticket::Combination(key) => self.combos.asked(&key, false),
            Ticket::Schedule(..) => self.answered_ask(ticket, false),
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
            Ticket::Schedule(..) => return None,
        }
        Some(stage)
    }
}

/// Whether a co-kernel has more kernels than it gains by. The stages of schedules are as large as their search made them.
fn is_too_large(ticket: &Ticket, wanted: &CoKernel) -> bool {
    !matches!(ticket, Ticket::Schedule(..)) && wanted.kernels.len() > KERNELS_MAX
}
