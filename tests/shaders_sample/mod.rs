//! The kernel configurations that are really used: what operators of random shapes and layouts, and the networks of the
//! zoo, lower to on a hardware and on a software device.

mod operators;

use std::sync::Arc;

use cotenant::graph::{LoadOptions, ModelSource, compile, load, zoo};
use cotenant::hal::null::NullDevice;
use cotenant::hal::{
    BufferId, Completion, Counters, Device, DeviceCaps, DeviceKind, HalError, InstallProgress, KernelSpec, LaneId,
    LaneSpec, Recording, RecordingId, Region, SharedClock, Submission, SubmissionId, Wait, WallClock,
};
use cotenant::kernel::{Io, Operand, Space};
use cotenant::tensor::{DType, TenantId, View};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Networks whose weights take long to make, and whose kernels others have too.
const LARGE: [&str; 4] = ["vgg16", "bert_base", "dlrm", "inception_v3"];
/// Random shapes and layouts of each operator.
const DRAWS: u64 = 12;

/// A hardware and a software device, as kernels are chosen for them.
pub fn devices() -> Vec<DeviceCaps> {
    let null = NullDevice::open(WallClock::start());
    let of = |kind, name: &str| {
        let mut caps = DeviceCaps { kind, name: name.into(), compute_units: Some(8), ..null.caps().clone() };
        caps.limits.invocations_max = 256;
        caps.limits.workgroup_bytes_max = 16 << 10;
        caps.limits.binding_bytes_max = 1 << 30;
        caps
    };
    vec![of(DeviceKind::DiscreteGpu, "hardware"), of(DeviceKind::SoftwareGpu, "software")]
}

/// What operators lower to.
pub fn of_operators(caps: &DeviceCaps) -> Vec<Arc<KernelSpec>> {
    let mut specs = Vec::new();
    for seed in 0..DRAWS {
        let mut rng = StdRng::seed_from_u64(seed);
        for (operator, inputs) in operators::all(&mut rng) {
            let outputs = operator.reference(&inputs);
            let place = |tensor: &cotenant::tensor::HostTensor, space, rng: &mut StdRng| {
                let view = layout(tensor.shape(), rng);
                Operand { space, view, dtype: tensor.dtype() }
            };
            let spaces = [Space::Arena, Space::Weights];
            let inputs: Vec<Operand> =
                inputs.iter().map(|t| place(t, spaces[rng.random_range(0..2)], &mut rng)).collect();
            let outputs: Vec<Operand> = outputs.iter().map(|t| place(t, Space::Arena, &mut rng)).collect();
            let launches = operator.lower(caps, Io { inputs: &inputs, outputs: &outputs });
            // Some random layouts are beyond some kernels: a model's node runs on the CPU then.
            specs.extend(launches.into_iter().flatten().map(|launch| launch.kernel));
        }
    }
    specs
}

/// A dense layout, in one of two cases with its axes in another order.
fn layout(shape: &[usize], rng: &mut StdRng) -> View {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    if rng.random_bool(0.5) {
        order.shuffle(rng);
    }
    let in_memory: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let back: Vec<usize> =
        (0..order.len()).map(|axis| order.iter().position(|&o| o == axis).expect("an order of axes")).collect();
    View::contiguous(64, &in_memory).permuted(&back)
}

/// What the networks of the zoo lower to.
pub fn of_zoo(caps: &DeviceCaps) -> Vec<Arc<KernelSpec>> {
    let mut specs = Vec::new();
    for entry in zoo::list().iter().filter(|e| !LARGE.contains(&e.name)) {
        let dims = entry.dims.iter().map(|&(name, n)| (name.to_string(), n)).collect();
        let graph = load(&ModelSource::Zoo(entry.name.into()), &LoadOptions { dims, ..LoadOptions::default() });
        let graph = graph.unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        let mut device = Capped { inner: NullDevice::open(WallClock::start()), caps: caps.clone() };
        let compiled = compile(&graph, &mut device, TenantId(1)).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        let launches = compiled.recording.operations.iter().flat_map(|o| &o.launches);
        specs.extend(launches.map(|launch| launch.kernel.clone()));
        assert_eq!(compiled.recording.cpu_nodes(), 0, "{} on {}", entry.name, caps.name);
    }
    specs
}

/// The device that runs nothing, with the capabilities of another.
struct Capped {
    inner: NullDevice,
    caps: DeviceCaps,
}

impl Device for Capped {
    fn caps(&self) -> &DeviceCaps {
        &self.caps
    }
    fn clock(&self) -> SharedClock {
        self.inner.clock()
    }
    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.inner.limit_memory(tenant, bytes_max);
    }
    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.inner.alloc(tenant, bytes)
    }
    fn free(&mut self, buffer: BufferId) {
        self.inner.free(buffer);
    }
    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.inner.write(region, bytes)
    }
    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.inner.read(region)
    }
    fn install(&mut self, recording: Arc<Recording>, progress: InstallProgress) -> Result<RecordingId, HalError> {
        self.inner.install(recording, progress)
    }
    fn uninstall(&mut self, recording: RecordingId) {
        self.inner.uninstall(recording);
    }
    fn lane(&mut self, spec: &LaneSpec) -> Result<LaneId, HalError> {
        self.inner.lane(spec)
    }
    fn submit(&mut self, lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        self.inner.submit(lane, submission)
    }
    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        self.inner.poll(wait, out)
    }
    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

/// A tensor of zeros: references only say what comes out.
fn zeros(dtype: DType, shape: &[usize]) -> cotenant::tensor::HostTensor {
    cotenant::tensor::HostTensor::zeros(dtype, shape)
}
