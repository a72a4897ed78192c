//! Tests of scenario files: what is understood, and what each mistake is told.

use proptest::prelude::*;

use super::*;

const FULL: &str = r#"
seed = 1
duration_s = 5.0
[device]
spec = "sim:v100-sxm2"
[policy]
name = "orion"
hp_ratio = 0.5
[[tenant]]
name = "face"
model = "models/face_landmark/model.onnx"
dims = { N = 1 }
shapes = { x = [1, 3, 48, 192] }
class = "best-effort"
priority = 9
slo_ms = 50
max_batch = 8
memory_limit_mb = 256
arrival = { kind = "poisson", rate_rps = 30.0 }
inputs = "folder"
[[tenant]]
name = "hand"
model = "zoo:mlp"
[[tenant]]
name = "replayed"
model = "profile:resnet.csv"
[[tenant]]
name = "fitted"
model = "law:resnet50"
dims = { N = 8 }
"#;

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(text, Path::new("dir/s.toml")).map_err(|e| e.to_string())
}

/// `FULL` with `from` replaced by `to` fails with a message that begins with `place` and holds all `parts`.
fn check(from: &str, to: &str, place: &str, parts: &[&str]) {
    assert!(FULL.contains(from), "{from}");
    let message = parse(&FULL.replacen(from, to, 1)).unwrap_err();
    assert!(message.starts_with(&format!("dir/s.toml:{place}")), "{message}");
    for part in parts {
        assert!(message.contains(part), "{message} should hold {part}");
    }
}

#[test]
fn the_scenario_of_the_contract_is_understood() {
    let s = parse(FULL).unwrap();
    assert_eq!((s.seed, s.length), (1, Length::Duration(Nanos::from_secs(5.0))));
    assert_eq!((s.device.as_str(), s.policy.name.as_str()), ("sim:v100-sxm2", "orion"));
    assert_eq!(s.policy.options.get("hp_ratio").and_then(toml::Value::as_float), Some(0.5));
    assert!(!s.policy.options.contains_key("name"));
    assert_eq!(s.memory, Memory::Isolated);
    let pooled = FULL.replacen("[device]", "[device]\nmemory = \"pooled\"", 1);
    assert_eq!(parse(&pooled).unwrap().memory, Memory::Pooled);
    let face = &s.tenants[0];
    assert_eq!(face.model, ModelRef::File("dir/models/face_landmark/model.onnx".into()));
    assert_eq!(face.dims["N"], 1);
    assert_eq!(face.shapes["x"], [1, 3, 48, 192]);
    assert_eq!((face.class, face.priority, face.slo), (Class::BestEffort, 9, Nanos::from_ms(50.0)));
    assert_eq!((face.max_batch, face.memory_limit_mb), (8, Some(256)));
    assert_eq!(face.arrival, ArrivalSpec::Poisson { rate_rps: 30.0 });
    assert_eq!(face.inputs.as_deref(), Some(Path::new("dir/folder")));
    assert_eq!(s.tenants[1].model.to_string(), "zoo:mlp");
    assert_eq!(s.tenants[2].model, ModelRef::Profile("dir/resnet.csv".into()));
    assert_eq!(s.tenants[3].model, ModelRef::Law("resnet50".into()));
    assert_eq!(s.tenants.iter().map(|t| t.model.is_given()).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn defaults_are_those_of_the_contract() {
    let s = parse("requests = 10\n[[tenant]]\nname = \"a\"\nmodel = \"zoo:mlp\"\n").unwrap();
    assert_eq!((s.seed, s.length), (0, Length::Requests(10)));
    assert_eq!((s.device.as_str(), s.policy.name.as_str()), ("auto", "round-robin"));
    let t = &s.tenants[0];
    assert_eq!((t.class, t.priority, t.slo), (Class::Latency, 5, Nanos::from_ms(100.0)));
    assert_eq!((t.max_batch, t.memory_limit_mb), (1, None));
    assert_eq!(t.arrival, ArrivalSpec::Closed { concurrency: 1 });
    assert!(t.dims.is_empty() && t.shapes.is_empty() && t.inputs.is_none());
}

#[test]
fn the_length_is_given_once() {
    check("duration_s = 5.0\n", "", "1:1", &["neither", "exactly one of duration_s and requests"]);
    check("duration_s = 5.0\n", "duration_s = 5.0\nrequests = 3\n", "4:12", &["both"]);
    check("duration_s = 5.0", "duration_s = -5.0", "3:14", &["duration_s: found -5"]);
    check("duration_s = 5.0", "duration_s = nan", "3:14", &["found NaN"]);
    check("duration_s = 5.0", "requests = 0", "3:12", &["requests: found 0, allowed is 1 to"]);
    check("duration_s = 5.0", "duration_s = \"long\"", "3:14", &["expected f64", "duration_s = \"long\""]);
}

#[test]
fn tenants_are_named_models_of_their_own() {
    let message = parse("duration_s = 1.0\n").unwrap_err();
    assert_eq!(message, "dir/s.toml:1:1: tenant: found none, allowed is at least one [[tenant]]");
    check("\"hand\"", "\"face\"", "22:8", &["tenant.name: found \"face\", the name of the tenant at line 10"]);
    check("name = \"hand\"\n", "", "21:1", &["tenant 2: name: found nothing"]);
    check("\"hand\"", "\"\"", "22:8", &["tenant.name: found \"\"", "1 to 64 printable"]);
    check("model = \"zoo:mlp\"\n", "", "21:1", &["tenant \"hand\": model: found nothing", "zoo:NAME"]);
    check("\"zoo:mlp\"", "\"zoo:\"", "23:9", &["found \"zoo:\"", "profile:FILE.csv", "law:NAME"]);
    check("\"law:resnet50\"", "\"law: \"", "29:9", &["found \"law: \"", "law:NAME"]);
}

#[test]
fn bad_fields_of_tenants_are_told() {
    check("\"best-effort\"", "\"batch\"", "14:9", &["tenant \"face\": class: found \"batch\"", "\"latency\" or"]);
    check("priority = 9", "priority = -1", "15:12", &["priority: found -1, allowed is 0 to 1000"]);
    check("priority = 9", "prioritty = 9", "15:1", &["unknown field `prioritty`", "`priority`"]);
    check("priority = 9", "priority = 9.5", "15:12", &["floating point `9.5`", "priority = 9.5"]);
    check("slo_ms = 50", "slo_ms = 0", "16:10", &["slo_ms: found 0"]);
    check("max_batch = 8", "max_batch = 0", "17:13", &["max_batch: found 0, allowed is 1 to 1024"]);
    check("memory_limit_mb = 256", "memory_limit_mb = 0", "18:19", &["memory_limit_mb: found 0"]);
    check("{ N = 1 }", "{}", "12:8", &["dims: found no name"]);
    check("{ N = 1 }", "{ N = 0 }", "12:14", &["dims.N: found 0, allowed is 1 to"]);
    check("[1, 3, 48, 192]", "[1, -3]", "13:16", &["shapes.x: found -3"]);
}

#[test]
fn bad_arrivals_are_told() {
    check("rate_rps = 30.0", "rate_rps = -30.0", "19:", &["tenant \"face\": arrival.rate_rps: found -30"]);
    check("rate_rps = 30.0", "rate = 30.0", "19:", &["unknown field `rate`", "rate_rps"]);
    check("\"poisson\"", "\"fish\"", "19:", &["unknown variant `fish`", "`gamma`"]);
    check(", rate_rps = 30.0", "", "19:", &["missing field `rate_rps`"]);
}

#[test]
fn other_mistakes_are_told() {
    check("seed = 1", "seed = -1", "2:8", &["-1"]);
    check("seed = 1", "seeds = 1", "2:1", &["unknown field `seeds`", "`seed`"]);
    check("[device]", "[device", "4:", &["in `[device`"]);
    check("spec = ", "name = ", "5:1", &["unknown field `name`", "`spec`"]);
    check("\"sim:v100-sxm2\"", "\"\"", "5:8", &["device.spec: found nothing"]);
    check(
        "[device]",
        "[device]\nmemory = \"shared\"",
        "5:10",
        &["device.memory: found \"shared\"", "isolated", "pooled", "trust"],
    );
    check("name = \"orion\"\n", "", "6:1", &["policy.name: found nothing"]);
    check("name = \"orion\"\n", "name = 3\n", "6:1", &["policy.name: found 3"]);
}

#[test]
fn a_loaded_scenario_names_files_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.toml");
    assert!(Scenario::load(&path).unwrap_err().to_string().contains("s.toml: cannot be read"));
    let text = "duration_s = 1\n[[tenant]]\nname = \"a\"\nmodel = \"m.onnx\"\ninputs = \"in\"\narrival = { kind = \"trace\", file = \"gaps.json\" }\n";
    std::fs::write(&path, text).unwrap();
    let error = || Scenario::load(&path).unwrap_err().to_string();
    assert!(error().contains("s.toml:6:11: tenant \"a\": arrival.file: found"), "{}", error());
    std::fs::write(dir.path().join("gaps.json"), "[1]").unwrap();
    assert!(error().contains("s.toml:4:9: tenant \"a\": model: found"), "{}", error());
    std::fs::write(dir.path().join("m.onnx"), "").unwrap();
    assert!(error().contains("s.toml:5:10: tenant \"a\": inputs: found"), "{}", error());
    std::fs::create_dir(dir.path().join("in")).unwrap();
    let scenario = Scenario::load(&path).unwrap();
    assert_eq!(scenario.folder(), dir.path());
    assert_eq!(scenario.text, text);
}

#[test]
fn places_are_found_again() {
    let s = parse(FULL).unwrap();
    let check = |place: Place, expected: &str| assert_eq!(place.to_string(), format!("dir/s.toml:{expected}"));
    check(s.place(&["device", "spec"]), "5:8");
    check(s.place(&["policy", "hp_ratio"]), "8:12");
    check(s.place(&["policy", "nothing"]), "6:1");
    check(s.place(&["nothing", "name"]), "1:1");
    check(s.place_of_tenant(0, &["dims", "N"]), "12:14");
    check(s.place_of_tenant(0, &["arrival"]), "19:11");
    check(s.place_of_tenant(1, &["dims"]), "21:1");
    check(s.place_of_tenant(2, &["model"]), "26:9");
    check(s.place_of_tenant(3, &["model"]), "29:9");
    check(s.place_of_tenant(4, &["model"]), "1:1");
    assert_eq!(
        s.warnings(),
        ["dir/s.toml:17:13: tenant \"face\": max_batch = 8 has no effect: requests are not batched yet"]
    );
}

#[test]
fn the_examples_are_understood() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in ["ar_headset.toml", "document_scanner.toml", "simulated_a100.toml"] {
        let path = examples.join(name);
        if let Ok(text) = std::fs::read_to_string(&path) {
            Scenario::parse(&text, &path).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn damaged_scenarios_never_panic(at in 0usize..800, put in any::<char>()) {
        let at = at % FULL.len();
        let mut text = FULL.to_string();
        text.insert(at, put);
        let _ = parse(&text);
        let _ = parse(&FULL[..at]);
    }
}
