//! A tenant: what is asked for when a model is loaded, what it became, and the handle through which requests come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use super::command::Command;
use super::pending::{self, Pending};
use super::request::{Request, Sink};
use super::{EngineGone, InferError, Uploads, region_of};
use crate::graph::{LoadOptions, MemoryUse, ModelSource, Port};
use crate::hal::{Clock, HalError, Recording, Region, TensorRef, eval};
use crate::service::Class;
use crate::tensor::{HostTensor, Nanos, Share, TenantId, show_shape};

/// A model to be loaded and what it is promised.
#[derive(Clone, Debug)]
pub struct TenantSpec {
    /// For people; need not be unique.
    pub name: String,
    /// Where the model comes from.
    pub model: ModelSource,
    /// What the model leaves open about its shapes.
    pub options: LoadOptions,
    /// What it is promised.
    pub class: Class,
    /// Larger is more important.
    pub priority: u32,
    /// Latency that is promised.
    pub slo: Nanos,
    /// Device memory that it may take, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// The part of the device that its launches may fill.
    pub share: Share,
    /// Requests that may wait or run at once; more are turned away. At least one.
    pub queue_max: usize,
}

impl TenantSpec {
    /// A tenant with the defaults of scenario files; `model` is a path or `zoo:NAME`.
    pub fn new(name: &str, model: &str) -> TenantSpec {
        TenantSpec {
            name: name.into(),
            model: ModelSource::parse(model),
            options: LoadOptions::default(),
            class: Class::Latency,
            priority: 5,
            slo: Nanos::from_ms(100.0),
            memory_limit_bytes: None,
            share: Share::FULL,
            queue_max: 64,
        }
    }
}

/// A loaded tenant. Clones are the same tenant; when the last one is dropped, the model is unloaded.
#[derive(Clone)]
pub struct Tenant {
    inner: Arc<Loaded>,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tenant").field(&self.inner.shared.name).finish()
    }
}

struct Loaded {
    shared: Arc<TenantShared>,
    commands: SyncSender<Command>,
    clock: Arc<dyn Clock>,
}

/// What handles, the engine and pending answers know of a tenant.
#[derive(Debug)]
pub(super) struct TenantShared {
    pub(super) id: TenantId,
    pub(super) name: String,
    pub(super) recording: Arc<Recording>,
    pub(super) memory: MemoryUse,
    /// Inputs of the file that are constants now: position, name, value.
    pub(super) fixed: Vec<(usize, String, Arc<HostTensor>)>,
    pub(super) queue_max: usize,
    /// Requests that wait or run.
    open: AtomicUsize,
    rejected: AtomicU64,
}

/// One of a tenant's places for requests, given back when dropped.
#[derive(Debug)]
pub(super) struct QueuePlace(Arc<TenantShared>);

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl TenantShared {
    pub(super) fn new(
        id: TenantId,
        spec: &TenantSpec,
        recording: Arc<Recording>,
        memory: MemoryUse,
        fixed: Vec<(usize, String, Arc<HostTensor>)>,
    ) -> TenantShared {
        TenantShared {
            id,
            name: spec.name.clone(),
            recording,
            memory,
            fixed,
            queue_max: spec.queue_max.max(1),
            open: AtomicUsize::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// Takes a place for a request.
    pub(super) fn enter(self: &Arc<Self>) -> Result<QueuePlace, InferError> {
        let more = |n: usize| (n < self.queue_max).then_some(n + 1);
        match self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(QueuePlace(self.clone())),
            Err(_) => {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                Err(self.queue_full())
            }
        }
    }

    fn queue_full(&self) -> InferError {
        InferError::QueueFull { tenant: self.name.clone(), queue_max: self.queue_max }
    }

    /// Requests that wait or run, and requests that were turned away so far.
    pub(super) fn load(&self) -> (usize, u64) {
        (self.open.load(Ordering::Acquire), self.rejected.load(Ordering::Relaxed))
    }

    /// Checks a request's inputs and makes them what the device takes.
    pub(super) fn uploads(&self, inputs: &[HostTensor]) -> Result<Uploads, InferError> {
        let expected = &self.recording.inputs;
        let given: Vec<&HostTensor> = match inputs.len() {
            n if n == expected.len() => inputs.iter().collect(),
            n if n == expected.len() + self.fixed.len() => self.without_fixed(inputs)?,
            found => {
                let port =
                    |(name, t): &(String, TensorRef)| format!("{name} {} {}", t.dtype, show_shape(&t.view.shape));
                return Err(InferError::InputCount {
                    tenant: self.name.clone(),
                    expected: expected.len(),
                    found,
                    names: expected.iter().map(port).collect::<Vec<_>>().join(", "),
                });
            }
        };
        let mut uploads = Vec::with_capacity(expected.len());
        for ((name, tensor), value) in expected.iter().zip(given) {
            if value.dtype() != tensor.dtype || value.shape() != tensor.view.shape {
                return Err(InferError::Input {
                    tenant: self.name.clone(),
                    input: name.clone(),
                    expected_type: tensor.dtype,
                    expected_shape: tensor.view.shape.clone(),
                    found_type: value.dtype(),
                    found_shape: value.shape().to_vec(),
                });
            }
            let bytes = eval::encode(tensor, value).map_err(|reason| InferError::InputValue {
                tenant: self.name.clone(),
                input: name.clone(),
                reason,
            })?;
            uploads.extend(region_of(tensor).map(|region| (region, bytes)));
        }
        Ok(uploads)
    }

    /// Takes the inputs that are constants now out of a full list, if they are as they were.
    fn without_fixed<'a>(&self, inputs: &'a [HostTensor]) -> Result<Vec<&'a HostTensor>, InferError> {
        for (position, name, value) in &self.fixed {
            if inputs.get(*position) != Some(value.as_ref()) {
                return Err(InferError::FixedInput { tenant: self.name.clone(), input: name.clone() });
            }
        }
        let is_fixed = |at: usize| self.fixed.iter().any(|(position, ..)| *position == at);
        Ok(inputs.iter().enumerate().filter(|(at, _)| !is_fixed(*at)).map(|(_, t)| t).collect())
    }

    /// The parts of device memory that hold the outputs; one for each output that is not empty.
    pub(super) fn output_regions(&self) -> impl Iterator<Item = Region> + '_ {
        self.recording.outputs.iter().filter_map(|(_, tensor)| region_of(tensor))
    }

    /// The outputs, from the bytes of [`TenantShared::output_regions`].
    pub(super) fn outputs_from(&self, reads: &[Vec<u8>]) -> Result<Vec<HostTensor>, InferError> {
        let mut reads = reads.iter();
        let mut output = |(name, tensor): &(String, TensorRef)| {
            let bytes = region_of(tensor).and_then(|_| reads.next()).map_or(&[][..], Vec::as_slice);
            eval::decode(tensor, bytes).map_err(|reason| InferError::Device {
                tenant: self.name.clone(),
                source: HalError::Host { operator: format!("output {name}"), reason },
            })
        };
        self.recording.outputs.iter().map(&mut output).collect()
    }
}

impl Tenant {
    pub(super) fn new(shared: Arc<TenantShared>, commands: SyncSender<Command>, clock: Arc<dyn Clock>) -> Tenant {
        Tenant { inner: Arc::new(Loaded { shared, commands, clock }) }
    }

    /// Asks for one inference. Inputs are given in the model's order; those that were fixed as constants when the model
    /// was loaded may be given again, equal, or left out.
    ///
    /// Does not block. Requests of one tenant are computed one at a time, in order.
    ///
    /// # Errors
    /// [`InferError`] when the inputs do not fit the model, the tenant's queue is full, or the engine has ended.
    pub fn infer(&self, inputs: Vec<HostTensor>) -> Result<Pending, InferError> {
        let Loaded { shared, commands, clock } = &*self.inner;
        let place = shared.enter()?;
        let uploads = shared.uploads(&inputs)?;
        let (pending, completer) = pending::pair(shared);
        let request = Request::new(clock.now(), Arc::new(uploads), Sink::Handle(completer), place);
        match commands.try_send(Command::Infer(shared.id, request)) {
            Ok(()) => Ok(pending),
            Err(TrySendError::Full(_)) => Err(shared.queue_full()),
            Err(TrySendError::Disconnected(_)) => Err(InferError::EngineGone { tenant: shared.name.clone() }),
        }
    }

    /// Holds its requests back: they wait, and when its queue is full more are turned away. What was submitted ends, and a round
    /// of a stored schedule that it is in.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub fn pause(&self) -> Result<(), EngineGone> {
        self.tell(Command::Pause(self.id(), true))
    }

    /// Lets its requests go on.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub fn resume(&self) -> Result<(), EngineGone> {
        self.tell(Command::Pause(self.id(), false))
    }

    /// Changes its priority from the next decision on; larger is more important.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub fn set_priority(&self, priority: u32) -> Result<(), EngineGone> {
        self.tell(Command::Priority(self.id(), priority))
    }

    fn tell(&self, command: Command) -> Result<(), EngineGone> {
        self.inner.commands.send(command).map_err(|_| EngineGone)
    }

    /// Its number in the engine.
    pub fn id(&self) -> TenantId {
        self.inner.shared.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.shared.name
    }

    /// The inputs that each request must give, in order.
    pub fn inputs(&self) -> Vec<Port> {
        ports(&self.inner.shared.recording.inputs)
    }

    /// The outputs that each request gets, in order.
    pub fn outputs(&self) -> Vec<Port> {
        ports(&self.inner.shared.recording.outputs)
    }

    /// The lowered model: operators, launches, CPU nodes.
    pub fn recording(&self) -> &Arc<Recording> {
        &self.inner.shared.recording
    }

    /// Device memory that it takes.
    pub fn memory(&self) -> MemoryUse {
        self.inner.shared.memory
    }

    pub(super) fn shared(&self) -> &Arc<TenantShared> {
        &self.inner.shared
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // An engine that has ended has unloaded it already.
        let _ = self.commands.send(Command::Unload(self.shared.id));
    }
}

fn ports(tensors: &[(String, TensorRef)]) -> Vec<Port> {
    tensors.iter().map(|(name, t)| Port { name: name.clone(), dtype: t.dtype, shape: t.view.shape.clone() }).collect()
}
