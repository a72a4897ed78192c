//! Contexts, and how those that cannot run at the same time take turns.
//!
//! Without MPS, kernels of one process only reside on the SMs. Contexts with work take turns of a fixed
//! length; at the end of a turn everything that resides is saved, wherever it is, and continues at the next turn. A
//! context that has no more work gives the rest of its turn away, and a context alone keeps the SMs.

use std::collections::VecDeque;

use super::Gpu;
use super::agenda::What;
use super::clock::{Ps, ps};
use super::partition::{ContextId, ContextSpec, Mode, SmBound};
use super::pool::MemoryPart;
use super::sm_set::SmSet;
use super::streams::SimError;

/// A GPU or a MIG instance.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) sms: SmSet,
    pub(super) memory: MemoryPart,
    pub(super) usable_from: Ps,
    pub(super) alive: bool,
    pub(super) turn: Turn,
}

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    /// Everybody's, on this pool; it is made with the first context.
    Shared(Option<u32>),
    /// One pool's.
    Sliced(Slices),
}

/// Turns of pools, one of each context.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    /// Who has it, or had it last.
    active: Option<u32>,
    began: Ps,
    /// Who gets it when the switch is over.
    switching: Option<u32>,
    /// Who waits, in order.
    waiting: VecDeque<u32>,
}

impl Turn {
    pub(super) fn new(mode: Mode) -> Turn {
        match mode {
            Mode::Shared => Turn::Shared(None),
            Mode::Sliced => Turn::Sliced(Slices::default()),
        }
    }
}

/// A process, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) instance: u32,
    pub(super) pool: u32,
    pub(super) view: u32,
    pub(super) usable_from: Ps,
    pub(super) alive: bool,
    /// Its hardware queues, as far as streams use them.
    pub(super) queues: Vec<u32>,
    pub(super) streams: u32,
}

impl Gpu {
    /// A new context.
    ///
    /// # Errors
    /// [`SimError::NoInstance`]; [`SimError::Partition`] for a bound that the device cannot keep, or too many clients.
    pub fn context(&mut self, spec: ContextSpec) -> Result<ContextId, SimError> {
        let instance = self.alive(spec.instance)?.clone();
        let (sms, cap) = self.bound(instance.sms, spec.sms)?;
        let sharing = &self.profile.sharing;
        let slice = spec.slice.map_or((sharing.time_slice_us * 1e6) as Ps, ps).max(1);
        let mut usable_from = instance.usable_from.max(self.now);
        if matches!(spec.sms, SmBound::Only(_)) {
            usable_from += (sharing.green_change_ms * 1e9) as Ps;
        }
        let (pool, view) = match instance.turn {
            Turn::Shared(pool) => {
                let others = self.contexts.iter().filter(|c| c.alive && c.instance == spec.instance.0).count();
                let clients_max = sharing.mps_clients_max.max(1) as usize;
                if others >= clients_max && !matches!(spec.sms, SmBound::Only(_)) {
                    let reason =
                        format!("{} runs {clients_max} at the same time; let them take turns", self.profile.name);
                    return Err(SimError::Partition { what: format!("context {}", others + 1), reason });
                }
                let pool = pool.unwrap_or_else(|| self.pool(spec.instance.0));
                self.instances[spec.instance.0 as usize].turn = Turn::Shared(Some(pool));
                (pool, self.exec.pools[pool as usize].add_view(sms, cap))
            }
            Turn::Sliced(_) => {
                let pool = self.pool(spec.instance.0);
                let turns = &mut self.exec.pools[pool as usize];
                (turns.running, turns.turn) = (false, slice);
                (pool, self.exec.pools[pool as usize].add_view(sms, cap))
            }
        };
        self.contexts.push(Context {
            instance: spec.instance.0,
            pool,
            view,
            usable_from,
            alive: true,
            queues: Vec::new(),
            streams: 0,
        });
        Ok(ContextId((self.contexts.len() - 1) as u32))
    }

    /// Changes the SMs of a context. Its kernels that run keep their places; the next ones begin after the time that the
    /// profile says for such a change.
    ///
    /// # Errors
    /// [`SimError::NoContext`], [`SimError::Partition`].
    pub fn reshape(&mut self, id: ContextId, bound: SmBound) -> Result<(), SimError> {
        let context = self.contexts.get(id.0 as usize).filter(|c| c.alive).ok_or(SimError::NoContext(id))?;
        let (pool, instance) = (context.pool, context.instance);
        let (sms, cap) = self.bound(self.instances[instance as usize].sms, bound)?;
        let sharing = &self.profile.sharing;
        let ms = if matches!(bound, SmBound::Only(_)) { sharing.green_change_ms } else { sharing.mps_change_ms };
        let usable_from = self.now + (ms * 1e9) as Ps;
        let view = self.exec.pools[pool as usize].add_view(sms, cap);
        let context = &mut self.contexts[id.0 as usize];
        context.view = view;
        context.usable_from = context.usable_from.max(usable_from);
        Ok(())
    }

    /// A pool got work or lost it: who has the turn may change.
    pub(super) fn consider_turn(&mut self, pool: u32) {
        let pools = &mut self.exec.pools;
        let number = pools[pool as usize].instance;
        let Turn::Sliced(slices) = &mut self.instances[number as usize].turn else { return };
        let has_turn = slices.active == Some(pool) || slices.switching == Some(pool);
        let candidate = &mut pools[pool as usize];
        if candidate.jobs > 0 && !has_turn && !candidate.waits {
            candidate.waits = true;
            slices.waiting.push_back(pool);
        }
        if slices.switching.is_some() || slices.waiting.is_empty() {
            return;
        }
        match slices.active.map(|active| &pools[active as usize]).filter(|p| p.jobs > 0) {
            Some(active) => {
                let end = slices.began.saturating_add(active.turn).max(self.now);
                self.exec.shared.agenda.set(What::Turn(number), end);
            }
            None => self.switch(number),
        }
    }

    /// The end of a turn, or of a switch.
    pub(super) fn turn_ended(&mut self, number: u32) {
        let now = self.now;
        let Turn::Sliced(slices) = &mut self.instances[number as usize].turn else { return };
        let Some(next) = slices.switching.take() else {
            return self.switch(number);
        };
        slices.active = Some(next);
        slices.began = now;
        self.exec.set_running(next, true, now);
        self.consider_turn(next);
    }

    /// Takes the SMs from whoever has them and gives them to the next one that has work.
    fn switch(&mut self, number: u32) {
        let now = self.now;
        let Turn::Sliced(slices) = &mut self.instances[number as usize].turn else { return };
        let Some(next) = slices.waiting.pop_front() else { return };
        self.exec.pools[next as usize].waits = false;
        slices.switching = Some(next);
        let mut cost = 0;
        if let Some(before) = slices.active.take() {
            cost = (self.profile.sharing.switch_us * 1e6) as Ps;
            let pool = &mut self.exec.pools[before as usize];
            if pool.jobs > 0 {
                pool.waits = true;
                slices.waiting.push_back(before);
            }
            self.exec.set_running(before, false, now);
        }
        self.exec.shared.agenda.set(What::Turn(number), now + cost);
    }
}
