//! Staging buffers that are used again: one pool for uploads, one for reads, by size class. After the first requests
//! of a tenant nothing is created any more.

use std::sync::{Arc, Mutex, PoisonError};

use wgpu::{Buffer, BufferUsages, MapMode};

/// Smallest staging buffer in bytes.
const BYTES_MIN: u64 = 4 << 10;

/// Buffers of one direction that are not in use.
#[derive(Clone)]
pub(super) struct Pool {
    direction: Direction,
    free: Arc<Mutex<Vec<Buffer>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Host to device: free buffers are mapped for writing.
    Upload,
    /// Device to host: free buffers are not mapped.
    Read,
}

impl Pool {
    pub(super) fn new(direction: Direction) -> Pool {
        Pool { direction, free: Arc::default() }
    }

    /// A buffer of at least `bytes`, and whether it had to be created.
    pub(super) fn take(&self, device: &wgpu::Device, bytes: u64) -> (Buffer, bool) {
        let size = bytes.max(BYTES_MIN).next_power_of_two();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free.iter().position(|b| b.size() == size) {
            return (free.swap_remove(at), false);
        }
        let (usage, mapped_at_creation) = match self.direction {
            Direction::Upload => (BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC, true),
            Direction::Read => (BufferUsages::MAP_READ | BufferUsages::COPY_DST, false),
        };
        let descriptor = wgpu::BufferDescriptor { label: Some("staging"), size, usage, mapped_at_creation };
        (device.create_buffer(&descriptor), true)
    }

    /// Gives a buffer back whose work is complete; it is free again when the driver has mapped it (uploads) or at once.
    pub(super) fn give_back(&self, buffer: Buffer) {
        let free = self.free.clone();
        let put = move |buffer| free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        match self.direction {
            Direction::Read => put(buffer),
            Direction::Upload => {
                let mapped = buffer.clone();
                // A buffer that cannot be mapped (a lost device) is dropped.
                buffer.map_async(MapMode::Write, .., move |result| {
                    if result.is_ok() {
                        put(mapped);
                    }
                });
            }
        }
    }
}
