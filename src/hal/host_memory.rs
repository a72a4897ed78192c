//! Buffers in host memory, for the backends that have no device.

use std::collections::HashMap;

use crate::tensor::TenantId;

use super::quota::Quotas;
use super::{BufferId, HalError, Recording, Region};

/// What all buffers together may take where the machine does not say how much memory it has.
const CAPACITY_BYTES: u64 = 16 << 30;

/// Zeroed word buffers with their owners.
#[derive(Debug)]
pub(super) struct HostMemory {
    buffers: HashMap<BufferId, (TenantId, Vec<u32>)>,
    quotas: Quotas,
    /// What all buffers together may take.
    capacity: u64,
    held: u64,
    made: u32,
}

impl HostMemory {
    /// No buffers yet; none may be larger than `buffer_bytes_max`, all together not larger than the machine's memory:
    /// the system would grant more, and end the process when it is touched.
    pub(super) fn new(buffer_bytes_max: u64) -> HostMemory {
        HostMemory {
            buffers: HashMap::new(),
            quotas: Quotas::new(buffer_bytes_max),
            capacity: machine_bytes().unwrap_or(CAPACITY_BYTES),
            held: 0,
            made: 0,
        }
    }

    pub(super) fn limit(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.quotas.limit(tenant, bytes_max);
    }

    pub(super) fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        let asked = self.quotas.take(tenant, bytes)?;
        let room = self.held.checked_add(asked).is_some_and(|held| held <= self.capacity);
        let n = usize::try_from(asked / 4).ok().filter(|_| room);
        let words = n.and_then(|n| bytemuck::allocation::try_zeroed_vec(n).ok());
        let Some(words) = words else {
            self.quotas.give_back(tenant, asked);
            return Err(HalError::OutOfMemory { tenant, asked });
        };
        self.held += asked;
        self.made += 1;
        let id = BufferId(self.made);
        self.buffers.insert(id, (tenant, words));
        Ok(id)
    }

    pub(super) fn free(&mut self, buffer: BufferId) {
        if let Some((tenant, words)) = self.buffers.remove(&buffer) {
            let bytes = words.len() as u64 * 4;
            self.held -= bytes;
            self.quotas.give_back(tenant, bytes);
        }
    }

    /// Checks that the buffers that a recording names exist.
    pub(super) fn check_recording(&self, recording: &Recording) -> Result<(), HalError> {
        match recording.buffers().find(|id| !self.buffers.contains_key(id)) {
            Some(buffer) => Err(HalError::Range { buffer, offset: 0, end: 0 }),
            None => Ok(()),
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

/// The machine's memory, where the system tells it in a file (Linux).
fn machine_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_machine_has_are_errors() {
        let mut memory = HostMemory::new(u64::MAX / 8);
        let tenant = TenantId(1);
        assert!(memory.capacity >= 1 << 30, "a machine has more than {} bytes", memory.capacity);
        for asked in [memory.capacity.next_multiple_of(4) + 4, 4_503_599_627_370_560] {
            assert_eq!(memory.alloc(tenant, asked), Err(HalError::OutOfMemory { tenant, asked }));
        }
        let small = memory.alloc(tenant, 64).unwrap();
        assert!(memory.alloc(tenant, memory.capacity).is_err(), "what is held counts");
        memory.free(small);
        assert_eq!((memory.held, memory.alloc(tenant, 8).is_ok()), (0, true));
        let mut limited = HostMemory::new(1 << 20);
        assert!(matches!(limited.alloc(tenant, 1 << 40), Err(HalError::BufferTooLarge { .. })));
    }
}
