//! Files that are damaged at random: a message and status 2, or a model that still works; never a panic, never a signal,
//! never more than seconds and a few gigabytes.
//!
//! Damage is to bytes, or to meaning: protocol buffers that are whole, with attributes, constants, shapes and names that
//! no exporter writes.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use cotenant::hal::{Clock, WallClock};
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tract_onnx::pb::{ModelProto, tensor_shape_proto::dimension, type_proto};

use super::net::{Net, int, ints, text};
use super::{Answer, call, file, folder, full, npy, zoo};
use cotenant::tensor::HostTensor;

/// What a command may take: a loop that does not end is far beyond it, a slow machine is not.
const TIME_MAX: Duration = Duration::from_secs(60);
/// KiB of address space.
const MEMORY_MAX: u64 = 8 << 20;

/// Damages `bytes` in one of the ways in which files are damaged.
fn damage(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = |rng: &mut StdRng, n: usize| rng.random_range(0..n.max(1));
    match rng.random_range(0..5) {
        0 => bytes.truncate(at(rng, bytes.len())),
        1 => {
            for _ in 0..rng.random_range(1..8) {
                let k = at(rng, bytes.len());
                bytes[k] = rng.random();
            }
        }
        2 => {
            // The beginning holds names, types and sizes; weights are most of the rest.
            let k = at(rng, bytes.len().min(2000));
            bytes[k] ^= 1 << rng.random_range(0..8);
        }
        3 => {
            let (from, to) = (at(rng, bytes.len()), at(rng, bytes.len()));
            bytes.drain(from.min(to)..from.max(to).min(from.min(to) + 64));
        }
        _ => {
            let k = at(rng, bytes.len());
            let insert: Vec<u8> = (0..rng.random_range(1..16)).map(|_| rng.random()).collect();
            bytes.splice(k..k, insert);
        }
    }
    bytes
}

#[test]
fn damaged_files_are_refused_or_work() {
    let n = if full() { 10_000 } else { 120 };
    let dir = folder();
    let models = [zoo("keyword_spotting"), zoo("add_16"), zoo("softmax_4x8"), zoo("matmul_8")];
    let arrays = npy(&[1, 12], &[0.25; 12]);
    let mut rng = StdRng::seed_from_u64(7);
    for k in 0..n {
        let model = damage(&models[k % models.len()], &mut rng);
        let path = file(dir.path(), "model.onnx", &model);
        let answer = if k % 4 == 3 {
            file(dir.path(), "model.onnx", &models[0]);
            file(dir.path(), "input_0.npy", damage(&npy(&[1, 1, 49, 10], &[0.5; 490]), &mut rng));
            file(dir.path(), "output_0.npy", damage(&arrays, &mut rng));
            call(&["check", &dir.path().to_string_lossy(), "--device", "reference"])
        } else {
            call(&["inspect", &path, "--dim", "N=1", "--device", "null"])
        };
        let fine = (0..=2).contains(&answer.status) && !answer.err.contains("internal error");
        assert!(fine, "file {k} of seed 7 ({} bytes): {answer:?}", model.len());
    }
}

/// Small models of the operators whose attributes decide shapes, and their bytes.
fn shapely() -> Vec<ModelProto> {
    let weights = |shape: &[usize]| HostTensor::from_f32(shape, &vec![0.5; shape.iter().product()]);
    let mut models = Vec::new();
    let mut chain = |shape: &[usize], steps: &dyn Fn(&mut Net, String) -> String| {
        let mut net = Net::new(17);
        let x = net.input(shape);
        let y = steps(&mut net, x);
        net.output(&y);
        models.push(net.finish());
    };
    chain(&[2, 3, 4], &|net, x| {
        let turned = net.node("Transpose", &[&x], vec![ints("perm", &[2, 0, 1])]);
        let shape = net.list(&[2, 4, 2, 3]);
        let wide = net.node("Expand", &[&turned, &shape], vec![]);
        net.node("ReduceSum", &[&wide, ""], vec![int("keepdims", 0)])
    });
    chain(&[1, 3, 5, 5], &|net, x| {
        let scales = net.constant(&HostTensor::from_f32(&[4], &[1.0, 1.0, 2.0, 1.5]));
        let large = net.node("Resize", &[&x, "", &scales], vec![text("mode", "linear")]);
        let pads = net.list(&[0, 0, 1, 1, 0, 0, 1, 1]);
        let padded = net.node("Pad", &[&large, &pads], vec![]);
        let w = net.constant(&weights(&[4, 3, 3, 3]));
        let conv = net.node("Conv", &[&padded, &w], vec![ints("strides", &[2, 1]), int("group", 1)]);
        net.node("MaxPool", &[&conv], vec![ints("kernel_shape", &[2, 2]), ints("pads", &[0, 0, 1, 1])])
    });
    chain(&[4, 6], &|net, x| {
        let [start, end, axis, step] = [1, 6, 1, 2].map(|v| net.list(&[v]));
        let part = net.node("Slice", &[&x, &start, &end, &axis, &step], vec![]);
        let times = net.list(&[1, 2]);
        let tiled = net.node("Tile", &[&part, &times], vec![]);
        let soft = net.node("Softmax", &[&tiled], vec![int("axis", 1)]);
        let indices = net.list(&[0, 3]);
        let picked = net.node("Gather", &[&soft, &indices], vec![int("axis", 0)]);
        let shape = net.list(&[3, 4]);
        net.node("Reshape", &[&picked, &shape], vec![])
    });
    chain(&[2, 3, 4], &|net, x| {
        let size = net.list(&[2, 3, 4]);
        let made = net.node("ConstantOfShape", &[&size], vec![]);
        let sum = net.node("Add", &[&x, &made], vec![]);
        let w = net.constant(&weights(&[4, 2]));
        let product = net.node("Einsum", &[&sum, &w], vec![text("equation", "bij,jk->bik")]);
        let k = net.list(&[2]);
        let top = net.node("TopK", &[&product, &k], vec![int("axis", 1)]);
        net.graph().node.last_mut().expect("TopK").output.push("indices".into());
        let flat = net.node("Flatten", &[&top], vec![int("axis", 1)]);
        net.node("Concat", &[&flat, &flat], vec![int("axis", 0)])
    });
    chain(&[5, 1, 3], &|net, x| {
        let (w, r) = (net.constant(&weights(&[1, 16, 3])), net.constant(&weights(&[1, 16, 4])));
        let y = net.node("LSTM", &[&x, &w, &r], vec![int("hidden_size", 4)]);
        let axes = net.list(&[1]);
        let flat = net.node("Squeeze", &[&y, &axes], vec![]);
        let up = net.constant(&weights(&[1, 2, 3]));
        net.node("ConvTranspose", &[&flat, &up], vec![ints("strides", &[2]), ints("output_shape", &[9])])
    });
    models
}

/// A number that no exporter writes, or almost the right one.
fn absurd(rng: &mut StdRng, number: i64) -> i64 {
    let far = [i64::MIN, i64::MIN + 1, -1, 0, 1, 7, 99, 1 << 20, 1 << 31, 1 << 33, 1 << 40, i64::MAX];
    if rng.random_bool(0.3) { number.wrapping_add(rng.random_range(-2..3)) } else { *far.choose(rng).expect("some") }
}

/// Changes one number, list, name or shape of a model.
fn twist(model: &ModelProto, rng: &mut StdRng) -> ModelProto {
    let mut model = model.clone();
    let graph = model.graph.as_mut().expect("it has one");
    let node = rng.random_range(0..graph.node.len());
    match rng.random_range(0..8) {
        0..=2 => {
            let node = &mut graph.node[node];
            let Some(attribute) = node.attribute.as_mut_slice().last_mut() else { return model };
            attribute.i = absurd(rng, attribute.i);
            let at = rng.random_range(0..attribute.ints.len().max(1));
            match attribute.ints.get_mut(at) {
                Some(value) => *value = absurd(rng, *value),
                None => attribute.s.truncate(rng.random_range(0..4)),
            }
            if rng.random_bool(0.2) {
                attribute.ints.push(1);
            }
        }
        3 | 4 => {
            let integers: Vec<usize> =
                (0..graph.initializer.len()).filter(|&k| graph.initializer[k].data_type == 7).collect();
            let Some(&k) = integers.choose(rng) else { return model };
            let raw = &mut graph.initializer[k].raw_data;
            let at = rng.random_range(0..raw.len() / 8) * 8;
            let old = i64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes"));
            raw[at..at + 8].copy_from_slice(&absurd(rng, old).to_le_bytes());
        }
        5 => {
            let k = rng.random_range(0..graph.initializer.len().max(1));
            let Some(tensor) = graph.initializer.get_mut(k) else { return model };
            match tensor.dims.first_mut() {
                Some(dim) => *dim = absurd(rng, *dim),
                None => tensor.dims.push(2),
            }
        }
        6 => {
            let other = graph.node.choose(rng).expect("some").clone();
            let node = &mut graph.node[node];
            match rng.random_range(0..4) {
                0 => node.input.truncate(1),
                1 => node.input.extend(other.output),
                2 => node.output.clone_from(&other.output),
                _ => node.op_type.clone_from(&other.op_type),
            }
        }
        _ => {
            let tensor = graph.input[0].r#type.as_mut().and_then(|t| t.value.as_mut());
            let Some(type_proto::Value::TensorType(tensor)) = tensor else { return model };
            let Some(dim) = tensor.shape.as_mut().and_then(|s| s.dim.first_mut()) else { return model };
            dim.value = Some(dimension::Value::DimValue(absurd(rng, 3)));
        }
    }
    model
}

/// Runs `cotenant ARGS` with limits of time and memory.
fn limited(args: &[&str]) -> Answer {
    let script = format!("ulimit -v {MEMORY_MAX}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_cotenant")]).args(args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let clock = WallClock::start();
    let status = loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None if Duration::from_nanos(clock.now().0) > TIME_MAX => {
                child.kill().expect("it can be ended");
                panic!("{args:?} takes more than {TIME_MAX:?}");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut err = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("text");
    Answer { status: status.code().unwrap_or(-1), out: String::new(), err }
}

#[test]
#[cfg(unix)]
fn models_with_absurd_attributes_are_refused_or_work() {
    let n = if full() { 20_000 } else { 500 };
    let dir = folder();
    let models = shapely();
    for model in &models {
        let path = file(dir.path(), "model.onnx", model.encode_to_vec());
        limited(&["inspect", &path, "--device", "null"]).expect(0);
    }
    let mut rng = StdRng::seed_from_u64(11);
    for k in 0..n {
        let mut model = twist(&models[k % models.len()], &mut rng);
        if rng.random_bool(0.3) {
            model = twist(&model, &mut rng);
        }
        let path = file(dir.path(), "model.onnx", model.encode_to_vec());
        let answer = limited(&["inspect", &path, "--device", "null"]);
        let fine = (0..=2).contains(&answer.status) && !answer.err.contains("internal error");
        assert!(fine && answer.err.lines().count() <= 12, "model {k} of seed 11: {answer:?}\n{:?}", model.graph);
    }
}
