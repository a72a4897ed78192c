//! Where tenants' buffers lie: each in a buffer of its own, or, for tenants that pool, in ranges of buffers that they share.
//!
//! Pooled ranges let one dispatch run kernels of any number of tenants with one set of bindings. What kernels only read
//! (weights, launch tables) and what they write never share a buffer, because one dispatch cannot bind a buffer both ways.

/// Bytes of a pool's buffer, unless something larger is asked for or the device has less.
const CHUNK_BYTES: u64 = 32 << 20;
/// Ranges begin at multiples of this many bytes, which every device accepts as an offset of a binding.
const ALIGN_BYTES: u64 = 256;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Kernels only read it.
    Constants,
    /// Kernels write it.
    Arena,
}

/// A range of a buffer of the device.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) buffer: wgpu::Buffer,
    /// First byte.
    pub(super) offset: u64,
    /// Bytes, a word at least: bindings may not be empty, and the largest elements have two.
    pub(super) bytes: u64,
    /// The pool's chunk that it is in; `None` for a buffer of its own.
    pub(super) chunk: Option<usize>,
    /// Others used it before, so that it must be cleared.
    pub(super) used: bool,
}

impl Range {
    /// A buffer of its own.
    pub(super) fn own(device: &wgpu::Device, bytes: u64) -> Range {
        let bytes = bytes.max(8);
        Range { buffer: create(device, bytes), offset: 0, bytes, chunk: None, used: false }
    }

    /// As a binding.
    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.offset,
            size: wgpu::BufferSize::new(self.bytes.next_multiple_of(8)),
        })
    }

    /// Whether it is the same memory.
    pub(super) fn is(&self, other: &Range) -> bool {
        self.offset == other.offset && self.buffer == other.buffer
    }

    /// Index of its first word in its buffer.
    pub(super) fn first_word(&self) -> u32 {
        (self.offset / 4) as u32
    }

    /// Index of its last word, counted from its first.
    pub(super) fn last_word(&self) -> u32 {
        (self.bytes / 4 - 1) as u32
    }
}

fn create(device: &wgpu::Device, size: u64) -> wgpu::Buffer {
    // wgpu zeroes what was never written before the first use.
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("tenant"),
        size: size.next_multiple_of(8),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    })
}

/// Buffers of one purpose whose ranges are given out, first fit.
#[derive(Default)]
pub(super) struct Pool {
    chunks: Vec<Chunk>,
}

struct Chunk {
    buffer: wgpu::Buffer,
    /// Free ranges in order, none touching the next.
    free: Vec<std::ops::Range<u64>>,
    /// Nothing from here on was ever given out.
    fresh: u64,
}

impl Pool {
    /// A range of `bytes`, and whether a buffer was created for it. No buffer is larger than `bytes_max`, which `bytes` is
    /// not either.
    pub(super) fn take(&mut self, device: &wgpu::Device, bytes: u64, bytes_max: u64) -> (Range, bool) {
        let bytes = bytes.max(8);
        let room = bytes.next_multiple_of(ALIGN_BYTES);
        if let Some(range) = (0..self.chunks.len()).find_map(|at| self.take_from(at, room, bytes)) {
            return (range, false);
        }
        let size = room.max(CHUNK_BYTES.min(bytes_max / ALIGN_BYTES * ALIGN_BYTES));
        self.chunks.push(Chunk { buffer: create(device, size), free: std::iter::once(0..size).collect(), fresh: 0 });
        let range = self.take_from(self.chunks.len() - 1, room, bytes);
        (range.unwrap_or_else(|| Range::own(device, bytes)), true)
    }

    fn take_from(&mut self, at: usize, room: u64, bytes: u64) -> Option<Range> {
        let chunk = &mut self.chunks[at];
        let place = chunk.free.iter().position(|free| free.end - free.start >= room)?;
        let offset = chunk.free[place].start;
        chunk.free[place].start += room;
        if chunk.free[place].is_empty() {
            chunk.free.remove(place);
        }
        let used = offset < chunk.fresh;
        chunk.fresh = chunk.fresh.max(offset + room);
        Some(Range { buffer: chunk.buffer.clone(), offset, bytes, chunk: Some(at), used })
    }

    /// Gives a range back. Work that was submitted before still has it: what is submitted later comes after it.
    pub(super) fn give_back(&mut self, range: &Range) {
        let Some(chunk) = range.chunk.and_then(|at| self.chunks.get_mut(at)) else { return };
        let returned = range.offset..range.offset + range.bytes.next_multiple_of(ALIGN_BYTES);
        let at = chunk.free.partition_point(|free| free.start < returned.start);
        chunk.free.insert(at, returned);
        if at + 1 < chunk.free.len() && chunk.free[at].end == chunk.free[at + 1].start {
            chunk.free[at].end = chunk.free.remove(at + 1).end;
        }
        if at > 0 && chunk.free[at - 1].end == chunk.free[at].start {
            chunk.free[at - 1].end = chunk.free.remove(at).end;
        }
    }
}

/// The pools of a device.
#[derive(Default)]
pub(super) struct Pools {
    pub(super) constants: Pool,
    pub(super) arenas: Pool,
    pub(super) tables: Pool,
}

impl Pools {
    pub(super) fn of(&mut self, purpose: Purpose) -> &mut Pool {
        match purpose {
            Purpose::Constants => &mut self.constants,
            Purpose::Arena => &mut self.arenas,
        }
    }
}
