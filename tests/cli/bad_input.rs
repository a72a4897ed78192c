//! Bad usage and bad input: status 2 or 3 and a message that names the place and what is allowed.

use super::{call, cotenant, file, folder, npy, run, zoo};

#[test]
fn arguments_that_mean_nothing() {
    call(&[]).expect(2);
    call(&["fly"]).complains(2, &["fly"]);
    call(&["devices", "--colour"]).complains(2, &["--colour"]);
    call(&["inspect"]).complains(2, &["MODEL"]);
    call(&["check"]).complains(2, &["CASE"]);
    call(&["check", ".", "--limit", "nonsense"]).complains(2, &["nonsense"]);
    call(&["check", ".", "--limit=-1"]).complains(2, &["-1", "above 0"]);
    call(&["--help"]).expect(0);
    call(&["--version"]).expect(0);
}

#[test]
fn devices_that_are_not_there() {
    let inspect = |device: &str| call(&["inspect", "zoo:keyword_spotting", "--device", device]);
    inspect("gpu").complains(2, &["gpu", "allowed is", "wgpu", "reference"]);
    inspect("all").complains(2, &["all"]);
    inspect("cuda").complains(3, &["cuda", "not available"]);
    inspect("sim:a100").complains(2, &["a100", "no profile has this name", "h100-sxm"]);
    inspect("wgpu:no such adapter").complains(3, &["no such adapter"]);
    let none = |args: &[&str]| run(cotenant(args).env("VK_ICD_FILENAMES", "/nonexistent"));
    none(&["inspect", "zoo:keyword_spotting", "--device", "wgpu"]).complains(3, &["not available", "install"]);
    let auto = none(&["inspect", "zoo:keyword_spotting", "--json"]).expect(0);
    assert_eq!(auto.json()["device"]["backend"], "sim");
    assert!(auto.err.contains("simulated one is used, sim:a100-80gb"), "it says what it settled for: {auto:?}");
}

#[test]
fn models_that_are_none() {
    let dir = folder();
    let inspect = |model: &str| call(&["inspect", model, "--device", "null"]);
    inspect("no/such/model.onnx").complains(2, &["no/such/model.onnx", "no such file"]);
    inspect(&dir.path().to_string_lossy()).complains(2, &["a folder"]);
    inspect(&file(dir.path(), "empty.onnx", "")).complains(2, &["empty.onnx"]);
    inspect(&file(dir.path(), "text.onnx", "this is no model")).complains(2, &["text.onnx"]);
    inspect("profile:kernels.csv").complains(2, &["profile:kernels.csv", "no operators"]);
    inspect("law:resnet50").complains(2, &["law:resnet50", "no operators", "scenario"]);
    inspect("zoo:resnet5").complains(2, &["resnet5", "resnet18", "resnet50"]);
    let mut model = zoo("keyword_spotting");
    model.truncate(model.len() / 2);
    inspect(&file(dir.path(), "half.onnx", model)).complains(2, &["half.onnx"]);
}

#[test]
fn dimensions_that_are_missing_or_do_not_fit() {
    let dir = folder();
    let model = file(dir.path(), "model.onnx", zoo("keyword_spotting"));
    let inspect = |args: &[&str]| call(&[&["inspect", &model, "--device", "null"], args].concat());
    inspect(&[]).complains(2, &["mfcc", "--dim N="]);
    inspect(&["--dim", "N=0"]).complains(2, &["N=0", "allowed is"]);
    inspect(&["--dim", "M=1"]).complains(2, &["M"]);
    inspect(&["--shape", "mfcc=1,1,49"]).complains(2, &["mfcc"]);
    inspect(&["--shape", "sound=1,1,49,10"]).complains(2, &["sound"]);
    inspect(&["--dim", "N=2"]).expect(0);
    inspect(&["--shape", "mfcc=2,1,49,10"]).expect(0);
}

#[test]
fn case_folders_that_are_incomplete() {
    let dir = folder();
    let case = dir.path().to_string_lossy().into_owned();
    let check = || call(&["check", &case, "--device", "reference"]);
    call(&["check", "no/such/case"]).complains(2, &["no/such/case"]);
    check().complains(2, &["model.onnx"]);
    file(dir.path(), "model.onnx", zoo("keyword_spotting"));
    check().complains(2, &["input_0.npy", "missing"]);
    file(dir.path(), "input_0.npy", "no array");
    file(dir.path(), "output_0.npy", npy(&[1, 12], &[0.0; 12]));
    check().complains(2, &["input_0.npy"]);
    file(dir.path(), "input_0.npy", npy(&[1, 2, 3], &[0.0; 6]));
    check().complains(2, &["mfcc"]);
    file(dir.path(), "input_0.npy", npy(&[1, 1, 49, 10], &[0.5; 490]));
    let wrong = check().expect(1);
    assert!(wrong.out.contains("FAIL") && wrong.out.contains("words"), "{wrong:?}");
    file(dir.path(), "meta.json", "{\"max_rel_error\": 0}");
    check().complains(2, &["meta.json", "max_rel_error"]);
    file(dir.path(), "meta.json", "{\"max_rel_error\": 200.0}");
    check().expect(0);
}

#[test]
fn folders_without_tests() {
    let dir = folder();
    let path = dir.path().to_string_lossy().into_owned();
    call(&["conformance", &path, "--device", "null"]).complains(2, &[&path, "no test"]);
    call(&["conformance", "no/such/folder", "--device", "null"]).complains(2, &["no/such/folder"]);
}
