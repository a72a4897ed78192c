//! The latency of a whole model as a law of its batch `b`, its SMs `s`, its part `μ` of the memory's bandwidth and the `k`
//! processes of the same model that share them:
//!
//! ```text
//! T = max(floor, fixed + b·item + k·(b·(item_sm/s + item_memory/μ) + sm/s))
//! ```
//!
//! The floor is the time in which the host issues all launches. `fixed + b·item` keeps neither SMs nor memory busy (latency of
//! small kernels, copies, work of the host), so that processes overlap in it; the rest they share. The form that systems of
//! the field use has no `item` and multiplies the whole busy time by `k·η_k` ([`Sharing::Scaled`]); `docs/VALIDATION.md`
//! compares both with measurements.

use serde::Serialize;

use crate::hal::GivenCost;

/// Processes for which a sharing factor is known at most.
pub const PROCESSES_MAX: usize = 5;

/// Where and how a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Items of a batch.
    pub batch: u32,
    /// SMs that it may use.
    pub sms: f64,
    /// Its part of the memory's bandwidth, in (0, 1].
    pub memory: f64,
    /// Processes that share SMs and memory, itself included.
    pub processes: u32,
}

/// What several processes do to each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// They overlap in what keeps the device idle and add up in the rest.
    Overlap,
    /// `k` of them take `k·η_k` times as long; the list begins with `η_1` = 1.
    Scaled([f64; PROCESSES_MAX]),
}

/// See the module's comment. All times in milliseconds; those named `sm` are of one SM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Law {
    /// Shortest time: launches.
    pub floor_ms: f64,
    /// Time that nothing shortens.
    pub fixed_ms: f64,
    /// The same for each item of the batch.
    pub item_ms: f64,
    /// SM time of an item: on `s` SMs it takes an `s`-th.
    pub item_sm_ms: f64,
    /// Time of an item's traffic with the whole bandwidth.
    pub item_memory_ms: f64,
    /// SM time of a batch of any size.
    pub sm_ms: f64,
    /// What several processes do to each other.
    pub sharing: Sharing,
}

impl Law {
    /// The latency in milliseconds.
    pub fn ms(&self, at: &Setting) -> f64 {
        let (idle, busy) = (self.idle_ms(at.batch), self.busy_ms(at));
        let k = f64::from(at.processes.max(1));
        let sum = match &self.sharing {
            Sharing::Overlap => idle + k * busy,
            Sharing::Scaled(eta) => k * eta[(at.processes.max(1) as usize).min(PROCESSES_MAX) - 1] * (idle + busy),
        };
        sum.max(self.floor_ms)
    }

    /// A batch of so many items as what an operation costs.
    pub fn given(&self, batch: u32) -> GivenCost {
        let idle_ns = self.idle_ms(batch) * 1e6;
        let (overlap_ns, fixed_ns, sharing) = match self.sharing {
            Sharing::Overlap => (idle_ns, 0.0, [1.0; PROCESSES_MAX]),
            Sharing::Scaled(eta) => (0.0, idle_ns, eta),
        };
        GivenCost::Law {
            floor_ns: self.floor_ms * 1e6,
            overlap_ns,
            fixed_ns,
            unit_ns: self.busy_sm_ms(batch) * 1e6,
            memory_ns: self.busy_memory_ms(batch) * 1e6,
            sharing,
        }
    }

    /// The part that keeps neither SMs nor memory busy.
    pub fn idle_ms(&self, batch: u32) -> f64 {
        self.fixed_ms + f64::from(batch) * self.item_ms
    }

    /// The part that processes share, of one process.
    pub fn busy_ms(&self, at: &Setting) -> f64 {
        self.busy_sm_ms(at.batch) / at.sms + self.busy_memory_ms(at.batch) / at.memory
    }

    /// SM time of a batch.
    pub fn busy_sm_ms(&self, batch: u32) -> f64 {
        f64::from(batch) * self.item_sm_ms + self.sm_ms
    }

    /// Time of a batch's traffic with the whole bandwidth.
    pub fn busy_memory_ms(&self, batch: u32) -> f64 {
        f64::from(batch) * self.item_memory_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ResNet50's figures of a fit to ParvaGPU's tables, rounded.
    const RESNET50: Law = Law {
        floor_ms: 4.66,
        fixed_ms: 1.42,
        item_ms: 0.0,
        item_sm_ms: 20.9,
        item_memory_ms: 0.125,
        sm_ms: 10.9,
        sharing: Sharing::Overlap,
    };

    #[test]
    fn worked_by_hand() {
        let at = Setting { batch: 8, sms: 42.0, memory: 0.5, processes: 1 };
        // 1.42 + 8·(20.9/42 + 0.125/0.5) + 10.9/42
        assert!((RESNET50.ms(&at) - 7.660_476).abs() < 1e-6);
        // 1.42 + 2·6.240476
        assert!((RESNET50.ms(&Setting { processes: 2, ..at }) - 13.900_952).abs() < 1e-6);
        let scaled = Law { sharing: Sharing::Scaled([1.0, 0.9, 0.8, 0.7, 0.6]), ..RESNET50 };
        assert!((scaled.ms(&Setting { processes: 2, ..at }) - 2.0 * 0.9 * 7.660_476).abs() < 1e-5);
        let nine = scaled.ms(&Setting { processes: 9, ..at });
        assert!((nine - 9.0 * 0.6 * 7.660_476).abs() < 1e-4, "the last factor serves for more");
    }

    #[test]
    fn small_batches_wait_for_launches() {
        let at = Setting { batch: 1, sms: 98.0, memory: 1.0, processes: 1 };
        assert_eq!(RESNET50.ms(&at), 4.66);
    }
}
