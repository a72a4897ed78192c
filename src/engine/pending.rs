//! A request's answer before it is there: waited for by a thread or by a task. No runtime is needed for either.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::InferError;
use super::tenant::TenantShared;
use crate::tensor::{HostTensor, Nanos, RequestId};

/// The answer to a request. Times are on the engine's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Which request it was.
    pub request: RequestId,
    /// The model's outputs, in its order.
    pub outputs: Vec<HostTensor>,
    /// When the request was made.
    pub arrival: Nanos,
    /// When its first operator was submitted.
    pub started: Nanos,
    /// When its outputs were there.
    pub finished: Nanos,
}

impl Response {
    /// From request to outputs.
    pub fn latency(&self) -> Nanos {
        self.finished.since(self.arrival)
    }
}

/// A request that was accepted. [`Pending::wait`] blocks; as a [`Future`] it can be awaited in any runtime. Dropping it
/// is fine: the request runs, nobody looks at its outputs.
#[derive(Debug)]
pub struct Pending {
    slot: Arc<Slot>,
    tenant: Arc<TenantShared>,
}

/// What the engine gives back: outputs as the device holds them; whoever waits converts them.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) request: RequestId,
    pub(super) arrival: Nanos,
    pub(super) started: Nanos,
    pub(super) finished: Nanos,
    pub(super) reads: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Waiting,
    Watched(Waker),
    Done(Result<Outcome, InferError>),
    Taken,
}

/// The engine's end of a [`Pending`]. Dropped without an answer, it answers that the engine has ended.
#[derive(Debug)]
pub(super) struct Completer {
    slot: Arc<Slot>,
    tenant: Arc<TenantShared>,
    answered: bool,
}

/// The two ends of one answer.
pub(super) fn pair(tenant: &Arc<TenantShared>) -> (Pending, Completer) {
    let slot = Arc::new(Slot::default());
    let completer = Completer { slot: slot.clone(), tenant: tenant.clone(), answered: false };
    (Pending { slot, tenant: tenant.clone() }, completer)
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Completer {
    pub(super) fn answer(mut self, outcome: Result<Outcome, InferError>) {
        self.give(outcome);
    }

    fn give(&mut self, outcome: Result<Outcome, InferError>) {
        self.answered = true;
        let before = std::mem::replace(&mut *self.slot.lock(), State::Done(outcome));
        self.slot.ready.notify_all();
        if let State::Watched(waker) = before {
            waker.wake();
        }
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        if !self.answered {
            self.give(Err(InferError::EngineGone { tenant: self.tenant.name.clone() }));
        }
    }
}

impl Pending {
    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// [`InferError`]: the device or an operator failed, the tenant or the engine went away.
    pub fn wait(self) -> Result<Response, InferError> {
        self.respond(&self.outcome()?)
    }

    /// The answer, and the outputs as the device holds them.
    pub(super) fn wait_with_reads(self) -> Result<(Response, Vec<Vec<u8>>), InferError> {
        let outcome = self.outcome()?;
        Ok((self.respond(&outcome)?, outcome.reads))
    }

    fn outcome(&self) -> Result<Outcome, InferError> {
        let mut state = self.slot.lock();
        while !matches!(*state, State::Done(_)) {
            state = self.slot.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(outcome) => outcome,
            _ => unreachable!("waited until it was done"),
        }
    }

    fn respond(&self, outcome: &Outcome) -> Result<Response, InferError> {
        let Outcome { request, arrival, started, finished, reads } = outcome;
        let outputs = self.tenant.outputs_from(reads)?;
        Ok(Response { request: *request, outputs, arrival: *arrival, started: *started, finished: *finished })
    }
}

impl Future for Pending {
    type Output = Result<Response, InferError>;

    /// Panics when polled again after the answer was given, as futures may.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(outcome) => Poll::Ready(outcome.and_then(|outcome| self.respond(&outcome))),
            State::Taken => panic!("polled after the answer was given"),
            State::Waiting | State::Watched(_) => {
                *state = State::Watched(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
