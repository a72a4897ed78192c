//! The command line. Each command is one file with its arguments and a function from them to a [`report::Report`];
//! this file parses, prints the report once, and turns the outcome into an exit status.
//!
//! `--json` prints exactly one document on stdout; tables go to stdout, notes, logs and progress bars to stderr. The
//! names here are fixed, so that scripts can rely on them. Nothing here computes: commands call the layers below.

mod bench;
mod calibrate;
mod case;
mod check;
mod compare;
mod conformance;
mod date;
mod demo;
mod device;
mod devices;
mod error;
mod inspect;
mod interleave;
mod model;
mod onnx_head;
mod report;
mod repro;
mod run;
mod seeds;
mod table;
mod twin;

use std::io::{self, IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Parser, Subcommand};

use error::CliError;
use report::Report;

/// Runs several deep-learning models at once on one GPU and keeps each one's latency promise
#[derive(Parser, Debug)]
#[command(name = "cotenant", version, about, max_term_width = 110)]
struct Cli {
    /// Print one JSON document instead of tables
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::Args),
    Devices(devices::Args),
    Inspect(inspect::Args),
    Check(check::Args),
    Conformance(conformance::Args),
    Bench(bench::Args),
    Run(run::Args),
    Calibrate(calibrate::Args),
    Interleave(interleave::Args),
    Repro(repro::Args),
}

impl Command {
    fn run(&self) -> Result<Box<dyn Report>, CliError> {
        Ok(match self {
            Command::Demo(args) => Box::new(demo::run(args)?),
            Command::Devices(args) => Box::new(devices::run(args)?),
            Command::Inspect(args) => Box::new(inspect::run(args)?),
            Command::Check(args) => Box::new(check::run(args)?),
            Command::Conformance(args) => Box::new(conformance::run(args)?),
            Command::Bench(args) => Box::new(bench::run(args)?),
            Command::Run(args) => Box::new(run::run(args)?),
            Command::Calibrate(args) => Box::new(calibrate::run(args)?),
            Command::Interleave(args) => Box::new(interleave::run(args)?),
            Command::Repro(args) => Box::new(repro::run(args)?),
        })
    }
}

/// The whole program: reads the arguments, runs the command, prints, and answers the exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are answers; the rest is bad usage. Nothing can be done where they cannot be printed.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    start_log();
    ExitCode::from(guarded(|| execute(&cli)))
}

fn execute(cli: &Cli) -> u8 {
    let printed = cli.command.run().and_then(|report| {
        print(report.as_ref(), cli.json)?;
        if let Some(complaint) = report.complaint() {
            complain(&complaint);
        }
        Ok(report.status())
    });
    match printed {
        Ok(status) => status,
        Err(e) => {
            complain(&e.to_string());
            e.status()
        }
    }
}

fn print(report: &dyn Report, json: bool) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let written = match json {
        true => {
            let document = report.json().map_err(|e| CliError::Failed(format!("the report is no JSON: {e}")))?;
            writeln!(out, "{document}").and_then(|()| out.flush())
        }
        false => report.text(&mut out).and_then(|()| out.flush()),
    };
    match written {
        // A reader that has seen enough is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Failed(format!("stdout: {e}"))),
        _ => Ok(()),
    }
}

/// One message for people on stderr.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "cotenant: {message}");
}

/// Logs go to stderr: warnings, or what `COTENANT_LOG` asks for.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("COTENANT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,wgpu_hal=off,wgpu_core=off,tract_onnx=error"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let _ = log.with_ansi(io::stderr().is_terminal()).without_time().try_init();
}

/// Runs `work`; a panic becomes a short message and exit status 1.
fn guarded(work: impl FnOnce() -> u8) -> u8 {
    let last = Arc::new(Mutex::new(String::new()));
    let note = last.clone();
    panic::set_hook(Box::new(move |info| {
        // Functions of the importer may panic on odd models; where that is caught it is reported as an error.
        *note.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string().replace('\n', " ");
    }));
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = last.lock().unwrap_or_else(PoisonError::into_inner);
        complain(&format!("internal error, please report it: {what}"));
        1
    })
}
