//! The desktop app. It has no window yet, and says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!(
        "cotenant-app has no window yet. `cotenant demo --trace F` writes a timeline for ui.perfetto.dev, `--svg F` draws one."
    );
    ExitCode::from(3)
}
