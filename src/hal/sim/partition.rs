//! How a GPU is divided: MIG instances, contexts with a bound on their SMs (MPS percentages, green contexts), and what
//! changing that costs.
//!
//! An instance has SMs, L2 and bandwidth of its own. The contexts of an instance either run at the same time ([`Mode::Shared`],
//! as under MPS or within one process) or take turns ([`Mode::Sliced`]). A bound in per cent is a number of SMs, not certain
//! ones; a green context has certain SMs, and others may have the same. Links to the host are everybody's.

use super::Gpu;
use super::clock::Ps;
use super::context::{Instance, Turn};
use super::pool::{MemoryPart, Pool};
use super::profile::MigProfile;
use super::profile_check::{MIG_COMPUTE_SLICES, MIG_MEMORY_SLICES};
use super::sm_set::SmSet;
use super::streams::SimError;
use crate::tensor::Nanos;

/// A whole GPU, or a MIG instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub(super) u32);

/// A process, or a part of one that is bound to SMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(pub(super) u32);

/// Whether contexts of an instance run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They do: MPS.
    Shared,
    /// They take turns: separate processes without MPS, vGPUs.
    Sliced,
}

/// The SMs that a context may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SmBound {
    /// Those of its instance.
    All,
    /// So many per cent of them at the same time, any ones: an MPS client's active thread percentage.
    Percent(f64),
    /// These of its instance: a green context.
    Only(SmSet),
}

/// What a context should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContextSpec {
    /// Where it is.
    pub instance: InstanceId,
    /// What it may use.
    pub sms: SmBound,
    /// Its turn in [`Mode::Sliced`], where not the profile's.
    pub slice: Option<Nanos>,
}

/// A MIG instance to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigPlacement {
    /// The profile: `1g`, `3g`, …
    pub profile: String,
    /// Its first memory slice.
    pub start: u32,
}

impl Gpu {
    /// The instance of a GPU that was not partitioned yet.
    pub fn whole(&self) -> InstanceId {
        InstanceId(0)
    }

    /// Divides the GPU into MIG instances; without any it is whole. All contexts and streams that there were are gone. New ones
    /// can do something after the time that the profile says, where MIG instances come or go.
    ///
    /// # Errors
    /// [`SimError::Busy`] while anything runs or waits, [`SimError::Partition`] for profiles and places that are not legal.
    pub fn partition(&mut self, plan: &[MigPlacement], mode: Mode) -> Result<Vec<InstanceId>, SimError> {
        if self.commands.len() > 0 {
            return Err(SimError::Busy { waiting: self.commands.len() });
        }
        let chosen = self.legal(plan)?;
        let was_divided = self.instances.iter().any(|i| i.alive && i.memory.fraction < 1.0);
        self.contexts.iter_mut().for_each(|c| c.alive = false);
        self.instances.iter_mut().for_each(|i| i.alive = false);
        let mut usable = self.now;
        if was_divided || !chosen.is_empty() {
            usable += (self.profile.sharing.mig_change_ms * 1e9) as Ps;
        }
        let mut ids = Vec::new();
        if chosen.is_empty() {
            ids.push(self.instance(SmSet::range(0, self.profile.compute.sms), 1.0, mode, usable));
        }
        for mig in chosen {
            let fraction = f64::from(mig.memory) / f64::from(MIG_MEMORY_SLICES);
            ids.push(self.instance(SmSet::range(0, mig.sms), fraction, mode, usable));
        }
        Ok(ids)
    }

    /// Lets the contexts of an instance run at the same time or take turns.
    ///
    /// # Errors
    /// [`SimError::Partition`] where contexts exist already.
    pub fn set_mode(&mut self, id: InstanceId, mode: Mode) -> Result<(), SimError> {
        self.alive(id)?;
        if self.contexts.iter().any(|c| c.alive && c.instance == id.0) {
            let reason = "contexts exist; choose the mode before the first one is made".to_string();
            return Err(SimError::Partition { what: format!("{id:?}"), reason });
        }
        self.instances[id.0 as usize].turn = Turn::new(mode);
        Ok(())
    }

    fn legal(&self, plan: &[MigPlacement]) -> Result<Vec<MigProfile>, SimError> {
        let refuse = |m: &MigPlacement, reason: String| {
            Err(SimError::Partition { what: format!("MIG instance {} at {}", m.profile, m.start), reason })
        };
        let (mut taken, mut compute, mut chosen) = (0u32, 0, Vec::new());
        for m in plan {
            let Some(mig) = self.profile.mig.iter().find(|p| p.name == m.profile) else {
                let names: Vec<&str> = self.profile.mig.iter().map(|p| p.name.as_str()).collect();
                let reason = match names.is_empty() {
                    true => format!("{} has no MIG", self.profile.name),
                    false => format!("{} has {}", self.profile.name, names.join(", ")),
                };
                return refuse(m, reason);
            };
            if !mig.starts.contains(&m.start) {
                return refuse(m, format!("it may begin at {:?}", mig.starts));
            }
            let slices = ((1 << mig.memory) - 1) << m.start;
            if taken & slices != 0 {
                return refuse(m, "another instance has its memory slices".into());
            }
            taken |= slices;
            compute += mig.compute;
            if compute > MIG_COMPUTE_SLICES {
                return refuse(
                    m,
                    format!("all instances together would have {compute} of {MIG_COMPUTE_SLICES} compute slices"),
                );
            }
            chosen.push(mig.clone());
        }
        Ok(chosen)
    }

    pub(super) fn instance(&mut self, sms: SmSet, fraction: f64, mode: Mode, usable_from: Ps) -> InstanceId {
        let memory = MemoryPart {
            bandwidth: self.profile.bytes_per_ps() * fraction,
            sm_bandwidth: self.profile.memory.sm_gbs * 1e-3,
            l2_bytes: (self.profile.l2_bytes() as f64 * fraction) as u64,
            fraction,
        };
        self.instances.push(Instance { sms, memory, usable_from, alive: true, turn: Turn::new(mode) });
        InstanceId((self.instances.len() - 1) as u32)
    }

    pub(super) fn alive(&self, id: InstanceId) -> Result<&Instance, SimError> {
        self.instances.get(id.0 as usize).filter(|i| i.alive).ok_or(SimError::NoInstance(id))
    }

    /// The SMs of a bound and how many of them at once.
    pub(super) fn bound(&self, sms: SmSet, bound: SmBound) -> Result<(SmSet, u32), SimError> {
        let refuse = |what: String, reason: String| Err(SimError::Partition { what, reason });
        match bound {
            SmBound::All => Ok((sms, u32::MAX)),
            SmBound::Percent(p) if p > 0.0 && p <= 100.0 => {
                // MPS rounds a percentage up to whole SMs.
                Ok((sms, ((f64::from(sms.count()) * p / 100.0 - 1e-9).ceil() as u32).max(1)))
            }
            SmBound::Percent(p) => refuse(format!("{p} % of the SMs"), "allowed is more than 0, at most 100".into()),
            SmBound::Only(set) => {
                let what = format!("a green context of {} SMs", set.count());
                let granule = self.profile.sharing.green_granule;
                if granule == 0 {
                    return refuse(what, format!("{} has no green contexts", self.profile.name));
                }
                if set.is_empty() || !set.minus(sms).is_empty() {
                    return refuse(what, format!("allowed are SMs of the instance's {}", sms.count()));
                }
                // The last group of a device may be smaller.
                if !set.count().is_multiple_of(granule) && !set.iter().any(|sm| sm + 1 == sms.count()) {
                    return refuse(what, format!("allowed are multiples of {granule} SMs"));
                }
                Ok((set, u32::MAX))
            }
        }
    }

    /// A pool of an instance's SMs.
    pub(super) fn pool(&mut self, instance: u32) -> u32 {
        let i = &self.instances[instance as usize];
        let mut pool = Pool::new(i.sms, &self.profile.sm, i.memory, self.groups_max, self.now);
        pool.instance = instance;
        self.exec.pools.push(pool);
        (self.exec.pools.len() - 1) as u32
    }
}
