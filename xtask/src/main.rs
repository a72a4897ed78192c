//! Chores of the repository: `cargo run -p xtask CHORE`.

use std::process::{Command, ExitCode};

/// A chore: its name, what it does, and the arguments of `cargo` that do it.
const CHORES: &[(&str, &str, &[&str])] = &[(
    "picture",
    "draws docs/demo-timeline.svg from a run of the demo on this machine",
    &["run", "--release", "--", "demo", "--svg", "docs/demo-timeline.svg", "--trace", "/dev/null"],
)];

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let Some((_, _, arguments)) = CHORES.iter().find(|(name, ..)| *name == wanted) else {
        for (name, does, _) in CHORES {
            eprintln!("{name}  {does}");
        }
        return ExitCode::from(2);
    };
    match Command::new(env!("CARGO")).args(*arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status()
    {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("cargo: {e}");
            ExitCode::FAILURE
        }
    }
}
