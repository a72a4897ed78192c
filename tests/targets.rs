//! The library type-checks for systems that nobody here runs: Windows and macOS. It is `cargo check` for a target that the
//! toolchain has, in a build folder of its own; C sources of dependencies are not compiled, as no object code is needed to
//! check types. From nothing it takes minutes, so it is part of `./test --full`.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    command
}

/// Whether the toolchain has the standard library of `target`.
fn is_installed(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let answer = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    answer.is_ok_and(|a| a.status.success() && Path::new(String::from_utf8_lossy(&a.stdout).trim()).is_dir())
}

/// A C compiler and archiver that does nothing and succeeds.
fn stub(folder: &Path) -> PathBuf {
    let path = folder.join("compiler");
    fs::write(&path, "#!/bin/sh\nexit 0\n").expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
    path
}

/// Why `target` cannot be checked here.
fn obstacle(target: &str) -> Option<String> {
    if std::env::var_os("COTENANT_FULL").is_none() {
        return Some("checking for other systems takes minutes, ./test --full does it".into());
    }
    if !is_installed(target) {
        return Some(format!("the toolchain lacks a target: rustup target add {target}"));
    }
    // Building for this machine fetches no dependencies of other systems.
    let fetched = cargo(&["fetch", "--quiet", "--locked", "--target", target]).status().expect("cargo starts");
    (!fetched.success()).then(|| format!("dependencies for {target} are neither here nor to be had"))
}

fn check(target: &str) {
    if let Some(reason) = obstacle(target) {
        println!("skipped: {reason}");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let compiler = stub(folder.path());
    let mut command = cargo(&["check", "--quiet", "--lib", "--locked", "--offline", "--target", target]);
    for tool in ["CC", "CXX", "AR"] {
        command.env(format!("{tool}_{}", target.replace('-', "_")), &compiler);
    }
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("targets"));
    let answer = command.output().expect("cargo starts");
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success() && !said.contains("warning"), "{target}:\n{said}");
}

#[test]
fn the_library_type_checks_for_windows() {
    check("x86_64-pc-windows-gnu");
}

#[test]
fn the_library_type_checks_for_macos() {
    check("aarch64-apple-darwin");
}
