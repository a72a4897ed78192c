//! `cotenant repro`: bands kept, measurements absent, damaged files, the document.

use std::fs;
use std::path::{Path, PathBuf};

use super::{call, cotenant, folder, full, run};

/// Public measurements beside the repository, or where `COTENANT_DATA` says.
fn data() -> Option<String> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("COTENANT_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder.to_string_lossy().into_owned());
    }
    println!("skipped: no folder of public measurements beside the repository");
    None
}

#[test]
fn bands_are_kept() {
    let Some(data) = data() else { return };
    let size: &[&str] = if full() { &["--requests", "1000"] } else { &["--requests", "200", "--subset"] };
    let dir = folder();
    let out = dir.path().join("V.md").to_string_lossy().into_owned();
    let args = [&["repro", "validation", "--json", "--data", &data, "--out", &out], size].concat();
    let answer = call(&args).expect(0).json();
    let rows = answer["systems"].as_array().expect("a list");
    assert!(rows.iter().filter(|row| row["within"] == true).count() >= 4, "{answer:#}");
    for row in rows {
        assert!(row["ours"].is_number() && row["clock"] == "virtual" && row["system"] == "validation", "{row:#}");
        assert_ne!(row["within"], false, "{row:#}");
    }
    let document = fs::read_to_string(&out).expect("the document");
    for picture in ["validation-mig.svg", "validation-pairs.svg", "validation-occupancy.svg"] {
        assert!(document.contains(&format!("]({picture})")) && dir.path().join(picture).is_file(), "{picture}");
    }
    assert_eq!(dir.path().read_dir().expect("a folder").count(), 4, "nothing else is left");
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let Some(data) = data() else { return };
    let run = |seed: &str| {
        call(&["repro", "validation", "--json", "--data", &data, "--requests", "100", "--subset", "--seed", seed]).out
    };
    assert_eq!(run("7"), run("7"));
}

#[test]
fn absent_measurements_are_skipped_by_name() {
    // A folder that is there and empty, as one does who has some of the measurements.
    let dir = folder();
    let empty = dir.path().to_string_lossy().into_owned();
    let answer = call(&["repro", "validation", "--json", "--data", &empty]).expect(0).json();
    let rows = answer["systems"].as_array().expect("a list");
    assert!(rows.len() >= 4, "{answer:#}");
    for row in rows {
        let note = row["note"].as_str().expect("a text");
        for word in ["skipped: ", &empty, "GitHub", "--data", "COTENANT_DATA"] {
            assert!(note.contains(word), "{word}: {row:#}");
        }
        assert!(row["ours"].is_null() && row["within"].is_null() && row["band"].is_array(), "{row:#}");
    }
    let answer = run(cotenant(&["repro", "validation"]).env("COTENANT_DATA", &empty)).expect(0);
    assert!(answer.out.contains("skipped") && answer.err.contains("nothing was compared"), "{answer:?}");
}

#[test]
fn a_folder_that_was_named_must_be_there() {
    call(&["repro", "--data", "no/such/folder"]).complains(2, &["--data no/such/folder", "parvagpu", "GitHub"]);
    let answer = run(cotenant(&["repro"]).env("COTENANT_DATA", "no/such/other"));
    answer.complains(2, &["COTENANT_DATA=no/such/other", "orion", "reef"]);
}

#[test]
fn damaged_measurements_name_the_place() {
    let dir = folder();
    let tables = dir.path().join("parvagpu/prof_data");
    fs::create_dir_all(&tables).expect("a folder");
    let path = dir.path().to_string_lossy().into_owned();
    let repro = || call(&["repro", "validation", "--data", &path]);
    repro().complains(2, &["bert.csv"]);
    let header = "Mig instance,Batch size,Workload Number,Throughput,Latency\n";
    fs::write(tables.join("bert.csv"), format!("{header}1,1,1,74.4,0.013\n1,1,two,52,0.02\n")).expect("written");
    repro().complains(2, &["bert.csv:3", "Workload Number", "two"]);
    fs::write(tables.join("bert.csv"), format!("{header}1,1,1,74.4,0.013\n")).expect("written");
    repro().complains(2, &["bert.csv", "1 points"]);
}

#[test]
fn bad_usage_is_refused() {
    call(&["repro", "clockwork-orange"]).complains(2, &["clockwork-orange", "validation"]);
    call(&["repro", "--requests", "5"]).complains(2, &["--requests 5", "100"]);
    call(&["repro", "--out", "no/such/folder/x.md"]).complains(2, &["no/such/folder/x.md"]);
    assert!(call(&["repro", "help"]).expect(0).out.contains("validation"));
}

#[test]
fn interleaving_is_compared_without_measurements() {
    let answer = call(&["repro", "runtime-aware", "ios", "--subset", "--json"]).expect(0).json();
    let rows = answer["systems"].as_array().expect("a list");
    for (system, n) in [("runtime-aware", 2), ("ios", 1)] {
        assert_eq!(rows.iter().filter(|row| row["system"] == system).count(), n, "{answer:#}");
    }
    for row in rows {
        let ours = row["ours"].as_f64().expect("a figure");
        assert!(ours.is_finite() && ours > 0.0, "{row:#}");
        assert_eq!(row["clock"], "virtual", "{row:#}");
    }
    // A search answers nothing worse than one after the other.
    assert!(rows.iter().all(|row| row["metric"].as_str().is_some_and(|m| !m.contains("times sequential"))
        || row["ours"].as_f64() >= Some(1.0)));
}
