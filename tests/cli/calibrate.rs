//! `cotenant calibrate` and `cotenant run --twin`: what is written and said, not how long anything takes.

use std::fs;

use cotenant::hal::sim::Profile;
use cotenant::hal::wgpu;

use super::{call, file, folder};

const MODEL: &str = "zoo:keyword_spotting";

const SCENARIO: &str = r#"
requests = 3
[[tenant]]
name = "seen"
model = "zoo:keyword_spotting"
[[tenant]]
name = "unseen"
model = "zoo:matmul_96"
"#;

/// A device to calibrate, where there is one.
fn device() -> Option<String> {
    let found = wgpu::find();
    let device = found.iter().find(|f| f.is_software()).or(found.first()).map(|f| format!("wgpu:{}", f.name()));
    if device.is_none() {
        println!("skipped: no wgpu adapter");
    }
    device
}

#[test]
fn a_calibrated_profile_is_the_twin_of_its_device() {
    let Some(device) = device() else { return };
    let dir = folder();
    let out = dir.path().join("twin.toml").to_string_lossy().into_owned();
    let answer = call(&["calibrate", MODEL, "--quick", "--device", &device, "--out", &out, "--json"]).expect(0).json();
    assert_eq!(answer["models"], serde_json::json!([MODEL]));
    for figure in answer["figures"].as_array().expect("a list") {
        assert!(figure["value"].as_f64().is_some_and(|v| v >= 0.0) && figure["source"] != "", "{figure}");
    }
    let text = fs::read_to_string(&out).expect("the profile");
    let profile = Profile::parse("twin.toml", &text).expect("it reads");
    assert_eq!(answer["kernels"], profile.kernels.len());
    let calibration = profile.calibration.as_ref().expect("how it was measured");
    assert_eq!(format!("wgpu:{}", calibration.device), device);
    assert!(profile.kernels.iter().all(|k| k.samples >= 1 && k.workers >= 1), "{:?}", profile.kernels);
    assert!(profile.power.is_none() && profile.memory.gib.is_none() && profile.compute.clock_mhz.is_none());
    for line in text.lines().take_while(|line| *line != "[[kernel]]") {
        let number = line.split_once(" = ").is_some_and(|(_, v)| v.starts_with(|c: char| c.is_ascii_digit()));
        assert!(!number || line.contains(" # "), "no source: {line}");
    }

    let scenario = file(dir.path(), "two.toml", SCENARIO);
    let run = ["run", &scenario, "--device", &device, "--twin", &out];
    let answer = call(&[&run[..], &["--json"]].concat()).expect(0).json();
    let devices = answer["devices"].as_array().expect("a list");
    let clocks: Vec<_> = devices.iter().map(|d| d["clock"].as_str().unwrap_or_default()).collect();
    assert_eq!(clocks, ["wall", "virtual"]);
    assert!(devices.iter().all(|d| d["totals"]["energy_j_per_request"].is_null()), "no power, no energy");
    let twin = answer["twin"].as_array().expect("a list");
    let names: Vec<_> = twin.iter().map(|t| t["tenant"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["seen", "unseen"]);
    for t in twin {
        assert!(t["error"].as_f64().is_some_and(|e| e > -1.0) && t["alone_error"].is_f64(), "{t}");
        let (measured, simulated) = (t["measured_mean_ms"].as_f64(), t["simulated_mean_ms"].as_f64());
        assert!(measured.is_some_and(|m| m > 0.0) && simulated.is_some_and(|m| m > 0.0), "{t}");
    }
    let launches = |at: usize| (twin[at]["launches_measured"].as_u64(), twin[at]["launches_counted"].as_u64());
    assert_eq!((launches(0).1, launches(1).0), (Some(0), Some(0)), "{twin:?}");
    assert!(launches(0).0 >= Some(1) && launches(1).1 >= Some(1), "{twin:?}");
    let text = call(&run).expect(0).out;
    assert!(text.contains("the twin against its device") && text.contains("counted: no measured time"), "{text}");

    let change = |from: &str, to: &str, words: &[&str]| {
        assert!(text_of(&out).contains(from), "{from} is in the file");
        let other = file(dir.path(), "other.toml", text_of(&out).replacen(from, to, 1));
        call(&["run", &scenario, "--device", &device, "--twin", &other]).complains(2, words);
    };
    change("format = 1", "format = 0", &["other.toml", "calibration.format", "found 0", "reads 1", "calibrate"]);
    change("sms = ", "sm = ", &["other.toml", "compute.sm"]);
    change("backend = \"wgpu\"", "backend = \"cuda\"", &["other.toml", "(cuda)", "(wgpu)", "calibrate --device"]);
    call(&["run", &scenario, "--device", "null", "--twin", &out]).complains(2, &["--twin", "twin of", "allowed is"]);
}

fn text_of(path: &str) -> String {
    fs::read_to_string(path).expect("it is there")
}

#[test]
fn what_cannot_be_calibrated_is_named_and_leaves_files_as_they_were() {
    let dir = folder();
    let out = file(dir.path(), "old.toml", "as it was");
    let refuse = |args: &[&str], status: i32, words: &[&str]| {
        call(&[&["calibrate", "--quick"], args].concat()).complains(status, words);
        assert_eq!(text_of(&out), "as it was");
        assert_eq!(dir.path().read_dir().expect("a folder").count(), 1, "nothing else is left");
    };
    refuse(&["--device", "null", "--out", &out, MODEL], 2, &["--device", "null", "runs no kernels"]);
    refuse(&["--device", "reference", "--out", &out, MODEL], 2, &["runs no kernels"]);
    refuse(&["--device", "wgpu:no such adapter", "--out", &out, MODEL], 3, &["no such adapter"]);
    refuse(&["--device", "gpu", "--out", &out, MODEL], 2, &["found \"gpu\""]);
    refuse(&["--device", "all", "--out", &out, MODEL], 2, &["all"]);
    refuse(&["--device", "null", "--out", &out, "zoo:nothing_like_it"], 2, &["nothing_like_it"]);
    refuse(&["--device", "null", "--out", &out, "no/model.onnx"], 2, &["no/model.onnx"]);
    let missing = dir.path().join("none").join("twin.toml").to_string_lossy().into_owned();
    refuse(&["--device", "null", "--out", &missing, MODEL], 2, &["--out", "its folder does not exist"]);
    let unnamed = dir.path().join("twin.json").to_string_lossy().into_owned();
    refuse(&["--device", "null", "--out", &unnamed, MODEL], 2, &["twin.json", "ends in .toml"]);
}

#[test]
fn what_is_no_twin_is_refused_before_anything_runs() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", SCENARIO);
    let check = |twin: &str, device: &str, words: &[&str]| {
        call(&["run", &scenario, "--device", device, "--twin", twin]).complains(2, words);
    };
    check("a100-80gb", "null", &["--twin a100-80gb", "was not measured", "cotenant calibrate"]);
    check("a200", "null", &["--twin a200: name", "h100-sxm"]);
    check("no/twin.toml", "null", &["--twin no/twin.toml"]);
    let text = file(dir.path(), "text.toml", "not a profile");
    check(&text, "null", &["--twin", "text.toml", "line 1"]);
    check("a100-80gb", "all", &["--twin compares one device"]);
}
