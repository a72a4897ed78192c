//! Joins all layers: tenants are loaded onto a device, requests come in, a policy decides whose operators run next.
//!
//! An [`Engine`] owns its device on a thread of its own and is told what to do over a bounded channel. [`Engine::load`]
//! gives a [`Tenant`], [`Tenant::infer`] a [`Pending`] that is waited for or awaited. [`run::scenario`] does all that for
//! a scenario file.
//!
//! The life of a request: it is checked and converted by its caller ([`tenant`](Tenant::infer)), queued
//! (`dispatcher.rs`), granted operators by a [`crate::service::policy::Policy`], cut into slices (`cut.rs`) and submitted with
//! slices of others; operators without a kernel go to threads of their own (`cpu_nodes.rs`, `cpu_pool.rs`); when its outputs
//! are read, its caller is woken (`pending.rs`).

pub mod calibrate;
mod command;
mod compiling;
mod cost;
mod cpu_model;
mod cpu_nodes;
mod cpu_pool;
pub mod demo;
pub mod device;
mod dispatcher;
mod error;
mod fault;
pub mod given;
pub mod interleaving;
mod loaded;
mod pending;
mod request;
pub mod run;
pub mod scenario;
mod segment;
mod tenant;
mod thread;
mod trace;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::graph::{self, Graph};
use crate::hal::sim::SimOptions;
use crate::hal::{Clock, CostSource, Counters, Device, DeviceCaps, DeviceKind, Region, TensorRef, WallClock, eval};
use crate::interleave::StoredSchedule;
use crate::service::Lanes;
use crate::service::policy::{self, Policy};
use crate::tensor::{Nanos, TenantId};
use crate::timeline::{ClockKind, DeviceInfo, RunInfo, Timeline};

use command::{Command, Compile, Load, LoadReply};
use cpu_model::CpuModel;
use cpu_pool::CpuPool;
use dispatcher::Dispatcher;
pub use error::{EngineGone, InferError, LoadError, StartError};
pub use fault::{Faults, PolicyFault};
use given::GivenModel;
pub use pending::{Pending, Response};
pub use tenant::{Tenant, TenantSpec};
use thread::EngineThread;
use trace::Recorder;

pub use crate::graph::MemoryUse;

/// Bytes and where they belong.
type Uploads = Vec<(Region, Vec<u8>)>;

/// The limits of an engine.
#[derive(Clone)]
struct Config {
    clock: Arc<dyn Clock>,
    submissions_in_flight: usize,
    /// Slices of a submission while several tenants have requests.
    launches_per_submission: u32,
    /// Slices of a submission while one tenant has requests.
    launches_per_submission_alone: u32,
    /// Intended length of a submission while several tenants have requests.
    submission_ns: f64,
    /// Intended length while one tenant has requests and others might; a tenant that is all there is, is not cut.
    submission_ns_alone: f64,
    memory: Memory,
    tenants_max: usize,
    commands_max: usize,
}

/// How an engine is started. Made by [`Engine::builder`].
pub struct Builder {
    device: String,
    policy: String,
    policy_options: toml::Table,
    own_policy: Option<Box<dyn Policy>>,
    timeline_events_max: Option<usize>,
    submissions_in_flight: usize,
    launches_per_submission: u32,
    submission_target: Option<Duration>,
    cpu_threads: usize,
    numerics: bool,
    logical_devices: usize,
    memory: Memory,
    schedules: Vec<StoredSchedule>,
}

/// Where the memory of an engine's tenants lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Each tenant's in buffers of its own: the driver keeps kernels inside them. For tenants that do not trust each other.
    #[default]
    Isolated,
    /// All tenants' in shared buffers, where that lets kernels of several tenants be one dispatch ([`Device::pool`]): nothing but
    /// the kernels' own arithmetic keeps each in its tenant's range. For tenants that trust each other.
    Pooled,
}

/// Logical devices of a wgpu adapter, where tenants have lanes of their own: each costs memory.
const LOGICAL_DEVICES: usize = 8;

/// Intended length of a submission where kernels take microseconds.
const SUBMISSION_HARDWARE: Duration = Duration::from_micros(500);

/// Intended length of a submission where kernels take milliseconds.
const SUBMISSION_SOFTWARE: Duration = Duration::from_millis(4);

/// Several models on one device. See the [module](self).
///
/// Dropping it ends its thread; requests that were not answered get [`InferError::EngineGone`].
pub struct Engine {
    commands: SyncSender<Command>,
    clock: Arc<dyn Clock>,
    caps: DeviceCaps,
    thread: Option<JoinHandle<()>>,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadStage<'a> {
    /// The model is read, typed and lowered.
    Reading,
    /// The device compiles pipelines.
    Compiling {
        /// Done so far.
        done: usize,
        /// In all.
        total: usize,
        /// The one that comes next; empty at the end.
        kernel: &'a str,
    },
}

/// How an engine is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineStats {
    /// What the device has made; in the steady state only its submissions grow.
    pub counters: Counters,
    /// Time in which the device had work.
    pub busy: Nanos,
    /// What the policy decided that could not be done.
    pub faults: Faults,
    /// Rounds that were submitted as a stored schedule says ([`Builder::schedules`]).
    pub rounds: u64,
    /// Co-kernels that are to be compiled in the background, or are being compiled.
    pub compiling: usize,
    /// Runs of small launches of all tenants of which requests still have to show whether one dispatch is faster.
    pub trials: usize,
    /// The tenants in order of loading.
    pub tenants: Vec<TenantStats>,
}

/// How a tenant is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStats {
    /// Who.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// What it takes on the device.
    pub memory: MemoryUse,
    /// Requests that wait or run.
    pub open: usize,
    /// Requests that were turned away because its queue was full.
    pub rejected: u64,
    /// Where a simulated device knows from what its launches take, with the number of launches; nothing on others.
    pub cost_sources: Vec<(CostSource, usize)>,
}

impl Builder {
    /// The device, as `--device` takes it: `auto`, `wgpu:llvmpipe`, `reference`, … ([`device::SPECS`]).
    pub fn device(mut self, spec: &str) -> Builder {
        self.device = spec.into();
        self
    }

    /// The policy, by name ([`policy::POLICIES`]).
    pub fn policy(mut self, name: &str) -> Builder {
        self.policy = name.into();
        self
    }

    /// The policy's own options.
    pub fn policy_options(mut self, options: toml::Table) -> Builder {
        self.policy_options = options;
        self
    }

    /// A policy of the program's own, which `name` calls it in reports.
    pub fn own_policy(mut self, name: &str, policy: Box<dyn Policy>) -> Builder {
        self.policy = name.into();
        self.own_policy = Some(policy);
        self
    }

    /// Records what happens, the last `events_max` events of it. Launches are timed then, which costs a little.
    pub fn timeline(mut self, events_max: usize) -> Builder {
        self.timeline_events_max = Some(events_max);
        self
    }

    /// Submissions that the device has at once, at least one; with two it never waits for the host.
    pub fn submissions_in_flight(mut self, n: usize) -> Builder {
        self.submissions_in_flight = n.max(1);
        self
    }

    /// Bounds on a submission while several tenants have requests: its launches and its intended length. Shorter ones
    /// let an arrival wait less and cost more.
    pub fn submission(mut self, launches_max: u32, target: Duration) -> Builder {
        self.launches_per_submission = launches_max.max(1);
        self.submission_target = Some(target);
        self
    }

    /// Threads that compute operators without a kernel, at least one; as many as the machine has cores, at most four,
    /// unless said. A tenant uses one at a time. A simulated device says itself how many there are.
    pub fn cpu_threads(mut self, n: usize) -> Builder {
        self.cpu_threads = n.max(1);
        self
    }

    /// Whether a simulated device computes results, on the CPU; it does unless said. Without, requests are answered with
    /// zeros and a run takes a small part of the time; what is simulated is the same.
    pub fn numerics(mut self, computes: bool) -> Builder {
        self.numerics = computes;
        self
    }

    /// Where the tenants' memory lies; [`Memory::Isolated`] unless said.
    pub fn memory(mut self, memory: Memory) -> Builder {
        self.memory = memory;
        self
    }

    /// Schedules that [`interleaving`] found: when the tenants with requests ready are exactly those of one, and none of them has
    /// begun, a request of each is submitted as it says; else the policy decides. Their tenants are known again by their
    /// models, whatever they are called and in whatever order they are loaded. A schedule is used from the moment at which all of
    /// its tenants are loaded and its co-kernels are compiled, which nothing waits for. Tenants with a share of their own take no
    /// part in schedules.
    pub fn schedules(mut self, schedules: Vec<StoredSchedule>) -> Builder {
        self.schedules = schedules;
        self
    }

    /// Logical devices of a wgpu adapter at most, for policies that give each tenant a lane of its own; eight unless said. They
    /// are opened as tenants come. With one, all lanes share a queue, on which tenants' work may not overlap.
    pub fn logical_devices(mut self, n: usize) -> Builder {
        self.logical_devices = n.max(1);
        self
    }

    /// Opens the device and starts the engine.
    ///
    /// # Errors
    /// [`StartError`] when the device or the policy cannot be had.
    pub fn start(mut self) -> Result<Engine, StartError> {
        let policy = self.take_policy()?;
        let logical_devices = match policy.lanes() {
            Lanes::One => 1,
            Lanes::PerTenant { .. } => self.logical_devices,
        };
        let options = device::OpenOptions { sim: SimOptions { numerics: self.numerics }, logical_devices };
        let device = device::open_as(&self.device, WallClock::start(), options)?;
        self.start_with(policy, device)
    }

    /// Starts the engine on a device; its clock is the engine's.
    ///
    /// # Errors
    /// [`StartError`] when the policy cannot be made or the device gives no lane.
    pub fn start_on(mut self, device: Box<dyn Device>) -> Result<Engine, StartError> {
        let policy = self.take_policy()?;
        self.start_with(policy, device)
    }

    fn take_policy(&mut self) -> Result<Box<dyn Policy>, StartError> {
        match self.own_policy.take() {
            Some(policy) => Ok(policy),
            None => Ok(policy::open(&self.policy, &self.policy_options)?),
        }
    }

    fn start_with(self, policy: Box<dyn Policy>, device: Box<dyn Device>) -> Result<Engine, StartError> {
        if !self.schedules.is_empty() && policy.lanes() != Lanes::One {
            return Err(StartError::ScheduleLanes { policy: self.policy });
        }
        let caps = device.caps().clone();
        let clock = device.clock();
        let is_virtual = clock.kind() == ClockKind::Virtual;
        let target = self.submission_target.unwrap_or(match caps.kind {
            DeviceKind::DiscreteGpu | DeviceKind::IntegratedGpu => SUBMISSION_HARDWARE,
            _ => SUBMISSION_SOFTWARE,
        });
        let ns = target.as_nanos() as f64;
        let config = Config {
            clock: clock.clone(),
            submissions_in_flight: self.submissions_in_flight,
            launches_per_submission: self.launches_per_submission,
            // More than this the devices do not time in one submission.
            launches_per_submission_alone: if self.timeline_events_max.is_some() { 1000 } else { u32::MAX },
            submission_ns: ns,
            submission_ns_alone: ns * 4.0,
            memory: self.memory,
            tenants_max: scenario::TENANTS_MAX,
            commands_max: 1024,
        };
        let recorder = self.timeline_events_max.map(|events_max| {
            let device = trace::device_info(&caps);
            let info = RunInfo { device, clock: clock.kind(), policy: self.policy.clone(), seed: 0, scenario: None };
            Recorder::new(info, events_max)
        });
        let (commands, received) = mpsc::sync_channel(config.commands_max);
        let (kernels, received_kernels) = mpsc::sync_channel(config.tenants_max);
        let (pool, mut threads) = match caps.host_cpu.filter(|_| is_virtual) {
            Some(cpu) => (CpuPool::modelled(CpuModel::new(cpu, caps.computes()), &clock), Vec::new()),
            None => CpuPool::start(self.cpu_threads, &commands, &clock)?,
        };
        let mut dispatcher = Dispatcher::new(device, policy, config, recorder, pool, kernels)?;
        dispatcher.use_schedules(self.schedules)?;
        let compiled = commands.clone();
        threads.push(std::thread::Builder::new().name("cotenant-compiler".into()).spawn({
            let clock = clock.clone();
            move || compiling::work(&received_kernels, &compiled, &*clock)
        })?);
        let engine = EngineThread { dispatcher, commands: received, driving: None, is_virtual, sources: 0 };
        let thread = std::thread::Builder::new().name("cotenant-engine".into()).spawn(move || {
            engine.run();
            // With the engine went the last senders of jobs.
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread that computes CPU nodes or compiles kernels panicked");
                }
            }
        })?;
        Ok(Engine { commands, clock, caps, thread: Some(thread) })
    }
}

impl Engine {
    /// Starts with the device `auto`, the policy `round-robin` and no timeline.
    pub fn builder() -> Builder {
        Builder {
            device: "auto".into(),
            policy: "round-robin".into(),
            policy_options: toml::Table::new(),
            own_policy: None,
            timeline_events_max: None,
            submissions_in_flight: 2,
            launches_per_submission: 32,
            submission_target: None,
            cpu_threads: cpu_pool::threads(),
            numerics: true,
            memory: Memory::default(),
            schedules: Vec::new(),
            logical_devices: LOGICAL_DEVICES,
        }
    }

    /// An engine on `device` with everything else as by default.
    ///
    /// # Errors
    /// [`StartError`] when the device cannot be had.
    pub fn open(device: &str) -> Result<Engine, StartError> {
        Engine::builder().device(device).start()
    }

    /// Reads a model and puts it on the device. Blocks until it can be used; other tenants go on meanwhile.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is left on the device then.
    pub fn load(&self, spec: TenantSpec) -> Result<Tenant, LoadError> {
        self.load_with(spec, &mut |_| {})
    }

    /// Like [`Engine::load`], and says how far it is.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is left on the device then.
    pub fn load_with(&self, spec: TenantSpec, progress: &mut dyn FnMut(LoadStage)) -> Result<Tenant, LoadError> {
        progress(LoadStage::Reading);
        let graph = graph::load(&spec.model, &spec.options)
            .map_err(|e| LoadError::Model { tenant: spec.name.clone(), source: Box::new(e) })?;
        self.load_graph(spec, Arc::new(graph), progress)
    }

    /// Puts a graph that was read before on the device; several tenants may run one graph.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is left on the device then.
    pub fn load_graph(
        &self,
        spec: TenantSpec,
        graph: Arc<Graph>,
        progress: &mut dyn FnMut(LoadStage),
    ) -> Result<Tenant, LoadError> {
        let fixed = graph.bound.clone();
        let compile: Compile = Box::new(move |device, tenant| graph::compile(&graph, device, tenant));
        self.install(spec, compile, fixed, progress)
    }

    /// Puts a model of which only the cost is known on the device, which must be a simulated one. Of `spec` the model and the
    /// options do not count.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is left on the device then. [`LoadError::NotSimulated`] on a device that computes.
    pub fn load_given(
        &self,
        spec: TenantSpec,
        model: GivenModel,
        progress: &mut dyn FnMut(LoadStage),
    ) -> Result<Tenant, LoadError> {
        if self.clock_kind() != ClockKind::Virtual {
            let (tenant, device) = (spec.name, self.caps.name.clone());
            return Err(LoadError::NotSimulated { tenant, model: model.name, device });
        }
        let compile: Compile = Box::new(move |device, tenant| given::compile(&model, device, tenant));
        self.install(spec, compile, Vec::new(), progress)
    }

    fn install(
        &self,
        spec: TenantSpec,
        compile: Compile,
        fixed: Vec<(usize, String, Arc<crate::tensor::HostTensor>)>,
        progress: &mut dyn FnMut(LoadStage),
    ) -> Result<Tenant, LoadError> {
        let name = spec.name.clone();
        let (reply, news) = mpsc::sync_channel(64);
        let gone = || LoadError::EngineGone { tenant: name.clone() };
        self.send(Command::Load(Box::new(Load { spec, compile, fixed, reply }))).map_err(|_| gone())?;
        loop {
            match news.recv().map_err(|_| gone())? {
                LoadReply::Compiling(done, total, kernel) => {
                    progress(LoadStage::Compiling { done, total, kernel: &kernel });
                }
                LoadReply::Done(result) => return Ok(Tenant::new(result?, self.commands.clone(), self.clock.clone())),
            }
        }
    }

    /// What the device can do.
    pub fn caps(&self) -> &DeviceCaps {
        &self.caps
    }

    /// The device as reports name it.
    pub fn device_info(&self) -> DeviceInfo {
        trace::device_info(&self.caps)
    }

    /// Whether its times are measured or simulated.
    pub fn clock_kind(&self) -> ClockKind {
        self.clock.kind()
    }

    /// The time on the engine's clock, on which all its times are.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// How it is doing.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub fn stats(&self) -> Result<EngineStats, EngineGone> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Command::Stats(reply))?;
        answer.recv().map_err(|_| EngineGone)
    }

    /// A copy of what was recorded so far; `None` where the engine was started without a timeline.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub fn timeline(&self) -> Result<Option<Timeline>, EngineGone> {
        self.timeline_since(0)
    }

    /// A copy of what was recorded after the first `seen` events, for those who look on: ask next with its
    /// [`Timeline::recorded`]. `None` where the engine was started without a timeline.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub fn timeline_since(&self, seen: u64) -> Result<Option<Timeline>, EngineGone> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Command::Timeline { seen, reply })?;
        answer.recv().map_err(|_| EngineGone)
    }

    fn send(&self, command: Command) -> Result<(), EngineGone> {
        self.commands.send(command).map_err(|_| EngineGone)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both fail only where the thread has ended already.
        let _ = self.commands.send(Command::Shutdown);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread panicked");
        }
    }
}

/// The bytes that a tensor lies in; none for empty tensors.
fn region_of(tensor: &TensorRef) -> Option<Region> {
    Some(eval::region(tensor)).filter(|region| region.bytes > 0)
}
