//! CPU nodes where time is virtual: threads that are only modelled. A run takes as long as the device's description of
//! its host says ([`HostCpu`]), so that a simulated run depends on its seed alone and not on this machine.

use super::cpu_nodes::{HostDone, HostJob};
use crate::hal::HostCpu;
use crate::tensor::Nanos;

/// See the module's comment.
pub(super) struct CpuModel {
    cpu: HostCpu,
    /// Whether results are computed; without, runs write zeros.
    computes: bool,
    /// What each thread does, and when that ends.
    running: Vec<Option<(Nanos, HostDone)>>,
}

impl CpuModel {
    pub(super) fn new(cpu: HostCpu, computes: bool) -> CpuModel {
        CpuModel { cpu, computes, running: (0..cpu.threads).map(|_| None).collect() }
    }

    pub(super) fn threads(&self) -> usize {
        self.running.len()
    }

    /// A thread that has nothing to do begins a run.
    pub(super) fn begin(&mut self, thread: usize, job: HostJob, now: Nanos) {
        let HostJob { tenant, request, run, reads } = job;
        let mut spans = Vec::new();
        let mut at = now;
        for (operator, operation) in run.operations() {
            let end = at + self.cpu.time(operation.flops, operation.bytes);
            spans.push((operator, at, end));
            at = end;
        }
        let uploads = if self.computes { run.compute(reads, &mut |_| {}) } else { Ok(run.zeros()) };
        self.running[thread] = Some((at, HostDone { tenant, request, run, thread, uploads, spans }));
    }

    /// When the next run ends.
    pub(super) fn next_end(&self) -> Option<Nanos> {
        self.running.iter().flatten().map(|(end, _)| *end).min()
    }

    /// The run that ended first by `now`; of several at once that of the lowest thread.
    pub(super) fn ended(&mut self, now: Nanos) -> Option<HostDone> {
        let next = self.next_end().filter(|end| *end <= now)?;
        let thread = self.running.iter_mut().find(|t| t.as_ref().is_some_and(|(end, _)| *end == next))?;
        thread.take().map(|(_, done)| done)
    }
}
