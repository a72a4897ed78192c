//! `cotenant run` and `demo`: scenario files good and bad, metrics, traces.

use cotenant::tensor::DType;
use prost::Message;

use super::common::model::Model;
use super::{call, file, folder, npy, npy_i64, zoo};

const TWO: &str = r#"
seed = 3
requests = 3
[[tenant]]
name = "words"
model = "zoo:keyword_spotting"
[[tenant]]
name = "product"
model = "zoo:matmul_64"
class = "best-effort"
"#;

#[test]
fn a_scenario_answers_metrics_and_a_trace() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", TWO);
    let trace = dir.path().join("trace.json");
    let trace_arg = trace.to_string_lossy().into_owned();
    let run = ["run", &scenario, "--device", "reference", "--seed", "5", "--trace", &trace_arg, "--json"];
    let answer = call(&run).expect(0).json();
    assert_eq!(
        (&answer["clock"], &answer["policy"], &answer["seed"]),
        (&"wall".into(), &"round-robin".into(), &5.into())
    );
    assert_eq!(answer["device"]["backend"], "reference");
    for tenant in answer["tenants"].as_array().expect("a list") {
        assert_eq!((&tenant["completed"], &tenant["failed"]), (&3.into(), &0.into()), "{tenant}");
        assert_eq!(tenant["output_sha256"].as_str().map(str::len), Some(64));
    }
    let timeline = cotenant::timeline::perfetto::read_file(&trace).expect("a trace");
    assert!(timeline.len() > 10 && timeline.info.seed == 5);
    assert_eq!(dir.path().read_dir().expect("a folder").count(), 2, "nothing else is left");
}

#[test]
fn outputs_do_not_depend_on_the_policy() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", TWO);
    let outputs = |policy: &str| {
        let answer = call(&["run", &scenario, "--device", "auto", "--policy", policy, "--json"]).expect(0).json();
        assert_eq!(answer["policy"], policy);
        let tenants = answer["tenants"].as_array().expect("a list").clone();
        tenants.into_iter().map(|t| t["output_sha256"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(outputs("round-robin"), outputs("sequential"));
}

#[test]
fn bad_scenarios_name_the_line_and_the_field() {
    let dir = folder();
    let check = |text: &str, words: &[&str]| {
        let path = file(dir.path(), "bad.toml", text);
        call(&["run", &path, "--device", "null"]).complains(2, words);
    };
    let tenant = "requests = 1\n[[tenant]]\nname = \"a\"\nmodel = \"zoo:keyword_spotting\"\n";
    check("", &["bad.toml", "tenant"]);
    check("requests = 1\nnonsense = 2\n", &["bad.toml:2:1", "nonsense"]);
    check(&format!("{tenant}prio = 1\n"), &["bad.toml:5:1", "prio"]);
    check(&format!("{tenant}priority = -1\n"), &["bad.toml:5", "priority", "-1"]);
    check(
        &format!("{tenant}[[tenant]]\nname = \"a\"\nmodel = \"zoo:matmul_64\"\n"),
        &["bad.toml:6", "\"a\"", "of its own"],
    );
    check(&format!("{tenant}[policy]\nname = \"fastest\"\n"), &["bad.toml:6:8", "fastest", "round-robin"]);
    check(&format!("{tenant}[policy]\nquantum = 3\nname = \"fifo\"\n"), &["bad.toml:6:11", "policy.quantum", "fifo"]);
    let shares = "[policy]\nname = \"time-slice\"\nshare = \"unfair\"\n";
    check(&format!("{tenant}{shares}"), &["bad.toml:7:9", "policy.share", "unfair", "best-effort"]);
    check(&tenant.replace("keyword_spotting", "nothing_like_it"), &["bad.toml:4:9", "nothing_like_it"]);
    check(&tenant.replace("zoo:keyword_spotting", "no/model.onnx"), &["bad.toml:4:9", "no/model.onnx"]);
    check(&tenant.replace("zoo:keyword_spotting", "."), &["bad.toml:4:9", "a folder"]);
    check(&format!("{tenant}inputs = \"bad.toml\"\n"), &["bad.toml:5:10", "no folder"]);
    check(&format!("{tenant}dims = {{ Q = 3 }}\n"), &["bad.toml:5:8", "Q"]);
    check(&format!("{tenant}shapes = {{ sound = [3] }}\n"), &["bad.toml:5:10", "sound"]);
    check(&format!("{tenant}memory_limit_mb = 1\n").replace("keyword_spotting", "resnet18"), &["bad.toml:5:19"]);
    call(&["run", "no/such/file.toml"]).complains(2, &["no/such/file.toml"]);
    call(&["run"]).expect(2);
}

/// Runs `text` as a scenario file on the device that it names, and gives the one message that refuses it.
fn refusal(folder: &std::path::Path, text: &str) -> String {
    let path = file(folder, "own.toml", text);
    let answer = call(&["run", &path]).expect(2);
    assert!(answer.err.lines().count() == 1 && answer.err.len() < 1500, "{answer:?}");
    answer.err
}

#[test]
fn messages_about_a_scenario_speak_of_its_keys_and_not_of_options() {
    let dir = folder();
    file(dir.path(), "model.onnx", zoo("keyword_spotting"));
    let tenant = "requests = 1\n[[tenant]]\nname = \"a\"\nmodel = \"model.onnx\"\n";
    let null = "[device]\nspec = \"null\"\n";
    let check = |text: &str, words: &[&str]| {
        let message = refusal(dir.path(), text);
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
        assert!(!message.contains("--"), "{message}");
    };
    check(
        &format!("{tenant}{null}"),
        &["own.toml:2:1", "\"a\"", "\"mfcc\"", "dims = { N = … }", "shapes = { mfcc = ["],
    );
    check(&format!("{tenant}[device]\nspec = \"gpu\"\n"), &["own.toml:6:8", "gpu", "allowed is auto"]);
    check(&format!("{tenant}[device]\nspec = \"sim:a100\"\n"), &["own.toml:6:8", "a100", "h100-sxm"]);
    // The same on the command line is the option's mistake.
    let path = file(dir.path(), "own.toml", tenant);
    call(&["run", &path, "--device", "gpu"]).complains(2, &["--device", "gpu"]);
    call(&["run", &path, "--device", "null", "--twin", "no/twin.toml"]).complains(2, &["--twin", "no/twin.toml"]);
}

#[test]
fn gaps_that_are_none_are_told_before_models_are_loaded() {
    let dir = folder();
    let arrival = "arrival = { kind = \"trace\", file = \"gaps.json\" }\n";
    let text = format!("requests = 1\n[[tenant]]\nname = \"a\"\nmodel = \"zoo:nothing_like_it\"\n{arrival}");
    let check = |gaps: &str, words: &[&str]| {
        file(dir.path(), "gaps.json", gaps);
        let message = refusal(dir.path(), &text);
        let all = [&["own.toml:5:11", "\"a\"", "arrival.file", "gaps.json"], words].concat();
        assert!(all.iter().all(|word| message.contains(word)), "{all:?} in {message}");
    };
    check("[1, -2]", &["gap 1 is -2"]);
    check("[]", &["no gap above zero"]);
    check("[0.5, ", &["allowed is a JSON array"]);
    check("{}", &["allowed is a JSON array"]);
}

#[test]
fn what_is_very_long_is_shown_in_part() {
    let dir = folder();
    let long = "n".repeat(100_000);
    let tenant = "requests = 1\n[[tenant]]\nname = \"a\"\nmodel = \"zoo:matmul_64\"\n";
    let texts = [
        tenant.replace("\"a\"", &format!("\"{long}\"")),
        tenant.replace("matmul_64", &long),
        tenant.replace("zoo:matmul_64", &long),
        format!("{tenant}{long} = 1\n"),
        format!("{tenant}class = \"{long}\"\n"),
        format!("{tenant}dims = {{ {long} = 1 }}\n"),
        format!("{tenant}shapes = {{ {long} = [1] }}\n"),
        format!("{tenant}arrival = {{ kind = \"{long}\" }}\n"),
        format!("{tenant}[device]\nspec = \"{long}\"\n"),
        format!("{tenant}[policy]\nname = \"{long}\"\n"),
    ];
    for text in texts {
        let message = refusal(dir.path(), &text);
        assert!(message.contains("own.toml:") && message.contains("nnnn"), "{message}");
    }
}

#[test]
fn models_that_a_script_fetches_name_the_script() {
    let dir = folder();
    let models = dir.path().join("models");
    std::fs::create_dir(&models).expect("it can be made");
    let text = "requests = 1\n[[tenant]]\nname = \"a\"\nmodel = \"models/face/model.onnx\"\n";
    assert!(!refusal(dir.path(), text).contains("fetch"));
    file(&models, "fetch.sh", "");
    let message = refusal(dir.path(), text);
    assert!(message.contains("own.toml:4:9") && message.contains("models/fetch.sh fetches it"), "{message}");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ar_headset.toml");
    let fetched = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/blazeface/model.onnx");
    if !std::path::Path::new(fetched).exists() {
        call(&["run", example]).complains(2, &["ar_headset.toml:", "examples/models/fetch.sh fetches it"]);
    }
}

#[test]
fn keys_without_effect_are_told() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", TWO.replace("class =", "max_batch = 8\nclass ="));
    let answer = call(&["run", &scenario, "--device", "null"]).expect(0);
    assert!(answer.err.contains("two.toml:10:13") && answer.err.contains("max_batch = 8 has no effect"), "{answer:?}");
    let one = file(dir.path(), "one.toml", TWO.replace("class =", "max_batch = 1\nclass ="));
    assert!(!call(&["run", &one, "--device", "null"]).expect(0).err.contains("max_batch"));
}

/// `y = x` without its first `from` rows: how many rows are left, the value of an input decides.
fn tail() -> Vec<u8> {
    let model = Model::default()
        .symbolic_input("x", DType::F32, &["N", "3"])
        .input("from", DType::I64, &[1])
        .constant("end", &cotenant::tensor::HostTensor::from_i64(&[1], &[1000]))
        .constant("axis", &cotenant::tensor::HostTensor::from_i64(&[1], &[0]))
        .node("Slice", "rest", &["x", "from", "end", "axis"], &[])
        .node("Relu", "y", &["rest"], &[])
        .output("y", DType::F32, &[2, 3]);
    model.proto().encode_to_vec()
}

#[test]
fn inputs_of_a_folder_give_a_tenant_its_shapes_and_deciding_values() {
    let dir = folder();
    file(dir.path(), "model.onnx", tail());
    let x: Vec<f32> = (0..15).map(|v| v as f32 - 7.5).collect();
    file(dir.path(), "input_0.npy", npy(&[5, 3], &x));
    file(dir.path(), "input_1.npy", npy_i64(&[1], &[3]));
    let tenant = "requests = 2\n[[tenant]]\nname = \"a\"\nmodel = \"model.onnx\"\n";
    let scenario = file(dir.path(), "s.toml", format!("{tenant}inputs = \".\"\n"));
    for device in ["auto", "reference"] {
        let tenant = call(&["run", &scenario, "--device", device, "--json"]).expect(0).json()["tenants"][0].clone();
        assert_eq!((&tenant["completed"], &tenant["failed"]), (&2.into(), &0.into()), "{tenant}");
        let kept: Vec<u8> = x[9..].iter().flat_map(|v| v.max(0.0).to_le_bytes()).collect();
        assert_eq!(tenant["output_sha256"], sha256(&kept).as_str(), "rows 3 and 4, from 0");
    }
    // Without the folder the shapes are missing; with one that contradicts the scenario, both are named.
    let bare = file(dir.path(), "bare.toml", tenant);
    call(&["run", &bare, "--device", "null"]).complains(2, &["\"a\"", "\"x\"", "N"]);
    let said = file(dir.path(), "said.toml", format!("{tenant}inputs = \".\"\nshapes = {{ x = [4, 3] }}\n"));
    call(&["run", &said, "--device", "null"]).complains(2, &["\"a\"", "input_0.npy", "\"x\"", "4x3", "5x3"]);
}

#[test]
fn inputs_of_a_folder_that_do_not_fit_name_the_file_and_the_input() {
    let dir = folder();
    file(dir.path(), "model.onnx", tail());
    let text = "requests = 1\n[[tenant]]\nname = \"a\"\nmodel = \"model.onnx\"\ninputs = \"in\"\n";
    let scenario = file(dir.path(), "s.toml", text);
    let check = |files: &[(&str, Vec<u8>)], words: &[&str]| {
        let inputs = dir.path().join("in");
        std::fs::create_dir(&inputs).unwrap();
        files.iter().for_each(|(name, bytes)| drop(file(&inputs, name, bytes)));
        call(&["run", &scenario, "--device", "null"]).complains(2, &[&["\"a\""], words].concat());
        std::fs::remove_dir_all(&inputs).unwrap();
    };
    let x = || ("input_0.npy", npy(&[5, 3], &[0.0; 15]));
    let from = |name| (name, npy_i64(&[1], &[3]));
    check(&[], &["input_0.npy"]);
    check(&[x()], &["input_1.npy", "missing", "\"from\""]);
    check(&[x(), from("input_2.npy")], &["input_1.npy", "missing", "\"from\""]);
    check(&[x(), from("input_1.npy"), from("input_2.npy")], &["input_2.npy", "only 2", "x, from"]);
    check(&[("input_0.npy", npy(&[5, 4], &[0.0; 20])), from("input_1.npy")], &["input_0.npy", "\"x\"", "[N,3]", "5x4"]);
    check(&[x(), ("input_1.npy", npy(&[1], &[3.0]))], &["input_1.npy", "\"from\"", "i64", "f32"]);
    check(&[x(), ("input_1.npy", b"no tensor".to_vec())], &["input_1.npy"]);
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn traces_that_cannot_be_written_are_refused_before_the_run() {
    let dir = folder();
    let scenario = file(dir.path(), "two.toml", TWO);
    let trace = |path: &str| call(&["run", &scenario, "--device", "null", "--trace", path]);
    trace("no/such/folder/trace.json").complains(2, &["no/such/folder/trace.json"]);
    trace(&dir.path().to_string_lossy()).complains(2, &["a folder"]);
    // What is no plain file is not replaced by one.
    call(&["run", &scenario, "--device", "null", "--trace", "/dev/null"]).expect(0);
    let null = std::fs::metadata("/dev/null").expect("it is there");
    assert!(!null.is_file());
    call(&["run", &scenario, "--device", "all", "--trace", "t.json"]).complains(2, &["--trace", "all"]);
}

#[test]
fn policies_are_listed() {
    let text = call(&["run", "--policy", "help"]).expect(0).out;
    assert!(text.contains("round-robin") && text.contains("sequential"), "{text}");
}

#[test]
fn the_demo_answers_on_any_device() {
    let dir = folder();
    let trace = dir.path().join("demo.json").to_string_lossy().into_owned();
    let demo = |seconds: &str| call(&["demo", "--device", "null", "--seconds", seconds, "--trace", &trace, "--json"]);
    let answer = demo("0.3").expect(0).json();
    assert_eq!(answer["tenants"].as_array().map(Vec::len), Some(4));
    assert!(std::path::Path::new(&trace).is_file());
    demo("0").complains(2, &["--seconds 0"]);
}

#[test]
fn bench_measures_a_model_and_a_share_of_the_device() {
    let bench = |args: &[&str]| call(&[&["bench", "zoo:keyword_spotting", "--json"], args].concat());
    let whole = bench(&["--runs", "3"]).expect(0).json();
    let half = bench(&["--runs", "3", "--share", "50"]).expect(0).json();
    for field in ["model", "device", "cpu_nodes", "runs", "median_ms", "min_ms", "launches", "gflop", "gflops"] {
        assert!(whole.get(field).is_some(), "{field}: {whole}");
    }
    assert!(whole.get("device_peak_gflops").is_some() && whole.get("device_copy_gbs").is_some());
    assert_eq!(whole["output_sha256"], half["output_sha256"], "a share changes no bit");
    assert_eq!(half["share"], 50.0);
    let none = bench(&["--runs", "3", "--device", "null"]).expect(0).json();
    for figure in ["gflops", "output_sha256", "device_peak_gflops", "device_copy_gbs"] {
        assert!(none[figure].is_null(), "{figure} of a device that computes nothing: {none}");
    }
    assert_eq!((&none["computes"], &whole["computes"]), (&false.into(), &true.into()));
    bench(&["--share", "0"]).complains(2, &["--share 0"]);
    bench(&["--runs", "0"]).complains(2, &["--runs 0"]);
}
