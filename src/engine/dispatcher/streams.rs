//! Online interleaving on devices whose chains are streams: operators that a policy granted to several tenants become stages
//! that run at the same time ([`crate::interleave::online`]).
//!
//! A tenant's share of a stage is its part of the device time that was granted in the submission. Composing is bounded and allocates
//! nothing but the stages themselves. A tenant with operators on the CPU, or with a share of its own, is not composed: its operators
//! run after the stages of the submission.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::engine::loaded::Loaded;
use crate::hal::{DeviceCaps, RecordingId, Stage};
use crate::interleave::online::{Composed, Composer, OnlineLimits, Ready};
use crate::interleave::{KernelNumbers, Machine, Model};
use crate::tensor::TenantId;

/// See the module's comment.
pub(super) struct Interleaver {
    machine: Machine,
    composer: Composer,
    composed: Composed,
    ready: Vec<Ready>,
    kernels: KernelNumbers,
    /// Tenants that are composed, with their number in the composer and the first launch of each operator.
    tenants: BTreeMap<TenantId, (u32, Vec<u32>)>,
    /// The recording of each number.
    recordings: Vec<RecordingId>,
    /// Numbers of tenants that left.
    free: Vec<u32>,
    /// Tenants that the composer looks at.
    tenants_max: usize,
}

impl Interleaver {
    /// For a device, if its chains are streams and it has several.
    pub(super) fn new(caps: &DeviceCaps, stage_ns: f64) -> Option<Interleaver> {
        let machine = Machine::of(caps);
        if machine.single_workers() || caps.lanes_max < 2 {
            return None;
        }
        let limits = OnlineLimits { stage_ns: stage_ns as u64, ..OnlineLimits::default() };
        Some(Interleaver {
            composer: Composer::new(machine.clone(), limits),
            machine,
            composed: Composed::with_limits(&limits),
            ready: Vec::with_capacity(limits.tenants_max),
            kernels: KernelNumbers::default(),
            tenants: BTreeMap::new(),
            recordings: Vec::new(),
            free: Vec::new(),
            tenants_max: limits.tenants_max,
        })
    }

    /// A tenant was loaded.
    pub(super) fn arrive(&mut self, tenant: &Loaded, caps: &DeviceCaps) {
        let recording = &tenant.shared.recording;
        // Operators on the CPU are in no stage.
        let Ok(model) = Model::new(0, recording, caps, &self.machine, &|_, _, _| None, &mut self.kernels) else {
            return;
        };
        let mut first = Vec::with_capacity(recording.operations.len() + 1);
        first.push(0);
        for operation in &recording.operations {
            first.push(first.last().unwrap_or(&0) + operation.launches.len() as u32);
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.recordings.push(tenant.recording);
            self.recordings.len() as u32 - 1
        });
        self.recordings[number as usize] = tenant.recording;
        self.composer.insert(number, &model);
        self.tenants.insert(tenant.shared.id, (number, first));
    }

    /// A tenant left.
    pub(super) fn depart(&mut self, tenant: TenantId) {
        if let Some((number, _)) = self.tenants.remove(&tenant) {
            self.composer.remove(number);
            self.free.push(number);
        }
    }

    /// Adds operators of a tenant to what is composed next. False where they are not composed.
    pub(super) fn grant(&mut self, tenant: &Loaded, operators: Range<u32>) -> bool {
        let Some((number, launches)) = self.tenants.get(&tenant.shared.id) else { return false };
        let (launch, end) = (launches[operators.start as usize], launches[operators.end as usize]);
        let ns: f64 = operators.map(|operator| tenant.costs.operator_ns(operator)).sum();
        let weight = (ns as f32).max(1.0);
        self.ready.push(Ready { tenant: *number, launch, tile: 0, launches: end - launch, weight });
        true
    }

    /// Appends the stages of all that was granted to `stages`.
    pub(super) fn compose(&mut self, stages: &mut Vec<Stage>) {
        while !self.ready.is_empty() {
            self.composer.compose(&self.ready, &mut self.composed);
            if self.composed.pieces.is_empty() {
                // Those that were looked at have launches without tiles only.
                self.ready.drain(..self.ready.len().min(self.tenants_max));
                continue;
            }
            let mut stage = Stage { slices: Vec::with_capacity(self.composed.pieces.len()) };
            self.composer.slices(&self.composed, &self.recordings, &mut stage.slices);
            stages.push(stage);
            for piece in &self.composed.pieces {
                if let Some(ready) = self.ready.iter_mut().find(|r| r.tenant == piece.tenant) {
                    let tiles_left = self.composer.tiles(piece.tenant, piece.launch) > piece.end;
                    let next = if tiles_left { piece.launch } else { piece.launch + 1 };
                    ready.launches -= next - ready.launch;
                    (ready.launch, ready.tile) = (next, if tiles_left { piece.end } else { 0 });
                }
            }
            self.ready.retain(|r| r.launches > 0);
        }
    }
}
