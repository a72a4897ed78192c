//! The simulated GPU: streams in, times out. Discrete events in virtual time, nothing sleeps, nothing is random.
//!
//! The caller submits commands at the present time and moves time: [`Gpu::advance_to`] to a moment, [`Gpu::step`] to the
//! next one at which anything happens. Everything that happens at one moment is gathered first; then room is given and
//! rates are found once. Time outside is in nanoseconds, and whatever ended within one is reported at its end.

use std::collections::VecDeque;
use std::sync::Arc;

use super::agenda::What;
use super::blend::GROUPS_MAX;
use super::clock::{Ps, nanos_after, nanos_before, ps};
use super::context::{Context, Instance};
use super::copy::{Direction, Link};
use super::exec::{Exec, Totals};
use super::graph::GraphRun;
use super::job::{Job, Owner};
use super::partition::{ContextId, ContextSpec, Mode};
use super::profile::Profile;
use super::slab::Slab;
use super::sm_set::SmSet;
use super::streams::{Command, CommandId, Done, Event, EventId, HostId, Pending, Queue, SimError, Stream, StreamId};
use crate::tensor::Nanos;

/// Commands that may wait or run at the same time; more are refused.
pub const COMMANDS_MAX: usize = 1 << 20;

/// A simulated GPU.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) profile: Arc<Profile>,
    pub(super) now: Ps,
    pub(super) exec: Exec,
    pub(super) commands: Slab<Pending>,
    pub(super) contexts: Vec<Context>,
    pub(super) instances: Vec<Instance>,
    streams: Vec<Stream>,
    queues: Vec<Queue>,
    hosts: Vec<Ps>,
    events: Vec<Event>,
    links: [Link; 2],
    runs: Slab<GraphRun>,
    /// Queues whose head may be able to begin.
    woken: VecDeque<u32>,
    done: Vec<Done>,
    submitted: u64,
    costs: LaunchPs,
    /// See `blend.rs`.
    pub(super) groups_max: usize,
}

/// The profile's times of launches in picoseconds.
#[derive(Clone, Copy, Debug)]
struct LaunchPs {
    kernel: Ps,
    gap: Ps,
    graph: Ps,
    graph_node: Ps,
    event: Ps,
    copy: Ps,
}

impl Gpu {
    /// A GPU in one piece whose contexts run at the same time; see [`Gpu::partition`] and [`Gpu::set_mode`].
    pub fn new(profile: Arc<Profile>) -> Gpu {
        let us = |us: f64| (us * 1e6) as Ps;
        let l = &profile.launch;
        let costs = LaunchPs {
            kernel: us(l.host_us),
            gap: us(l.gap_us),
            graph: us(l.graph_us),
            graph_node: us(l.graph_node_us),
            event: us(l.event_us),
            copy: us(profile.copy.host_us),
        };
        let mut gpu = Gpu {
            now: 0,
            exec: Exec::new(&profile),
            commands: Slab::new(),
            contexts: Vec::new(),
            instances: Vec::new(),
            streams: Vec::new(),
            queues: Vec::new(),
            hosts: Vec::new(),
            events: Vec::new(),
            links: [Direction::ToDevice, Direction::ToHost].map(|d| Link::new(&profile.copy, d)),
            runs: Slab::new(),
            woken: VecDeque::new(),
            done: Vec::new(),
            submitted: 0,
            costs,
            groups_max: GROUPS_MAX,
            profile,
        };
        gpu.instance(SmSet::range(0, gpu.profile.compute.sms), 1.0, Mode::Shared, 0);
        gpu
    }

    /// Lets pools that are made from now on tell apart so many groups of blocks, times kernels, before they blend them
    /// (`blend.rs`): `usize::MAX` never blends, 0 whenever two differ.
    #[must_use]
    pub fn telling_apart(mut self, groups_max: usize) -> Gpu {
        self.groups_max = groups_max;
        self
    }

    /// A context of the whole GPU with all SMs, for what needs no partition.
    ///
    /// # Errors
    /// As [`Gpu::context`].
    pub fn plain_context(&mut self) -> Result<ContextId, SimError> {
        self.context(ContextSpec { instance: self.whole(), sms: super::SmBound::All, slice: None })
    }

    /// A new stream; larger priorities are more urgent.
    ///
    /// # Errors
    /// [`SimError::NoContext`].
    pub fn stream(&mut self, context: ContextId, priority: i32) -> Result<StreamId, SimError> {
        let queues_max = self.profile.launch.queues;
        let at = context.0 as usize;
        let owner = self.contexts.get_mut(at).filter(|c| c.alive).ok_or(SimError::NoContext(context))?;
        let place = (owner.streams % queues_max) as usize;
        owner.streams += 1;
        if owner.queues.len() <= place {
            owner.queues.push(self.queues.len() as u32);
            self.queues.push(Queue::default());
        }
        let queue = owner.queues[place];
        self.streams.push(Stream { context: context.0, queue, priority, busy: false, ready_at: 0 });
        Ok(StreamId((self.streams.len() - 1) as u32))
    }

    /// A new thread of the host.
    pub fn host(&mut self) -> HostId {
        self.hosts.push(0);
        HostId((self.hosts.len() - 1) as u32)
    }

    /// A new event.
    pub fn event(&mut self) -> EventId {
        self.events.push(Event::default());
        EventId((self.events.len() - 1) as u32)
    }

    /// Keeps a host thread busy with something else for `time`; what it enqueues next comes after that.
    pub fn occupy(&mut self, host: HostId, time: Nanos) {
        let free = &mut self.hosts[host.0 as usize];
        *free = (*free).max(self.now) + ps(time);
    }

    /// Enqueues a command from a host thread at the present time; `tag` comes back with its end. Recording and waiting are
    /// not reported.
    ///
    /// # Errors
    /// [`SimError::NoStream`], [`SimError::DoesNotFit`], [`SimError::Full`]; nothing was submitted then.
    pub fn submit(
        &mut self,
        host: HostId,
        stream: StreamId,
        command: Command,
        tag: u64,
    ) -> Result<CommandId, SimError> {
        let at = self.streams.get(stream.0 as usize).ok_or(SimError::NoStream(stream))?;
        if !self.contexts[at.context as usize].alive {
            return Err(SimError::NoStream(stream));
        }
        if self.commands.len() >= COMMANDS_MAX {
            return Err(SimError::Full { waiting: self.commands.len() });
        }
        let queue = at.queue;
        let mut mark = 0;
        let cost = match &command {
            Command::Kernel(kernel) => {
                self.fits(&kernel.need)?;
                self.costs.kernel
            }
            Command::Graph(graph) => {
                graph.nodes().iter().try_for_each(|n| self.fits(&n.cost.need))?;
                self.costs.graph
            }
            Command::Copy { .. } => self.costs.copy,
            Command::Record(event) => {
                let event = &mut self.events[event.0 as usize];
                event.submitted += 1;
                mark = event.submitted;
                self.costs.event
            }
            Command::Wait(event) => {
                mark = self.events[event.0 as usize].submitted;
                self.costs.event
            }
        };
        let free = &mut self.hosts[host.0 as usize];
        *free = (*free).max(self.now) + cost;
        self.submitted += 1;
        let pending = Pending {
            seq: self.submitted,
            stream: stream.0,
            what: command,
            enqueued: *free,
            tag,
            started: None,
            job: None,
            mark,
        };
        let place = self.commands.insert(pending);
        let commands = &mut self.queues[queue as usize].commands;
        commands.push_back(place);
        if commands.len() == 1 {
            self.woken.push_back(queue);
        }
        Ok(CommandId { seq: self.submitted, place })
    }

    fn fits(&self, need: &super::BlockNeed) -> Result<(), SimError> {
        match self.profile.sm.blocks_per_sm(need) {
            0 => Err(SimError::DoesNotFit { profile: self.profile.name.clone(), need: *need }),
            _ => Ok(()),
        }
    }

    /// Asks a running or ready kernel to give up its blocks that have not begun; it ends at the boundary of those that have,
    /// and its [`Done::withdrawn`] says how many are left. False for what is no kernel, waits in its stream, or is over.
    pub fn retreat(&mut self, command: CommandId) -> bool {
        self.flush();
        let pending = self.commands.get(command.place).filter(|c| c.seq == command.seq);
        let Some(job) = pending.and_then(|c| c.job) else { return false };
        self.exec.retreat(job, self.now);
        self.flush();
        true
    }

    /// The present time.
    pub fn now(&self) -> Nanos {
        nanos_after(self.now)
    }

    /// When the host thread has enqueued everything that it was given.
    pub fn host_free_at(&self, host: HostId) -> Nanos {
        nanos_after(self.hosts[host.0 as usize].max(self.now))
    }

    /// Commands that are not done.
    pub fn waiting(&self) -> usize {
        self.commands.len()
    }

    /// The profile that it simulates.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The nanosecond at the end of which something happens next; `None` when nothing will.
    pub fn next_event(&mut self) -> Option<Nanos> {
        self.flush();
        self.exec.shared.agenda.peek().map(|(at, _)| nanos_after(at))
    }

    /// Moves time to the next event and returns it; `None` when there is none.
    pub fn step(&mut self) -> Option<Nanos> {
        let next = self.next_event()?;
        self.advance_to(next);
        Some(next)
    }

    /// Moves time to `to`, with everything that happens until then.
    pub fn advance_to(&mut self, to: Nanos) {
        self.flush();
        let to = ps(to);
        while let Some((at, _)) = self.exec.shared.agenda.peek().filter(|(at, _)| *at <= to) {
            self.now = self.now.max(at);
            self.events_now();
            self.flush();
        }
        self.now = self.now.max(to);
    }

    /// Moves what ended to `out`, in order of its end.
    pub fn take_done(&mut self, out: &mut Vec<Done>) {
        out.append(&mut self.done);
    }

    /// Something ended and was not taken.
    pub fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Sums over everything that ended.
    pub fn totals(&self) -> Totals {
        self.exec.shared.totals
    }

    /// SMs that held a block, summed over time, in SM·s; over all instances.
    pub fn busy_sm_seconds(&self) -> f64 {
        let ps: u128 = (0..self.exec.pools.len() as u32).map(|p| self.exec.busy(p, self.now)).sum();
        ps as f64 * 1e-12
    }

    /// Carries out all events of the present time.
    fn events_now(&mut self) {
        while let Some((_, what)) = self.exec.shared.agenda.peek().filter(|(at, _)| *at <= self.now) {
            self.exec.shared.agenda.remove(what);
            match what {
                What::Train(train) => self.exec.train_ended(train, self.now),
                What::Link(link) => self.copies_ended(link),
                What::Turn(instance) => self.turn_ended(instance),
                What::Job(job) => {
                    let priority = self.priority_of(self.exec.shared.jobs[job].owner);
                    self.exec.ready(job, priority, self.now);
                }
                What::Queue(queue) => self.woken.push_back(queue),
            }
        }
    }

    /// Brings everything up to date at the present time.
    fn flush(&mut self) {
        loop {
            for at in 0.. {
                let Some(&job) = self.exec.finished.get(at) else { break };
                self.job_over(job);
            }
            self.exec.finished.clear();
            while let Some(queue) = self.woken.pop_front() {
                self.look_at(queue);
            }
            if !self.exec.finished.is_empty() {
                continue;
            }
            for at in 0.. {
                let Some(pool) = self.exec.touched(at) else { break };
                self.consider_turn(pool);
            }
            self.exec.settle(self.now);
            let due = self.exec.shared.agenda.peek().is_some_and(|(at, _)| at <= self.now);
            if due {
                self.events_now();
            } else if self.exec.finished.is_empty() && self.woken.is_empty() {
                return;
            }
        }
    }

    /// Begins the head of a queue, and the next ones, as far as they may.
    fn look_at(&mut self, number: u32) {
        while let Some(&place) = self.queues[number as usize].commands.front() {
            let pending = &self.commands[place];
            let stream = &self.streams[pending.stream as usize];
            if stream.busy {
                return;
            }
            let usable = self.contexts[stream.context as usize].usable_from;
            let at = pending.enqueued.max(stream.ready_at).max(usable);
            if at > self.now {
                self.exec.shared.agenda.set(What::Queue(number), at);
                return;
            }
            if let Command::Wait(event) = pending.what {
                let event = &mut self.events[event.0 as usize];
                if event.made < pending.mark {
                    if !std::mem::replace(&mut self.queues[number as usize].waits, true) {
                        event.waiting.push(number);
                    }
                    return;
                }
            }
            self.queues[number as usize].commands.pop_front();
            self.begin(place);
        }
    }

    fn begin(&mut self, place: u32) {
        let pending = &self.commands[place];
        let stream = &mut self.streams[pending.stream as usize];
        stream.busy = true;
        let (context, priority) = (&self.contexts[stream.context as usize], stream.priority);
        match &pending.what {
            Command::Kernel(cost) => {
                let (pool, view) = (context.pool, context.view);
                let job = self.exec.job(Owner::Command(place), cost, &self.profile, pool, view);
                self.commands[place].job = Some(job);
                self.exec.ready(job, priority, self.now);
            }
            Command::Graph(graph) => {
                let run = GraphRun::new(place, graph.clone());
                let (roots, over) = (run.roots(), run.is_over());
                let run = self.runs.insert(run);
                roots.into_iter().for_each(|node| self.begin_node(run, node));
                if over {
                    self.runs.free(run);
                    self.over(place, 0, 0);
                }
            }
            &Command::Copy { bytes, direction, pinned } => {
                let link = direction.index();
                self.links[link as usize].push(place, bytes, pinned);
                self.exec.shared.totals.copied_bytes += bytes as f64;
                self.copies_ended(link);
            }
            &Command::Record(event) => {
                let event = &mut self.events[event.0 as usize];
                event.made = event.made.max(pending.mark);
                let waiting = std::mem::take(&mut event.waiting);
                for &queue in &waiting {
                    self.queues[queue as usize].waits = false;
                    self.woken.push_back(queue);
                }
                self.forget(place);
            }
            Command::Wait(_) => self.forget(place),
        }
    }

    fn begin_node(&mut self, run: u32, node: u32) {
        let at = &self.runs[run];
        let stream = &self.streams[self.commands[at.command].stream as usize];
        let context = &self.contexts[stream.context as usize];
        let cost = &at.graph.nodes()[node as usize].cost;
        let job = self.exec.job(Owner::Node { run, node }, cost, &self.profile, context.pool, context.view);
        self.exec.shared.agenda.set(What::Job(job), self.now + self.costs.graph_node);
    }

    fn priority_of(&self, owner: Owner) -> i32 {
        let command = match owner {
            Owner::Command(place) => place,
            Owner::Node { run, .. } => self.runs[run].command,
        };
        self.streams[self.commands[command].stream as usize].priority
    }

    fn job_over(&mut self, number: u32) {
        let &Job { owner, started, done, withdrawn, .. } = self.exec.forget(number);
        match owner {
            Owner::Command(place) => {
                self.commands[place].started = started;
                self.over(place, done, withdrawn);
            }
            Owner::Node { run, node } => {
                let at = &mut self.runs[run];
                let place = at.command;
                let pending = &mut self.commands[place];
                pending.started = [pending.started, started].into_iter().flatten().min();
                let next = at.ended(node);
                let over = at.is_over();
                next.into_iter().for_each(|node| self.begin_node(run, node));
                if over {
                    self.runs.free(run);
                    self.over(place, 0, 0);
                }
            }
        }
    }

    /// Copies that ended go, others begin.
    fn copies_ended(&mut self, number: u32) {
        let link = &mut self.links[number as usize];
        let mut ended = Vec::new();
        while let Some(place) = link.take_ended(self.now) {
            ended.push(place);
        }
        while let Some(place) = link.begin(self.now) {
            self.commands[place].started = Some(self.now);
        }
        match link.end() {
            Some(at) => self.exec.shared.agenda.set(What::Link(number), at),
            None => self.exec.shared.agenda.remove(What::Link(number)),
        }
        ended.into_iter().for_each(|place| self.over(place, 0, 0));
    }

    /// A command is over: it is reported, and its stream may go on after the gap.
    fn over(&mut self, place: u32, blocks: u32, withdrawn: u32) {
        let pending = &self.commands[place];
        self.done.push(Done {
            command: CommandId { seq: pending.seq, place },
            tag: pending.tag,
            start: nanos_before(pending.started.unwrap_or(self.now)),
            end: nanos_after(self.now),
            blocks,
            withdrawn,
        });
        self.streams[pending.stream as usize].ready_at = self.now + self.costs.gap;
        self.forget(place);
    }

    /// The command's stream is free.
    fn forget(&mut self, place: u32) {
        let stream = &mut self.streams[self.commands[place].stream as usize];
        stream.busy = false;
        let queue = stream.queue;
        self.commands[place].job = None;
        // Nobody may take it for the command that comes into this place later.
        self.commands[place].seq = 0;
        self.commands.free(place);
        if !self.queues[queue as usize].commands.is_empty() {
            self.woken.push_back(queue);
        }
    }
}
