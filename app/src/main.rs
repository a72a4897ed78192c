//! The desktop app. Its window comes with the simulator; until then `cotenant run --trace` and `--svg` show a run.

fn main() {}
