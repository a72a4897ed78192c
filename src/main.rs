//! The `cotenant` command: see `src/cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cotenant::cli::main()
}
