//! Laws of eleven models on MIG instances of an A100 80 GB under PyTorch in eager mode, for what has no measurements at hand.
//!
//! They are our fit to a part of the tables that ParvaGPU published (MunQ-Lee/ParvaGPU_SC24, MIT): `docs/VALIDATION.md`
//! says which part, and how far they are off on the rest. `cotenant repro validation` checks that this table is still the fit.

use super::law::{Law, Setting, Sharing};
use super::profile::planner::PlannerPoint;

/// MIG instances: compute slices, SMs, part of the memory's bandwidth (vendor's MIG guide).
pub const INSTANCES: [(u32, f64, f64); 5] =
    [(1, 14.0, 0.125), (2, 28.0, 0.25), (3, 42.0, 0.5), (4, 56.0, 0.5), (7, 98.0, 1.0)];

/// The simulated device that they are laws of.
pub const DEVICE: &str = "a100-80gb";

/// Largest batch of the measurements.
pub const BATCH_MAX: u32 = 256;

/// The laws by model, rounded to three places.
pub const LAWS: [(&str, Law); 11] = [
    ("bert", law(14.8, 6.59, 2.62, 57.2, 0.170, 0.0)),
    ("densenet121", law(12.4, 2.20, 0.0704, 20.9, 0.186, 4.81)),
    ("densenet169", law(17.9, 4.86, 0.0269, 25.5, 0.235, 3.68)),
    ("densenet201", law(21.1, 6.57, 0.0, 31.1, 0.297, 6.22)),
    ("inceptionv3", law(9.38, 1.85, 0.0893, 14.3, 0.0659, 35.5)),
    ("mobilenetv2", law(4.82, 0.0938, 0.0802, 9.12, 0.0802, 0.849)),
    ("resnet101", law(9.28, 1.51, 0.0439, 30.5, 0.187, 39.1)),
    ("resnet152", law(13.8, 2.40, 0.0476, 44.3, 0.235, 52.2)),
    ("resnet50", law(4.84, 0.624, 0.0557, 17.1, 0.153, 20.8)),
    ("vgg16", law(1.51, 0.236, 0.0927, 32.4, 0.169, 47.8)),
    ("vgg19", law(1.79, 0.239, 0.102, 38.5, 0.187, 56.3)),
];

const fn law(floor_ms: f64, fixed_ms: f64, item_ms: f64, item_sm_ms: f64, item_memory_ms: f64, sm_ms: f64) -> Law {
    Law { floor_ms, fixed_ms, item_ms, item_sm_ms, item_memory_ms, sm_ms, sharing: Sharing::Overlap }
}

/// The law of a model of [`LAWS`].
pub fn find(model: &str) -> Option<&'static Law> {
    LAWS.iter().find(|(name, _)| *name == model).map(|(_, law)| law)
}

/// Where a point of a planner table ran.
pub fn setting(point: &PlannerPoint) -> Setting {
    let instance = INSTANCES.iter().find(|(size, ..)| *size == point.mig_size).unwrap_or(&INSTANCES[4]);
    Setting { batch: point.batch, sms: instance.1, memory: instance.2, processes: point.processes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_bound_small_batches_and_work_large_ones() {
        let ms = |model: &str, batch, (_, sms, memory): (u32, f64, f64)| {
            find(model).unwrap().ms(&Setting { batch, sms, memory, processes: 1 })
        };
        let [smallest, .., whole] = INSTANCES;
        for (model, law) in &LAWS {
            assert_eq!(ms(model, 1, whole), law.floor_ms.max(ms(model, 1, whole)), "{model}");
            assert!(ms(model, 128, smallest) > 2.0 * ms(model, 128, whole), "{model}");
        }
        assert_eq!(find("lenet"), None);
    }
}
