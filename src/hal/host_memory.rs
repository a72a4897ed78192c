//! Buffers in host memory, for the backends that have no device.

use std::collections::HashMap;

use crate::tensor::TenantId;

use super::quota::Quotas;
use super::{BufferId, HalError, Region};

/// Zeroed word buffers with their owners.
#[derive(Debug, Default)]
pub(super) struct HostMemory {
    buffers: HashMap<BufferId, (TenantId, Vec<u32>)>,
    quotas: Quotas,
    made: u32,
}

impl HostMemory {
    pub(super) fn limit(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.quotas.limit(tenant, bytes_max);
    }

    pub(super) fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        let words = bytes.div_ceil(4);
        self.quotas.take(tenant, words * 4)?;
        self.made += 1;
        let id = BufferId(self.made);
        self.buffers.insert(id, (tenant, vec![0; words as usize]));
        Ok(id)
    }

    pub(super) fn free(&mut self, buffer: BufferId) {
        if let Some((tenant, words)) = self.buffers.remove(&buffer) {
            self.quotas.give_back(tenant, words.len() as u64 * 4);
        }
    }

    pub(super) fn words(&self, buffer: BufferId) -> &[u32] {
        &self.buffers[&buffer].1
    }

    pub(super) fn words_mut(&mut self, buffer: BufferId) -> &mut [u32] {
        &mut self.buffers.get_mut(&buffer).expect("the buffer was not freed").1
    }

    pub(super) fn check(&self, region: Region) -> Result<(), HalError> {
        let bytes = self.buffers.get(&region.buffer).map_or(0, |(_, w)| w.len() as u64 * 4);
        let inside = region.offset.checked_add(region.bytes).is_some_and(|end| end <= bytes);
        let aligned = region.offset.is_multiple_of(4) && region.bytes.is_multiple_of(4);
        if inside && aligned && self.buffers.contains_key(&region.buffer) {
            return Ok(());
        }
        Err(HalError::Range {
            buffer: region.buffer,
            offset: region.offset,
            end: region.offset.saturating_add(region.bytes),
        })
    }

    pub(super) fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.check(region)?;
        assert_eq!(bytes.len() as u64, region.bytes, "the bytes fill the region");
        let at = region.offset as usize;
        let all: &mut [u8] = bytemuck::cast_slice_mut(self.words_mut(region.buffer));
        all[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn read(&self, region: Region) -> Result<Vec<u8>, HalError> {
        self.check(region)?;
        let all: &[u8] = bytemuck::cast_slice(self.words(region.buffer));
        Ok(all[region.offset as usize..(region.offset + region.bytes) as usize].to_vec())
    }

    pub(super) fn made(&self) -> u64 {
        u64::from(self.made)
    }
}
