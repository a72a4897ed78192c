//! The `cotenant-app` command: a window for traces and live runs.
//!
//! Exit status: 0 closed, 1 an error of ours, 2 bad usage, 3 no window can be opened here, with what to install. A trace that cannot be read
//! is explained in the window.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use cotenant_app::app::Options;
use cotenant_app::window::{self, Renderer};

/// See which model had the GPU when, live or from a trace
#[derive(Parser, Debug)]
#[command(name = "cotenant-app", version, about, max_term_width = 110)]
struct Args {
    /// A trace, as `cotenant demo --trace FILE` and `cotenant run --trace FILE` write it
    #[arg(conflicts_with = "demo")]
    file: Option<PathBuf>,
    /// Run the built-in tenants at once
    #[arg(long)]
    demo: bool,
    /// The device of live runs, as `cotenant --device` takes it
    #[arg(long, short, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// What draws the window
    #[arg(long, value_name = "RENDERER", value_enum, default_value_t)]
    renderer: Renderer,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // Help and version are answers; the rest is bad usage. Nothing can be done where they cannot be printed.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let options = Options { file: args.file, demo: args.demo, device: args.device, ..Options::default() };
    match window::run(options, args.renderer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cotenant-app: {error}");
            ExitCode::from(error.status())
        }
    }
}
