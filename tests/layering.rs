//! The layers point one way: every path in `src/` that names another module of the crate is checked against the map of
//! `docs/ARCHITECTURE.md`. Paths are found in `use` lines, in code and in the tokens of macro calls, `super::` resolved.

mod layering_paths;

use std::fs;
use std::path::{Path, PathBuf};

use layering_paths::{Reference, references};

/// The layers, lowest first, each with those that it may name. It may also name whatever these may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("tensor", &[]),
    ("timeline", &["tensor"]),
    ("hal", &["tensor", "timeline"]),
    ("kernel", &["hal"]),
    ("graph", &["kernel"]),
    ("predict", &["kernel"]),
    ("interleave", &["graph", "predict"]),
    ("resource", &["predict", "hal"]),
    ("service", &["interleave", "resource", "predict"]),
    ("engine", &["service"]),
    ("repro", &["engine"]),
    ("cli", &["engine", "repro"]),
];

/// The modules of `hal` that are backends. No backend names another, nothing else in `hal` names one, and of the other
/// layers only those that open devices do.
const BACKENDS: &[&str] = &["null", "reference", "wgpu", "cuda", "sim"];

/// Layers that open devices.
const OPENERS: &[&str] = &["engine", "repro", "cli"];

/// Debt: `(file, path that it should not name)`. It only shrinks.
const DEBT: &[(&str, &str)] = &[];

/// Every layer that `layer` may name, itself included.
fn allowed(layer: &str) -> Vec<&'static str> {
    let Some((name, direct)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return Vec::new();
    };
    let mut all = vec![*name];
    for lower in *direct {
        all.extend(allowed(lower));
    }
    all
}

/// What is wrong with naming `target` from the module `from`; both as segments below the crate.
fn objection(from: &[String], target: &[String]) -> Option<String> {
    let layer = from.first()?;
    let Some(named) = target.first() else {
        return Some("names the root of the crate, which holds every layer; name a layer".into());
    };
    if !LAYERS.iter().any(|(name, _)| name == layer) {
        return Some(format!("{layer} is no layer of the map"));
    }
    if !allowed(layer).contains(&named.as_str()) {
        return Some(format!("{layer} may name {} only", allowed(layer).join(", ")));
    }
    if named != "hal" {
        return None;
    }
    let backend = target.get(1).filter(|module| BACKENDS.contains(&module.as_str()))?;
    let own = from.get(1).is_some_and(|module| layer == "hal" && module == backend);
    (!own && !OPENERS.contains(&layer.as_str())).then(|| {
        let openers = OPENERS.join(", ");
        format!("the backend {backend} is named by itself and by {openers} only")
    })
}

/// The objections to a file's text that lies at `module`.
fn objections(module: &[String], text: &str) -> Vec<(Reference, String)> {
    let found = references(module, text).expect("the file parses");
    found.into_iter().filter_map(|r| objection(&r.from, &r.target).map(|why| (r, why))).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// `src/hal/wgpu/mod.rs` is `hal::wgpu`, `src/lib.rs` the root.
fn module_of(relative: &Path) -> Vec<String> {
    let mut segments: Vec<String> =
        relative.with_extension("").iter().map(|s| s.to_string_lossy().into_owned()).collect();
    if segments.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        segments.pop();
    }
    segments
}

#[test]
fn lower_layers_never_name_higher_ones() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    files.sort();
    assert!(files.len() > 50, "the sources were found");
    let mut complaints = Vec::new();
    let mut paid: Vec<_> = DEBT.to_vec();
    for file in &files {
        let relative = file.strip_prefix(&source).expect("it lies in src");
        let text = fs::read_to_string(file).expect("it is text");
        for (reference, why) in objections(&module_of(relative), &text) {
            let named = reference.target.join("::");
            let debt = |(file, path): &(&str, &str)| Path::new(file) == relative && named.starts_with(path);
            paid.retain(|entry| !debt(entry));
            if !DEBT.iter().any(debt) {
                complaints.push(format!("src/{}:{}: {named}: {why}", relative.display(), reference.line));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(paid.is_empty(), "no longer owed, remove from DEBT: {paid:?}");
}

#[test]
fn every_folder_of_the_sources_is_a_layer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(source).expect("src is there") {
        let name = entry.expect("it can be listed").file_name().to_string_lossy().into_owned();
        let known = ["lib.rs", "main.rs"].contains(&name.as_str()) || LAYERS.iter().any(|(layer, _)| *layer == name);
        assert!(known, "src/{name} is no layer of the map");
    }
}

/// The paths that are refused in `text` as part of `module`.
fn check(module: &str, text: &str, refused: &[&str]) {
    let module: Vec<String> = module.split("::").map(String::from).collect();
    let got: Vec<String> = objections(&module, text).into_iter().map(|(r, _)| r.target.join("::")).collect();
    assert_eq!(got, refused, "{text}");
}

#[test]
fn a_higher_layer_is_refused_however_it_is_named() {
    check("kernel::gemm", "use crate::graph::Graph;", &["graph::Graph"]);
    check("kernel::gemm", "use crate::{hal::Device, engine::{Engine, run}};", &["engine::Engine", "engine::run"]);
    check("kernel::gemm", "use super::super::engine as lower;", &["engine"]);
    check("kernel::gemm", "fn f(g: &crate::graph::Graph) {}", &["graph::Graph"]);
    check("kernel::gemm", "fn f() { crate::engine::start(); }", &["engine::start"]);
    check("kernel::gemm", "fn f() { println!(\"{}\", crate::cli::NAME); }", &["cli::NAME"]);
    check("kernel::gemm", "fn f() { vec![super::super::service::A] ; }", &["service::A"]);
    check("kernel::gemm", "mod inner { mod deep { use super::super::super::super::graph::load; } }", &["graph::load"]);
    check("kernel::gemm", "pub(crate) mod m { pub(crate) use crate::repro::Table; }", &["repro::Table"]);
    check("kernel", "macro_rules! m { () => { $crate::engine::start() } }", &["engine::start"]);
    check("tensor::view", "use crate::hal::Device;", &["hal::Device"]);
    check("timeline", "impl crate::service::Policy for X {}", &["service::Policy"]);
}

#[test]
fn the_root_of_the_crate_is_no_way_round() {
    check("kernel::gemm", "use crate::*;", &[""]);
    check("kernel::gemm", "use crate as root;", &[""]);
    check("kernel", "use super::*;", &[""]);
    check("kernel", "use crate::{self as root};", &[""]);
}

#[test]
fn files_are_not_taken_from_elsewhere() {
    for text in ["#[path = \"../engine/mod.rs\"] mod engine;", "include!(\"../engine/mod.rs\");"] {
        assert!(references(&["kernel".into()], text).is_err(), "{text}");
    }
}

#[test]
fn backends_do_not_know_each_other() {
    check("hal::wgpu::queue", "use crate::hal::null::NullDevice;", &["hal::null::NullDevice"]);
    check("hal::wgpu::queue", "use super::super::reference::ReferenceDevice;", &["hal::reference::ReferenceDevice"]);
    check("hal::caps", "use super::wgpu::find;", &["hal::wgpu::find"]);
    check("graph::compile", "use crate::hal::wgpu::WgpuDevice;", &["hal::wgpu::WgpuDevice"]);
    check("hal::wgpu::queue", "use super::link::link; use crate::hal::wgpu::chain;", &[]);
    check("engine::devices", "use crate::hal::{null, reference, wgpu};", &[]);
}

#[test]
fn what_the_map_allows_passes() {
    check("graph::load", "use crate::kernel::Operator; use crate::tensor::View; use super::Graph;", &[]);
    check("kernel::gemm", "mod tests { use super::*; use super::super::harness::run; }", &[]);
    check("kernel::gemm", "use wgpu::Device; use std::sync::Arc; fn f() -> pb::graph::X { graph::y() }", &[]);
    check("cli::run", "use crate::{engine::Engine, tensor::Nanos};", &[]);
}
