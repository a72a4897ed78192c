//! Runtime-Aware (Yu et al., ICCAD'21; Titan V, Quadro P6000): mixes of ImageNet networks in stages, the borders of which are
//! searched by coordinate descent over sync pointers with the device as cost model. Published: 1.3 to 1.7 times as fast as
//! one network after the other.
//!
//! *Sequential* is one network after the other, each whole, launches back to back in one stream. *Breadth-first* is one stage
//! with a stream for each network, launches issued in turn; *depth-first* issues one network's launches after those of the
//! other, in streams of their own too.
//!
//! What can be gained is known for each mix and said beside it: no round is shorter than its longest network alone, and
//! nothing overlaps where sequential execution keeps the whole device busy. Our launches at batch 1 are one tile for each
//! 4096 outputs of a sum and keep few SMs busy, where the published system's libraries split sums to fill the device; so
//! mixes of three and more networks gain more here than published.

use super::document::{Grid, Part, Section};
use super::mix::{Mix, Network};
use super::{Options, Outcome, Progress, ReproError, Row};
use crate::interleave::Schedule;
use crate::interleave::search::CoordinateDescent;

/// The experiment's name.
pub const NAME: &str = "runtime-aware";

/// The devices: the generation of the published one, and a later one.
const DEVICES: [&str; 2] = ["v100-sxm2", "a100-80gb"];

/// The published range over sequential execution.
const PUBLISHED: [Option<f64>; 2] = [Some(1.3), Some(1.7)];

/// Two networks that each fill the device gain nothing.
const SATURATED: [Option<f64>; 2] = [Some(0.95), Some(1.05)];

/// "No worse", to 1 %: of two streams that begin together, the one whose launches are issued first is ahead by those of the
/// other, whichever is the longer.
const NO_WORSE: [Option<f64>; 2] = [Some(0.99), None];

/// Schedules that the search may run for each mix.
const EVALUATIONS: u64 = 600;
const EVALUATIONS_OF_SUBSET: u64 = 20;

const VGG16: Network = Network::single("vgg16");
const RESNET18: Network = Network::single("resnet18");
const RESNET50: Network = Network::single("resnet50");
const MOBILENET: Network = Network::single("mobilenet_v2");
const DENSENET: Network = Network::single("densenet121");
const INCEPTION: Network = Network::single("inception_v3");
const SQUEEZENET: Network = Network::single("squeezenet");
const LARGE_BATCH: Network = Network { name: "vgg16", batch: 32 };

/// The mixes: of two to five networks.
const MIXES: [&[Network]; 8] = [
    &[RESNET18, MOBILENET],
    &[VGG16, MOBILENET],
    &[VGG16, DENSENET],
    &[RESNET50, DENSENET],
    &[RESNET50, MOBILENET, DENSENET],
    &[VGG16, RESNET50, MOBILENET],
    &[VGG16, RESNET50, MOBILENET, DENSENET],
    &[VGG16, RESNET18, INCEPTION, MOBILENET, SQUEEZENET],
];

/// Times of a mix in ns.
struct Times {
    sequential: f64,
    breadth_first: f64,
    depth_first: f64,
    searched: f64,
    stages: usize,
    /// The longest network alone.
    longest: f64,
    /// Part of the compute units that sequential execution keeps busy.
    busy: f64,
}

impl Times {
    fn of(profile: &str, networks: &[Network], options: &Options) -> Result<Times, ReproError> {
        let mut mix = Mix::new(profile, networks)?;
        let baselines = [Schedule::sequential, Schedule::side_by_side, Schedule::lane_per_tenant];
        let [sequential, breadth_first, depth_first] = baselines.map(|of| of(mix.problem()));
        let evaluations = if options.subset { EVALUATIONS_OF_SUBSET } else { EVALUATIONS };
        let found = mix.search(&mut CoordinateDescent::new(options.seed), evaluations)?;
        Ok(Times {
            sequential: mix.ns(&sequential)?,
            breadth_first: mix.ns(&breadth_first)?,
            depth_first: mix.ns(&depth_first)?,
            searched: found.ns,
            stages: found.schedule.n_stages(),
            longest: mix.longest_ns()?,
            busy: mix.busy(&sequential)?,
        })
    }
}

/// Runs all mixes on all devices.
///
/// # Errors
/// [`ReproError`] for mistakes in the experiment.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome, ReproError> {
    let mut outcome = Outcome::default();
    let mut grid = Grid::new(&[
        "mix",
        "device",
        "sequential ms",
        "SMs busy",
        "at most",
        "breadth-first",
        "depth-first",
        "searched",
        "stages",
    ]);
    let mut add = |profile: &'static str, networks: &[Network], band| -> Result<(), ReproError> {
        let label = networks.iter().map(Network::label).collect::<Vec<_>>().join(" + ");
        progress(&format!("{label} on {profile}"));
        let times = Times::of(profile, networks, options)?;
        outcome.rows.extend(rows(profile, &label, &times, if options.subset { None } else { Some(band) }));
        let over = |ns: f64| format!("{:.2}", times.sequential / ns);
        grid.row([
            label,
            profile.into(),
            format!("{:.2}", times.sequential / 1e6),
            format!("{:.0} %", 100.0 * times.busy),
            over(times.longest),
            over(times.breadth_first),
            over(times.depth_first),
            over(times.searched),
            times.stages.to_string(),
        ]);
        Ok(())
    };
    for profile in &DEVICES[..if options.subset { 1 } else { DEVICES.len() }] {
        for networks in &MIXES[..if options.subset { 1 } else { MIXES.len() }] {
            add(profile, networks, PUBLISHED)?;
        }
        if !options.subset {
            add(profile, &[LARGE_BATCH, LARGE_BATCH], SATURATED)?;
        }
    }
    let text = "Columns after the first times are how many times as fast as sequential; *at most* is the longest network alone. \
                Searched: coordinate descent over sync pointers (Runtime-Aware), every schedule run on the simulated device.";
    let parts = vec![Part::Text(text.into()), Part::Table(grid)];
    outcome.sections.push(Section { title: "Networks side by side (Runtime-Aware)".into(), parts });
    Ok(outcome)
}

/// The figures of a mix; without a band for information.
fn rows(profile: &str, label: &str, times: &Times, band: Option<[Option<f64>; 2]>) -> [Row; 2] {
    let row = |metric: String, ours: f64, band: Option<[Option<f64>; 2]>, note: String| match band {
        Some(band) => Row::banded(NAME, &metric, ours, band, note),
        None => Row::information(NAME, &metric, ours, note),
    };
    let note = format!(
        "sequential {:.2} ms keeps {:.0} % of the SMs busy, the longest network alone allows {:.2}; {} stages; published over mixes of 2 to 5 networks on Titan V and Quadro P6000",
        times.sequential / 1e6,
        100.0 * times.busy,
        times.sequential / times.longest,
        times.stages,
    );
    let issue = "one host thread launches, at the profile's launch cost".to_string();
    [
        row(format!("{profile}: {label}: times sequential"), times.sequential / times.searched, band, note),
        row(
            format!("{profile}: {label}: depth-first over breadth-first issue"),
            times.depth_first / times.breadth_first,
            band.map(|_| NO_WORSE),
            issue,
        ),
    ]
}
