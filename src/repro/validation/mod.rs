//! The simulated GPU against public measurements, rung by rung: whole models on MIG instances ([`mig`]), recorded kernels
//! of two tenants ([`orion`]), latency of a kernel against its occupancy ([`reef`]).

pub mod mig;
pub mod orion;
pub mod reef;
pub mod replay;

use super::document::{Part, Section, summary};
use super::{Options, Outcome, Progress, ReproError, Source};

/// The experiment's name.
pub const NAME: &str = "validation";

/// The measurements that it can use.
pub const SOURCES: [Source; 3] = [mig::SOURCE, orion::SOURCE, reef::SOURCE];

/// Runs all rungs; those whose measurements are absent are skipped.
///
/// # Errors
/// [`ReproError`] where measurements are damaged.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome, ReproError> {
    let mut all = Outcome::default();
    for rung in [mig::run, orion::run, reef::run] {
        let outcome = rung(options, progress)?;
        all.rows.extend(outcome.rows);
        all.sections.extend(outcome.sections);
    }
    let parts = vec![
        Part::Text(
            "All times of ours are simulated. Rows with a band must keep it; `cotenant repro validation` ends with status 1 \
             where one does not. The measurements are of others and not in the repository: each section names where they are public. \
             `--data DIR` or the variable `COTENANT_DATA` says where they lie; rows whose measurements are absent are skipped and say so."
                .into(),
        ),
        Part::Table(summary(&all.rows)),
    ];
    all.sections.insert(0, Section { title: "Summary".into(), parts });
    Ok(all)
}
