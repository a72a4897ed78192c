//! IOS (Ding et al., MLSys'21; V100, batch 1): one network's branches in stages of concurrent groups, found by dynamic
//! programming with the device as cost model. Published: 1.1 to 1.5 times as fast as the engines of the time, on Inception v3,
//! RandWire, NASNet-A and SqueezeNet.
//!
//! *Sequential* is one launch after the other in one stream, which is what those engines do. Convolutions of one input are
//! not merged here, though IOS does that too: it is what SqueezeNet, whose modules fork only into a short and a long
//! convolution of one input, gains by.

use super::document::{Grid, Part, Section};
use super::mix::{Mix, Network};
use super::{Options, Outcome, Progress, ReproError, Row};
use crate::interleave::Schedule;
use crate::interleave::search::Ios;

/// The experiment's name.
pub const NAME: &str = "ios";

/// The published device, and a later one.
const DEVICES: [&str; 2] = ["v100-sxm2", "a100-80gb"];

/// The published range.
const PUBLISHED: [Option<f64>; 2] = [Some(1.1), Some(1.5)];

/// Stages that the search may run for each network.
const EVALUATIONS: u64 = 20_000;
const EVALUATIONS_OF_SUBSET: u64 = 50;

/// The published networks; the first is the quickest to search.
const NETWORKS: [&str; 4] = ["squeezenet", "inception_v3", "randwire_small", "nasnet_mobile"];

/// Runs all networks on all devices.
///
/// # Errors
/// [`ReproError`] for mistakes in the experiment.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome, ReproError> {
    let mut outcome = Outcome::default();
    let mut grid =
        Grid::new(&["network", "device", "launches", "sequential ms", "times as fast", "stages", "evaluations"]);
    for profile in &DEVICES[..if options.subset { 1 } else { 2 }] {
        for name in &NETWORKS[..if options.subset { 1 } else { NETWORKS.len() }] {
            progress(&format!("{name} on {profile}"));
            let mut mix = Mix::new(profile, &[Network::single(name)])?;
            let sequential = Schedule::sequential(mix.problem());
            let sequential_ns = mix.ns(&sequential)?;
            let evaluations = if options.subset { EVALUATIONS_OF_SUBSET } else { EVALUATIONS };
            let found = mix.search(&mut Ios::default(), evaluations)?;
            let (ratio, ms) = (sequential_ns / found.ns, sequential_ns / 1e6);
            let stages = found.schedule.n_stages();
            let note =
                format!("sequential {ms:.2} ms, {stages} stages; published over four networks on a V100, batch 1");
            let metric = format!("{profile}: {name}: times sequential");
            outcome.rows.push(match options.subset {
                true => Row::information(NAME, &metric, ratio, note),
                false => Row::banded(NAME, &metric, ratio, PUBLISHED, note),
            });
            grid.row([
                (*name).into(),
                (*profile).into(),
                mix.problem().launches().to_string(),
                format!("{ms:.2}"),
                format!("{ratio:.2}"),
                stages.to_string(),
                found.evaluations.to_string(),
            ]);
        }
    }
    let text = "How many times as fast as one launch after the other. Every stage that the search considers is run on the \
                simulated device.";
    let parts = vec![Part::Text(text.into()), Part::Table(grid)];
    outcome.sections.push(Section { title: "Branches of a network side by side (IOS)".into(), parts });
    Ok(outcome)
}
