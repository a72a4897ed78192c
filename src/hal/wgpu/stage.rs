//! From a stage to dispatches: a co-kernel where there is one for its launches, else a dispatch for each slice.

use std::collections::HashMap;
use std::sync::Arc;

use super::cokernel::{Cokernel, Cokernels, Entry, Programs, SLOT_BINDINGS, Use};
use super::installed::{Installed, InstalledLaunch};
use super::memory::Range;
use crate::hal::{RecordingId, Slice, Stage};

/// The memory that a stage's launches bind, and which kernels they are.
pub(super) struct Needs {
    /// Distinct kernels with their slots, in the order of their first use.
    pub(super) uses: Vec<Use>,
    /// All memory is in the same shared buffers.
    pub(super) pooled: bool,
    /// Weights and arena of each slot; of pooled memory some tenant's.
    slots: Vec<(Range, Range)>,
    /// The buffer of launch tables.
    table: Range,
}

/// Looks at a stage; `None` where it cannot be one dispatch: it is one slice only, a chain of several slices has more
/// than one worker, or launch tables lie in several buffers.
pub(super) fn needs(stage: &Stage, recordings: &HashMap<RecordingId, Installed>) -> Option<Needs> {
    if stage.slices.len() < 2 || stage.chains().any(|chain| chain.len() > 1 && chain.iter().any(|s| s.workers > 1)) {
        return None;
    }
    let find = |slice: &Slice| -> Option<(&Installed, &InstalledLaunch)> {
        let installed = recordings.get(&slice.recording)?;
        Some((installed, installed.launch(slice.operation, slice.launch)))
    };
    let (first, launch) = find(stage.slices.first()?)?;
    let table = first.table.clone();
    let chunks = (first.arena.chunk, launch.weights.chunk);
    let mut pooled = chunks.0.is_some() && chunks.1.is_some();
    for slice in &stage.slices {
        let (installed, launch) = find(slice)?;
        if installed.table.buffer != table.buffer {
            return None;
        }
        pooled &= (installed.arena.chunk, launch.weights.chunk) == chunks;
    }
    let mut slots: Vec<(Range, Range)> = Vec::new();
    let mut uses: Vec<Use> = Vec::new();
    for slice in &stage.slices {
        let (installed, launch) = find(slice)?;
        let memory = (&launch.weights, &installed.arena);
        let slot = slot_of(&mut slots, memory, pooled);
        if !uses.contains(&(launch.kernel, slot)) {
            uses.push((launch.kernel, slot));
        }
    }
    Some(Needs { uses, pooled, slots, table })
}

/// The number of the slot that has this memory; a new one where there is none. Pooled memory is all in slot 0.
fn slot_of(slots: &mut Vec<(Range, Range)>, memory: (&Range, &Range), pooled: bool) -> u32 {
    let known = slots.iter().position(|(w, a)| pooled || (w.is(memory.0) && a.is(memory.1)));
    let at = known.unwrap_or_else(|| {
        slots.push((memory.0.clone(), memory.1.clone()));
        slots.len() - 1
    });
    at as u32
}

impl Needs {
    /// The co-kernel for it, if one is compiled that has these kernels.
    pub(super) fn find(&self, cokernels: &Cokernels) -> Option<Arc<Cokernel>> {
        cokernels.find(&self.uses, self.slots.len() as u32, self.pooled)
    }

    /// Puts the stage's programs, for `cokernel`, into `programs`. False where the co-kernel lacks one of its kernels.
    pub(super) fn program(
        &self,
        cokernel: &Cokernel,
        stage: &Stage,
        recordings: &HashMap<RecordingId, Installed>,
        programs: &mut Programs,
    ) -> bool {
        programs.clear();
        for chain in stage.chains() {
            programs.begin(chain.iter().map(workers).max().unwrap_or(1));
            for slice in chain {
                let installed = &recordings[&slice.recording];
                let launch = installed.launch(slice.operation, slice.launch);
                let (weights, arena) = (&launch.weights, &installed.arena);
                let slot = self.slots.iter().position(|(w, a)| self.pooled || (w.is(weights) && a.is(arena)));
                let Some(body) = slot.and_then(|slot| cokernel.body((launch.kernel, slot as u32))) else {
                    return false;
                };
                programs.push(Entry {
                    body,
                    params: launch.base,
                    tiles: [slice.tiles.start, slice.tiles.end],
                    workers: workers(slice),
                    memory: [weights.first_word(), weights.last_word(), arena.first_word(), arena.last_word()],
                });
            }
        }
        true
    }

    /// The bindings of the stage's memory for `cokernel`.
    pub(super) fn bind(&self, device: &wgpu::Device, cokernels: &Cokernels, cokernel: &Cokernel) -> wgpu::BindGroup {
        let layout = cokernels.layout(cokernel.slots(), cokernel.pairs);
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: self.table.buffer.as_entire_binding() }];
        for (slot, (weights, arena)) in (0..).zip(&self.slots) {
            let resource = |at: u32| match (at.is_multiple_of(2), self.pooled) {
                (true, true) => weights.buffer.as_entire_binding(),
                (true, false) => weights.binding(),
                (false, true) => arena.buffer.as_entire_binding(),
                (false, false) => arena.binding(),
            };
            let of_slot = if cokernel.pairs { SLOT_BINDINGS } else { 2 };
            let binding = |at| wgpu::BindGroupEntry { binding: 1 + slot * SLOT_BINDINGS + at, resource: resource(at) };
            entries.extend((0..of_slot).map(binding));
        }
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout.memory, entries: &entries })
    }

    /// What the bindings are made of: equal keys are the same bindings.
    pub(super) fn memory_key(&self, pairs: bool) -> MemoryKey {
        let slots = self.slots.iter().map(|(w, a)| match self.pooled {
            true => ((w.buffer.clone(), 0), (a.buffer.clone(), 0)),
            false => ((w.buffer.clone(), w.offset), (a.buffer.clone(), a.offset)),
        });
        MemoryKey { pairs, pooled: self.pooled, table: self.table.buffer.clone(), slots: slots.collect() }
    }
}

/// See [`Needs::memory_key`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct MemoryKey {
    pairs: bool,
    pooled: bool,
    table: wgpu::Buffer,
    slots: Vec<(Place, Place)>,
}

/// A buffer and the first byte in it.
type Place = (wgpu::Buffer, u64);

/// Workgroups of a slice: none without a tile.
pub(super) fn workers(slice: &Slice) -> u32 {
    slice.workers.min(slice.tiles.end - slice.tiles.start)
}
