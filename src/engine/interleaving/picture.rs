//! Timed rounds as a timeline: the round without interleaving first, then the chosen one.
//!
//! Each chain of a stage that is one dispatch has a row of its own. The device tells when such a dispatch ran, not when
//! each of its pieces did, so a chain is drawn in that time as one span for each stretch of a tenant, as long as its pieces
//! were measured to take; [`Category::Stage`] says so.

use super::report::device_info;
use super::rig::{Outcome, Participant};
use crate::hal::DeviceCaps;
use crate::interleave::{Chain, Problem, Schedule, Stage};
use crate::tensor::{Nanos, TenantId};
use crate::timeline::{Args, Category, ClockKind, RunInfo, Span, Timeline, TrackId};

/// Spans that are kept.
const EVENTS_MAX: usize = 1 << 20;

/// A form that was run once, timed.
pub(super) struct Drawn<'a> {
    pub(super) name: &'a str,
    pub(super) schedule: &'a Schedule,
    pub(super) outcome: &'a Outcome,
}

/// All of `forms`, each beginning at zero, on rows of its own.
pub(super) fn timeline(
    forms: &[Drawn],
    problem: &Problem,
    participants: &[Participant],
    caps: &DeviceCaps,
    seed: u64,
) -> Timeline {
    let clock = if caps.backend == "sim" { ClockKind::Virtual } else { ClockKind::Wall };
    let names: Vec<&str> = forms.iter().map(|f| f.name).collect();
    let info = RunInfo { device: device_info(caps), clock, policy: names.join(" and "), seed, scenario: None };
    let mut timeline = Timeline::new(info, EVENTS_MAX);
    for (at, participant) in (1..).zip(participants) {
        timeline.tenant_track(TenantId(at), &participant.name);
    }
    for form in forms {
        draw(&mut timeline, form, problem, participants, &caps.name);
    }
    timeline
}

fn draw(timeline: &mut Timeline, form: &Drawn, problem: &Problem, participants: &[Participant], device: &str) {
    let all = form.outcome.spans.iter().flat_map(|(_, spans)| spans);
    let begin = all.map(|s| s.start).min().unwrap_or(Nanos(0));
    let mut rows: Vec<Vec<TrackId>> = vec![Vec::new(); form.schedule.lanes.len()];
    // The stages of a lane may have been several submissions, one after another.
    let mut next = vec![0; form.schedule.lanes.len()];
    for (lane, spans) in &form.outcome.spans {
        let stages = &form.schedule.lanes[*lane];
        let first = next[*lane];
        for stage_spans in spans.chunk_by(|a, b| a.stage == b.stage) {
            let number = first + stage_spans[0].stage as usize;
            let Some(stage) = stages.get(number) else { continue };
            next[*lane] = next[*lane].max(number + 1);
            let start = stage_spans.iter().map(|s| s.start).min().unwrap_or(begin).since(begin);
            let end = stage_spans.iter().map(|s| s.end).max().unwrap_or(begin).since(begin);
            for (row, chain) in stage.chains.iter().enumerate() {
                while rows[*lane].len() <= row {
                    let name = format!("{}: lane {lane}, chain {}", form.name, rows[*lane].len());
                    let track = timeline.lane_track(device, &name);
                    rows[*lane].push(track);
                }
                let place = Place { track: rows[*lane][row], stage: number as u32, start, end };
                stretches(timeline, &place, stage, chain, problem, participants);
            }
        }
    }
}

/// Where and when a chain ran.
struct Place {
    track: TrackId,
    stage: u32,
    start: Nanos,
    end: Nanos,
}

/// A span for each stretch of one tenant.
fn stretches(
    timeline: &mut Timeline,
    place: &Place,
    stage: &Stage,
    chain: &Chain,
    problem: &Problem,
    participants: &[Participant],
) {
    let work =
        |c: &Chain| c.pieces.iter().map(|p| problem.launch(p.tenant, p.launch).tiles_ns(p.n_tiles())).sum::<f64>();
    // The longest chain takes all of the stage; the others end before it.
    let longest = stage.chains.iter().map(work).fold(f64::MIN_POSITIVE, f64::max);
    let whole = place.end.since(place.start).0 as f64;
    let mut from = place.start.0 as f64;
    for pieces in chain.pieces.chunk_by(|a, b| a.tenant == b.tenant) {
        let part = pieces.iter().map(|p| problem.launch(p.tenant, p.launch).tiles_ns(p.n_tiles())).sum::<f64>();
        let to = from + whole * part / longest;
        let tenant = pieces[0].tenant;
        let name = match pieces.len() {
            1 => participants[tenant as usize].name.clone(),
            n => format!("{}, {n} launches", participants[tenant as usize].name),
        };
        let name = timeline.intern(&name);
        timeline.push_span(Span {
            start: Nanos(from as u64),
            end: Nanos(to as u64),
            track: place.track,
            tenant: Some(TenantId(tenant + 1)),
            name,
            category: if stage.pieces().nth(1).is_some() { Category::Stage } else { Category::Kernel },
            device_time: true,
            args: Args { workers: Some(pieces[0].workers), stage: Some(place.stage), ..Args::default() },
        });
        from = to;
    }
}
