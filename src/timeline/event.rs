//! Events: small `Copy` values, so that recording one copies a few words and allocates nothing.

use super::{NameId, TrackId};
use crate::tensor::{Nanos, RequestId, TenantId};

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Something with a beginning and an end.
    Span(Span),
    /// Something at one moment.
    Instant(Instant),
}

/// Work, or waiting, from `start` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// When it began.
    pub start: Nanos,
    /// When it ended; not before `start`.
    pub end: Nanos,
    /// Where it is drawn.
    pub track: TrackId,
    /// For whom, where it was for one tenant.
    pub tenant: Option<TenantId>,
    /// What ran: an operator, "upload", a pipeline; for [`Category::Queue`] the cause of the delay.
    pub name: NameId,
    /// What kind of work it was.
    pub category: Category,
    /// True when both times are device timestamps, false when the host took them around the call.
    pub device_time: bool,
    /// What else is known.
    pub args: Args,
}

/// Something at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instant {
    /// When.
    pub at: Nanos,
    /// Where it is drawn.
    pub track: TrackId,
    /// Whose it is, where it is one tenant's.
    pub tenant: Option<TenantId>,
    /// What happened.
    pub kind: InstantKind,
    /// The request that it happened to.
    pub request: Option<RequestId>,
}

/// Details of a span; what is not known stays `None` and is not exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Args {
    /// The request that it served.
    pub request: Option<RequestId>,
    /// Requests computed together.
    pub batch: Option<u32>,
    /// The operator's output shape, as [`crate::tensor::show_shape`] writes it.
    pub shape: Option<NameId>,
    /// First tile of the launched range.
    pub first_tile: Option<u32>,
    /// Tiles in the launched range.
    pub tiles: Option<u32>,
    /// Workgroups that walked the tiles.
    pub workers: Option<u32>,
    /// The stage of the schedule that the launch belonged to.
    pub stage: Option<u32>,
    /// Bytes moved.
    pub bytes: Option<u64>,
}

/// What kind of work a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// A launch on a device.
    Kernel,
    /// A transfer between host and device, or on the device.
    Copy,
    /// An operator that ran on the CPU because no kernel takes it.
    CpuNode,
    /// A pipeline or module being compiled.
    Compile,
    /// A request, from arrival to completion.
    Request,
    /// A request waiting; the span's name is the cause.
    Queue,
    /// A stage as one unit, where the device tells no times within it.
    Stage,
    /// A change of partitions or shares.
    Reconfigure,
}

impl Category {
    /// Every category.
    pub const ALL: [Category; 8] = [
        Category::Kernel,
        Category::Copy,
        Category::CpuNode,
        Category::Compile,
        Category::Request,
        Category::Queue,
        Category::Stage,
        Category::Reconfigure,
    ];

    /// The name in traces (`cat`).
    pub fn name(self) -> &'static str {
        match self {
            Category::Kernel => "kernel",
            Category::Copy => "copy",
            Category::CpuNode => "cpu-node",
            Category::Compile => "compile",
            Category::Request => "request",
            Category::Queue => "queue",
            Category::Stage => "stage",
            Category::Reconfigure => "reconfigure",
        }
    }

    /// The category of that name.
    pub fn from_name(name: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// What an instant marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InstantKind {
    /// A request arrived.
    Arrival,
    /// A request's deadline passed before it was done.
    DeadlineMiss,
    /// A request was turned away unserved.
    Rejection,
    /// A request ended in an error.
    Failure,
    /// Running work was asked to retreat.
    Preemption,
}

impl InstantKind {
    /// Every kind.
    pub const ALL: [InstantKind; 5] = [
        InstantKind::Arrival,
        InstantKind::DeadlineMiss,
        InstantKind::Rejection,
        InstantKind::Failure,
        InstantKind::Preemption,
    ];

    /// The name in traces.
    pub fn name(self) -> &'static str {
        match self {
            InstantKind::Arrival => "arrival",
            InstantKind::DeadlineMiss => "deadline miss",
            InstantKind::Rejection => "rejection",
            InstantKind::Failure => "failure",
            InstantKind::Preemption => "preemption",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<InstantKind> {
        InstantKind::ALL.into_iter().find(|k| k.name() == name)
    }
}

impl Event {
    /// When it happened or began.
    pub fn start(&self) -> Nanos {
        match self {
            Event::Span(span) => span.start,
            Event::Instant(instant) => instant.at,
        }
    }

    /// When it happened or ended.
    pub fn end(&self) -> Nanos {
        match self {
            Event::Span(span) => span.end,
            Event::Instant(instant) => instant.at,
        }
    }

    /// Where it is drawn.
    pub fn track(&self) -> TrackId {
        match self {
            Event::Span(span) => span.track,
            Event::Instant(instant) => instant.track,
        }
    }
}
