//! GPU work as a value: a model at a given batch size is a [`Recording`] of operations, each with the launches that
//! compute it. Recordings are built first and submitted later, whole or in tile ranges; they can be printed and diffed.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::tensor::{DType, TenantId, View};

use super::{BufferId, HostFn, KernelSpec, RecordingId};

/// A tensor of a recording: which buffer, where in it, and what its words mean.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRef {
    /// The buffer that holds it.
    pub buffer: BufferId,
    /// Where its elements lie, in 32-bit words.
    pub view: View,
    /// The model's element type; the device holds [`DType::device_word`] of it.
    pub dtype: DType,
    /// 64-bit integers as such, for CPU functions alone: they lie packed, as types do that devices do not hold.
    pub wide: bool,
}

impl TensorRef {
    /// True where the elements lie densely as raw bytes, from the view's offset on, and not as a word each.
    pub fn is_packed(&self) -> bool {
        self.wide || self.dtype.device_word().is_none()
    }
}

/// One launch: a kernel over a number of output tiles. Which of them run when, and with how many workers, is decided
/// at submission.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The kernel and its configuration.
    pub kernel: Arc<KernelSpec>,
    /// The words of the kernel's parameter struct, in order of its fields.
    pub params: Vec<u32>,
    /// Output tiles in all.
    pub tiles: u32,
    /// Workers that fill the device with this launch; a share takes a part of them.
    pub workers: u32,
    /// Loop iterations of one invocation for one tile at most, over all loops; bounds a worker's tiles on devices with
    /// [`super::Quirks::loop_iterations_max`].
    pub tile_iterations: u32,
    /// Read-only buffer (weights) that the kernel binds.
    pub weights: BufferId,
}

/// One operator of the lowered graph.
#[derive(Debug)]
pub struct Operation {
    /// Its name in the graph.
    pub name: String,
    /// What it is, for people: `conv 3x3 + relu`.
    pub kind: String,
    /// Tensors that it reads.
    pub inputs: Vec<TensorRef>,
    /// Tensors that it writes.
    pub outputs: Vec<TensorRef>,
    /// Operations of the same recording that must be complete before.
    pub deps: Vec<u32>,
    /// How the device computes it; empty for a CPU node.
    pub launches: Vec<Launch>,
    /// How the CPU computes it: the oracle, and the only way for a CPU node.
    pub host: Arc<dyn HostFn>,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes read and written at least.
    pub bytes: u64,
    /// Why the CPU computes it, where it does.
    pub reason: Option<String>,
    /// What it takes, where that was recorded or fitted; simulated devices go by it, others cannot.
    pub given: Option<GivenCost>,
}

/// A cost that does not follow from what an operation does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GivenCost {
    /// A recorded kernel, with a tile for each compute unit that its blocks would fill; more than the device has are several
    /// waves.
    Recorded {
        /// Its time in ns on the whole device.
        ns: f64,
        /// Bytes that it moves from and to memory; 0 where not known.
        bytes: f64,
    },
    /// A whole model by a fitted law, with one tile: `max(floor, overlap + k·η_k·(fixed + unit/u + memory/μ))` ns on `u`
    /// compute units with a part `μ` of the memory, beside `k - 1` others.
    Law {
        /// Shortest time in ns.
        floor_ns: f64,
        /// Time in ns that keeps neither units nor memory busy, so that others overlap with it.
        overlap_ns: f64,
        /// Time in ns that neither units nor memory shorten.
        fixed_ns: f64,
        /// Time in ns of one compute unit.
        unit_ns: f64,
        /// Time in ns with all of the memory's bandwidth.
        memory_ns: f64,
        /// `η_k` for `k` = 1, 2, ….
        sharing: [f64; 5],
    },
}

/// Where a simulated device knows from what a launch takes. Reports say it beside every simulated figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CostSource {
    /// Counted on our own operators: FLOPs, bytes, tiles and the configuration's footprint.
    Operators,
    /// A recorded kernel list (`profile:FILE.csv`).
    Recorded,
    /// A law fitted to measurements of whole models (`law:NAME`).
    Fitted,
    /// Kernel times that `calibrate` measured on the device that the profile describes.
    Measured,
    /// Set by whoever made the cost, as tests do.
    Given,
}

impl CostSource {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            CostSource::Operators => "operators",
            CostSource::Recorded => "recorded",
            CostSource::Fitted => "law",
            CostSource::Measured => "measured",
            CostSource::Given => "given",
        }
    }

    /// Several with their numbers of launches as one name, those of most launches first: `measured + operators`. `None` of
    /// none.
    pub fn names(found: &[(CostSource, usize)]) -> Option<String> {
        let mut found = found.to_vec();
        found.sort_by_key(|(source, launches)| (Reverse(*launches), *source));
        let names: Vec<&str> = found.into_iter().map(|(source, _)| source.name()).collect();
        (!names.is_empty()).then(|| names.join(" + "))
    }
}

impl Operation {
    /// True where no kernel computes it.
    pub fn on_cpu(&self) -> bool {
        self.launches.is_empty()
    }
}

/// A model at fixed shapes, lowered for one device: operations in an order that respects their dependencies.
#[derive(Debug)]
pub struct Recording {
    /// The model's name.
    pub name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The read-write buffer that holds every activation.
    pub arena: BufferId,
    /// The operations, in a valid order.
    pub operations: Vec<Operation>,
    /// The model's inputs, in its order.
    pub inputs: Vec<(String, TensorRef)>,
    /// The model's outputs, in its order.
    pub outputs: Vec<(String, TensorRef)>,
}

impl Recording {
    /// Launches of all operations.
    pub fn launches(&self) -> usize {
        self.operations.iter().map(|o| o.launches.len()).sum()
    }

    /// Every buffer that its launches bind; a buffer may be named several times.
    pub fn buffers(&self) -> impl Iterator<Item = BufferId> + '_ {
        let weights = self.operations.iter().flat_map(|o| &o.launches).map(|l| l.weights);
        weights.chain([self.arena])
    }

    /// Operations that only the CPU computes.
    pub fn cpu_nodes(&self) -> usize {
        self.operations.iter().filter(|o| o.on_cpu()).count()
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.name, self.tenant)?;
        for (at, operation) in self.operations.iter().enumerate() {
            write!(f, "{at:4} {} [{}] after {:?}", operation.name, operation.kind, operation.deps)?;
            for launch in &operation.launches {
                write!(f, " {}x{}", launch.kernel.label(), launch.tiles)?;
            }
            writeln!(f, "{}", if operation.on_cpu() { " on the CPU" } else { "" })?;
        }
        Ok(())
    }
}

/// A tile range of one launch, given to a number of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The installed recording.
    pub recording: RecordingId,
    /// The operation in it.
    pub operation: u32,
    /// The launch of the operation.
    pub launch: u32,
    /// The output tiles to compute.
    pub tiles: Range<u32>,
    /// Workgroups that walk them with a stride; those beyond the number of tiles have nothing to do.
    pub workers: u32,
    /// It is next in the *chain* of the slice before it in the stage: it begins when that one has ended. The chains of a
    /// stage may run at the same time. False for the first slice of a stage.
    pub follows: bool,
}

/// Chains of slices that may run at the same time. Between stages there is an ordering point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The work of one or several tenants, chain after chain ([`Slice::follows`]).
    pub slices: Vec<Slice>,
}

impl Stage {
    /// A stage of one slice.
    pub fn of(slice: Slice) -> Stage {
        Stage { slices: vec![slice] }
    }

    /// The chains: slices that run one after another.
    pub fn chains(&self) -> impl Iterator<Item = &[Slice]> {
        self.slices.chunk_by(|_, next| next.follows)
    }
}
