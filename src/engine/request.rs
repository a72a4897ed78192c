//! A request inside the engine, from its arrival to its answer.

use std::sync::Arc;

use super::pending::{Completer, Outcome};
use super::tenant::QueuePlace;
use super::{InferError, Uploads};
use crate::tensor::{Nanos, RequestId};

/// One inference that was asked for.
#[derive(Debug)]
pub(super) struct Request {
    /// Numbered when the engine takes it in.
    pub(super) id: RequestId,
    pub(super) arrival: Nanos,
    /// What must be on the device before the next operator: the inputs, later what CPU nodes computed.
    /// Shared with other requests of the same load generator.
    pub(super) uploads: Arc<Uploads>,
    /// When its first operator was submitted.
    pub(super) started: Option<Nanos>,
    sink: Sink,
    _place: QueuePlace,
}

/// Who gets the answer.
#[derive(Debug)]
pub(super) enum Sink {
    /// A program that holds a [`super::Pending`].
    Handle(Completer),
    /// A load generator of the engine, by its number, and the outputs that the request must have, as the device holds
    /// them.
    Source(usize, Option<Arc<Vec<Vec<u8>>>>),
}

/// A load generator's request has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) source: usize,
    pub(super) arrival: Nanos,
    /// When its outputs were there; `None` if it failed.
    pub(super) finished: Option<Nanos>,
    /// The outputs, where they are not those that they must be.
    pub(super) differs: Option<Vec<Vec<u8>>>,
}

impl Request {
    pub(super) fn new(arrival: Nanos, uploads: Arc<Uploads>, sink: Sink, place: QueuePlace) -> Request {
        Request { id: RequestId(0), arrival, uploads, started: None, sink, _place: place }
    }

    /// Answers with outputs.
    pub(super) fn finish(self, finished: Nanos, reads: Vec<Vec<u8>>, ended: &mut Vec<Ended>) {
        let Request { id, arrival, started, sink, .. } = self;
        match sink {
            Sink::Handle(completer) => completer.answer(Ok(Outcome {
                request: id,
                arrival,
                started: started.unwrap_or(finished),
                finished,
                reads,
            })),
            Sink::Source(source, expected) => {
                let differs = expected.is_some_and(|expected| *expected != reads).then_some(reads);
                ended.push(Ended { source, arrival, finished: Some(finished), differs });
            }
        }
    }

    /// Answers with an error.
    pub(super) fn fail(self, error: InferError, ended: &mut Vec<Ended>) {
        match self.sink {
            Sink::Handle(completer) => completer.answer(Err(error)),
            Sink::Source(source, _) => {
                ended.push(Ended { source, arrival: self.arrival, finished: None, differs: None });
            }
        }
    }
}
