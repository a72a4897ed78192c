//! `cotenant interleave`: its answer, its files and what it refuses; not how long anything takes.

use cotenant::hal::wgpu;

use super::{call, file, folder};

const SCENARIO: &str = r#"
seed = 3
requests = 1
[[tenant]]
name = "words"
model = "zoo:keyword_spotting"
[[tenant]]
name = "more-words"
model = "zoo:keyword_spotting"
"#;

/// The simulated device and every wgpu device that there is.
fn devices() -> Vec<String> {
    let found = wgpu::find();
    if found.is_empty() {
        println!("skipped: no wgpu adapter");
    }
    found.iter().map(|f| format!("wgpu:{}", f.name())).chain(["sim:v100-sxm2".into()]).collect()
}

#[test]
fn a_schedule_is_found_stored_and_replayed_with_equal_outputs() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", SCENARIO);
    let out = dir.path().join("schedule.json").to_string_lossy().into_owned();
    for device in devices() {
        let common = ["interleave", &scenario, "--device", &device, "--rounds", "2", "--json"];
        let found = call(&[&common[..], &["--out", &out]].concat()).expect(0).json();
        for time in ["sequential_ms", "naive_ms", "per_device_ms", "best_ms", "bound_ms", "peak_bound_ms"] {
            assert!(found[time].as_f64().is_some_and(|ms| ms > 0.0), "{device}: {time} is {}", found[time]);
        }
        assert_eq!(found["cpu_nodes"], 0);
        assert!(found["forms"].as_array().expect("a list").len() >= 4, "three baselines and what was found");
        let clock = if device.starts_with("sim:") { "virtual" } else { "wall" };
        assert_eq!(found["clock"], clock);
        let interval = found["ratio_interval"].as_array().expect("two ends");
        assert!(interval[0].as_f64() <= found["ratio"].as_f64() && found["ratio"].as_f64() <= interval[1].as_f64());

        let again = call(&[&common[..], &["--schedule", &out]].concat()).expect(0).json();
        assert_eq!(again["tenants"], found["tenants"], "{device}: outputs under a stored schedule");
        let isolated = call(&[&common[..], &["--isolated"]].concat()).expect(0).json();
        assert_eq!(isolated["tenants"], found["tenants"], "{device}: outputs with isolated memory");
        let hashes: Vec<_> = found["tenants"].as_array().expect("a list").iter().map(|t| &t["output_sha256"]).collect();
        assert_eq!(hashes[0], hashes[1], "one model, one seed");
        assert_eq!(hashes[0].is_string(), !device.starts_with("sim:"), "simulated devices compute nothing here");
    }
}

#[test]
fn pictures_show_both_rounds() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", SCENARIO);
    let svg = dir.path().join("rounds.svg").to_string_lossy().into_owned();
    call(&["interleave", &scenario, "--device", "sim:t4", "--rounds", "1", "--svg", &svg]).expect(0);
    let text = std::fs::read_to_string(&svg).expect("the picture");
    assert!(text.starts_with("<svg") && text.contains("sequential") && text.contains("more-words"));
}

#[test]
fn what_cannot_be_done_says_what_to_do_instead() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", SCENARIO);
    let other = file(dir.path(), "one.toml", "requests = 1\n[[tenant]]\nname = \"a\"\nmodel = \"zoo:add_64\"\n");
    let out = dir.path().join("schedule.json").to_string_lossy().into_owned();
    let sim = ["--device", "sim:t4", "--rounds", "1"];
    call(&[&["interleave", &other, "--out", &out], &sim[..]].concat()).expect(0);
    let refused = |args: &[&str], expected: &str| {
        let said = call(&[&["interleave"], args, &sim[..]].concat()).expect(2).err;
        assert!(said.contains(expected), "{said}");
    };
    refused(&[&scenario, "--schedule", &out], "was made for");
    refused(&[&scenario, "--search", "luck"], "allowed is greedy");
    refused(&[&scenario, "--out", "/nowhere/at/all.json"], "its folder does not exist");
    let damaged = file(dir.path(), "damaged.json", "{\"schedule\": 1}");
    refused(&[&scenario, "--schedule", &damaged], "damaged.json");
}
