//! Whole models on MIG instances of an A100 80 GB: laws are fitted to one part of ParvaGPU's published tables, and the other
//! part is predicted by running each point on the simulated GPU: its instance, as many MPS clients as it had processes, each in a
//! closed loop, the law as the cost of a batch.
//!
//! The measured latency is the batch over the throughput of a process, since the tables round latencies to milliseconds. What
//! this tests is the law and how instances and clients are set up: of its own the simulated GPU adds launches only.

use std::path::Path;
use std::sync::Arc;

use super::super::document::{Grid, Part, Section, figure};
use super::super::plot::{Axis, Mark, Plot, Series};
use super::super::stats::{median, quantile};
use super::super::{Options, Outcome, Progress, ReproError, Row, Source};
use super::NAME;
use crate::hal::sim::{Command, ContextSpec, Gpu, KernelCost, MigPlacement, Mode, Profile, SimError, SmBound};
use crate::predict::a100;
use crate::predict::fit::{Form, Point, fit};
use crate::predict::law::Law;
use crate::predict::profile::planner::{PlannerPoint, read_table};

/// Where the tables are.
pub const SOURCE: Source =
    Source { folder: "parvagpu/prof_data", from: "MunQ-Lee/ParvaGPU_SC24 (MIT), folder prof_data, on GitHub" };

const METRIC: &str = "A100 MIG (ParvaGPU): median error of latency on points not fitted, %";
const BAND: [Option<f64>; 2] = [None, Some(10.0)];

const WORST: &str = "A100 MIG (ParvaGPU): the same median of the worst model, %";
const P90: &str = "A100 MIG (ParvaGPU): p90 of the same errors, %";
const COLUMN: &str = "A100 MIG (ParvaGPU): the same median against the tables' latencies, which are rounded to ms, %";
const KEPT: &str = "A100 MIG (ParvaGPU): largest difference of the laws in the repository from the fit, %";
const KEPT_BAND: [Option<f64>; 2] = [None, Some(1.0)];

/// Rounds of a closed loop that are averaged, after one that is left out.
const ROUNDS: u32 = 3;

/// A fit and what it is shown.
struct Method {
    title: &'static str,
    form: Form,
    /// Points of several processes are fitted too.
    processes: bool,
    /// What the others fit is predicted, and what they predict is fitted.
    exchanged: bool,
}

/// The first is the one that counts.
const METHODS: [Method; 4] = [
    Method { title: "all terms", form: Form::Overlapping, processes: true, exchanged: false },
    Method { title: "all terms, both parts exchanged", form: Form::Overlapping, processes: true, exchanged: true },
    Method {
        title: "all terms, fitted to single processes only",
        form: Form::Overlapping,
        processes: false,
        exchanged: false,
    },
    Method { title: "published form, `k·η_k`", form: Form::Scaled, processes: true, exchanged: false },
];

/// A point that was not fitted, and what the simulated GPU said.
struct Held {
    point: PlannerPoint,
    predicted_ms: f64,
}

impl Held {
    fn error(&self) -> f64 {
        (self.predicted_ms / self.point.batch_ms() - 1.0).abs()
    }

    /// The same against the latency that the table gives, in whole milliseconds.
    fn column_error(&self) -> f64 {
        (self.predicted_ms / (self.point.latency_s * 1e3) - 1.0).abs()
    }
}

/// A model by one method.
struct Fitted {
    model: &'static str,
    law: Law,
    fitted: usize,
    held: Vec<Held>,
}

/// Runs the rung.
///
/// # Errors
/// [`ReproError`] where a table is damaged or gives no law.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome, ReproError> {
    let folder = match SOURCE.find(&options.data) {
        Ok(folder) => folder,
        Err(why) => return Ok(Outcome { rows: vec![Row::skipped(NAME, METRIC, BAND, &why)], sections: Vec::new() }),
    };
    let mut methods = Vec::new();
    for method in &METHODS {
        progress(&format!("A100 MIG tables: {}", method.title.replace('`', "")));
        let fitted =
            a100::LAWS.iter().map(|(model, _)| fitted(&folder, model, method)).collect::<Result<Vec<_>, _>>()?;
        methods.push((method, fitted));
    }
    Ok(outcome(&methods))
}

/// Points that laws are fitted to: every second batch size, and no instance of two slices.
fn is_fitted(point: &PlannerPoint) -> bool {
    point.mig_size != 2 && point.batch.trailing_zeros().is_multiple_of(2)
}

fn law_of(folder: &Path, model: &str, method: &Method) -> Result<(Law, usize, Vec<PlannerPoint>), ReproError> {
    let file = folder.join(format!("{model}.csv"));
    let (train, held): (Vec<_>, Vec<_>) =
        read_table(&file)?.into_iter().partition(|p| is_fitted(p) != method.exchanged);
    let used = train.iter().filter(|p| method.processes || p.processes == 1);
    let points: Vec<Point> = used.map(|p| Point { at: a100::setting(p), ms: p.batch_ms() }).collect();
    let law = fit(&points, method.form).map_err(|source| ReproError::Fit { file, source })?;
    Ok((law, points.len(), held))
}

fn fitted(folder: &Path, model: &'static str, method: &Method) -> Result<Fitted, ReproError> {
    let (law, fitted, points) = law_of(folder, model, method)?;
    let profile = Arc::new(Profile::find("a100-80gb")?);
    let predict = |point| Ok(Held { point, predicted_ms: simulate(&profile, &law, &point)? });
    let held = points.into_iter().map(predict).collect::<Result<_, SimError>>()?;
    Ok(Fitted { model, law, fitted, held })
}

/// The latency of a batch on the simulated GPU.
fn simulate(profile: &Arc<Profile>, law: &Law, point: &PlannerPoint) -> Result<f64, SimError> {
    let mut gpu = Gpu::new(profile.clone());
    let plan = [MigPlacement { profile: format!("{}g", point.mig_size), start: 0 }];
    let instance = gpu.partition(&plan, Mode::Shared)?[0];
    let kernel = Command::Kernel(KernelCost::of_given(law.given(point.batch), 1, profile.compute.sms));
    let mut clients = Vec::new();
    for number in 0..point.processes {
        let context = gpu.context(ContextSpec { instance, sms: SmBound::All, slice: None })?;
        clients.push((gpu.host(), gpu.stream(context, 0)?));
        let (host, stream) = clients[number as usize];
        gpu.submit(host, stream, kernel.clone(), u64::from(number))?;
    }
    let mut rounds = vec![0; clients.len()];
    let mut begun = vec![gpu.now(); clients.len()];
    let (mut sum_ms, mut n) = (0.0, 0);
    let mut done = Vec::new();
    while gpu.step().is_some() {
        gpu.take_done(&mut done);
        for d in done.drain(..) {
            let (host, stream) = clients[d.tag as usize];
            let (round, begun) = (&mut rounds[d.tag as usize], &mut begun[d.tag as usize]);
            if (1..=ROUNDS).contains(round) {
                sum_ms += d.end.since(*begun).0 as f64 / 1e6;
                n += 1;
            }
            *round += 1;
            // Everybody goes on for a round more than is counted, so that all that is counted was shared.
            if *round < ROUNDS + 2 {
                *begun = gpu.now();
                gpu.submit(host, stream, kernel.clone(), d.tag)?;
            }
        }
    }
    Ok(sum_ms / f64::from(n))
}

/// Errors in per cent of the held points for which `of` holds.
fn errors<'a>(fits: impl IntoIterator<Item = &'a Fitted>, of: impl Fn(&PlannerPoint) -> bool) -> Vec<f64> {
    fits.into_iter().flat_map(|f| &f.held).filter(|h| of(&h.point)).map(|h| h.error() * 100.0).collect()
}

fn outcome(methods: &[(&Method, Vec<Fitted>)]) -> Outcome {
    let mut rows = Vec::new();
    let mut compared = Grid::new(&[
        "fit",
        "1 process: median %",
        "p90 %",
        "2 to 5: median %",
        "p90 %",
        "all: median %",
        "p90 %",
        "points fitted",
        "predicted",
    ]);
    for (at, (method, fits)) in methods.iter().enumerate() {
        let all = errors(fits, |_| true);
        let (one, several) = (errors(fits, |p| p.processes == 1), errors(fits, |p| p.processes > 1));
        let n: usize = fits.iter().map(|f| f.fitted).sum();
        let note = format!("{}; {n} points fitted, {} predicted", method.title.replace('`', ""), all.len());
        if at == 0 {
            rows.push(Row::banded(NAME, METRIC, median(&all), BAND, note.clone()));
            let worst = fits.iter().map(|f| median(&errors([f], |_| true))).fold(0.0, f64::max);
            rows.push(Row::information(NAME, WORST, worst, note.clone()));
            rows.push(Row::information(NAME, P90, quantile(&all, 0.9), note.clone()));
            let column: Vec<f64> = fits.iter().flat_map(|f| &f.held).map(|h| 100.0 * h.column_error()).collect();
            rows.push(Row::information(NAME, COLUMN, median(&column), note));
            let kept = "points that were not fitted; src/predict/a100.rs against the fit".to_string();
            rows.push(Row::banded(NAME, KEPT, 100.0 * kept_difference(fits), KEPT_BAND, kept));
        } else {
            let metric = format!("{METRIC} ({})", method.title.replace('`', ""));
            rows.push(Row::information(NAME, &metric, median(&all), note));
        }
        let cell = |v: &[f64], q| format!("{:.1}", quantile(v, q));
        let cells = [&one, &several, &all].into_iter().flat_map(|v| [cell(v, 0.5), cell(v, 0.9)]);
        let counts = [n.to_string(), all.len().to_string()];
        compared.row(std::iter::once(method.title.to_string()).chain(cells).chain(counts));
    }
    Outcome { rows, sections: vec![section(compared, &methods[0].1)] }
}

/// The largest difference of a law that the repository keeps from the one that was fitted, as a part of the latency.
fn kept_difference(fits: &[Fitted]) -> f64 {
    let mut worst = 0.0f64;
    for f in fits {
        for held in &f.held {
            let at = a100::setting(&held.point);
            let kept = a100::find(f.model).map_or(f64::INFINITY, |law| law.ms(&at));
            worst = worst.max((kept / f.law.ms(&at) - 1.0).abs());
        }
    }
    worst
}

fn section(compared: Grid, fits: &[Fitted]) -> Section {
    let mut models = Grid::new(&["model", "1 process: median %", "p90 %", "2 to 5: median %", "p90 %", "predicted"]);
    let mut laws =
        Grid::new(&["model", "floor ms", "fixed ms", "item ms", "item·SM ms·SM", "item·memory ms", "SM ms·SM"]);
    for f in fits {
        let groups = [errors([f], |p| p.processes == 1), errors([f], |p| p.processes > 1)];
        let cells = groups.iter().flat_map(|v| [quantile(v, 0.5), quantile(v, 0.9)]).map(|v| format!("{v:.1}"));
        models.row([f.model.to_string()].into_iter().chain(cells).chain([f.held.len().to_string()]));
        let l = &f.law;
        let numbers = [l.floor_ms, l.fixed_ms, l.item_ms, l.item_sm_ms, l.item_memory_ms, l.sm_ms];
        laws.row([f.model.to_string()].into_iter().chain(numbers.map(figure)));
    }
    let text = |t: &str| Part::Text(t.into());
    let parts = vec![
        text(
            "Measurements: the tables of ParvaGPU (MunQ-Lee/ParvaGPU_SC24, MIT): eleven models on an A100 80 GB, PyTorch eager, \
             MIG instances of 1, 2, 3, 4 and 7 slices, batches 1 to 256, one to five processes under MPS. The latency is the \
             batch over a process's throughput.",
        ),
        text(
            "Law: `T = max(floor, fixed + b·item + k·(b·(item_sm/s + item_memory/μ) + sm/s))` for `k` processes with batch `b` \
             on `s` SMs and a part `μ` of the bandwidth (`src/predict/law.rs`). The fit is least squares of relative errors with \
             coefficients that are not negative and Huber's weights, and the floor is searched (`src/predict/fit.rs`). \
             Fitted: every second batch size (1, 4, 16, 64, 256), without instances of two slices. Predicted: the rest, each point \
             by running it on the simulated `a100-80gb` with its MIG instance and its processes as MPS clients in a closed loop, where a \
             batch is one kernel that costs what the law says; of its own the simulated GPU adds launches only. The coefficients never saw \
             what is predicted, but the terms of the law were chosen by people who had seen all tables; that the parts can be exchanged says \
             that the choice did not depend on the split.",
        ),
        Part::Table(compared),
        text(
            "The published form has no time per item and multiplies everything by `k·η_k`. The term per item is what BERT needs, \
             whose time per item hardly falls with more SMs; letting processes overlap in what keeps the device idle replaces four \
             factors per model, and even a fit that never saw two processes predicts them.",
        ),
        text(
            "The first fit by model. BERT is worst: its times jump between neighbouring batches (on seven slices three processes take \
             44 ms for 8 items and 102 ms for 16), which no smooth law follows. Some points of other models are \
             copies of a neighbour (ResNet50, two slices, batch 32: three and four processes have one throughput); they are kept.",
        ),
        Part::Table(models),
        text("Its laws, which `src/predict/a100.rs` keeps:"),
        Part::Table(laws),
        Part::Picture { name: "validation-mig", plot: scatter(fits) },
    ];
    Section { title: "Whole models on MIG instances".into(), parts }
}

fn scatter(fits: &[Fitted]) -> Plot {
    let held = || fits.iter().flat_map(|f| &f.held);
    let longest = held().map(|h| h.point.batch_ms()).fold(1.0, f64::max);
    let mut series = vec![Series {
        name: "equal".into(),
        mark: Mark::Guide,
        colour: 0,
        points: vec![(1.0, 1.0), (longest, longest)],
    }];
    for k in 1..=5 {
        let of_k = held().filter(|h| h.point.processes == k);
        let points = of_k.map(|h| (h.point.batch_ms(), h.predicted_ms)).collect();
        let name = if k == 1 { "1 process".into() } else { format!("{k} processes") };
        series.push(Series { name, mark: Mark::Dots, colour: k as usize - 1, points });
    }
    let axis = |label: &str| Axis { label: label.into(), logarithmic: true };
    Plot {
        title: "Points that were not fitted: latency of a batch on MIG instances of an A100".into(),
        x: axis("measured, ms"),
        y: axis("predicted, ms"),
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::law::Sharing;

    #[test]
    fn the_simulated_gpu_says_what_the_law_says() {
        let profile = Arc::new(Profile::find("a100-80gb").unwrap());
        let law = Law {
            floor_ms: 2.0,
            fixed_ms: 1.0,
            item_ms: 0.1,
            item_sm_ms: 20.0,
            item_memory_ms: 0.1,
            sm_ms: 10.0,
            sharing: Sharing::Overlap,
        };
        let scaled = Law { sharing: Sharing::Scaled([1.0, 0.9, 0.85, 0.8, 0.78]), ..law };
        for law in [law, scaled] {
            for mig_size in [1, 2, 3, 4, 7] {
                for (batch, processes) in [(1, 1), (8, 1), (16, 2), (4, 3), (32, 5)] {
                    let p = PlannerPoint { mig_size, batch, processes, throughput_rps: 1.0, latency_s: 1.0 };
                    let (got, expected) = (simulate(&profile, &law, &p).unwrap(), law.ms(&a100::setting(&p)));
                    // Launches and the gap between kernels are the simulated GPU's own.
                    assert!((got / expected - 1.0).abs() < 0.01, "{p:?}: {got} ms, the law says {expected} ms");
                }
            }
        }
    }
}
