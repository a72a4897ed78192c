//! When slices ran: one span for each, where they must lie, and none that nobody asked for.

use cotenant::hal::{Completion, Device, Slice, Stage, Submission};
use cotenant::tensor::Nanos;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::program::{Loaded, alternating, execute, wait};
use super::stages::random_cut;
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "each slice has its span", needs: &[Need::Timestamps], check: each_slice },
    Case { name: "thousands of slices have their spans", needs: &[Need::Timestamps], check: thousands_of_slices },
    Case { name: "submissions under way are all timed", needs: &[Need::Timestamps], check: many_submissions },
    Case { name: "nobody is timed who did not ask", needs: &[], check: untimed },
];

/// Panics unless the spans are those of `stages`, in order, within `from` and the end of the submission.
fn assert_spans(completion: &Completion, stages: &[Stage], from: Nanos) {
    let expected: Vec<(u32, u32)> =
        (0..).zip(stages).flat_map(|(at, s)| (0..s.slices.len() as u32).map(move |slice| (at, slice))).collect();
    let found: Vec<(u32, u32)> = completion.spans.iter().map(|s| (s.stage, s.slice)).collect();
    assert_eq!(found, expected, "stages and slices");
    let mut stage_began = from;
    for spans in completion.spans.chunk_by(|a, b| a.stage == b.stage) {
        for span in spans {
            assert!(span.start <= span.end, "{span:?}");
            assert!(stage_began <= span.start, "{span:?} begins before the stage before it ended, at {stage_began:?}");
            assert!(
                span.end <= completion.finished,
                "{span:?} ends after its submission, at {:?}",
                completion.finished
            );
        }
        stage_began = spans.iter().map(|s| s.end).fold(stage_began, Nanos::max);
    }
}

fn each_slice(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let rng = &mut StdRng::seed_from_u64(41);
    let tenants: Vec<Loaded> = (1..4).map(|k| alternating(k, 900 * k as usize, 6).0.load(device)).collect();
    for _ in 0..20 {
        let mut stages: Vec<Stage> = (0..6)
            .map(|operation| {
                let slices: Vec<Slice> = tenants.iter().flat_map(|t| random_cut(t, operation, 0, rng)).collect();
                Stage { slices }
            })
            .collect();
        stages.insert(3, Stage::default());
        let from = device.clock().now();
        let submission = Submission { stages: stages.clone(), timed: true, ..Submission::default() };
        assert_spans(&execute(device, lane, submission), &stages, from);
    }
}

fn thousands_of_slices(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = alternating(1, 3000, 1).0.load(device);
    let slice = loaded.slice(0, 0, 0..1, 1);
    for n in [1023, 1024, 1025, 5000] {
        let stages: Vec<Stage> = (0..n).map(|_| Stage::of(slice.clone())).collect();
        let from = device.clock().now();
        let submission = Submission { stages: stages.clone(), timed: true, ..Submission::default() };
        assert_spans(&execute(device, lane, submission), &stages, from);
    }
}

fn many_submissions(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = alternating(1, 3000, 10).0.load(device);
    let froms: Vec<Nanos> = (0..30)
        .map(|_| {
            let from = device.clock().now();
            let (stages, reads) = (loaded.stages(), vec![loaded.arena()]);
            device.submit(lane, Submission { stages, reads, timed: true, ..Submission::default() }).unwrap();
            from
        })
        .collect();
    for (completion, from) in wait(device, 30).iter().zip(froms) {
        assert_spans(completion, &loaded.stages(), from);
    }
}

fn untimed(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let loaded = alternating(1, 3000, 10).0.load(device);
    for timed in [false, true, false] {
        let submission = Submission { stages: loaded.stages(), timed, ..Submission::default() };
        let spans = execute(device, lane, submission).spans.len();
        assert_eq!(spans, if timed && device.caps().timestamps { 10 } else { 0 });
    }
}
