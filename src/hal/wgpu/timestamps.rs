//! Device timestamps, one before the first slice of a submission and one after each, on the run's clock.

use crate::hal::Clock;
use crate::tensor::Nanos;

/// Submissions in flight that can be timed at once; others go untimed.
const SETS: usize = 4;
/// Slices of one submission that are timed; later ones go untimed.
pub(super) const SLICES_MAX: usize = 1023;

const QUERY_BYTES: u64 = 8;

/// Query sets and how their ticks become times.
pub(super) struct Timestamps {
    sets: Vec<Set>,
    period_ns: f64,
    /// Host nanoseconds minus device nanoseconds.
    offset_ns: f64,
}

struct Set {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    busy: bool,
}

impl Timestamps {
    /// `None` where the device cannot write timestamps inside passes.
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue, clock: &dyn Clock) -> Option<Timestamps> {
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES) {
            return None;
        }
        let sets = (0..SETS)
            .map(|_| Set {
                queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("timestamps"),
                    ty: wgpu::QueryType::Timestamp,
                    count: SLICES_MAX as u32 + 1,
                }),
                resolved: device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("timestamps"),
                    size: (SLICES_MAX as u64 + 1) * QUERY_BYTES,
                    usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: false,
                }),
                busy: false,
            })
            .collect();
        let period_ns = f64::from(queue.get_timestamp_period());
        let mut timestamps = Timestamps { sets, period_ns, offset_ns: 0.0 };
        timestamps.offset_ns = timestamps.measure_offset(device, queue, clock)?;
        Some(timestamps)
    }

    /// One timestamp of an empty pass against the host's clock, the tightest of a few.
    fn measure_offset(&self, device: &wgpu::Device, queue: &wgpu::Queue, clock: &dyn Clock) -> Option<f64> {
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: QUERY_BYTES,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut best: Option<(u64, f64)> = None;
        for _ in 0..5 {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.write_timestamp(&self.sets[0].queries, 0);
            }
            encoder.resolve_query_set(&self.sets[0].queries, 0..1, &self.sets[0].resolved, 0);
            encoder.copy_buffer_to_buffer(&self.sets[0].resolved, 0, &staging, 0, QUERY_BYTES);
            let before = clock.now();
            queue.submit([encoder.finish()]);
            device.poll(wgpu::PollType::wait_indefinitely()).ok()?;
            let after = clock.now();
            staging.map_async(wgpu::MapMode::Read, .., |_| {});
            device.poll(wgpu::PollType::wait_indefinitely()).ok()?;
            let ticks = {
                let bytes = staging.get_mapped_range(..).ok()?;
                u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
            };
            staging.unmap();
            let width = after.since(before).0;
            let middle = before.0 as f64 + width as f64 / 2.0;
            let offset = middle - ticks as f64 * self.period_ns;
            if best.is_none_or(|(w, _)| width < w) {
                best = Some((width, offset));
            }
        }
        best.map(|(_, offset)| offset)
    }

    /// Takes a free set for one submission.
    pub(super) fn take(&mut self) -> Option<usize> {
        let at = self.sets.iter().position(|s| !s.busy)?;
        self.sets[at].busy = true;
        Some(at)
    }

    pub(super) fn queries(&self, set: usize) -> &wgpu::QuerySet {
        &self.sets[set].queries
    }

    /// Encodes the copy of `count` timestamps to `staging` at `offset`.
    pub(super) fn resolve(
        &self,
        set: usize,
        count: usize,
        encoder: &mut wgpu::CommandEncoder,
        staging: &wgpu::Buffer,
        offset: u64,
    ) {
        let set = &self.sets[set];
        encoder.resolve_query_set(&set.queries, 0..count as u32, &set.resolved, 0);
        encoder.copy_buffer_to_buffer(&set.resolved, 0, staging, offset, count as u64 * QUERY_BYTES);
    }

    /// The times in bytes that [`Timestamps::resolve`] copied; the set is free again.
    pub(super) fn give_back(&mut self, set: usize, bytes: &[u8]) -> Vec<Nanos> {
        self.sets[set].busy = false;
        bytes
            .chunks_exact(QUERY_BYTES as usize)
            .map(|b| {
                let ticks = u64::from_le_bytes(b.try_into().expect("eight bytes"));
                Nanos((ticks as f64 * self.period_ns + self.offset_ns).max(0.0) as u64)
            })
            .collect()
    }
}
