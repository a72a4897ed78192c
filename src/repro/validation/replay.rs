//! Two clients of one simulated GPU that launch recorded kernels: one whose requests come in time, and one that repeats an
//! iteration without end.
//!
//! A client's host thread launches all kernels of a request one after the other and the next request when this one is over,
//! as a framework does that waits at the end of each. What is not modelled: traffic between host and device, the framework's own
//! time between launches, and contention for memory (recorded lists do not have the bytes).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hal::sim::{Command, Done, Gpu, HostId, KernelCost, Profile, SimError, StreamId};
use crate::predict::profile::recorded::RecordedKernel;
use crate::tensor::Nanos;

/// How the two share the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The first has it for itself.
    Alone,
    /// One request or iteration at a time; requests that wait come before the next iteration.
    Temporal,
    /// A stream each.
    Streams,
    /// A stream each, that of the first more urgent.
    PriorityStreams,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replayed {
    /// Latencies of the first client's requests in order, from the moment at which each was due.
    pub latencies: Vec<Nanos>,
    /// Iterations of the second that ended.
    pub iterations: u64,
    /// Simulated time.
    pub elapsed: Nanos,
}

/// Kernels as the simulated GPU takes them.
pub fn costs(kernels: &[RecordedKernel], profile: &Profile) -> Vec<KernelCost> {
    kernels.iter().map(|k| KernelCost::recorded(k.ns as f64, k.sms, profile.compute.sms)).collect()
}

struct Client<'a> {
    kernels: &'a [KernelCost],
    host: HostId,
    stream: StreamId,
    /// When its requests were due that wait, the first of them perhaps running.
    due: VecDeque<Nanos>,
    running: bool,
}

/// Set in the tag of a request's last kernel.
const LAST: u64 = 2;

impl Client<'_> {
    fn waits(&self) -> bool {
        !self.running && !self.due.is_empty()
    }

    fn launch(&mut self, gpu: &mut Gpu, number: u64) -> Result<(), SimError> {
        self.running = true;
        for (at, cost) in self.kernels.iter().enumerate() {
            let last = if at + 1 == self.kernels.len() { LAST } else { 0 };
            gpu.submit(self.host, self.stream, Command::Kernel(*cost), number | last)?;
        }
        Ok(())
    }
}

/// Runs until `requests` requests of `first`, or as many as arrive, are over. `second` is left out where [`Sharing::Alone`].
///
/// # Errors
/// What the simulated GPU refuses.
///
/// # Panics
/// Where a list is empty.
pub fn replay(
    profile: &Arc<Profile>,
    first: &[KernelCost],
    arrivals: impl Iterator<Item = Nanos>,
    second: &[KernelCost],
    sharing: Sharing,
    requests: u32,
) -> Result<Replayed, SimError> {
    assert!(!first.is_empty() && !second.is_empty(), "a request launches something");
    let mut gpu = Gpu::new(profile.clone());
    let context = gpu.plain_context()?;
    let priority = i32::from(sharing == Sharing::PriorityStreams);
    let mut client = |kernels, priority| -> Result<Client<'_>, SimError> {
        let (host, stream) = (gpu.host(), gpu.stream(context, priority)?);
        Ok(Client { kernels, host, stream, due: VecDeque::new(), running: false })
    };
    let mut clients = [client(first, priority)?, client(second, 0)?];
    if sharing != Sharing::Alone {
        clients[1].due.push_back(Nanos(0));
    }
    let mut arrivals = arrivals.take(requests as usize).peekable();
    let mut replayed = Replayed::default();
    let mut done: Vec<Done> = Vec::new();
    loop {
        while arrivals.peek().is_some_and(|at| *at <= gpu.now()) {
            clients[0].due.extend(arrivals.next());
        }
        start(&mut clients, &mut gpu, sharing)?;
        let next = [arrivals.peek().copied(), gpu.next_event()].into_iter().flatten().min();
        let Some(next) = next else { break };
        gpu.advance_to(next);
        gpu.take_done(&mut done);
        for d in done.drain(..).filter(|d| d.tag & LAST != 0) {
            let number = (d.tag & !LAST) as usize;
            let client = &mut clients[number];
            client.running = false;
            let due = client.due.pop_front();
            if number == 0 {
                replayed.latencies.extend(due.map(|due| d.end.since(due)));
            } else {
                replayed.iterations += 1;
                client.due.push_back(d.end);
            }
        }
        if arrivals.peek().is_none() && clients[0].due.is_empty() {
            break;
        }
    }
    replayed.elapsed = gpu.now();
    Ok(replayed)
}

/// Launches what may begin, of the first client first.
fn start(clients: &mut [Client<'_>; 2], gpu: &mut Gpu, sharing: Sharing) -> Result<(), SimError> {
    for number in 0..clients.len() {
        let taken = sharing == Sharing::Temporal && clients.iter().any(|c| c.running);
        if clients[number].waits() && !taken {
            clients[number].launch(gpu, number as u64)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::service::arrival::ArrivalSpec;

    fn kernel(us: u64, sms: u32) -> RecordedKernel {
        let bound = crate::predict::profile::recorded::Bound::Unknown;
        RecordedKernel { name: "k".into(), bound, sms, ns: us * 1000 }
    }

    /// The latencies in µs of three requests every 10 ms, each a kernel of 100 µs, beside iterations of `beside`.
    fn check(sharing: Sharing, beside: &[RecordedKernel], expected: impl Fn(f64) -> bool) {
        let profile = Arc::new(Profile::bare(10));
        let (first, second) = (costs(&[kernel(100, 10)], &profile), costs(beside, &profile));
        let spec = ArrivalSpec::Periodic { rate_rps: 100.0, jitter_ms: 0.0 };
        let arrivals = spec.arrivals(Path::new(""), 0, 0).unwrap().unwrap();
        let got = replay(&profile, &first, arrivals, &second, sharing, 4).unwrap();
        assert_eq!(got.latencies.len(), 4);
        // The first finds an idle GPU.
        for latency in &got.latencies[1..] {
            let us = latency.0 as f64 / 1e3;
            assert!(expected(us), "{sharing:?}: {us} µs");
        }
    }

    #[test]
    fn a_request_waits_for_what_sharing_lets_run() {
        // Iterations of ten kernels of 700 µs that fill the GPU seven times over: 7 ms.
        let long = vec![kernel(700, 70); 10];
        check(Sharing::Alone, &long, |us| (us - 100.0).abs() < 1.0);
        check(Sharing::Temporal, &long, |us| us > 700.0 && us <= 7100.0);
        // A kernel that has begun, and none behind it: queues take turns by age.
        check(Sharing::Streams, &long, |us| us > 100.0 && us <= 801.0);
        // One wave of it.
        check(Sharing::PriorityStreams, &long, |us| (100.0..=201.0).contains(&us));
    }

    #[test]
    fn a_small_neighbour_is_not_noticed() {
        // Nine SMs are needed by nobody else.
        let profile = Arc::new(Profile::bare(10));
        let (first, second) = (costs(&[kernel(100, 9)], &profile), costs(&[kernel(50, 1)], &profile));
        let spec = ArrivalSpec::Poisson { rate_rps: 1000.0 };
        let arrivals = || spec.arrivals(Path::new(""), 7, 0).unwrap().unwrap();
        let alone = replay(&profile, &first, arrivals(), &second, Sharing::Alone, 50).unwrap();
        let beside = replay(&profile, &first, arrivals(), &second, Sharing::Streams, 50).unwrap();
        assert_eq!(alone.latencies, beside.latencies);
        assert!(alone.iterations == 0 && beside.iterations > 100);
    }
}
