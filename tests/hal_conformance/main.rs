//! The conformance suite of `Device`: every sentence of the contract in `src/hal/mod.rs` as a test that runs unchanged
//! on every backend. A backend is one line below; what it cannot do is read from its capabilities.

mod eval;
mod faults;
mod isolation;
mod lanes;
mod memory;
mod program;
mod random;
mod recordings;
mod stages;
mod suite;
mod times;
mod transfers;

use cotenant::engine::device;
use cotenant::hal::{Device, WallClock};

use suite::{Case, Outcome, objections, run};

/// Every case.
fn cases() -> Vec<Case> {
    [
        memory::CASES,
        transfers::CASES,
        recordings::CASES,
        stages::CASES,
        lanes::CASES,
        times::CASES,
        isolation::CASES,
        random::CASES,
    ]
    .concat()
}

/// Runs the suite on the device that `cotenant --device` calls `spec`. Cases that it is known to fail must fail.
fn conforms(spec: &str, known: &[(&str, &str)]) {
    let open = || device::open(spec, WallClock::start()).unwrap_or_else(|e| panic!("{e}"));
    let objections = objections(spec, &open, &cases(), known);
    assert!(objections.is_empty(), "{spec} breaks the contract of src/hal/mod.rs:\n{}", objections.join("\n"));
}

/// As [`conforms`] where the adapter is there; CI may not be without it.
fn adapter_conforms(spec: &str) {
    match device::open(spec, WallClock::start()) {
        Ok(_) => conforms(spec, &[]),
        Err(e) if std::env::var_os("CI").is_some() => panic!("CI runs on lavapipe and SwiftShader (see ./test): {e}"),
        Err(e) => println!("skipped: {}", e.to_string().lines().next().unwrap_or_default()),
    }
}

#[test]
fn null() {
    conforms("null", &[]);
}

#[test]
fn reference() {
    conforms("reference", &[]);
}

#[test]
fn wgpu_on_lavapipe() {
    adapter_conforms("wgpu:lavapipe");
}

#[test]
fn wgpu_on_swiftshader() {
    adapter_conforms("wgpu:SwiftShader");
}

/// Every adapter that is no software: none in CI, one or more on a machine with a GPU.
#[test]
fn wgpu_on_hardware() {
    let hardware: Vec<_> = cotenant::hal::wgpu::find().into_iter().filter(|f| !f.is_software()).collect();
    for found in &hardware {
        conforms(&format!("wgpu:{}", found.name()), &[]);
    }
    if hardware.is_empty() {
        println!("skipped: no hardware adapter on this machine");
    }
}

#[test]
fn every_fault_is_noticed() {
    let cases = cases();
    for (fault, name) in faults::FAULTS {
        let case = cases.iter().find(|c| c.name == *name).unwrap_or_else(|| panic!("{name:?} is no case"));
        let right = || device::open("reference", WallClock::start()).unwrap();
        let faulty = || -> Box<dyn Device> { Box::new(faults::Faulty::new(right(), *fault)) };
        let outcome = run(*case, &faulty);
        assert!(matches!(outcome, Outcome::Failed(_)), "{fault:?} goes through {name:?}: {outcome:?}");
    }
}

#[test]
fn names_are_unique_and_known_failures_must_fail() {
    let fails = |_: &mut dyn Device| panic!("as it is known to");
    let cases = [
        Case { name: "passes", needs: &[], check: |_| {} },
        Case { name: "fails", needs: &[], check: fails },
        Case { name: "needs results", needs: &[suite::Need::Results], check: fails },
    ];
    let open = || device::open("null", WallClock::start()).unwrap();
    let objections = |known: &[(&str, &str)]| objections("null", &open, &cases, known);
    assert_eq!(objections(&[("fails", "why")]), Vec::<String>::new());
    assert_eq!(objections(&[]), ["fails: as it is known to"]);
    let passes = "passes: known to fail (why), and does not";
    assert_eq!(objections(&[("fails", "why"), ("passes", "why")]), [passes]);
    assert_eq!(objections(&[("fails", "why"), ("other", "why")]), ["\"other\", known to fail, is no case"]);
    assert_eq!(objections(&[("fails", "why"), ("needs results", "why")]).len(), 1, "what does not apply cannot fail");
    let mut names: Vec<&str> = self::cases().iter().map(|c| c.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}
