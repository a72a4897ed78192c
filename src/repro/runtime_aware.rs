//! Runtime-Aware (Yu et al., ICCAD'21; Titan V, Quadro P6000): mixes of ImageNet networks in stages, the borders of which are
//! searched by coordinate descent over sync pointers with the device as cost model. Published: 1.3 to 1.7 times as fast as
//! one network after the other.
//!
//! *Sequential* is one network after the other, each whole, launches back to back in one stream. *Breadth-first* is one stage
//! with a stream for each network, launches issued in turn; *depth-first* issues one network's launches after those of the
//! other, in streams of their own too.

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

/// "No worse".
const NO_WORSE: [Option<f64>; 2] = [Some(1.0), None];

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
        })
    }
}

/// Runs all mixes on all devices.
///
/// # Errors
/// [`ReproError`] for mistakes in the experiment.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome, ReproError> {
    let mut outcome = Outcome::default();
    let mut grid = Grid::new(&["mix", "device", "sequential ms", "breadth-first", "depth-first", "searched", "stages"]);
    let mut add = |profile: &str, networks: &[Network], band| -> Result<(), ReproError> {
        let label = networks.iter().map(Network::label).collect::<Vec<_>>().join(" + ");
        progress(&format!("{label} on {profile}"));
        let times = Times::of(profile, networks, options)?;
        let over = |ns: f64| times.sequential / ns;
        let note = format!(
            "sequential {:.2} ms, {} stages; published over all mixes of 2 to 5 networks on Titan V and Quadro P6000",
            times.sequential / 1e6,
            times.stages
        );
        outcome.rows.push(Row::banded(
            NAME,
            &format!("{profile}: {label}: times sequential"),
            over(times.searched),
            band,
            note,
        ));
        let metric = format!("{profile}: {label}: depth-first over breadth-first issue");
        let note = "one host thread launches; the profile's launch cost".to_string();
        outcome.rows.push(Row::banded(NAME, &metric, times.depth_first / times.breadth_first, NO_WORSE, note));
        grid.row([
            label,
            profile.into(),
            format!("{:.2}", times.sequential / 1e6),
            format!("{:.2}", over(times.breadth_first)),
            format!("{:.2}", over(times.depth_first)),
            format!("{:.2}", over(times.searched)),
            times.stages.to_string(),
        ]);
        Ok(())
    };
    for profile in &DEVICES[..if options.subset { 1 } else { 2 }] {
        for networks in &MIXES[..if options.subset { 1 } else { MIXES.len() }] {
            add(profile, networks, PUBLISHED)?;
        }
        if !options.subset {
            add(profile, &[LARGE_BATCH, LARGE_BATCH], SATURATED)?;
        }
    }
    let text = "Each column but the first time is how many times as fast as sequential. Searched: coordinate descent over sync \
                pointers (Runtime-Aware), every schedule run on the simulated device.";
    let parts = vec![Part::Text(text.into()), Part::Table(grid)];
    outcome.sections.push(Section { title: "Networks side by side (Runtime-Aware)".into(), parts });
    Ok(outcome)
}
