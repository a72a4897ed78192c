//! The `cotenant` command, run as a user would: output, exit status, messages.

mod answers;
mod bad_input;
mod calibrate;
#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod damaged_files;
mod given;
mod interleave;
#[path = "../common/net.rs"]
mod net;
mod repro;
mod scenarios;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Exit status; -1 where a signal ended it.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// The one JSON document on stdout.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// Asserts the exit status.
    pub fn expect(self, status: i32) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Asserts a failure with one short message that contains `words`.
    pub fn complains(self, status: i32, words: &[&str]) {
        let answer = self.expect(status);
        for word in words {
            assert!(answer.err.contains(word), "{word:?} is not in {answer:?}");
        }
        assert!(answer.err.lines().count() <= 12, "one message: {answer:?}");
        assert!(!answer.err.contains("panicked"), "{answer:?}");
    }
}

/// A command that is about to run.
pub fn cotenant(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cotenant"));
    command.args(args);
    command
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Answer {
    let output = command.output().expect("the command starts");
    Answer {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `cotenant ARGS`.
pub fn call(args: &[&str]) -> Answer {
    run(&mut cotenant(args))
}

/// Whether this run has time for long tests: `./test --full`.
pub fn full() -> bool {
    std::env::var_os("COTENANT_FULL").is_some()
}

/// A folder of its own, removed at the end.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Writes a file and gives its path as text.
pub fn file(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, contents).expect("it can be written");
    path.to_string_lossy().into_owned()
}

/// A built-in model as ONNX bytes.
pub fn zoo(name: &str) -> Vec<u8> {
    use prost::Message;
    cotenant::graph::zoo::build(name).expect("it is in the zoo").encode_to_vec()
}

/// A small `.npy` file of 32-bit floats.
pub fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    npy_file("<f4", shape, values.iter().flat_map(|v| v.to_le_bytes()))
}

/// A small `.npy` file of 64-bit integers.
pub fn npy_i64(shape: &[usize], values: &[i64]) -> Vec<u8> {
    npy_file("<i8", shape, values.iter().flat_map(|v| v.to_le_bytes()))
}

fn npy_file(descr: &str, shape: &[usize], values: impl Iterator<Item = u8>) -> Vec<u8> {
    let dims: Vec<String> = shape.iter().map(|d| format!("{d},")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", dims.concat());
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

/// Models with stored inputs and outputs beside the repository, where they are.
pub fn shared_models() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no folder of reference models beside the repository");
    None
}
