//! Copies between host and device: one link in each direction with a number of engines, first come, first served.
//!
//! The engines of a direction share its bandwidth equally. Both directions are independent, as PCIe is; MIG instances
//! share them. What a copy takes of DRAM's bandwidth is a few per cent of it and is not counted.

use std::collections::VecDeque;

use super::clock::Ps;
use super::profile::Copies;

/// Which way a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Host to device.
    ToDevice,
    /// Device to host.
    ToHost,
}

impl Direction {
    pub(super) fn index(self) -> u32 {
        match self {
            Direction::ToDevice => 0,
            Direction::ToHost => 1,
        }
    }
}

/// A copy that an engine does.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    command: u32,
    /// Picoseconds to go if it had the link for itself.
    left: f64,
}

/// One direction.
#[derive(Clone, Debug)]
pub(super) struct Link {
    bytes_per_ps: f64,
    pageable: f64,
    latency_ps: f64,
    engines: usize,
    active: Vec<Transfer>,
    waiting: VecDeque<(u32, f64)>,
    since: Ps,
}

impl Link {
    pub(super) fn new(costs: &Copies, direction: Direction) -> Link {
        let gbs = match direction {
            Direction::ToDevice => costs.to_device_gbs,
            Direction::ToHost => costs.to_host_gbs,
        };
        Link {
            bytes_per_ps: gbs * 1e-3,
            pageable: costs.pageable,
            latency_ps: costs.latency_us * 1e6,
            engines: costs.engines as usize,
            active: Vec::new(),
            waiting: VecDeque::new(),
            since: 0,
        }
    }

    /// A copy is ready to begin.
    pub(super) fn push(&mut self, command: u32, bytes: u64, pinned: bool) {
        let rate = self.bytes_per_ps * if pinned { 1.0 } else { self.pageable };
        self.waiting.push_back((command, (self.latency_ps + bytes as f64 / rate).max(1.0)));
    }

    /// Takes out a copy that ended by `now`, if there is one.
    pub(super) fn take_ended(&mut self, now: Ps) -> Option<u32> {
        self.advance(now);
        // Ends are rounded to picoseconds, so less than one may seem to be left.
        let at = self.active.iter().position(|t| t.left < 1.0)?;
        Some(self.active.remove(at).command)
    }

    /// Gives a waiting copy to an engine, if both are there.
    pub(super) fn begin(&mut self, now: Ps) -> Option<u32> {
        self.advance(now);
        if self.active.len() >= self.engines {
            return None;
        }
        let (command, left) = self.waiting.pop_front()?;
        self.active.push(Transfer { command, left });
        Some(command)
    }

    /// When the next copy ends.
    pub(super) fn end(&self) -> Option<Ps> {
        let least = self.active.iter().map(|t| t.left).fold(f64::INFINITY, f64::min);
        least.is_finite().then(|| self.since + ((least * self.active.len() as f64).round() as Ps).max(1))
    }

    fn advance(&mut self, now: Ps) {
        let each = (now - self.since) as f64 / self.active.len().max(1) as f64;
        self.active.iter_mut().for_each(|t| t.left -= each);
        self.since = now;
    }
}
