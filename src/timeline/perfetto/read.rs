//! Reads traces that [`super::write`] made back into a [`Timeline`], for replay and for the app.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::{Args, Category, Instant, InstantKind, RunInfo, Span, Timeline, Track, TrackId, TrackKind};
use super::{FORMAT, VERSION};
use crate::tensor::{Nanos, RequestId, TenantId};

/// The largest file that is read: 2 GiB, about ten million events.
pub const TRACE_BYTES_MAX: u64 = 2 << 30;

/// Times beyond this do not survive as microseconds in a JSON number.
const TIME_NS_MAX: f64 = (1u64 << 52) as f64;

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than [`TRACE_BYTES_MAX`].
    #[error("{}: more than {TRACE_BYTES_MAX} bytes, which is the largest trace that is read", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not JSON, or not in the form of a trace.
    #[error("{}: not a trace: {source}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What was found where (line and column).
        source: serde_json::Error,
    },
    /// A trace, but not one of ours.
    #[error("{}: a trace of format \"{found}\", only \"{FORMAT}\" up to version {VERSION} is read", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its format and version, as far as it has them.
        found: String,
    },
    /// An event makes no sense.
    #[error("{}: traceEvents[{index}]: {what}", .path.display())]
    Event {
        /// The file.
        path: PathBuf,
        /// Its position in `traceEvents`.
        index: usize,
        /// What was found and what is allowed.
        what: String,
    },
}

/// Reads a trace file.
///
/// # Errors
/// [`TraceError`], naming the file and the event.
pub fn read_file(path: &Path) -> Result<Timeline, TraceError> {
    let io_error = |source| TraceError::Io { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(io_error)?;
    let mut bytes = Vec::new();
    file.take(TRACE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error)?;
    if bytes.len() as u64 > TRACE_BYTES_MAX {
        return Err(TraceError::TooLarge { path: path.into() });
    }
    parse(&bytes, path)
}

/// Reads a trace from memory; `origin` is named in errors. Phases that our writer does not make are passed over.
///
/// # Errors
/// [`TraceError`], naming `origin` and the event.
pub fn parse(bytes: &[u8], origin: &Path) -> Result<Timeline, TraceError> {
    let json_error = |source| TraceError::Json { path: origin.into(), source };
    let file: RawFile = serde_json::from_slice(bytes).map_err(json_error)?;
    let label: Label = Label::deserialize(&file.other_data).unwrap_or_default();
    if label.format != FORMAT || label.version > VERSION {
        let found = match label.format.as_str() {
            "" => "unknown".to_string(),
            format => format!("{format} version {}", label.version),
        };
        return Err(TraceError::Foreign { path: origin.into(), found });
    }
    let info = RunInfo::deserialize(&file.other_data).map_err(json_error)?;
    let n_events = file.events.iter().filter(|e| matches!(e.ph, "X" | "i")).count();
    let mut reader = Reader { timeline: Timeline::new(info, n_events), groups: HashMap::new(), rows: HashMap::new() };
    reader.timeline.add_dropped(label.dropped_events);
    reader.timeline.measured_from = label.measured_from_ns.map(Nanos);
    for (index, event) in file.events.iter().enumerate() {
        reader.take(event).map_err(|what| TraceError::Event { path: origin.into(), index, what })?;
    }
    Ok(reader.timeline)
}

#[derive(Deserialize)]
struct RawFile<'a> {
    #[serde(rename = "otherData", default)]
    other_data: serde_json::Value,
    #[serde(rename = "traceEvents", borrow)]
    events: Vec<RawEvent<'a>>,
}

#[derive(Default, Deserialize)]
struct Label {
    format: String,
    version: u32,
    #[serde(default)]
    dropped_events: u64,
    #[serde(default)]
    measured_from_ns: Option<u64>,
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    ph: &'a str,
    #[serde(default)]
    pid: u64,
    #[serde(default)]
    tid: u64,
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default, borrow)]
    cat: Cow<'a, str>,
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    args: RawArgs<'a>,
}

#[derive(Default, Deserialize)]
struct RawArgs<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    shape: Option<Cow<'a, str>>,
    track: Option<u32>,
    tenant_id: Option<u32>,
    #[serde(default)]
    device_time: bool,
    request: Option<u64>,
    batch: Option<u32>,
    first_tile: Option<u32>,
    tiles: Option<u32>,
    workers: Option<u32>,
    stage: Option<u32>,
    bytes: Option<u64>,
}

struct Reader {
    timeline: Timeline,
    /// Group names by pid.
    groups: HashMap<u64, String>,
    /// Tracks by pid and tid.
    rows: HashMap<(u64, u64), TrackId>,
}

impl Reader {
    fn take(&mut self, event: &RawEvent) -> Result<(), String> {
        match (event.ph, event.name.as_ref()) {
            ("M", "process_name") => {
                let name = event.args.name.as_deref().unwrap_or_default();
                self.groups.insert(event.pid, name.into());
                Ok(())
            }
            ("M", "thread_name") => self.take_row(event),
            ("X", _) => self.take_span(event),
            ("i", _) => self.take_instant(event),
            _ => Ok(()),
        }
    }

    fn take_row(&mut self, event: &RawEvent) -> Result<(), String> {
        let known = self.timeline.tracks().len() as u32;
        let number = event.args.track.ok_or("a thread_name without args.track")?;
        if number > known {
            return Err(format!("args.track is {number}, at most {known} is the next"));
        }
        if number == known {
            let kind = event.args.kind.as_deref().unwrap_or_default();
            let kind = TrackKind::from_name(kind)
                .ok_or_else(|| format!("args.kind is \"{kind}\", allowed are lane, host, tenant"))?;
            self.timeline.track(Track {
                kind,
                group: self.groups.get(&event.pid).cloned().unwrap_or_default(),
                name: event.args.name.as_deref().unwrap_or_default().into(),
                tenant: event.args.tenant_id.map(TenantId),
            });
        }
        self.rows.insert((event.pid, event.tid), TrackId(number));
        Ok(())
    }

    fn take_span(&mut self, event: &RawEvent) -> Result<(), String> {
        let category = Category::from_name(&event.cat).ok_or_else(|| {
            let allowed = Category::ALL.map(Category::name).join(", ");
            format!("cat is \"{}\", allowed are {allowed}", event.cat)
        })?;
        let start = nanos("ts", event.ts)?;
        let args = &event.args;
        let span = Span {
            start,
            end: start + nanos("dur", event.dur)?,
            track: self.track(event)?,
            tenant: args.tenant_id.map(TenantId),
            name: self.timeline.intern(&event.name),
            category,
            device_time: args.device_time,
            args: Args {
                request: args.request.map(RequestId),
                batch: args.batch,
                shape: args.shape.as_deref().map(|shape| self.timeline.intern(shape)),
                first_tile: args.first_tile,
                tiles: args.tiles,
                workers: args.workers,
                stage: args.stage,
                bytes: args.bytes,
            },
        };
        self.timeline.push_span(span);
        Ok(())
    }

    fn take_instant(&mut self, event: &RawEvent) -> Result<(), String> {
        let kind = InstantKind::from_name(&event.name).ok_or_else(|| {
            let allowed = InstantKind::ALL.map(InstantKind::name).join(", ");
            format!("name of an instant is \"{}\", allowed are {allowed}", event.name)
        })?;
        let instant = Instant {
            at: nanos("ts", event.ts)?,
            track: self.track(event)?,
            tenant: event.args.tenant_id.map(TenantId),
            kind,
            request: event.args.request.map(RequestId),
        };
        self.timeline.push_instant(instant);
        Ok(())
    }

    fn track(&self, event: &RawEvent) -> Result<TrackId, String> {
        self.rows
            .get(&(event.pid, event.tid))
            .copied()
            .ok_or_else(|| format!("pid {} tid {} was not announced by a thread_name", event.pid, event.tid))
    }
}

fn nanos(field: &str, micros: f64) -> Result<Nanos, String> {
    let ns = micros * 1000.0;
    if (0.0..=TIME_NS_MAX).contains(&ns) {
        Ok(Nanos(ns.round() as u64))
    } else {
        Err(format!("{field} is {micros}, allowed is 0 to {} microseconds", TIME_NS_MAX / 1000.0))
    }
}
