//! One model alone on a device: loaded once, then asked again and again. What `check`, `conformance` and `bench` run.

use std::sync::Arc;
use std::time::Duration;

use super::error::CliError;
use crate::graph::{Compiled, Graph, MemoryUse, compile};
use crate::hal::{
    Completion, Device, HalError, LaneId, LaneSpec, Recording, RecordingId, Region, Slice, Stage, Submission,
    TensorRef, Wait, eval,
};
use crate::tensor::{DType, HostTensor, Share, TenantId, show_shape};

/// How long one submission may take before it counts as lost.
const SUBMISSION_S_MAX: u64 = 600;

/// A model installed on a device.
pub struct Session {
    compiled: Compiled,
    id: RecordingId,
    lane: LaneId,
    steps: Vec<Step>,
}

/// What runs between two visits to the CPU.
enum Step {
    Stages(Vec<Stage>),
    Cpu(usize),
}

impl Session {
    /// Puts `graph` on `device` with a share of its workers. `progress` is told of each pipeline: done, in all, label.
    ///
    /// # Errors
    /// [`CliError::Failed`] when memory does not suffice or a kernel cannot be built; nothing is kept then.
    pub fn open(
        graph: &Graph,
        device: &mut dyn Device,
        share: Share,
        progress: &mut dyn FnMut(usize, usize, &str),
    ) -> Result<Session, CliError> {
        let compiled = compile(graph, device, TenantId(0))?;
        let opened = (|| {
            let id = device.install(compiled.recording.clone(), progress)?;
            Ok::<_, HalError>((id, device.lane(&LaneSpec::default())?))
        })();
        let (id, lane) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                compiled.buffers.iter().for_each(|&buffer| device.free(buffer));
                return Err(CliError::Failed(format!("{}: {e}", graph.name)));
            }
        };
        let steps = steps(&compiled.recording, id, device, share);
        Ok(Session { compiled, id, lane, steps })
    }

    /// What was built.
    pub fn recording(&self) -> &Arc<Recording> {
        &self.compiled.recording
    }

    /// The device memory that it takes.
    pub fn memory(&self) -> MemoryUse {
        self.compiled.memory
    }

    /// One inference: inputs up, every operator, outputs down.
    ///
    /// # Errors
    /// [`CliError::Input`] when the inputs are not those that the model takes, [`CliError::Failed`] when the device fails.
    pub fn infer(&self, device: &mut dyn Device, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, CliError> {
        let mut next = Submission { uploads: self.uploads(inputs)?, ..Submission::default() };
        for step in &self.steps {
            match step {
                Step::Stages(stages) => next.stages.extend(stages.iter().cloned()),
                Step::Cpu(at) => next = self.on_cpu(*at, next, device)?,
            }
        }
        let outputs: Vec<&TensorRef> = self.recording().outputs.iter().map(|(_, tensor)| tensor).collect();
        next.reads = outputs.iter().map(|t| eval::region(t)).collect();
        let reads = self.submit(device, next)?.reads;
        outputs.iter().zip(reads).map(|(t, bytes)| tensor(t, &bytes)).collect()
    }

    /// Takes it off the device.
    pub fn close(self, device: &mut dyn Device) {
        device.uninstall(self.id);
        self.compiled.buffers.iter().for_each(|&buffer| device.free(buffer));
    }

    fn uploads(&self, inputs: &[HostTensor]) -> Result<Vec<(Region, Vec<u8>)>, CliError> {
        let ports = &self.recording().inputs;
        if ports.len() != inputs.len() {
            let what = format!("{} inputs were given, {} takes {}", inputs.len(), self.recording().name, ports.len());
            return Err(CliError::Input(what));
        }
        let upload = |((name, port), input): (&(String, TensorRef), &HostTensor)| {
            let bad = |what: String| CliError::Input(format!("{}: input {name:?}: {what}", self.recording().name));
            if input.dtype() != port.dtype || input.shape() != port.view.shape {
                let (found, wanted) = (show(input.dtype(), input.shape()), show(port.dtype, &port.view.shape));
                return Err(bad(format!("found {found}, allowed is {wanted}")));
            }
            Ok((eval::region(port), eval::encode(port, input).map_err(bad)?))
        };
        ports.iter().zip(inputs).map(upload).collect()
    }

    /// Submits what is before a CPU node, computes the node, and begins the next submission with its outputs.
    fn on_cpu(&self, at: usize, mut before: Submission, device: &mut dyn Device) -> Result<Submission, CliError> {
        let operation = &self.recording().operations[at];
        before.reads = operation.inputs.iter().map(eval::region).collect();
        let reads = self.submit(device, before)?.reads;
        let inputs: Vec<HostTensor> =
            operation.inputs.iter().zip(reads).map(|(t, bytes)| tensor(t, &bytes)).collect::<Result<_, _>>()?;
        let mut next = Submission::default();
        for (t, value) in operation.outputs.iter().zip(eval::eval(operation, &inputs)?) {
            let bytes = eval::encode(t, &value);
            let bytes = bytes.map_err(|e| CliError::Failed(format!("operator {}: {e}", operation.name)))?;
            next.uploads.push((eval::region(t), bytes));
        }
        Ok(next)
    }

    fn submit(&self, device: &mut dyn Device, submission: Submission) -> Result<Completion, CliError> {
        device.submit(self.lane, submission)?;
        let mut done = Vec::new();
        let begin = device.clock().now();
        while done.is_empty() {
            device.poll(Wait::AtMost(Duration::from_secs(1)), &mut done)?;
            if device.clock().now().since(begin).as_secs() > SUBMISSION_S_MAX as f64 {
                return Err(HalError::Timeout(SUBMISSION_S_MAX * 1000).into());
            }
        }
        let completion = done.swap_remove(0);
        match completion.error {
            None => Ok(completion),
            Some(e) => Err(e.into()),
        }
    }
}

/// The whole recording, operator after operator, cut where a driver bounds the loops of a worker.
fn steps(recording: &Recording, id: RecordingId, device: &dyn Device, share: Share) -> Vec<Step> {
    let caps = device.caps();
    let mut steps = Vec::new();
    let mut stages = Vec::new();
    for (at, operation) in recording.operations.iter().enumerate() {
        if operation.on_cpu() {
            steps.push(Step::Stages(std::mem::take(&mut stages)));
            steps.push(Step::Cpu(at));
        }
        for (nth, launch) in (0..).zip(&operation.launches) {
            let bound = caps.quirks.loop_iterations_max.unwrap_or(u32::MAX);
            let tiles_each_max = ((bound - 1) / launch.tile_iterations.saturating_add(1)).max(1);
            let full = launch.workers.min(caps.full_workers()).max(1);
            let workers = share.of_workers(full);
            let per_slice = tiles_each_max.saturating_mul(workers);
            let mut first = 0;
            while first < launch.tiles {
                let tiles = first..launch.tiles.min(first.saturating_add(per_slice));
                let workers = workers.min(tiles.end - tiles.start);
                first = tiles.end;
                stages.push(Stage::of(Slice { recording: id, operation: at as u32, launch: nth, tiles, workers }));
            }
        }
    }
    steps.push(Step::Stages(stages));
    steps
}

/// A tensor from the bytes of its region.
fn tensor(at: &TensorRef, bytes: &[u8]) -> Result<HostTensor, CliError> {
    eval::gather(at, &bytemuck::pod_collect_to_vec::<u8, u32>(bytes)).map_err(CliError::Failed)
}

fn show(dtype: DType, shape: &[usize]) -> String {
    format!("{dtype} {}", show_shape(shape))
}
