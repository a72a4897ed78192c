//! The tests that come with ONNX, where `./test` has fetched them. A sample on every device; all of them in full runs.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{call, folder, full};

fn onnx_tests() -> Option<PathBuf> {
    let found = std::env::var_os("COTENANT_ONNX_NODE").map(PathBuf::from).filter(|path| path.is_dir());
    if found.is_none() {
        println!("skipped: COTENANT_ONNX_NODE names no folder of ONNX backend tests (./test fetches them)");
    }
    found
}

/// Links every `step`-th test into `into`.
fn sample(tests: &Path, step: usize, into: &Path) {
    let mut names: Vec<_> = tests.read_dir().expect("a folder").map(|e| e.expect("listed").file_name()).collect();
    names.sort();
    for name in names.into_iter().step_by(step) {
        symlink(tests.join(&name), into.join(&name)).expect("it can be linked");
    }
}

#[test]
fn nothing_that_is_supported_is_wrong_on_any_device() {
    let Some(tests) = onnx_tests() else { return };
    let dir = folder();
    sample(&tests, if full() { 1 } else { 6 }, dir.path());
    let path = dir.path().to_string_lossy().into_owned();
    let answer = call(&["conformance", &path, "--device", "all", "--json"]).json();
    for device in answer["devices"].as_array().expect("a list") {
        let count = |field: &str| device[field].as_u64().expect("a number");
        assert_eq!(count("failed"), 0, "{}: {:#}", device["device"]["name"], device["failures"]);
        assert!(count("passed") > count("unsupported"), "{device}");
    }
}
