//! Small programs of a tenant: operators over tensors in an arena whose gaps are poisoned, installed on a device, with
//! what their memory must hold afterwards.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cotenant::hal::{
    BufferId, Chain, ChainArg, ChainStep, Completion, Device, DeviceCaps, Fragment, HostFn, LaneId, Launch, Operation,
    Recording, RecordingId, Region, Slice, Stage, Submission, TensorRef, Wait, eval,
};
use cotenant::kernel::{Elementwise, Epilogue, Gemm, Io, Operand, Operator, Space, fragments};
use cotenant::tensor::{DType, HostTensor, TenantId, View, volume};

/// What lies around tensors: a NaN of its own, so that reading it shows in results and writing it is seen.
pub const POISON: u32 = 0x7fc0_dead;

/// Words of poison between tensors.
const GAP: usize = 37;

/// How long a submission may take before the device counts as dead.
const PATIENCE: Duration = Duration::from_secs(300);

/// A tensor of a program, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor(usize);

/// Operators over tensors of 32-bit floats.
#[derive(Clone)]
pub struct Program {
    pub tenant: TenantId,
    /// The images of weights and arena.
    images: [Vec<u32>; 2],
    tensors: Vec<(Space, View)>,
    steps: Vec<Step>,
}

#[derive(Clone)]
struct Step {
    operator: Arc<dyn Operator>,
    host: Arc<dyn HostFn>,
    inputs: Vec<Tensor>,
    output: Tensor,
}

/// The CPU function of an operator.
#[derive(Debug)]
struct Reference(Arc<dyn Operator>);

impl HostFn for Reference {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Ok(self.0.reference(inputs))
    }
}

impl Program {
    pub fn new(tenant: u32) -> Program {
        let images = [vec![POISON; GAP], vec![POISON; GAP]];
        Program { tenant: TenantId(tenant), images, tensors: Vec::new(), steps: Vec::new() }
    }

    fn place(&mut self, space: Space, shape: &[usize], values: impl Iterator<Item = u32>) -> Tensor {
        let image = &mut self.images[usize::from(space == Space::Arena)];
        self.tensors.push((space, View::contiguous(image.len(), shape)));
        image.extend(values.take(volume(shape)));
        image.extend([POISON; GAP]);
        Tensor(self.tensors.len() - 1)
    }

    /// A tensor of the arena that holds `values`.
    pub fn tensor(&mut self, shape: &[usize], values: &[f32]) -> Tensor {
        self.place(Space::Arena, shape, values.iter().map(|v| v.to_bits()))
    }

    /// A tensor of the weights.
    pub fn weight(&mut self, shape: &[usize], values: &[f32]) -> Tensor {
        self.place(Space::Weights, shape, values.iter().map(|v| v.to_bits()))
    }

    /// A tensor of the arena that holds poison until something is written.
    pub fn output(&mut self, shape: &[usize]) -> Tensor {
        self.place(Space::Arena, shape, std::iter::repeat(POISON))
    }

    /// Adds `output = operator(inputs)`; answers the operation's number.
    pub fn push(&mut self, operator: impl Operator + 'static, inputs: &[Tensor], output: Tensor) -> usize {
        let operator: Arc<dyn Operator> = Arc::new(operator);
        let host = Arc::new(Reference(operator.clone()));
        self.steps.push(Step { operator, host, inputs: inputs.to_vec(), output });
        self.steps.len() - 1
    }

    /// Gives an operation another CPU function.
    pub fn set_host(&mut self, operation: usize, host: impl HostFn + 'static) {
        self.steps[operation].host = Arc::new(host);
    }

    /// The recording, in these buffers of a device with `caps`.
    pub fn recording(&self, caps: &DeviceCaps, [weights, arena]: [BufferId; 2]) -> Recording {
        let operand = |t: &Tensor| {
            let (space, view) = self.tensors[t.0].clone();
            Operand { space, view, dtype: DType::F32 }
        };
        let operations = self.steps.iter().enumerate().map(|(at, step)| {
            let inputs: Vec<Operand> = step.inputs.iter().map(operand).collect();
            let outputs = [operand(&step.output)];
            let launches = step.operator.lower(caps, Io { inputs: &inputs, outputs: &outputs });
            let launch = |l: cotenant::kernel::KernelLaunch| Launch {
                kernel: l.kernel,
                params: l.params,
                tiles: l.tiles,
                workers: l.tiles,
                tile_iterations: l.tile_iterations,
                weights,
            };
            let tensor = |t: &Tensor| self.tensor_ref(*t, [weights, arena]);
            Operation {
                name: format!("operator {at}"),
                kind: step.operator.kind(),
                inputs: step.inputs.iter().map(tensor).collect(),
                outputs: vec![tensor(&step.output)],
                deps: self.dependencies(at),
                launches: launches.expect("the kernel takes such operands").into_iter().map(launch).collect(),
                host: step.host.clone(),
                flops: step.operator.flops(),
                bytes: 0,
                reason: None,
                given: None,
            }
        });
        let operations = operations.collect();
        let name = format!("program of {}", self.tenant);
        Recording { name, tenant: self.tenant, arena, operations, inputs: Vec::new(), outputs: Vec::new() }
    }

    fn tensor_ref(&self, tensor: Tensor, [weights, arena]: [BufferId; 2]) -> TensorRef {
        let (space, view) = self.tensors[tensor.0].clone();
        TensorRef {
            buffer: if space == Space::Weights { weights } else { arena },
            view,
            dtype: DType::F32,
            wide: false,
        }
    }

    /// Earlier operations that write what operation `at` touches, or touch what it writes.
    fn dependencies(&self, at: usize) -> Vec<u32> {
        let step = &self.steps[at];
        let conflict = |earlier: &Step| {
            let written = earlier.output == step.output || step.inputs.contains(&earlier.output);
            written || earlier.inputs.contains(&step.output)
        };
        (0..at).filter(|&earlier| conflict(&self.steps[earlier])).map(|earlier| earlier as u32).collect()
    }

    /// The words of the arena after all operations, by the operators' references, from what it holds first.
    pub fn expected(&self) -> Vec<u32> {
        let mut images = self.images.clone();
        for step in &self.steps {
            let read = |t: &Tensor| {
                let (space, view) = &self.tensors[t.0];
                let words: Vec<u32> =
                    view.positions().map(|at| images[usize::from(*space == Space::Arena)][at]).collect();
                HostTensor::from_device_words(DType::F32, &view.shape, &words).expect("floats")
            };
            let inputs: Vec<HostTensor> = step.inputs.iter().map(read).collect();
            let output = step.operator.reference(&inputs).remove(0);
            let view = &self.tensors[step.output.0].1;
            for (at, word) in view.positions().zip(output.to_device_words().expect("floats")) {
                images[1][at] = word;
            }
        }
        let [_, arena] = images;
        arena
    }

    /// Allocates, writes and installs it.
    pub fn load(&self, device: &mut dyn Device) -> Loaded {
        let buffers = self.images.each_ref().map(|image| upload(device, self.tenant, image));
        self.install(device, buffers)
    }

    /// As [`Program::load`], but the arena is left as it was allocated.
    pub fn load_unwritten(&self, device: &mut dyn Device) -> Loaded {
        let weights = upload(device, self.tenant, &self.images[0]);
        let arena = device.alloc(self.tenant, self.images[1].len() as u64 * 4).unwrap();
        self.install(device, [weights, arena])
    }

    fn install(&self, device: &mut dyn Device, buffers: [BufferId; 2]) -> Loaded {
        let recording = Arc::new(self.recording(device.caps(), buffers));
        let id = device.install(recording.clone(), &mut |_, _, _| {}).unwrap();
        let bound = device.caps().quirks.loop_iterations_max;
        let workers_max = device.caps().limits.workers_max;
        Loaded { program: self.clone(), id, recording, buffers, bound, workers_max }
    }
}

/// A program on a device.
pub struct Loaded {
    pub program: Program,
    pub id: RecordingId,
    pub recording: Arc<Recording>,
    buffers: [BufferId; 2],
    bound: Option<u32>,
    workers_max: u32,
}

impl Loaded {
    /// The whole arena.
    pub fn arena(&self) -> Region {
        Region { buffer: self.buffers[1], offset: 0, bytes: self.program.images[1].len() as u64 * 4 }
    }

    /// Where a tensor lies.
    pub fn region(&self, tensor: Tensor) -> Region {
        eval::region(&self.program.tensor_ref(tensor, self.buffers))
    }

    /// The upload that makes the arena what it was after loading.
    pub fn reset(&self) -> (Region, Vec<u8>) {
        (self.arena(), bytemuck::cast_slice(&self.program.images[1]).to_vec())
    }

    pub fn launch(&self, operation: usize, launch: usize) -> &Launch {
        &self.recording.operations[operation].launches[launch]
    }

    /// A slice, with about this many workers: as many more as a device's bound on loops demands.
    pub fn slice(&self, operation: usize, launch: usize, tiles: Range<u32>, workers: u32) -> Slice {
        let iterations = self.launch(operation, launch).tile_iterations;
        // A third of the bound, because drivers count more loops than the kernel has.
        let tiles_max = self.bound.map_or(u32::MAX, |bound| ((bound - 1) / (iterations + 1) / 3).max(1));
        let least = (tiles.end - tiles.start).div_ceil(tiles_max);
        let workers = workers.max(least).min(self.workers_max);
        Slice { recording: self.id, operation: operation as u32, launch: launch as u32, tiles, workers, follows: false }
    }

    /// An operation uncut: a stage for each of its launches.
    pub fn stages_of(&self, operation: usize) -> impl Iterator<Item = Stage> + '_ {
        let launches = self.recording.operations[operation].launches.iter().enumerate();
        launches.map(move |(at, l)| Stage::of(self.slice(operation, at, 0..l.tiles, l.tiles)))
    }

    /// All of it uncut.
    pub fn stages(&self) -> Vec<Stage> {
        (0..self.recording.operations.len()).flat_map(|operation| self.stages_of(operation)).collect()
    }

    /// Forgets it and frees its buffers.
    pub fn unload(&self, device: &mut dyn Device) {
        device.uninstall(self.id);
        self.buffers.iter().for_each(|&b| device.free(b));
    }

    /// Panics unless the arena holds what [`Program::expected`] says, bit for bit.
    pub fn assert_exact(&self, device: &mut dyn Device, what: &str) {
        assert_words(&read_words(device, self.arena()), &self.program.expected(), what);
    }
}

/// Panics at the first word that differs.
pub fn assert_words(got: &[u32], expected: &[u32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: words");
    if let Some(at) = (0..got.len()).find(|&at| got[at] != expected[at]) {
        let float = |word: u32| (f32::from_bits(word), format!("{word:#010x}"));
        panic!("{what}: word {at} is {:?}, expected {:?}", float(got[at]), float(expected[at]));
    }
}

/// A buffer of `tenant` that holds `words`.
pub fn upload(device: &mut dyn Device, tenant: TenantId, words: &[u32]) -> BufferId {
    let bytes = bytemuck::cast_slice(words);
    let buffer = device.alloc(tenant, bytes.len() as u64).unwrap();
    device.write(Region { buffer, offset: 0, bytes: bytes.len() as u64 }, bytes).unwrap();
    buffer
}

pub fn read_words(device: &mut dyn Device, region: Region) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(&device.read(region).unwrap())
}

/// Polls until `n` submissions completed; in the order in which the device told.
pub fn wait(device: &mut dyn Device, n: usize) -> Vec<Completion> {
    let mut done = Vec::new();
    while done.len() < n {
        let before = done.len();
        device.poll(Wait::AtMost(PATIENCE), &mut done).unwrap();
        assert!(done.len() > before, "a poll that may wait {PATIENCE:?} came back with nothing, {n} were submitted");
    }
    assert_eq!(done.len(), n, "no more completes than was submitted");
    done
}

/// Submits, waits, and expects no failure.
pub fn execute(device: &mut dyn Device, lane: LaneId, submission: Submission) -> Completion {
    let id = device.submit(lane, submission).unwrap();
    let completion = wait(device, 1).remove(0);
    assert_eq!(completion.submission, id);
    assert_fine(&completion);
    completion
}

/// Panics where anything of a submission failed.
pub fn assert_fine(completion: &Completion) {
    assert!(completion.error.is_none() && completion.failed.is_empty(), "{completion:?}");
}

/// Submits the same `n` times.
pub fn submit_times(device: &mut dyn Device, lane: LaneId, submission: &Submission, n: usize) {
    for _ in 0..n {
        device.submit(lane, submission.clone()).unwrap();
    }
}

/// Stages and nothing else.
pub fn stages(stages: Vec<Stage>) -> Submission {
    Submission { stages, ..Submission::default() }
}

fn chain(fragment: Fragment, args: Vec<ChainArg>) -> Chain {
    Chain { steps: vec![ChainStep { fragment, args }] }
}

/// `y = scale * x + shift`. Whatever the numbers, it is one kernel.
pub fn affine(shape: &[usize], scale: f32, shift: f32) -> Elementwise {
    let chain = chain(fragments::FMA_F32, vec![ChainArg::Input(0), ChainArg::Scalar(0), ChainArg::Scalar(1)]);
    Elementwise { chain, scalars: vec![scale, shift], shape: shape.to_vec(), dtype: DType::F32 }
}

/// `y = fragment(a, b)`, broadcast.
pub fn binary(fragment: Fragment, shape: &[usize]) -> Elementwise {
    let chain = chain(fragment, vec![ChainArg::Input(0), ChainArg::Input(1)]);
    Elementwise { chain, scalars: Vec::new(), shape: shape.to_vec(), dtype: DType::F32 }
}

/// `c[m, n] = scale * a[m, k] b[k, n]`.
pub fn matmul(m: usize, n: usize, k: usize, scale: f32) -> Gemm {
    let chain = chain(fragments::MUL, vec![ChainArg::Input(0), ChainArg::Scalar(0)]);
    let epilogue = Epilogue { chain, scalars: vec![scale], n_operands: 0 };
    Gemm { batch: Vec::new(), m, n, k: vec![k], epilogue }
}

/// A program of `length` operators on `n` numbers in place, each `x = k - x` with another `k`: whole numbers, so every
/// device has the same bits, and none can be left out nor exchanged with its neighbour unseen.
pub fn alternating(tenant: u32, n: usize, length: usize) -> (Program, Tensor) {
    let mut program = Program::new(tenant);
    let values: Vec<f32> = (0..n).map(|i| (i % 1000) as f32 + tenant as f32).collect();
    let x = program.tensor(&[n], &values);
    for k in 0..length {
        program.push(affine(&[n], -1.0, (3 * k + 1) as f32), &[x], x);
    }
    (program, x)
}
