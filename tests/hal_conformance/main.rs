//! The conformance suite of `Device`: every sentence of the contract in `src/hal/mod.rs` as a test that runs unchanged
//! on every backend. A backend is one line below; what it cannot do is read from its capabilities.

mod chains;
mod eval;
mod faults;
mod isolation;
mod lanes;
mod memory;
mod placement;
mod program;
mod random;
mod recordings;
mod stages;
mod suite;
mod times;
mod transfers;

use cotenant::engine::device;
use cotenant::engine::device::OpenOptions;
use cotenant::hal::sim::SimOptions;
use cotenant::hal::{Device, WallClock};

use faults::{FAULTS, Fault, Faulty, KERNEL_FAULTS};
use suite::{Case, Factory, Outcome, objections, run};

/// Every case.
fn cases() -> Vec<Case> {
    [
        memory::CASES,
        transfers::CASES,
        recordings::CASES,
        stages::CASES,
        chains::CASES,
        lanes::CASES,
        placement::CASES,
        times::CASES,
        isolation::CASES,
        random::CASES,
    ]
    .concat()
}

/// Opens what `cotenant --device` calls `spec`.
fn by_name(spec: &str) -> impl Fn() -> Box<dyn Device> {
    move || device::open(spec, WallClock::start()).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs the suite on the devices that `open` opens. Cases that they are known to fail (case, why) must fail.
fn conforms(name: &str, open: Factory, known: &[(&str, &str)]) {
    let objections = objections(name, open, &cases(), known);
    assert!(objections.is_empty(), "{name} breaks the contract of src/hal/mod.rs:\n{}", objections.join("\n"));
}

/// True where a software adapter is there; CI may not be without it.
fn is_there(spec: &str) -> bool {
    match device::open(spec, WallClock::start()) {
        Ok(_) => true,
        Err(e) if std::env::var_os("CI").is_some() => panic!("CI runs on lavapipe and SwiftShader (see ./test): {e}"),
        Err(e) => {
            println!("skipped: {}", e.to_string().lines().next().unwrap_or_default());
            false
        }
    }
}

#[test]
fn null() {
    conforms("null", &by_name("null"), &[]);
}

#[test]
fn reference() {
    conforms("reference", &by_name("reference"), &[]);
}

#[test]
fn simulated() {
    for profile in ["a100-80gb", "t4", "planaria"] {
        conforms(profile, &by_name(&format!("sim:{profile}")), &[]);
    }
}

#[test]
fn simulated_without_results() {
    let open =
        || -> Box<dyn Device> { Box::new(device::simulated("a100-80gb", SimOptions { numerics: false }).unwrap()) };
    // What a device must have memory for.
    let known = [
        "a quota can change while memory is held",
        "the largest buffer is not too large",
        "writes reach their range and nothing else",
        "ranges outside a buffer are refused",
        "a refused submission does nothing",
        "uploads happen in their order",
        "reads are answered in their order",
        "writes come between submissions",
        "lanes complete in order, each by itself",
    ];
    conforms("a100-80gb without results", &open, &known.map(|case| (case, "its buffers hold no words")));
}

#[test]
fn wgpu_on_lavapipe() {
    if is_there("wgpu:lavapipe") {
        conforms("lavapipe", &by_name("wgpu:lavapipe"), &[]);
    }
}

#[test]
fn wgpu_on_swiftshader() {
    if is_there("wgpu:SwiftShader") {
        conforms("SwiftShader", &by_name("wgpu:SwiftShader"), &[]);
    }
}

/// Two logical devices of one adapter as one device.
fn fleet(spec: &str) -> impl Fn() -> Box<dyn Device> {
    let options = OpenOptions { logical_devices: 2, ..OpenOptions::default() };
    move || device::open_as(spec, WallClock::start(), options).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn wgpu_fleet_on_lavapipe() {
    if is_there("wgpu:lavapipe") {
        conforms("two logical devices of lavapipe", &fleet("wgpu:lavapipe"), &[]);
    }
}

#[test]
fn wgpu_fleet_on_swiftshader() {
    if is_there("wgpu:SwiftShader") {
        conforms("two logical devices of SwiftShader", &fleet("wgpu:SwiftShader"), &[]);
    }
}

/// Every adapter that is no software: none in CI, one or more on a machine with a GPU.
#[test]
fn wgpu_on_hardware() {
    let hardware: Vec<_> = cotenant::hal::wgpu::find().into_iter().filter(|f| !f.is_software()).collect();
    for found in &hardware {
        conforms(found.name(), &by_name(&format!("wgpu:{}", found.name())), &[]);
    }
    if hardware.is_empty() {
        println!("skipped: no hardware adapter on this machine");
    }
}

/// Panics unless each fault before what `right` opens makes its case fail.
fn assert_noticed(faults: &[(Fault, &str)], right: Factory) {
    let cases = cases();
    for (fault, name) in faults {
        let case = cases.iter().find(|c| c.name == *name).unwrap_or_else(|| panic!("{name:?} is no case"));
        let outcome = run(*case, &|| Box::new(Faulty::new(right(), *fault)));
        assert!(matches!(outcome, Outcome::Failed(_)), "{fault:?} goes through {name:?}: {outcome:?}");
    }
}

#[test]
fn every_fault_is_noticed() {
    assert_noticed(FAULTS, &by_name("reference"));
}

#[test]
fn every_fault_of_kernels_is_noticed() {
    if is_there("wgpu:lavapipe") {
        assert_noticed(KERNEL_FAULTS, &by_name("wgpu:lavapipe"));
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
    let open = by_name("null");
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
