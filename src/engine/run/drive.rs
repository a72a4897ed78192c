//! Load generators inside the engine's loop: requests are made when they are due, however late the engine is, so a slow
//! system does not slow its clients (no coordinated omission).

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::engine::Uploads;
use crate::engine::request::{Ended, Request, Sink};
use crate::engine::scenario::Length;
use crate::engine::tenant::TenantShared;
use crate::service::arrival::Arrivals;
use crate::tensor::{Nanos, TenantId};
use crate::timeline::metrics::Meter;

/// A run to be driven.
pub(in crate::engine) struct Drive {
    pub(in crate::engine) sources: Vec<Source>,
    pub(in crate::engine) length: Length,
    /// How long open requests may still take after the last arrival.
    pub(in crate::engine) drain_max: Nanos,
}

/// One tenant's clients.
pub(in crate::engine) struct Source {
    pub(in crate::engine) tenant: Arc<TenantShared>,
    /// The inputs of every request.
    pub(in crate::engine) uploads: Uploads,
    pub(in crate::engine) meter: Meter,
    pub(in crate::engine) pace: Pace,
}

/// When requests come.
pub(in crate::engine) enum Pace {
    /// At moments of their own, counted from the run's start.
    Open(Box<Arrivals>),
    /// When another one ends; so many at the start.
    Closed(u32),
}

/// What was measured.
pub(in crate::engine) struct DriveReport {
    /// From the start to the end of the window, or of the last request if that is later.
    pub(in crate::engine) elapsed: Nanos,
    /// Time in which the device had work.
    pub(in crate::engine) busy: Nanos,
    /// One per source.
    pub(in crate::engine) meters: Vec<Meter>,
}

/// A run under way.
pub(in crate::engine) struct Driving {
    clients: Vec<Client>,
    /// Number of the first source.
    first: usize,
    start: Nanos,
    until: Option<Nanos>,
    drain_max: Nanos,
    drain_until: Option<Nanos>,
    last_end: Nanos,
    busy_before: Nanos,
    reply: SyncSender<DriveReport>,
}

struct Client {
    source: Source,
    /// When the next requests are due; for closed loops the moments at which clients became free.
    due: std::collections::VecDeque<Nanos>,
    /// Requests still to be made, where they are counted.
    left: Option<u64>,
}

impl Driving {
    pub(in crate::engine) fn start(
        drive: Drive,
        first: usize,
        reply: SyncSender<DriveReport>,
        now: Nanos,
        busy_before: Nanos,
    ) -> Driving {
        let (until, left) = match drive.length {
            Length::Duration(time) => (Some(now + time), None),
            Length::Requests(n) => (None, Some(n)),
        };
        let client = |mut source: Source| {
            let due = match &mut source.pace {
                Pace::Open(arrivals) => arrivals.next().map(|at| now + at).into_iter().collect(),
                Pace::Closed(concurrency) => (0..*concurrency).map(|_| now).collect(),
            };
            Client { source, due, left }
        };
        Driving {
            clients: drive.sources.into_iter().map(client).collect(),
            first,
            start: now,
            until,
            drain_max: drive.drain_max,
            drain_until: None,
            last_end: now,
            busy_before,
            reply,
        }
    }

    /// The next request that is due, or the moment of one that was turned away.
    pub(in crate::engine) fn next_request(&mut self, now: Nanos) -> Option<(TenantId, Result<Request, Nanos>)> {
        let (start, until) = (self.start, self.until);
        let is_due = |c: &Client| c.next_due(until).is_some_and(|at| at <= now);
        let at = self.clients.iter().position(is_due)?;
        let client = &mut self.clients[at];
        let due = client.due.pop_front()?;
        client.left = client.left.map(|n| n - 1);
        let source = &mut client.source;
        if let Pace::Open(arrivals) = &mut source.pace {
            client.due.extend(arrivals.next().map(|at| start + at));
        }
        source.meter.arrived();
        let request = match source.tenant.enter() {
            Ok(place) => Ok(Request::new(due, source.uploads.clone(), Sink::Source(self.first + at), place)),
            Err(_) => {
                source.meter.rejected();
                Err(due)
            }
        };
        Some((source.tenant.id, request))
    }

    /// Counts a request that ended; a closed loop's client is free again.
    pub(in crate::engine) fn ended(&mut self, ended: Ended, now: Nanos) {
        let number = ended.source.checked_sub(self.first);
        let Some(client) = number.and_then(|at| self.clients.get_mut(at)) else { return };
        let at = ended.finished.unwrap_or(now);
        match ended.finished {
            Some(finished) => client.source.meter.completed(finished.since(ended.arrival)),
            None => client.source.meter.failed(),
        }
        self.last_end = self.last_end.max(at);
        if let Pace::Closed(_) = client.source.pace {
            client.due.push_back(at);
        }
    }

    /// Lets no request come that is due at `now` or later.
    pub(in crate::engine) fn end_arrivals(&mut self, now: Nanos) {
        self.until = Some(self.until.map_or(now, |until| until.min(now)));
    }

    /// When something happens next without anybody's doing.
    pub(in crate::engine) fn next_timer(&self) -> Option<Nanos> {
        let due = self.clients.iter().filter_map(|c| c.next_due(self.until)).min();
        due.into_iter().chain(self.drain_until.or(self.until)).min()
    }

    /// True when no request will come any more and none is open, or the wait for open ones was long enough.
    pub(in crate::engine) fn is_over(&mut self, now: Nanos) -> bool {
        let all_made = match self.until {
            Some(until) => now >= until,
            None => self.clients.iter().all(|c| c.left == Some(0)),
        };
        if !all_made {
            return false;
        }
        let drain_until = *self.drain_until.get_or_insert(now + self.drain_max);
        now >= drain_until || self.clients.iter().all(|c| c.source.meter.open() == 0)
    }

    /// Ends the run.
    pub(in crate::engine) fn report(self, now: Nanos, busy: Nanos) {
        let timed_out = self.clients.iter().any(|c| c.source.meter.open() > 0);
        let end = if timed_out { now } else { self.until.unwrap_or(self.start).max(self.last_end) };
        let report = DriveReport {
            elapsed: end.since(self.start),
            busy: busy.since(self.busy_before),
            meters: self.clients.into_iter().map(|c| c.source.meter).collect(),
        };
        // Whoever waited may have gone.
        let _ = self.reply.try_send(report);
    }
}

impl Client {
    fn next_due(&self, until: Option<Nanos>) -> Option<Nanos> {
        let due = *self.due.front()?;
        (self.left != Some(0) && until.is_none_or(|end| due < end)).then_some(due)
    }
}
