//! Chrome/Perfetto JSON: what ui.perfetto.dev and the app open.
//!
//! `{"otherData":{…},"displayTimeUnit":"ns","traceEvents":[…]}`. `otherData` is the [`RunInfo`] with `format`, `version`,
//! the number of dropped events and, of a measured run, when the measurement began. A process (`pid`) stands for a kind and group of tracks, a thread (`tid`) for a
//! track. Times are microseconds with three decimals, so nanoseconds survive (up to 2^52 ns, 52 days).
//!
//! Viewers need the spans of one thread to nest. Requests of one tenant, or kernels of one lane, may overlap without
//! nesting, so a track takes as many threads as that needs: `face`, `face (2)`, … Events are written in order of start.

mod read;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use super::{Event, Instant, RunInfo, Span, Timeline, Track, TrackKind};
use crate::tensor::Nanos;

pub use read::{TRACE_BYTES_MAX, TraceError, parse, read_file};

/// `otherData.format` of our traces.
pub const FORMAT: &str = "cotenant-trace";

/// `otherData.version` of our traces; readers refuse a later one.
pub const VERSION: u32 = 1;

/// Writes `timeline` to `path`, whole or not at all.
///
/// # Errors
/// Whatever the file system reports; nothing is left behind then.
pub fn write_file(timeline: &Timeline, path: &Path) -> io::Result<()> {
    replace_file(path, |out| write(timeline, out))
}

/// Writes beside `path` and renames, so that `path` holds all of it or what it held before. What is no plain file, a
/// pipe or `/dev/null`, is written to as it is.
///
/// # Errors
/// Whatever `contents` or the file system reports; nothing is left behind then.
pub fn replace_file(path: &Path, contents: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let fill = |file: &File| {
        let mut out = BufWriter::new(file);
        contents(&mut out)?;
        out.flush()
    };
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fill(&File::create(path)?);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Temporary files are private unless told otherwise; a trace is as readable as any new file.
    #[cfg(unix)]
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    let beside = tempfile::Builder::new().permissions(readable).tempfile_in(folder)?;
    #[cfg(not(unix))]
    let beside = tempfile::NamedTempFile::new_in(folder)?;
    fill(beside.as_file())?;
    beside.persist(path)?;
    Ok(())
}

/// Writes `timeline` as JSON; apart from an index of the events nothing is held in memory.
///
/// # Errors
/// Whatever `out` reports.
pub fn write(timeline: &Timeline, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{\"otherData\":")?;
    let head = Head {
        format: FORMAT,
        version: VERSION,
        info: &timeline.info,
        dropped_events: timeline.dropped(),
        measured_from_ns: timeline.measured_from.map(|at| at.0),
    };
    json(out, &head)?;
    out.write_all(b",\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    let mut list = List { out, first: true };
    let groups = write_processes(timeline, &mut list)?;
    let mut rows = Rows::new(timeline, groups);
    for track in 0..timeline.tracks().len() {
        rows.announce(track, 0, &mut list)?;
    }
    let mut order: Vec<&Event> = timeline.events().collect();
    // Of spans that start together the longest is the outer one and must come first.
    order.sort_by_key(|e| (e.start(), std::cmp::Reverse(e.end())));
    for event in order {
        match event {
            Event::Span(span) => {
                let row = rows.place(span, &mut list)?;
                write_span(timeline, span, rows.pid(span.track.0), rows.tid(span.track.0, row), &mut list)?;
            }
            Event::Instant(instant) => {
                let track = instant.track.0;
                write_instant(instant, rows.pid(track), rows.tid(track, 0), &mut list)?;
            }
        }
    }
    list.out.write_all(b"\n]}\n")
}

#[derive(Serialize)]
struct Head<'a> {
    format: &'static str,
    version: u32,
    #[serde(flatten)]
    info: &'a RunInfo,
    dropped_events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_from_ns: Option<u64>,
}

/// The elements of `traceEvents`, one per line.
struct List<'a, W: Write> {
    out: &'a mut W,
    first: bool,
}

impl<W: Write> List<'_, W> {
    fn next(&mut self) -> io::Result<&mut W> {
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        Ok(self.out)
    }
}

/// Names the processes; the answer is the pid of each track.
fn write_processes<W: Write>(timeline: &Timeline, list: &mut List<W>) -> io::Result<Vec<u32>> {
    let mut pids: HashMap<(TrackKind, &str), u32> = HashMap::new();
    let mut of_tracks = Vec::new();
    for track in timeline.tracks() {
        let next = pids.len() as u32 + 1;
        let pid = *pids.entry((track.kind, track.group.as_str())).or_insert(next);
        of_tracks.push(pid);
        if pid == next {
            let out = list.next()?;
            write!(out, "{{\"ph\":\"M\",\"pid\":{pid},\"name\":\"process_name\",\"args\":{{\"name\":")?;
            json(out, &track.group)?;
            out.write_all(b"}}")?;
        }
    }
    Ok(of_tracks)
}

/// The threads of each track: per thread, the ends of the spans that are open there, outermost first.
struct Rows<'a> {
    tracks: &'a [Track],
    pids: Vec<u32>,
    open: Vec<Vec<Vec<Nanos>>>,
}

impl<'a> Rows<'a> {
    fn new(timeline: &'a Timeline, pids: Vec<u32>) -> Rows<'a> {
        Rows { tracks: timeline.tracks(), open: vec![vec![Vec::new()]; pids.len()], pids }
    }

    fn pid(&self, track: u32) -> u32 {
        self.pids[track as usize]
    }

    /// Thread numbers interleave, so that they are unique without knowing how many rows a track will need.
    fn tid(&self, track: u32, row: usize) -> u64 {
        row as u64 * self.pids.len() as u64 + u64::from(track) + 1
    }

    /// The first row of the track in which `span` nests; a new one is announced in the list.
    fn place<W: Write>(&mut self, span: &Span, list: &mut List<W>) -> io::Result<usize> {
        let track = span.track.0 as usize;
        let rows = &mut self.open[track];
        for (i, open) in rows.iter_mut().enumerate() {
            while open.last().is_some_and(|&end| end <= span.start) {
                open.pop();
            }
            if open.last().is_none_or(|&end| span.end <= end) {
                open.push(span.end);
                return Ok(i);
            }
        }
        rows.push(vec![span.end]);
        let row = rows.len() - 1;
        self.announce(track, row, list)?;
        Ok(row)
    }

    fn announce<W: Write>(&self, track: usize, row: usize, list: &mut List<W>) -> io::Result<()> {
        let tid = self.tid(track as u32, row);
        let (pid, track_of) = (self.pids[track], &self.tracks[track]);
        let name = if row == 0 { track_of.name.clone() } else { format!("{} ({})", track_of.name, row + 1) };
        let out = list.next()?;
        write!(out, "{{\"ph\":\"M\",\"pid\":{pid},\"tid\":{tid},\"name\":\"thread_name\",\"args\":{{\"name\":")?;
        json(out, &name)?;
        write!(out, ",\"track\":{track},\"kind\":\"{}\"", track_of.kind.name())?;
        if let Some(tenant) = track_of.tenant {
            write!(out, ",\"tenant_id\":{}", tenant.0)?;
        }
        out.write_all(b"}}")
    }
}

fn write_span<W: Write>(timeline: &Timeline, span: &Span, pid: u32, tid: u64, list: &mut List<W>) -> io::Result<()> {
    let out = list.next()?;
    write!(out, "{{\"ph\":\"X\",\"pid\":{pid},\"tid\":{tid},\"ts\":{}", Micros(span.start))?;
    write!(out, ",\"dur\":{},\"cat\":\"{}\",\"name\":", Micros(span.end - span.start), span.category.name())?;
    json(out, timeline.name(span.name))?;
    write!(out, ",\"args\":{{\"device_time\":{}", span.device_time)?;
    let args = &span.args;
    let numbers = [
        ("tenant_id", span.tenant.map(|t| u64::from(t.0))),
        ("request", args.request.map(|r| r.0)),
        ("batch", args.batch.map(u64::from)),
        ("first_tile", args.first_tile.map(u64::from)),
        ("tiles", args.tiles.map(u64::from)),
        ("workers", args.workers.map(u64::from)),
        ("stage", args.stage.map(u64::from)),
        ("bytes", args.bytes),
    ];
    for (key, value) in numbers {
        if let Some(value) = value {
            write!(out, ",\"{key}\":{value}")?;
        }
    }
    if let Some(shape) = args.shape {
        out.write_all(b",\"shape\":")?;
        json(out, timeline.name(shape))?;
    }
    out.write_all(b"}}")
}

fn write_instant<W: Write>(instant: &Instant, pid: u32, tid: u64, list: &mut List<W>) -> io::Result<()> {
    let out = list.next()?;
    write!(
        out,
        "{{\"ph\":\"i\",\"s\":\"t\",\"pid\":{pid},\"tid\":{tid},\"ts\":{},\"cat\":\"instant\",\"name\":\"{}\",\"args\":{{",
        Micros(instant.at),
        instant.kind.name()
    )?;
    if let Some(tenant) = instant.tenant {
        write!(out, "\"tenant_id\":{}", tenant.0)?;
    }
    if let Some(request) = instant.request {
        let comma = if instant.tenant.is_some() { "," } else { "" };
        write!(out, "{comma}\"request\":{}", request.0)?;
    }
    out.write_all(b"}}")
}

/// Nanoseconds as microseconds with exactly three decimals.
struct Micros(Nanos);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0.0 / 1000, self.0.0 % 1000)
    }
}

fn json<T: Serialize + ?Sized>(out: &mut impl Write, value: &T) -> io::Result<()> {
    serde_json::to_writer(out, value).map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
