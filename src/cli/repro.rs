//! `cotenant repro`: published experiments and measurements beside ours; exit status 1 where a figure misses its band.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde::Serialize;

use super::error::CliError;
use super::report::{Report, to_json};
use super::table::{Table, number};
use crate::repro::document::{self, Section};
use crate::repro::validation::SOURCES;
use crate::repro::{EXPERIMENTS, Experiment, Options, Row};
use crate::timeline::perfetto::replace_file;

/// Requests of each simulated run that are accepted; fewer than a hundred have no p99.
const REQUESTS: std::ops::RangeInclusive<u32> = 100..=10_000_000;

/// Published experiments and measurements beside ours
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Which; all without any. `help` lists them
    #[arg(value_name = "SYSTEM")]
    systems: Vec<String>,
    /// The folder of public measurements; without it what COTENANT_DATA names, else ../shared/data. What is not in it is skipped
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The first of the seeds
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Requests of each simulated run and seed
    #[arg(long, value_name = "N", default_value_t = 1000)]
    requests: u32,
    /// Only as much as shows that everything works
    #[arg(long)]
    subset: bool,
    /// Write the method, tables and pictures as a Markdown document, with SVG files beside it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The variable that names the folder of public measurements.
const DATA_VARIABLE: &str = "COTENANT_DATA";

/// That folder where nobody names one: beside the repository.
const DATA: &str = "../shared/data";

/// The answer.
#[derive(Debug, Serialize)]
pub struct Repro {
    seed: u64,
    systems: Vec<Row>,
    #[serde(skip)]
    known: Option<&'static [Experiment]>,
}

/// Runs the experiments.
///
/// # Errors
/// [`CliError::Input`] for an unknown system, a folder of measurements that was named and is not there, a damaged file in it, a
/// document that cannot be written.
pub fn run(args: &Args) -> Result<Repro, CliError> {
    if args.systems.iter().any(|s| s == "help") {
        return Ok(Repro { seed: args.seed, systems: Vec::new(), known: Some(EXPERIMENTS) });
    }
    let chosen = chosen(&args.systems)?;
    if !REQUESTS.contains(&args.requests) {
        let (low, high) = (REQUESTS.start(), REQUESTS.end());
        return Err(CliError::Input(format!("--requests {}: allowed is {low} to {high}", args.requests)));
    }
    let place = args.out.as_deref().map(place).transpose()?;
    let data = data(args.data.as_deref(), std::env::var_os(DATA_VARIABLE).map(PathBuf::from))?;
    let options = Options { data, seed: args.seed, requests: args.requests, subset: args.subset };
    let mut systems = Vec::new();
    let mut sections = Vec::new();
    for experiment in chosen {
        let outcome = (experiment.run)(&options, &mut |what| {
            let _ = writeln!(io::stderr(), "{}: {what}", experiment.name);
        })?;
        systems.extend(outcome.rows);
        sections.extend(outcome.sections);
    }
    if systems.iter().all(|row| row.ours.is_none()) {
        tracing::warn!("nothing was compared, for there are no measurements; each row says where they are public");
    }
    if let (Some(file), Some(folder)) = (&args.out, place) {
        let heading = heading(args, file);
        write_document(file, &folder, &heading, &sections)?;
    }
    Ok(Repro { seed: args.seed, systems, known: None })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Experiment>, CliError> {
    let find = |name: &String| {
        EXPERIMENTS.iter().find(|e| e.name == name).ok_or_else(|| {
            let known: Vec<&str> = EXPERIMENTS.iter().map(|e| e.name).collect();
            CliError::Input(format!("repro {name:?}: there is no such system; there are {}", known.join(", ")))
        })
    };
    match names.is_empty() {
        true => Ok(EXPERIMENTS.iter().collect()),
        false => names.iter().map(find).collect(),
    }
}

/// The folder of measurements. One that somebody named must be there.
fn data(argument: Option<&Path>, variable: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let (source, folder) = match (argument, variable.filter(|v| !v.as_os_str().is_empty())) {
        (Some(folder), _) => ("--data ", folder.to_path_buf()),
        (None, Some(folder)) => ("COTENANT_DATA=", folder),
        (None, None) => return Ok(DATA.into()),
    };
    if folder.is_dir() {
        return Ok(folder);
    }
    let sets: Vec<String> = SOURCES.iter().map(|s| format!("{} ({})", s.folder, s.from)).collect();
    Err(CliError::Input(format!(
        "{source}{}: no such folder; allowed is one that holds some of {}",
        folder.display(),
        sets.join(", ")
    )))
}

/// The document's folder, which must exist before the work begins.
fn place(file: &Path) -> Result<PathBuf, CliError> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() || file.is_dir() {
        let what = if file.is_dir() { "a folder; allowed is a file" } else { "its folder does not exist" };
        return Err(CliError::Input(format!("--out {}: {what}", file.display())));
    }
    Ok(folder.into())
}

fn heading(args: &Args, file: &Path) -> String {
    let systems = if args.systems.is_empty() { String::new() } else { format!(" {}", args.systems.join(" ")) };
    let subset = if args.subset { " --subset" } else { "" };
    format!(
        "# Published figures beside ours\n\n\
         Written by `cotenant repro{systems} --seed {} --requests {}{subset} --out {}`; not to be edited by hand.",
        args.seed,
        args.requests,
        file.display()
    )
}

/// Writes the document and its pictures; each file is there as a whole or not at all.
fn write_document(file: &Path, folder: &Path, heading: &str, sections: &[Section]) -> Result<(), CliError> {
    let (text, pictures) = document::render(heading, sections);
    let pictures = pictures.into_iter().map(|(name, svg)| (folder.join(name), svg));
    for (path, contents) in pictures.chain([(file.to_path_buf(), text)]) {
        let written = replace_file(&path, |out| out.write_all(contents.as_bytes()));
        written.map_err(|e| CliError::Failed(format!("{}: {e}", path.display())))?;
    }
    Ok(())
}

impl Report for Repro {
    fn json(&self) -> serde_json::Result<String> {
        to_json(self)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(known) = self.known {
            let mut table = Table::new(&["system", "shows"]);
            known.iter().for_each(|e| table.row([e.name.to_string(), e.about.to_string()]));
            return table.print(out);
        }
        let mut table = Table::new(&["system", "figure", "published", "ours", "band", "within", "clock"]);
        for row in &self.systems {
            let clock = format!("{:?}", row.clock).to_lowercase();
            let within = row.within.map_or("-", |w| if w { "yes" } else { "no" });
            table.row([
                row.system.to_string(),
                row.metric.clone(),
                number(row.published),
                if row.ours.is_none() { "skipped".into() } else { number(row.ours) },
                row.band.map_or("-".into(), |b| document::band(&b)),
                within.to_string(),
                clock,
            ]);
        }
        table.print(out)?;
        writeln!(out)?;
        for row in &self.systems {
            writeln!(out, "{}: {}", row.metric, row.note)?;
        }
        Ok(())
    }

    fn status(&self) -> u8 {
        u8::from(self.systems.iter().any(|row| row.within == Some(false)))
    }
}
