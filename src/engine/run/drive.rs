//! Load generators inside the engine's loop: requests are made when they are due, however late the engine is, so a slow
//! system does not slow its clients (no coordinated omission).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::engine::Uploads;
use crate::engine::request::{Ended, Request, Sink};
use crate::engine::scenario::Length;
use crate::engine::tenant::TenantShared;
use crate::service::arrival::Arrivals;
use crate::tensor::{Nanos, TenantId};
use crate::timeline::LatencyMs;
use crate::timeline::metrics::{Meter, Occupied};

/// A run to be driven.
pub(in crate::engine) struct Drive {
    pub(in crate::engine) sources: Vec<Source>,
    /// How long requests come before they are counted.
    pub(in crate::engine) warm_up: Nanos,
    /// Of the part that is counted.
    pub(in crate::engine) length: Length,
    /// How long open requests may still take after the last arrival.
    pub(in crate::engine) drain_max: Nanos,
}

/// One tenant's clients.
pub(in crate::engine) struct Source {
    pub(in crate::engine) tenant: Arc<TenantShared>,
    /// The inputs of every request.
    pub(in crate::engine) uploads: Arc<Uploads>,
    /// The outputs of every request, as the device holds them; not known of a tenant that failed alone.
    pub(in crate::engine) expected: Option<Arc<Vec<Vec<u8>>>>,
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
    /// Use of the device.
    pub(in crate::engine) occupied: Occupied,
    /// One per source.
    pub(in crate::engine) meters: Vec<Meter>,
    /// Per source, the last outputs that were not as expected.
    pub(in crate::engine) differing: Vec<Option<Vec<Vec<u8>>>>,
    /// How long best-effort work went on when a latency tenant's request came.
    pub(in crate::engine) preemptions: LatencyMs,
}

/// A run under way.
pub(in crate::engine) struct Driving {
    clients: Vec<Client>,
    /// When the next requests are due, and whose: the next one of an open loop, or the moment at which a client of a
    /// closed loop became free.
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// Number of the first source.
    first: usize,
    start: Nanos,
    /// Requests that came before are not counted.
    counted_from: Nanos,
    until: Option<Nanos>,
    drain_max: Nanos,
    drain_until: Option<Nanos>,
    last_end: Nanos,
    /// Requests that were made and have not ended.
    open: u64,
    /// Requests still to be made by all clients, where they are counted.
    left: Option<u64>,
    occupied_before: Option<Occupied>,
    reply: SyncSender<DriveReport>,
}

struct Client {
    source: Source,
    /// The last outputs that were not as expected.
    differing: Option<Vec<Vec<u8>>>,
    /// Requests still to be made, where they are counted.
    left: Option<u64>,
}

impl Driving {
    pub(in crate::engine) fn start(drive: Drive, first: usize, reply: SyncSender<DriveReport>, now: Nanos) -> Driving {
        let counted_from = now + drive.warm_up;
        let (until, left) = match drive.length {
            Length::Duration(time) => (Some(counted_from + time), None),
            Length::Requests(n) => (None, Some(n)),
        };
        let mut due = BinaryHeap::new();
        let client = |(at, mut source): (usize, Source)| {
            match &mut source.pace {
                Pace::Open(arrivals) => due.extend(arrivals.next().map(|gap| Reverse((now + gap, at)))),
                Pace::Closed(concurrency) => due.extend((0..*concurrency).map(|_| Reverse((now, at)))),
            }
            Client { source, differing: None, left }
        };
        let clients: Vec<Client> = drive.sources.into_iter().enumerate().map(client).collect();
        Driving {
            left: left.map(|n| n * clients.len() as u64),
            clients,
            due,
            first,
            start: now,
            counted_from,
            until,
            drain_max: drive.drain_max,
            drain_until: None,
            last_end: now,
            open: 0,
            occupied_before: None,
            reply,
        }
    }

    /// The next request that is due, or the moment of one that was turned away.
    pub(in crate::engine) fn next_request(&mut self, now: Nanos) -> Option<(TenantId, Result<Request, Nanos>)> {
        let (due, at) = self.next_due().filter(|(due, _)| *due <= now)?;
        self.due.pop();
        let counts = due >= self.counted_from;
        let client = &mut self.clients[at];
        if counts {
            client.left = client.left.map(|n| n - 1);
            self.left = self.left.map(|n| n - 1);
        }
        let source = &mut client.source;
        if let Pace::Open(arrivals) = &mut source.pace {
            self.due.extend(arrivals.next().map(|gap| Reverse((self.start + gap, at))));
        }
        if counts {
            source.meter.arrived();
        }
        let request = match source.tenant.enter() {
            Ok(place) => {
                self.open += 1;
                Ok(Request::new(
                    due,
                    source.uploads.clone(),
                    Sink::Source(self.first + at, source.expected.clone()),
                    place,
                ))
            }
            Err(_) => {
                if counts {
                    source.meter.rejected();
                }
                Err(due)
            }
        };
        Some((source.tenant.id, request))
    }

    /// Who makes a request next, and when. Clients that have made all of theirs are forgotten.
    fn next_due(&mut self) -> Option<(Nanos, usize)> {
        while let Some(&Reverse((due, at))) = self.due.peek() {
            if self.clients[at].left != Some(0) && self.until.is_none_or(|end| due < end) {
                return Some((due, at));
            }
            self.due.pop();
        }
        None
    }

    /// Counts a request that ended; a closed loop's client is free again.
    pub(in crate::engine) fn ended(&mut self, ended: Ended, now: Nanos) {
        let number = ended.source.checked_sub(self.first);
        let Some((number, client)) = number.and_then(|at| Some((at, self.clients.get_mut(at)?))) else { return };
        let at = ended.finished.unwrap_or(now);
        self.open -= 1;
        if ended.arrival >= self.counted_from {
            match ended.finished {
                Some(finished) => {
                    client.source.meter.completed(finished.since(ended.arrival));
                    if ended.differs.is_some() {
                        client.source.meter.mismatched();
                        client.differing = ended.differs;
                    }
                }
                None => client.source.meter.failed(),
            }
        }
        self.last_end = self.last_end.max(at);
        if let Pace::Closed(_) = client.source.pace {
            self.due.push(Reverse((at, number)));
        }
    }

    /// Lets no request come that is due at `now` or later.
    pub(in crate::engine) fn end_arrivals(&mut self, now: Nanos) {
        self.until = Some(self.until.map_or(now, |until| until.min(now)));
    }

    /// When something happens next without anybody's doing.
    pub(in crate::engine) fn next_timer(&mut self) -> Option<Nanos> {
        let due = self.next_due().map(|(due, _)| due);
        let measured = self.occupied_before.is_none().then_some(self.counted_from);
        due.into_iter().chain(measured).chain(self.drain_until.or(self.until)).min()
    }

    /// True once: when the measurement begins. `occupied` is how much the device had done until now.
    pub(in crate::engine) fn begins(&mut self, now: Nanos, occupied: Occupied) -> bool {
        let begins = self.occupied_before.is_none() && now >= self.counted_from;
        if begins {
            self.occupied_before = Some(occupied);
        }
        begins
    }

    /// True when no request will come any more and none is open, or the wait for open ones was long enough.
    pub(in crate::engine) fn is_over(&mut self, now: Nanos) -> bool {
        let all_made = match self.until {
            Some(until) => now >= until,
            None => self.left == Some(0),
        };
        if !all_made {
            return false;
        }
        let drain_until = *self.drain_until.get_or_insert(now + self.drain_max);
        now >= drain_until || self.open == 0
    }

    /// Ends the run.
    pub(in crate::engine) fn report(self, now: Nanos, occupied: Occupied, preemptions: LatencyMs) {
        let end = if self.open > 0 { now } else { self.until.unwrap_or(self.start).max(self.last_end) };
        let (meters, differing) = self.clients.into_iter().map(|c| (c.source.meter, c.differing)).unzip();
        let occupied = occupied.since(self.occupied_before.unwrap_or(occupied));
        let report = DriveReport { elapsed: end.since(self.counted_from), occupied, meters, differing, preemptions };
        // Whoever waited may have gone.
        let _ = self.reply.try_send(report);
    }
}
