//! Import, fusion and the memory plan, without kernels: every operation of a compiled model is computed by its CPU
//! function in the planned memory, and the outputs are those of the reference.

mod common;

use std::path::{Path, PathBuf};

use cotenant::graph::{LoadOptions, ModelSource, compile, load_for};
use cotenant::hal::reference::ReferenceDevice;
use cotenant::hal::{WallClock, eval};
use cotenant::tensor::{HostTensor, TenantId, npy};

/// The numbered tensors of a folder, in order.
fn tensors(folder: &Path, kind: &str) -> Vec<HostTensor> {
    (0..)
        .map(|k| folder.join(format!("{kind}_{k}.npy")))
        .take_while(|p| p.exists())
        .map(|p| npy::read(&p).expect("a tensor"))
        .collect()
}

/// The largest difference relative to the largest reference value.
fn error(got: &HostTensor, expected: &HostTensor) -> f64 {
    assert_eq!((got.dtype(), got.shape()), (expected.dtype(), expected.shape()), "type and shape");
    let (got, expected) = (got.to_f64(), expected.to_f64());
    let largest = expected.iter().fold(0.01f64, |m, v| m.max(v.abs()));
    got.iter().zip(&expected).fold(0f64, |m, (g, e)| m.max((g - e).abs())) / largest
}

fn run(model: &Path, set: &Path) -> Result<f64, String> {
    let inputs = tensors(set, "input");
    let source = ModelSource::File(model.into());
    let graph = load_for(&source, &LoadOptions::default(), &inputs).map_err(|e| e.to_string())?;
    let bound: Vec<usize> = graph.bound.iter().map(|b| b.0).collect();
    let given = inputs.into_iter().enumerate().filter(|(k, _)| !bound.contains(k)).map(|(_, t)| t);
    let mut device = ReferenceDevice::open(WallClock::start());
    let compiled = compile(&graph, &mut device, TenantId(0)).map_err(|e| e.to_string())?;
    let mut arena = vec![0u32; (compiled.memory.arena_bytes / 4) as usize];
    for ((_, tensor), value) in compiled.recording.inputs.iter().zip(given) {
        let (from, to) = eval::extent(tensor);
        eval::scatter(tensor, &value, &mut arena[from..to])?;
    }
    for operation in &compiled.recording.operations {
        let read = |t| {
            let (from, to) = eval::extent(t);
            eval::gather(t, &arena[from..to])
        };
        let inputs = operation.inputs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let outputs = eval::eval(operation, &inputs).map_err(|e| e.to_string())?;
        for (tensor, value) in operation.outputs.iter().zip(&outputs) {
            let (from, to) = eval::extent(tensor);
            eval::scatter(tensor, value, &mut arena[from..to])?;
        }
    }
    let mut worst = 0f64;
    for ((_, tensor), expected) in compiled.recording.outputs.iter().zip(tensors(set, "output")) {
        let (from, to) = eval::extent(tensor);
        worst = worst.max(error(&eval::gather(tensor, &arena[from..to])?, &expected));
    }
    let (n, cpu) = (compiled.recording.operations.len(), compiled.recording.cpu_nodes());
    println!(
        "  {n} operations, {cpu} without kernel, arena {} of {}",
        compiled.memory.arena_bytes, compiled.memory.arena_bytes_without_reuse
    );
    Ok(worst)
}

#[test]
fn models_compute_their_references_operation_by_operation() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/models");
    if !folder.exists() {
        println!("skipped: no folder of reference models beside the repository");
        return;
    }
    let only = std::env::var("COTENANT_TEST_MODEL").unwrap_or_default();
    let mut failures = Vec::new();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    for case in cases.iter().filter(|c| c.join("model.onnx").exists() && c.to_string_lossy().contains(&only)) {
        for set in [case.clone(), case.join("alt")].iter().filter(|s| s.join("output_0.npy").exists()) {
            println!("{}", set.strip_prefix(&folder).unwrap().display());
            match run(&case.join("model.onnx"), set) {
                Ok(worst) if worst <= 1e-3 => println!("  {worst:.1e}"),
                Ok(worst) => failures.push(format!("{}: {worst:.1e}", set.display())),
                Err(e) => failures.push(format!("{}: {e}", set.display())),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn models_compute_their_references_on_devices() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/models");
    if !folder.exists() {
        println!("skipped: no folder of reference models beside the repository");
        return;
    }
    let only = std::env::var("COTENANT_TEST_MODEL").unwrap_or_default();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    let mut failures = Vec::new();
    for mut device in common::devices() {
        for case in cases.iter().filter(|c| c.join("model.onnx").exists() && c.to_string_lossy().contains(&only)) {
            for set in [case.clone(), case.join("alt")].iter().filter(|s| s.join("output_0.npy").exists()) {
                let label = format!("{} {}", device.caps().name, set.strip_prefix(&folder).unwrap().display());
                match run_on(device.as_mut(), &case.join("model.onnx"), set) {
                    Ok((worst, cpu, launches, ms)) => {
                        println!("{label}: {worst:.1e}, {cpu} on the CPU, {launches} launches, {ms:.1} ms");
                        if worst > 1e-3 || worst.is_nan() {
                            failures.push(format!("{label}: {worst:.1e}"));
                        }
                    }
                    Err(e) => failures.push(format!("{label}: {e}")),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run_on(
    device: &mut dyn cotenant::hal::Device,
    model: &Path,
    set: &Path,
) -> Result<(f64, usize, usize, f64), String> {
    use cotenant::hal::{LaneSpec, Region, Slice, Stage, Submission, Wait};
    let inputs = tensors(set, "input");
    let source = ModelSource::File(model.into());
    let graph = load_for(&source, &LoadOptions::default(), &inputs).map_err(|e| e.to_string())?;
    let bound: Vec<usize> = graph.bound.iter().map(|b| b.0).collect();
    let given = inputs.into_iter().enumerate().filter(|(k, _)| !bound.contains(k)).map(|(_, t)| t);
    let compiled = compile(&graph, device, TenantId(0)).map_err(|e| e.to_string())?;
    let recording = compiled.recording.clone();
    let id = device.install(recording.clone(), &mut |_, _, _| {}).map_err(|e| e.to_string())?;
    let lane = device.lane(&LaneSpec::default()).map_err(|e| e.to_string())?;
    let given: Vec<HostTensor> = given.collect();
    let mut ms = 0.0;
    for round in 0..2 {
        // The arena is reused: inputs are gone after a run.
        for ((_, tensor), value) in recording.inputs.iter().zip(&given) {
            let bytes = eval::encode(tensor, value)?;
            if !bytes.is_empty() {
                device.write(eval::region(tensor), &bytes).map_err(|e| e.to_string())?;
            }
        }
        let mut stages = Vec::new();
        let start = device.clock().now();
        let flush = |device: &mut dyn cotenant::hal::Device, stages: &mut Vec<Stage>| {
            if stages.is_empty() {
                return Ok(());
            }
            device.submit(lane, Submission { stages: std::mem::take(stages), ..Submission::default() })?;
            let mut done = Vec::new();
            while done.is_empty() {
                device.poll(Wait::AtMost(std::time::Duration::from_secs(60)), &mut done)?;
            }
            Ok::<(), cotenant::hal::HalError>(())
        };
        for (at, operation) in recording.operations.iter().enumerate() {
            if operation.on_cpu() {
                flush(device, &mut stages).map_err(|e| e.to_string())?;
                let mut read = Vec::new();
                for t in &operation.inputs {
                    let region: Region = eval::region(t);
                    read.push(eval::decode(t, &device.read(region).map_err(|e| e.to_string())?)?);
                }
                let outputs = eval::eval(operation, &read).map_err(|e| e.to_string())?;
                for (t, value) in operation.outputs.iter().zip(&outputs) {
                    let bytes = eval::encode(t, value)?;
                    if !bytes.is_empty() {
                        device.write(eval::region(t), &bytes).map_err(|e| e.to_string())?;
                    }
                }
            }
            for (l, launch) in operation.launches.iter().enumerate() {
                let per_worker = (20_000 / (launch.tile_iterations + 1)).max(1);
                let workers = launch.tiles.min(launch.tiles.div_ceil(per_worker).max(8)).min(65_535);
                let tiles = 0..launch.tiles;
                stages.push(Stage::of(Slice {
                    recording: id,
                    operation: at as u32,
                    launch: l as u32,
                    tiles,
                    workers,
                    follows: false,
                }));
            }
        }
        flush(device, &mut stages).map_err(|e| e.to_string())?;
        if round == 1 {
            ms = device.clock().now().since(start).as_ms();
        }
    }
    let mut worst = 0f64;
    for ((_, tensor), expected) in recording.outputs.iter().zip(tensors(set, "output")) {
        let bytes = device.read(eval::region(tensor)).map_err(|e| e.to_string())?;
        worst = worst.max(error(&eval::decode(tensor, &bytes)?, &expected));
    }
    for operation in recording.operations.iter().filter(|o| o.on_cpu()).take(4) {
        println!("    CPU: {} {:?}", operation.name, operation.reason);
    }
    device.uninstall(id);
    for buffer in compiled.buffers {
        device.free(buffer);
    }
    Ok((worst, recording.cpu_nodes(), recording.launches(), ms))
}
