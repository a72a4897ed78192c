//! Device timestamps, one before the first slice of a submission and one after each, on the run's clock.

use std::ops::Range;

use crate::hal::Clock;
use crate::tensor::Nanos;

/// Timestamps of one query set; a submission takes as many sets as it needs.
const QUERIES: usize = 1024;

const QUERY_BYTES: u64 = 8;

/// Query sets, which are used again, and how their ticks become times.
pub(super) struct Timestamps {
    sets: Vec<Set>,
    period_ns: f64,
    /// A tick near those that come; times are counted from it, so that they keep nanoseconds in 64-bit floats.
    origin_ticks: u64,
    /// The host's time at the origin.
    offset_ns: f64,
}

struct Set {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    busy: bool,
}

impl Set {
    fn new(device: &wgpu::Device) -> Set {
        Set {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES as u32,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: QUERIES as u64 * QUERY_BYTES,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            busy: false,
        }
    }
}

impl Timestamps {
    /// `None` where the device cannot write timestamps inside passes.
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue, clock: &dyn Clock) -> Option<Timestamps> {
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES) {
            return None;
        }
        let period_ns = f64::from(queue.get_timestamp_period());
        let mut timestamps = Timestamps { sets: vec![Set::new(device)], period_ns, origin_ticks: 0, offset_ns: 0.0 };
        timestamps.measure_offset(device, queue, clock)?;
        Some(timestamps)
    }

    /// One timestamp of an empty pass against the host's clock, the tightest of a few.
    fn measure_offset(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, clock: &dyn Clock) -> Option<()> {
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: QUERY_BYTES,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut tightest: Option<u64> = None;
        for _ in 0..5 {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.write_timestamp(&self.sets[0].queries, 0);
            }
            self.resolve(&[0], 1, &mut encoder, &staging, 0);
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
            if tightest.is_none_or(|w| width < w) {
                tightest = Some(width);
                self.origin_ticks = ticks;
                self.offset_ns = before.0 as f64 + width as f64 / 2.0;
            }
        }
        tightest.map(|_| ())
    }

    /// Takes sets for `count` timestamps of one submission; also how many had to be made.
    pub(super) fn take(&mut self, device: &wgpu::Device, count: usize) -> (Vec<usize>, u64) {
        let wanted = count.div_ceil(QUERIES);
        let mut taken: Vec<usize> = (0..self.sets.len()).filter(|&at| !self.sets[at].busy).take(wanted).collect();
        let missing = wanted - taken.len();
        taken.extend(self.sets.len()..self.sets.len() + missing);
        self.sets.extend((0..missing).map(|_| Set::new(device)));
        taken.iter().for_each(|&at| self.sets[at].busy = true);
        (taken, missing as u64)
    }

    /// The query set and the index in it of timestamp `at` of the submission that took `sets`.
    pub(super) fn query(&self, sets: &[usize], at: usize) -> (&wgpu::QuerySet, u32) {
        (&self.sets[sets[at / QUERIES]].queries, (at % QUERIES) as u32)
    }

    /// Encodes the copy of `count` timestamps to `staging` at `offset`.
    pub(super) fn resolve(
        &self,
        sets: &[usize],
        count: usize,
        encoder: &mut wgpu::CommandEncoder,
        staging: &wgpu::Buffer,
        offset: u64,
    ) {
        for (first, &set) in (0..count).step_by(QUERIES).zip(sets) {
            let set = &self.sets[set];
            let n = (count - first).min(QUERIES) as u64;
            encoder.resolve_query_set(&set.queries, 0..n as u32, &set.resolved, 0);
            let at = offset + first as u64 * QUERY_BYTES;
            encoder.copy_buffer_to_buffer(&set.resolved, 0, staging, at, n * QUERY_BYTES);
        }
    }

    /// The times in bytes that [`Timestamps::resolve`] copied, of a submission that ran within `seen` by the host's
    /// clock; its sets are free again.
    pub(super) fn give_back(&mut self, sets: &[usize], bytes: &[u8], seen: Range<Nanos>) -> Vec<Nanos> {
        sets.iter().for_each(|&set| self.sets[set].busy = false);
        let elapsed: Vec<f64> = bytes
            .chunks_exact(QUERY_BYTES as usize)
            .map(|b| {
                let ticks = u64::from_le_bytes(b.try_into().expect("eight bytes"));
                ticks.wrapping_sub(self.origin_ticks) as i64 as f64 * self.period_ns
            })
            .collect();
        let (first, last) = (elapsed.first().copied().unwrap_or(0.0), elapsed.last().copied().unwrap_or(0.0));
        self.offset_ns = bounded(self.offset_ns, first, last, &seen);
        elapsed.iter().map(|ns| Nanos((ns + self.offset_ns).max(0.0) as u64).clamp(seen.start, seen.end)).collect()
    }
}

/// The offset after a submission was seen from outside: it neither began before it was given nor ended after it was
/// found finished. So the offset follows a device's clock that drifts against the host's.
fn bounded(offset_ns: f64, first_ns: f64, last_ns: f64, seen: &Range<Nanos>) -> f64 {
    let (low, high) = (seen.start.0 as f64 - first_ns, seen.end.0 as f64 - last_ns);
    if low <= high { offset_ns.clamp(low, high) } else { offset_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(offset: f64, first: f64, last: f64, seen: Range<u64>, expected: f64) {
        assert_eq!(bounded(offset, first, last, &(Nanos(seen.start)..Nanos(seen.end))), expected);
    }

    #[test]
    fn the_offset_moves_only_as_far_as_what_was_seen_demands() {
        check(100.0, 1000.0, 2000.0, 1000..2200, 100.0);
        check(100.0, 1000.0, 2000.0, 1150..2300, 150.0);
        check(100.0, 1000.0, 2000.0, 1000..2050, 50.0);
        check(-100.0, 1000.0, 2000.0, 0..1500, -500.0);
        // More time between the timestamps than went by: the period is wrong, and the offset cannot mend it.
        check(100.0, 1000.0, 2000.0, 1500..2000, 100.0);
    }
}
