//! Memory of a simulated device: who holds how much, and the words themselves only where results are computed.

use std::collections::HashMap;

use crate::hal::quota::Quotas;
use crate::hal::{BufferId, HalError, Region};
use crate::tensor::TenantId;

/// See the module's comment.
#[derive(Debug)]
pub(super) struct SimMemory {
    buffers: HashMap<BufferId, Buffer>,
    quotas: Quotas,
    bytes_max: u64,
    used: u64,
    made: u32,
    /// Whether buffers hold words.
    words: bool,
    /// Freed while work was submitted; they go when all of it is done.
    leaving: Vec<BufferId>,
}

#[derive(Debug)]
struct Buffer {
    tenant: TenantId,
    bytes: u64,
    words: Vec<u32>,
    freed: bool,
}

impl SimMemory {
    /// Nothing is allocated; all buffers together hold at most `bytes_max`, one at most `buffer_bytes_max`.
    pub(super) fn new(bytes_max: u64, buffer_bytes_max: u64, words: bool) -> SimMemory {
        let (buffers, quotas) = (HashMap::new(), Quotas::new(buffer_bytes_max));
        SimMemory { buffers, quotas, bytes_max, used: 0, made: 0, words, leaving: Vec::new() }
    }

    pub(super) fn limit(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.quotas.limit(tenant, bytes_max);
    }

    pub(super) fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        let asked = self.quotas.take(tenant, bytes)?;
        let held = if self.words { asked as usize / 4 } else { 0 };
        let words = bytemuck::allocation::try_zeroed_vec(held).ok().filter(|_| asked <= self.bytes_max - self.used);
        let Some(words) = words else {
            self.quotas.give_back(tenant, asked);
            return Err(HalError::OutOfMemory { tenant, asked });
        };
        self.used += asked;
        self.made += 1;
        let id = BufferId(self.made);
        self.buffers.insert(id, Buffer { tenant, bytes: asked, words, freed: false });
        Ok(id)
    }

    /// Gives a buffer back. With `later` its words stay until [`SimMemory::sweep`], for work that still uses them.
    pub(super) fn free(&mut self, id: BufferId, later: bool) {
        let Some(buffer) = self.buffers.get_mut(&id).filter(|b| !b.freed) else { return };
        buffer.freed = true;
        self.quotas.give_back(buffer.tenant, buffer.bytes);
        self.used -= buffer.bytes;
        if later {
            self.leaving.push(id);
        } else {
            self.buffers.remove(&id);
        }
    }

    /// Nothing uses freed buffers any more.
    pub(super) fn sweep(&mut self) {
        for id in self.leaving.drain(..) {
            self.buffers.remove(&id);
        }
    }

    pub(super) fn check(&self, region: Region) -> Result<(), HalError> {
        let end = region.offset.checked_add(region.bytes);
        let aligned = region.offset.is_multiple_of(4) && region.bytes.is_multiple_of(4);
        let inside = |b: &Buffer| !b.freed && end.is_some_and(|end| end <= b.bytes);
        if aligned && self.buffers.get(&region.buffer).is_some_and(inside) {
            return Ok(());
        }
        Err(HalError::Range { buffer: region.buffer, offset: region.offset, end: end.unwrap_or(u64::MAX) })
    }

    pub(super) fn words(&self, id: BufferId) -> &[u32] {
        &self.buffers[&id].words
    }

    pub(super) fn words_mut(&mut self, id: BufferId) -> &mut [u32] {
        &mut self.buffers.get_mut(&id).expect("buffers stay while work uses them").words
    }

    /// Writes into a region that was checked.
    pub(super) fn write(&mut self, region: Region, bytes: &[u8]) {
        assert_eq!(bytes.len() as u64, region.bytes, "the bytes fill the region");
        if self.words {
            let at = region.offset as usize;
            let all: &mut [u8] = bytemuck::cast_slice_mut(self.words_mut(region.buffer));
            all[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Reads a region that was checked; zeros where no words are held.
    pub(super) fn read(&self, region: Region) -> Vec<u8> {
        if !self.words {
            return vec![0; region.bytes as usize];
        }
        let all: &[u8] = bytemuck::cast_slice(self.words(region.buffer));
        all[region.offset as usize..(region.offset + region.bytes) as usize].to_vec()
    }

    pub(super) fn made(&self) -> u64 {
        u64::from(self.made)
    }
}
