//! Segments: runs of small operators of a model that may be one dispatch each, a *chain* of single-worker slices.
//!
//! A dispatch of its own gives a launch several workers and costs time. Where the launch is small the dispatch costs more than
//! the other workers save. Which launches are so small is guessed here from their arithmetic and memory traffic, with caution;
//! whether the guess was right is measured: each operator of a segment is timed apart, parts of the segment are timed as
//! chains, and the faster form stays ([`Segments::learn_chain`]). Until then, and where the device cannot compile a chain's kernels
//! together, launches run apart. A segment that cannot be compiled is divided in two, which may be.
//!
//! Deliberately not here: a new trial when the device's other load changes. Both forms are timed by the device's own clock, and
//! of several timings the least counts, so other tenants change neither much.

use std::ops::Range;
use std::sync::Arc;

use crate::hal::{BufferId, DeviceCaps, KernelSpec, Launch, Operation, Recording, RecordingId, Slice};
use crate::interleave::Machine;

/// Kernels of one dispatch at most: compile time grows faster than their number, and each costs the others some.
pub(super) const KERNELS_MAX: usize = 8;

/// Kernels of a segment at most where memory is pooled, so that chains of two tenants are within [`KERNELS_MAX`].
const POOLED_KERNELS_MAX: usize = KERNELS_MAX / 2;

/// A driver may count loop passes that a kernel's own count does not know, up to three times as many for some kernels
/// (`hal::cut`), and in a co-kernel those of its entry point besides; so chains stay this many times below the bound.
const ITERATIONS_MARGIN: u32 = 5;

/// Loop iterations of a launch beside its tiles': a pass over idle bodies, every loop of which a driver may count once.
const PIECE_ITERATIONS: u64 = 64;

/// Workgroups of a chain may be this small; kernels with larger ones are walked in a loop.
const LANES_MIN: u32 = 8;

/// The rates of [`Machine`] are what well-shaped kernels reach; small ones may take this many times as long.
const CAUTION: f64 = 4.0;

/// A chain's expected time in ns at most: nothing of another tenant comes before its end.
const CHAIN_NS_MAX: f64 = 2_000_000.0;

/// Co-kernels that are compiled for the segments of one tenant at most.
const COMPILED_MAX: u32 = 16;

/// Timings of each operator apart before a chain is tried, and of chains before one form is chosen. The least counts.
const SAMPLES: u8 = 3;

/// A chain must take this part of the time apart at most.
const GAIN: f64 = 0.97;

/// The segments of a model.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// In order; they do not overlap.
    list: Vec<Segment>,
    /// Co-kernels that may still be compiled.
    compiles_left: u32,
}

/// See the module's comment.
#[derive(Debug)]
struct Segment {
    operators: Range<u32>,
    state: State,
    /// Per operator the least time apart in ns, and how often that was measured.
    apart: Vec<(f64, u8)>,
}

/// What is known of a segment's forms.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It is to be compiled, or that is under way.
    Waiting,
    /// Both forms are measured: the least part of the time apart that a chain took, and how often that was measured.
    Trial(f64, u8),
    /// It runs as a chain, in this part of the time apart.
    Chain(f64),
    /// It runs apart.
    Apart,
}

/// How operators that follow each other are submitted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// One operator by its own dispatches; it is to be timed or not.
    Apart(bool),
    /// These operators as a chain; it is to be timed or not.
    Chain(Range<u32>, bool),
}

impl Segments {
    /// The segments of a model on a device; none where chains are no single dispatches or slices cannot be timed.
    pub(super) fn find(recording: &Recording, caps: &DeviceCaps, pooled: bool) -> Segments {
        if !caps.cokernels || !caps.timestamps {
            return Segments::default();
        }
        let bound = caps.quirks.loop_iterations_max.map_or(u64::MAX, |b| u64::from(b / ITERATIONS_MARGIN));
        let kernels_max = if pooled { POOLED_KERNELS_MAX } else { KERNELS_MAX };
        let machine = Machine::of(caps);
        let mut found = Vec::new();
        let mut growing = Growing::default();
        for (at, operation) in (0..).zip(&recording.operations) {
            let part = Part::of(operation, &machine, caps.quirks.loop_iterations_max.is_some());
            let part = part.filter(|p| p.iterations <= bound && p.ns <= CHAIN_NS_MAX);
            if part.as_ref().is_none_or(|p| !growing.takes(p, bound, kernels_max)) {
                found.extend(growing.end(at));
            }
            if let Some(part) = part.filter(|p| growing.takes(p, bound, kernels_max)) {
                growing.push(part);
            }
        }
        found.extend(growing.end(recording.operations.len() as u32));
        let segment = |operators: Range<u32>| Segment::new(operators, State::Waiting);
        Segments { list: found.into_iter().map(segment).collect(), compiles_left: COMPILED_MAX }
    }

    /// Segments of which both forms are being measured.
    pub(super) fn trials(&self) -> usize {
        self.list.iter().filter(|s| matches!(s.state, State::Trial(..))).count()
    }

    /// The first operators of all segments, for which co-kernels are to be compiled.
    pub(super) fn starts(&self) -> impl Iterator<Item = u32> + '_ {
        self.list.iter().map(|s| s.operators.start)
    }

    /// The operators of the segment that begins at `start`.
    pub(super) fn operators(&self, start: u32) -> Option<Range<u32>> {
        self.starting(start).map(|at| self.list[at].operators.clone())
    }

    /// Whether one co-kernel more may be compiled.
    pub(super) fn may_compile(&self) -> bool {
        self.compiles_left > 0
    }

    /// One co-kernel more is being compiled.
    pub(super) fn compiling(&mut self) {
        self.compiles_left = self.compiles_left.saturating_sub(1);
    }

    /// The segment that begins at `start` can be a chain from now on.
    pub(super) fn compiled(&mut self, start: u32) {
        if let Some(at) = self.starting(start) {
            self.list[at].state = State::Trial(f64::INFINITY, 0);
        }
    }

    /// The segment that begins at `start` cannot be a chain. Answers the beginnings of its parts, which may be.
    pub(super) fn divide(&mut self, start: u32) -> Vec<u32> {
        let Some(at) = self.starting(start) else { return Vec::new() };
        let operators = self.list[at].operators.clone();
        let middle = operators.start + operators.len() as u32 / 2;
        let parts = [operators.start..middle, middle..operators.end].map(|o| Segment::new(o, State::Waiting));
        let worth: Vec<Segment> = parts.into_iter().filter(|s| s.operators.len() > 1).collect();
        let starts = worth.iter().map(|s| s.operators.start).collect();
        self.list.splice(at..=at, worth);
        starts
    }

    /// The segment that begins at `start` stays apart.
    pub(super) fn give_up(&mut self, start: u32) {
        if let Some(at) = self.starting(start) {
            self.list[at].state = State::Apart;
        }
    }

    /// How the operators `next..end` should be submitted, as many as belong together.
    pub(super) fn form(&self, next: u32, end: u32) -> Form {
        let Some(segment) = self.at(next) else { return Form::Apart(false) };
        let operators = next..end.min(segment.operators.end);
        match segment.state {
            State::Waiting | State::Apart => Form::Apart(false),
            State::Chain(_) => Form::Chain(operators, false),
            State::Trial(..) => match operators.len() > 1 && segment.timed(&operators).all(|(_, n)| *n >= SAMPLES) {
                true => Form::Chain(operators, true),
                false => Form::Apart(true),
            },
        }
    }

    /// The first operator of the segment of `operator`, and the time in ns of these operators, where it runs as a chain.
    pub(super) fn chain(&self, operators: &Range<u32>) -> Option<(u32, f64)> {
        let segment = self.at(operators.start)?;
        match segment.state {
            State::Chain(part) => Some((segment.operators.start, segment.apart_ns(operators) * part)),
            _ => None,
        }
    }

    /// Dispatches of an operator that has `slices`: of a chain the first operator has one and the others none.
    pub(super) fn dispatches(&self, operator: u32, slices: u32) -> u32 {
        match self.at(operator) {
            Some(Segment { operators, state: State::Chain(_) | State::Trial(..), .. }) => {
                u32::from(operators.start == operator).min(slices)
            }
            _ => slices,
        }
    }

    /// An operator took so long apart.
    pub(super) fn learn_apart(&mut self, operator: u32, ns: f64) {
        let Some(at) = self.position(operator) else { return };
        let segment = &mut self.list[at];
        let (least, n) = &mut segment.apart[(operator - segment.operators.start) as usize];
        *least = least.min(ns.max(1.0));
        *n = n.saturating_add(1);
    }

    /// These operators took so long as a chain. Where that decides which form stays, answers the times in ns of all operators
    /// of the segment from the first on.
    pub(super) fn learn_chain(&mut self, operators: &Range<u32>, ns: f64) -> Option<(u32, Vec<f64>)> {
        let at = self.position(operators.start)?;
        let segment = &mut self.list[at];
        let State::Trial(least, n) = segment.state else { return None };
        let least = least.min(ns / segment.apart_ns(operators));
        if n + 1 < SAMPLES {
            segment.state = State::Trial(least, n + 1);
            return None;
        }
        let is_chain = least <= GAIN;
        segment.state = if is_chain { State::Chain(least) } else { State::Apart };
        let part = if is_chain { least } else { 1.0 };
        // An operator that never was in a trial has no time yet.
        let times = segment.apart.iter().map(|(ns, n)| if *n > 0 { ns * part } else { 0.0 });
        Some((segment.operators.start, times.collect()))
    }

    fn at(&self, operator: u32) -> Option<&Segment> {
        self.position(operator).map(|at| &self.list[at])
    }

    fn position(&self, operator: u32) -> Option<usize> {
        let at = self.list.partition_point(|s| s.operators.end <= operator);
        (self.list.get(at)?.operators.start <= operator).then_some(at)
    }

    fn starting(&self, start: u32) -> Option<usize> {
        self.list.binary_search_by_key(&start, |s| s.operators.start).ok()
    }
}

impl Segment {
    fn new(operators: Range<u32>, state: State) -> Segment {
        let apart = vec![(f64::INFINITY, 0); operators.len()];
        Segment { operators, state, apart }
    }

    fn timed(&self, operators: &Range<u32>) -> impl Iterator<Item = &(f64, u8)> {
        let first = self.operators.start;
        self.apart[(operators.start - first) as usize..(operators.end - first) as usize].iter()
    }

    /// Operators that were never timed alone count as nothing.
    fn apart_ns(&self, operators: &Range<u32>) -> f64 {
        self.timed(operators).map(|(ns, _)| *ns).filter(|ns| ns.is_finite()).sum()
    }
}

/// The slices of a chain of operators, by one worker.
pub(super) fn chain_slices(recording: &Recording, id: RecordingId, operators: Range<u32>, slices: &mut Vec<Slice>) {
    let first = slices.len();
    for operation in operators {
        let launches = &recording.operations[operation as usize].launches;
        for (launch, at) in launches.iter().zip(0..).filter(|(l, _)| l.tiles > 0) {
            let follows = slices.len() > first;
            slices.push(Slice { recording: id, operation, launch: at, tiles: 0..launch.tiles, workers: 1, follows });
        }
    }
}

/// An operator as a part of a segment.
struct Part {
    kernels: Vec<Arc<KernelSpec>>,
    weights: BufferId,
    iterations: u64,
    ns: f64,
}

impl Part {
    /// `None` for an operator that must not be in a segment.
    fn of(operation: &Operation, machine: &Machine, bounded: bool) -> Option<Part> {
        let launches = &operation.launches;
        let weights = launches.first()?.weights;
        if launches.iter().any(|l| l.weights != weights) || operation.given.is_some() {
            return None;
        }
        let slots = f64::from(machine.slots);
        let arithmetic = operation.flops as f64 * slots / machine.gflops;
        let traffic = operation.bytes as f64 * slots.min(2.0) / machine.gbs;
        let ns = arithmetic.max(traffic) * CAUTION + machine.gap_ns * launches.len() as f64;
        // What the other workers would save, against what their dispatches cost.
        if ns * (1.0 - 1.0 / slots) > machine.dispatch_ns * launches.len() as f64 {
            return None;
        }
        let iterations = |l: &Launch| {
            let walks = if bounded { u64::from(l.kernel.lanes.div_ceil(LANES_MIN)) } else { 1 };
            PIECE_ITERATIONS + u64::from(l.tiles) * (u64::from(l.tile_iterations) + 1) * walks
        };
        let kernels = launches.iter().map(|l| l.kernel.clone()).collect();
        Some(Part { kernels, weights, iterations: launches.iter().map(iterations).sum(), ns })
    }
}

/// A segment that may still grow.
#[derive(Default)]
struct Growing {
    operators: u32,
    launches: usize,
    kernels: Vec<Arc<KernelSpec>>,
    weights: Option<BufferId>,
    iterations: u64,
    ns: f64,
}

impl Growing {
    fn takes(&self, part: &Part, bound: u64, kernels_max: usize) -> bool {
        let mut kernels: Vec<&Arc<KernelSpec>> = self.kernels.iter().collect();
        for kernel in &part.kernels {
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
        kernels.len() <= kernels_max
            && self.weights.is_none_or(|w| w == part.weights)
            && self.iterations + part.iterations <= bound
            && self.ns + part.ns <= CHAIN_NS_MAX
    }

    fn push(&mut self, part: Part) {
        self.operators += 1;
        self.launches += part.kernels.len();
        for kernel in part.kernels {
            if !self.kernels.contains(&kernel) {
                self.kernels.push(kernel);
            }
        }
        self.weights = Some(part.weights);
        self.iterations += part.iterations;
        self.ns += part.ns;
    }

    /// The segment before operator `at`, where it saves a dispatch.
    fn end(&mut self, at: u32) -> Option<Range<u32>> {
        let ended = std::mem::take(self);
        (ended.launches > 1).then(|| at - ended.operators..at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::operations;

    fn caps() -> DeviceCaps {
        let mut caps = DeviceCaps::of_units(2);
        caps.kind = crate::hal::DeviceKind::SoftwareGpu;
        (caps.cokernels, caps.timestamps) = (true, true);
        caps
    }

    /// Segments of operators with these names of kernels, each with so many loop iterations and floating-point operations.
    fn check(caps: &DeviceCaps, pooled: bool, operators: &[(&'static str, u32, u64)], expected: &[Range<u32>]) {
        let recording = operations(operators);
        let segments = Segments::find(&recording, caps, pooled);
        let found: Vec<Range<u32>> = segments.list.iter().map(|s| s.operators.clone()).collect();
        assert_eq!(found, expected);
    }

    const SMALL: (&str, u32, u64) = ("a", 1, 10);

    #[test]
    fn small_operators_that_follow_each_other_are_a_segment() {
        check(&caps(), false, &[SMALL; 5], std::slice::from_ref(&(0..5)));
        let large = ("a", 1, 1_000_000_000);
        check(&caps(), false, &[SMALL, SMALL, large, SMALL, SMALL, SMALL, large, SMALL], &[0..2, 3..6]);
        check(&caps(), false, &[SMALL], &[]);
    }

    #[test]
    fn kernels_and_loop_iterations_of_a_segment_are_bounded() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (name, 1, 10));
        check(&caps(), false, &names, &[0..8, 8..10]);
        check(&caps(), true, &names, &[0..4, 4..8, 8..10]);
        let mut bounded = caps();
        bounded.quirks.loop_iterations_max = Some(ITERATIONS_MARGIN * 1000);
        // Four tiles of 100 iterations each.
        check(&bounded, false, &[("a", 99, 10); 6], &[0..2, 2..4, 4..6]);
        check(&bounded, false, &[("a", 999, 10); 6], &[]);
    }

    #[test]
    fn devices_without_co_kernels_or_timestamps_have_none() {
        for (cokernels, timestamps) in [(false, true), (true, false)] {
            check(&DeviceCaps { timestamps, cokernels, ..caps() }, false, &[SMALL; 5], &[]);
        }
    }

    #[test]
    fn the_faster_form_stays() {
        for (chain_ns, expected) in [(50.0, Form::Chain(0..3, false)), (100.0, Form::Apart(false))] {
            let mut segments = Segments::find(&operations(&[SMALL; 3]), &caps(), false);
            assert_eq!(segments.form(0, 3), Form::Apart(false), "it is not compiled");
            segments.compiled(0);
            for n in 0..SAMPLES {
                for operator in 0..3 {
                    assert_eq!(segments.form(operator, 3), Form::Apart(true));
                    // The least counts.
                    segments.learn_apart(operator, if n == 1 { 30.0 } else { 900.0 });
                }
            }
            for n in 0..SAMPLES {
                assert_eq!(segments.form(0, 3), Form::Chain(0..3, true));
                let learned = segments.learn_chain(&(0..3), chain_ns);
                assert_eq!(learned.is_some(), n + 1 == SAMPLES);
            }
            assert_eq!(segments.form(0, 3), expected, "{chain_ns}");
            assert_eq!(segments.trials(), 0);
        }
    }

    #[test]
    fn a_part_of_a_segment_is_a_chain_too_and_counts_as_the_dispatch_of_its_first_operator() {
        let mut segments = Segments::find(&operations(&[SMALL; 4]), &caps(), false);
        segments.compiled(0);
        (0..4).for_each(|o| (0..SAMPLES).for_each(|_| segments.learn_apart(o, 40.0)));
        (0..SAMPLES).for_each(|_| drop(segments.learn_chain(&(1..3), 20.0)));
        assert_eq!(segments.form(1, 3), Form::Chain(1..3, false));
        assert_eq!(segments.chain(&(1..3)), Some((0, 20.0)));
        assert_eq!((0..4).map(|o| segments.dispatches(o, 2)).collect::<Vec<_>>(), [1, 0, 0, 0]);
    }

    #[test]
    fn what_cannot_be_compiled_is_divided_until_nothing_is_left() {
        let mut segments = Segments::find(&operations(&[SMALL; 5]), &caps(), false);
        assert_eq!(segments.divide(0), [0, 2]);
        assert_eq!(segments.divide(2), [3], "one operator is no chain");
        assert!(segments.divide(3).is_empty());
        assert_eq!(segments.starts().collect::<Vec<_>>(), [0]);
        assert_eq!(segments.form(3, 5), Form::Apart(false));
    }
}
